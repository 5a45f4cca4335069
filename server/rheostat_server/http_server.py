"""The HTTP server, which leaves signals to us."""

import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

GRACE_SECONDS = 2
"""How long requests in flight may take once the server stops."""

_NOT_HTTP = (
    b'{"type":"about:blank","title":"Bad Request","status":400,'
    b'"detail":"this cannot be read as HTTP/1.1: a method, an address, a header or a length is not well formed"}'
)
_NO_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
    b"content-length: " + str(len(_NOT_HTTP)).encode() + b"\r\n\r\n" + _NOT_HTTP
)
_log = logging.getLogger("uvicorn.error.protocol")
# Strangers that do not speak HTTP are no news, and must not be able to fill the log.
_log.setLevel(logging.ERROR)


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which answers what is no HTTP as we answer everything: with a problem."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _log

    def send_400_response(self, msg: str) -> None:
        """Answer and hang up."""
        self.transport.write(_NO_REQUEST)
        self.transport.close()


class HttpServer(uvicorn.Server):
    """uvicorn on a socket that is open already."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none: streams are to be closed before the server waits for its connections."""
        yield

    async def run_on(self, sock: socket.socket) -> None:
        """Serve until ``finish`` is called and the requests in flight are answered."""
        await self.serve(sockets=[sock])

    def finish(self) -> None:
        """Take no more connections, answer what is in flight, and return from ``run_on``."""
        self.should_exit = True
