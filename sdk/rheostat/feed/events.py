"""Server-sent events, read from bytes that may be split anywhere."""

import re

import msgspec

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""An event longer than this is not ours; the ring of a node holds 8 MiB."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_MOST_DIGITS = 9
_BOM = b"\xef\xbb\xbf"


class ServerEvent(msgspec.Struct, frozen=True):
    """One event as dispatched. ``id`` is the last one seen on the stream, ``None`` before the first."""

    name: str
    data: bytes
    id: str | None = None


class EventOverflow(ValueError):
    """The stream sent an event longer than any that a node sends."""


class EventParser:
    """Turns a stream's bytes into events, by the rules of the HTML standard.

    However the bytes are split, the events are the same. Comments, unknown fields and fields that cannot be
    read are skipped; an event that the stream's end cuts off is not dispatched. ``retry_ms`` is how long the
    server last asked to wait before connecting again.
    """

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self._started = False
        self._rest: list[bytes] = []
        self._after_return = False
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0
        self._id: str | None = None

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Return the events that these bytes complete.

        Raises:
            EventOverflow: an event is longer than ``MAX_EVENT_BYTES``; the stream is of no more use.
        """
        if not data:
            return []
        if self._after_return:
            # A line that ended in CR at the very end of the bytes before was taken as ended; its LF may follow.
            self._after_return = False
            if data.startswith(b"\n"):
                data = data[1:]
        events: list[ServerEvent] = []
        start = 0
        for end in _LINE_END.finditer(data):
            line = data[start : end.start()]
            start = end.end()
            if self._rest:
                line = b"".join((*self._rest, line))
                self._rest.clear()
            event = self._line(line)
            if event is not None:
                events.append(event)
        self._after_return = start == len(data) and data.endswith(b"\r")
        if start < len(data):
            self._grow(len(data) - start)
            self._rest.append(data[start:])
        return events

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MAX_EVENT_BYTES:
            raise EventOverflow(f"an event is longer than {MAX_EVENT_BYTES} bytes")

    def _line(self, line: bytes) -> ServerEvent | None:
        if not self._started:
            self._started = True
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._grow(len(value))
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif field == b"retry" and value.isdigit() and len(value) <= _MOST_DIGITS:
            self.retry_ms = int(value)
        return None

    def _dispatch(self) -> ServerEvent | None:
        name, data = self._name or "message", self._data
        self._name, self._data, self._size = "", [], 0
        return ServerEvent(name, b"\n".join(data), self._id) if data else None
