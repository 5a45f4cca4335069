"""``rheostat notify`` as a process: channels, deliveries, and a kill that is told within seconds."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli_process import Cli, a_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


class Receiver:
    """An HTTP server in a thread that takes every POST, or answers ``status``."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing is printed."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/secret"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver."""
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command, as the administrator of a server that may send to this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RHEOSTAT_NOTIFY_ALLOW_PRIVATE", "127.0.0.0/8")
        with a_server() as (stage, _):
            home: Path = tmp_path_factory.mktemp("home")
            yield Cli(home, url=stage.url, token=stage.token, sdk_key=stage.sdk_key)


def test_a_kill_is_told(cli: Cli, receiver: Receiver) -> None:
    """A channel is added with its secret alone on standard output, tried, and told of a kill; by hand once more."""
    cli("flag", "create", "checkout")
    assert "There is no channel" in cli("notify", "channel", "list")
    added = cli.run(
        "notify", "channel", "add", "hook", "--kind", "webhook", "--to-url", receiver.url, "--in", "production"
    )
    assert added.stdout.startswith("whsec_")
    assert added.stdout.count("\n") == 1
    assert "shown once" in added.stderr
    listed = cli("notify", "channel", "list")
    assert "/…" in listed
    assert "environments production" in listed
    assert "secret" not in listed
    assert "It arrived at hook" in cli("notify", "channel", "test", "hook")

    cli("flag", "kill", "checkout", "--reason", "it burns")
    page = cli.until(
        "notify", "deliveries", fits=lambda body: [d["status"] for d in body["deliveries"]] == ["delivered"]
    )
    assert [body["event"] for body in receiver.bodies] == ["test", "killed"]
    assert receiver.bodies[1]["why"] == "it burns"
    assert receiver.bodies[1]["link"].startswith(cli.url)

    number = str(page["deliveries"][0]["id"])
    assert "killed" in cli("notify", "deliveries", "--flag", "checkout")
    assert '"why": "it burns"' in cli("notify", "deliveries", "--id", number)
    assert "sent again" in cli("notify", "resend", number)
    cli.until("notify", "deliveries", fits=lambda body: len(receiver.bodies) == 3)
    assert receiver.bodies[2]["id"] == receiver.bodies[1]["id"]
    assert cli("notify", "channel", "rotate", "hook").startswith("whsec_")
    assert "is removed" in cli("notify", "channel", "remove", "hook")
    assert "There are no deliveries." in cli("notify", "deliveries")


def test_what_goes_wrong_is_said(cli: Cli, receiver: Receiver) -> None:
    """Every fault of a channel is printed; a test that does not arrive exits with 1 and says why."""
    said = cli.fails("notify", "channel", "add", "b", "--kind", "webhook", "--to-url", "ftp://x", "--event", "kill")
    assert "url: it is not of the form" in said
    assert "events[0]: there is no event kill" in said
    assert "did you mean killed?" in said
    said = cli.fails("notify", "channel", "add", "b", "--kind", "webhook", "--to-url", "http://10.0.0.1/")
    assert "RHEOSTAT_NOTIFY_ALLOW_PRIVATE" in said
    assert "RHEOSTAT_SMTP_URL" in cli.fails("notify", "channel", "add", "m", "--kind", "email", "--to", "a@example.com")

    made = cli("notify", "channel", "add", "chat", "--kind", "slack", "--to-url", "-", stdin=receiver.url + "\n")
    assert made == "The channel chat is there.\n"
    receiver.status = 404
    assert "it did not arrive at chat: the receiver answered 404" in cli.fails("notify", "channel", "test", "chat")
    assert "no notification channel 'b'" in cli.fails("notify", "channel", "remove", "b")
    assert "there is no delivery 99" in cli.fails("notify", "resend", "99")
