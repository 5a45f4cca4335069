"""One reader of a stream, and what waits for it."""

import asyncio
from collections.abc import Callable

from rheostat.model.snapshot import Identity

WAITING_BYTES = 4 << 20
"""A reader that is further behind is let go: it comes back, and is then brought up to date in one piece."""


class Subscriber:
    """A reader's queue. The feed puts events in, the connection takes them out.

    ``ahead`` is what the reader holds where that is above the node's own identity: nothing older may be sent.
    ``permitted`` says whether its key still opens the stream.
    """

    __slots__ = ("_bytes", "_events", "_ready", "ahead", "closed", "permitted")

    def __init__(self, permitted: Callable[[], bool]) -> None:
        self.permitted = permitted
        self.ahead: Identity | None = None
        self.closed = False
        self._events: list[bytes] = []
        self._bytes = 0
        self._ready = asyncio.Event()

    def push(self, event: bytes) -> None:
        """Send this, or close where too much waits already."""
        if self.closed:
            return
        if self._bytes + len(event) > WAITING_BYTES:
            self._events.clear()
            self.close()
            return
        self._events.append(event)
        self._bytes += len(event)
        self._ready.set()

    def close(self) -> None:
        """End the stream after what waits."""
        self.closed = True
        self._ready.set()

    async def take(self) -> bytes:
        """Return all that waits, once there is something; empty at the end."""
        await self._ready.wait()
        waiting = b"".join(self._events)
        self._events.clear()
        self._bytes = 0
        # Left set once closed, so that the next call returns the end at once.
        if not self.closed:
            self._ready.clear()
        return waiting
