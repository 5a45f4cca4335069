"""The HTTP server, which leaves signals to us."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

GRACE_SECONDS = 2
"""How long requests in flight may take once the server stops."""


class HttpServer(uvicorn.Server):
    """uvicorn on a socket that is open already."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
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
