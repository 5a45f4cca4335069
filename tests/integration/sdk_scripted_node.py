"""A node over real HTTP that says what a test tells it to."""

import contextlib
import gzip
import queue
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from rheostat.feed.protocol import etag_of
from rheostat.model.kill import Kill
from rheostat.model.outcome import Batch, BatchReceipt
from rheostat.model.snapshot import Beat, Patch, Resync, Snapshot

NAMES: dict[type, str] = {Beat: "beat", Patch: "patch", Resync: "resync", Kill: "kill"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class ScriptedNode:
    """Serves ``snapshot``, streams what ``send`` is given, and keeps what it is sent.

    ``status`` other than 200 is the answer to everything. ``content_type`` is the stream's. ``stop`` cuts
    every connection, as a killed process does; ``start`` comes back on the same port.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.status = 200
        self.beats = True
        self.content_type = "text/event-stream"
        self.body: bytes | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.batches: list[Batch] = []
        self._port = 0
        self._streams: list[queue.Queue[bytes | None]] = []
        self._connections: list[socket.socket] = []
        self._server: _Server | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def count(self, path: str) -> int:
        """Return how often a path was asked for."""
        return sum(asked == path for asked, _ in self.asked)

    def start(self) -> None:
        """Listen."""
        node = self

        class Handler(_Handler):
            pass

        Handler.node = node
        self._server = _Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Go away without a word."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        self.cut()

    def cut(self) -> None:
        """Break every open connection."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for stream in self._streams:
            stream.put(None)
        self._connections = []
        self._streams = []

    def send(self, message: Beat | Patch | Resync | Kill) -> None:
        """Send one event on every stream."""
        for stream in list(self._streams):
            stream.put(encode_event(message))

    def drain(self, wait_ms: int) -> None:
        """End every stream as a node does that stops: with the wish when to come back."""
        for stream in list(self._streams):
            stream.put(b"retry: %d\n\n" % wait_ms)
            stream.put(None)

    def publish(self, patch: Patch, snapshot: Snapshot) -> None:
        """Move on to the snapshot and send the patch that leads there."""
        self.snapshot = snapshot
        self.send(patch)

    def open_stream(self) -> "queue.Queue[bytes | None]":
        """Return the queue of a stream that a client has opened."""
        stream: queue.Queue[bytes | None] = queue.Queue()
        if self.beats:
            stream.put(encode_event(Beat(age_ms=0, path=("node-1",), instances=1)))
        self._streams.append(stream)
        return stream

    def remember(self, connection: socket.socket) -> None:
        """Keep a connection, so that it can be cut."""
        self._connections.append(connection)

    def forget(self, stream: "queue.Queue[bytes | None]") -> None:
        """Take note that a stream's client is gone."""
        if stream in self._streams:
            self._streams.remove(stream)


def encode_event(message: Beat | Patch | Resync | Kill) -> bytes:
    """Return the event as it goes over the wire."""
    return b"event: %s\ndata: %s\n\n" % (NAMES[type(message)].encode(), msgspec.json.encode(message))


class _Handler(BaseHTTPRequestHandler):
    node: ScriptedNode
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.node.remember(self.connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    def do_GET(self) -> None:
        node = self.node
        node.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        if node.status != 200:
            self._answer(node.status, b"")
        elif self.path == "/sdk/v1/snapshot":
            self._snapshot()
        elif self.path == "/sdk/v1/stream":
            self._stream()
        else:
            self._answer(404, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.node.status != 200:
            self._answer(self.node.status, b"")
            return
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        batch = msgspec.json.decode(body, type=Batch)
        self.node.batches.append(batch)
        self._answer(200, msgspec.json.encode(BatchReceipt(sequence=batch.sequence)))

    def _snapshot(self) -> None:
        etag = etag_of(self.node.snapshot)
        if self.headers["If-None-Match"] == etag:
            self._answer(304, b"", {"ETag": etag, "Rheostat-Age": str(self.node.snapshot.age_ms)})
        else:
            body = msgspec.json.encode(self.node.snapshot) if self.node.body is None else self.node.body
            self._answer(200, body, {"ETag": etag})

    def _stream(self) -> None:
        node = self.node
        self.send_response(200)
        self.send_header("Content-Type", node.content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        stream = node.open_stream()
        last = self.headers["Last-Event-ID"]
        if last != str(node.snapshot.identity):
            stream.put(encode_event(Resync(to=node.snapshot.identity)))
        try:
            while (data := stream.get()) is not None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()
        except OSError:
            pass
        finally:
            node.forget(stream)
        self.close_connection = True

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
