"""What the command line makes of a server's answers."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rheostat_server.cli.connection import CommandFailed, Connection, Unreachable


class Answering(BaseHTTPRequestHandler):
    """Answers each request with the status that its path ends in."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.rsplit("/", 1)[1]))
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A connection to a server that answers as its path says."""
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Connection(f"http://127.0.0.1:{server.server_port}", None, project="default", environment="production")
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_server_that_cannot_just_now_is_away(connection: Connection, status: int) -> None:
    """What waits for a server waits also for the one behind a proxy, and for one without its database."""
    with pytest.raises(Unreachable):
        connection.get(f"/{status}")


@pytest.mark.parametrize("status", [400, 404, 409, 500])
def test_a_refusal_is_none(connection: Connection, status: int) -> None:
    """A server that says no is there."""
    with pytest.raises(CommandFailed) as refused:
        connection.get(f"/{status}")

    assert not isinstance(refused.value, Unreachable)
