"""When the windows of an environment's flags open and close."""

from bisect import bisect_right
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from rheostat.engine.hashing import utf8
from rheostat.engine.programs import Compiled


class Windows:
    """All windows of the flags that are on, and the instants (ms since the epoch) at which one opens or closes."""

    __slots__ = ("_boundaries", "_digests", "_needed_by", "_windows")

    def __init__(self, programs: Iterable[Compiled]) -> None:
        programs = tuple(programs)
        self._windows = sorted(
            ((compiled.flag.key, rule, window) for compiled in programs for rule, window in compiled.windows),
            key=lambda entry: entry[:2],
        )
        bounds = {bound for _, _, window in self._windows for bound in (window.from_ms, window.until_ms)}
        self._boundaries = sorted(bound for bound in bounds if bound is not None)
        # Between two boundaries nothing changes, so each stretch is looked at once.
        self._digests: dict[int, str] = {}
        self._needed_by: dict[str, list[str]] = {}
        for compiled in programs:
            for prerequisite in compiled.flag.prerequisites:
                self._needed_by.setdefault(prerequisite.flag, []).append(compiled.flag.key)

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
        """Return the flags whose answers may differ between the two instants, whichever is the earlier.

        They have a window with a boundary after the earlier one and not after the later, or a prerequisite that
        leads to such a flag.
        """
        low, high = min(since_ms, now_ms), max(since_ms, now_ms)
        waiting = [
            flag
            for flag, _, window in self._windows
            if any(bound is not None and low < bound <= high for bound in (window.from_ms, window.until_ms))
        ]
        found: set[str] = set()
        while waiting:
            flag = waiting.pop()
            if flag not in found:
                found.add(flag)
                waiting.extend(self._needed_by.get(flag, ()))
        return frozenset(found)


NO_WINDOWS: Final = Windows(())
