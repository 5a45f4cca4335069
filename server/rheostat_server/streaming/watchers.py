"""Who hears that answers may have changed, and nothing of what did: OFREP's event streams."""

from collections.abc import Callable

import msgspec

from rheostat_server.streaming.subscriber import Subscriber

KEEP_ALIVE = b": \n\n"
"""A comment, so that proxies do not take a quiet stream for a dead one."""


class Watchers:
    """The watchers of one environment. ``state`` names what it answers by now; each is told where it moves."""

    def __init__(self) -> None:
        self.state = ""
        self._watchers: set[Subscriber] = set()

    def add(self, held: str | None, permitted: Callable[[], bool]) -> Subscriber:
        """Begin a stream. Unless the reader holds this very state it is told at once.

        Who comes for the first time may have missed a change since it asked, and is told too: it asks once more.
        """
        watcher = Subscriber(permitted)
        self._watchers.add(watcher)
        if held != self.state:
            watcher.push(refetch_event(self.state))
        return watcher

    def remove(self, watcher: Subscriber) -> None:
        """End a stream."""
        watcher.close()
        self._watchers.discard(watcher)

    def moved(self, state: str) -> None:
        """Tell everyone, if this is another state than before."""
        if state == self.state:
            return
        self.state = state
        event = refetch_event(state)
        for watcher in self._watchers:
            watcher.push(event)

    def beat(self) -> None:
        """Show every watcher that the stream is alive."""
        for watcher in self._watchers:
            watcher.push(KEEP_ALIVE)

    def all(self) -> tuple[Subscriber, ...]:
        """Return the open streams."""
        return tuple(self._watchers)


def refetch_event(state: str) -> bytes:
    """Return OFREP's event: ask again for all flags."""
    data = msgspec.json.encode({"type": "refetchEvaluation", "etag": f'"{state}"'})
    return b"id: %s\nevent: message\ndata: %s\n\n" % (state.encode(), data)
