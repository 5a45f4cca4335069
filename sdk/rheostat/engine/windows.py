"""When the windows of an environment's flags open and close."""

from bisect import bisect_right
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from rheostat.engine.hashing import utf8
from rheostat.engine.programs import Compiled


class Windows:
    """All windows of the flags that are on, and the instants (ms since the epoch) at which one opens or closes."""

    __slots__ = ("_boundaries", "_digests", "_windows")

    def __init__(self, programs: Iterable[Compiled]) -> None:
        self._windows = sorted(
            ((compiled.flag.key, rule, window) for compiled in programs for rule, window in compiled.windows),
            key=lambda entry: entry[:2],
        )
        bounds = {bound for _, _, window in self._windows for bound in (window.from_ms, window.until_ms)}
        self._boundaries = sorted(bound for bound in bounds if bound is not None)
        # Between two boundaries nothing changes, so each stretch is looked at once.
        self._digests: dict[int, str] = {}

    def next_boundary(self, now_ms: int) -> int | None:
        """Return the first boundary after this instant."""
        index = bisect_right(self._boundaries, now_ms)
        return self._boundaries[index] if index < len(self._boundaries) else None

    def digest(self, now_ms: int) -> str:
        """Return 16 hex digits that differ where other windows are open; the empty text where none is."""
        index = bisect_right(self._boundaries, now_ms)
        found = self._digests.get(index)
        if found is None:
            lines = [f"{flag} {rule}\n" for flag, rule, window in self._windows if window.holds(now_ms)]
            found = blake2b(utf8("".join(lines)), digest_size=8).hexdigest() if lines else ""
            self._digests[index] = found
        return found

    def turned(self, since_ms: int, now_ms: int) -> frozenset[str]:
        """Return the flags of which a window has a boundary after ``since_ms``, and not after ``now_ms``."""
        return frozenset(
            flag
            for flag, _, window in self._windows
            if any(bound is not None and since_ms < bound <= now_ms for bound in (window.from_ms, window.until_ms))
        )


NO_WINDOWS: Final = Windows(())
