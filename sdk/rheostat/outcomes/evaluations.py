"""How often each flag gave each variant, counted at the cost of two lookups."""

import itertools
import re
from typing import Final

MOST_COUNTERS: Final = 20_000
"""Pairs of flag and variant that are counted; flag keys may come from the application's users."""
PAIRS_A_BATCH: Final = 4_000
"""Pairs that one batch carries; the others wait for the next, so that no batch is too large."""

_is_key = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch


class Evaluations:
    """Counts evaluations without a lock and without losing any.

    ``next`` on an ``itertools.count`` is one step under the GIL; ``counts[n] += 1`` is two, and loses some.
    """

    __slots__ = ("_pairs", "_position", "_taken", "counters")

    def __init__(self) -> None:
        self.counters: dict[str, dict[str | None, itertools.count[int]]] = {}
        self._pairs: list[tuple[str, str | None]] = []
        self._taken: dict[tuple[str, str | None], int] = {}
        self._position = 0

    def count(self, flag: str, variant: str | None) -> None:
        """Count one evaluation; ``None`` stands for the caller's default. What is no flag's key is not counted."""
        try:
            next(self.counters[flag][variant])
        except KeyError:
            self._first(flag, variant)

    def drain(self) -> dict[str, dict[str, int]]:
        """Return the counts since the last call, by flag and variant (``""``: the caller's default).

        At most ``PAIRS_A_BATCH`` of them; the next call goes on from there. To be called by one thread at a time.
        """
        drained: dict[str, dict[str, int]] = {}
        carried = 0
        pairs = len(self._pairs)
        for _ in range(pairs):
            self._position = (self._position + 1) % pairs
            flag, variant = pair = self._pairs[self._position]
            # Reading takes a number too, so the next span begins one further.
            reached = next(self.counters[flag][variant])
            seen = reached - self._taken.get(pair, 0)
            self._taken[pair] = reached + 1
            if seen:
                by_name = drained.setdefault(flag, {})
                by_name[variant or ""] = by_name.get(variant or "", 0) + seen
                carried += 1
                if carried == PAIRS_A_BATCH:
                    break
        return drained

    def _first(self, flag: str, variant: str | None) -> None:
        if len(self._pairs) >= MOST_COUNTERS or _is_key(flag) is None:
            return
        # setdefault is one step: of two threads that come first, both count on the same counter. The pair may
        # then be listed twice, and its second reading finds nothing new.
        next(self.counters.setdefault(flag, {}).setdefault(variant, itertools.count()))
        self._pairs.append((flag, variant))
