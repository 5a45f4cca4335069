"""A small HTTP server that takes batches, and can fail as servers do."""

import gzip
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from rheostat.model.outcome import Batch, BatchReceipt


class Received(msgspec.Struct):
    """One request as it came over the wire."""

    headers: dict[str, str]
    body: bytes
    batch: Batch


class Collector(ThreadingHTTPServer):
    """Answers 200 with a receipt, or in turn what ``answers`` says: a status, ``lose`` or a (status, headers)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[Received] = []
        self.answers: list[Any] = []
        self.at_ms = 0
        self.limits: dict[str, float] = {}
        self.arrived = threading.Condition()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def wait_for(self, count: int, timeout: float = 20.0) -> list[Received]:
        """Return what came, once there are ``count`` requests."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= count, timeout), f"{len(self.received)} came"
            return list(self.received)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Lost connections are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = dict(self.headers.items()) | {"path": self.path}
        plain = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        batch = msgspec.json.decode(plain, type=Batch)
        with self.server.arrived:
            self.server.received.append(Received(headers, body, batch))
            answer = self.server.answers.pop(0) if self.server.answers else 200
            self.server.arrived.notify_all()
        if answer == "lose":
            # A reset, so that the sender cannot take it for an answer.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        status, extra = answer if isinstance(answer, tuple) else (answer, {})
        receipt = BatchReceipt(batch.sequence, at_ms=self.server.at_ms, sampled_limits=self.server.limits)
        reply = msgspec.json.encode(receipt) if status == 200 else b"no"
        self.send_response(status)
        for name, value in extra.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@contextmanager
def a_collector() -> Iterator[Collector]:
    """Run a collector."""
    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.shutdown()
        collector.server_close()
        thread.join()
