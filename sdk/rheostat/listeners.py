"""Who wants to hear of changes of which flag."""

import logging
from collections.abc import Callable, Collection

from rheostat.engine.differences import may_differ
from rheostat.engine.evaluate import Ruleset

log = logging.getLogger("rheostat")

Callback = Callable[[str], None]


class Listeners:
    """The callbacks, by flag key. May be asked from any thread; what a callback raises is logged."""

    def __init__(self) -> None:
        self._entries: tuple[tuple[str, Callback], ...] = ()

    def __bool__(self) -> bool:
        return bool(self._entries)

    def add(self, key: str, callback: Callback) -> Callable[[], None]:
        """Call ``callback(key)`` from now on; return what ends that."""
        entry = (key, callback)
        self._entries = (*self._entries, entry)

        def stop() -> None:
            self._entries = tuple(other for other in self._entries if other is not entry)

        return stop

    def replaced(self, before: Ruleset | None, after: Ruleset) -> None:
        """Tell of each flag that another ruleset may evaluate in another way."""
        for key, callback in self._entries:
            if may_differ(before, after, key):
                _call(key, callback)

    def turned(self, keys: Collection[str]) -> None:
        """Tell of these flags."""
        for key, callback in self._entries:
            if key in keys:
                _call(key, callback)


def _call(key: str, callback: Callback) -> None:
    try:
        callback(key)
    except Exception:
        log.exception("a callback for changes of %r failed", key)
