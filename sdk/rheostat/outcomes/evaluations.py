"""How often each flag gave each variant, counted at the cost of two lookups."""

import itertools
from typing import Final

MOST_COUNTERS: Final = 20_000
"""Pairs of flag and variant that are counted; flag keys may come from the application's users."""


class Evaluations:
    """Counts evaluations without a lock and without losing any.

    ``next`` on an ``itertools.count`` is one step under the GIL; ``counts[n] += 1`` is two, and loses some.
    """

    __slots__ = ("_size", "_taken", "counters")

    def __init__(self) -> None:
        self.counters: dict[str, dict[str | None, itertools.count[int]]] = {}
        self._taken: dict[tuple[str, str | None], int] = {}
        self._size = 0

    def count(self, flag: str, variant: str | None) -> None:
        """Count one evaluation. ``None`` stands for the caller's default."""
        try:
            next(self.counters[flag][variant])
        except KeyError:
            self._first(flag, variant)

    def drain(self) -> dict[str, dict[str, int]]:
        """Return the counts since the last call, by flag and variant (``""``: the caller's default).

        To be called by one thread at a time.
        """
        drained: dict[str, dict[str, int]] = {}
        for flag, by_variant in list(self.counters.items()):
            for variant, counter in list(by_variant.items()):
                # Reading takes a number too, so the next span begins one further.
                reached = next(counter)
                if seen := reached - self._taken.get((flag, variant), 0):
                    by_name = drained.setdefault(flag, {})
                    by_name[variant or ""] = by_name.get(variant or "", 0) + seen
                self._taken[flag, variant] = reached + 1
        return drained

    def _first(self, flag: str, variant: str | None) -> None:
        if self._size >= MOST_COUNTERS:
            return
        self._size += 1
        # setdefault is one step: of two threads that come first, both count on the same counter.
        next(self.counters.setdefault(flag, {}).setdefault(variant, itertools.count()))
