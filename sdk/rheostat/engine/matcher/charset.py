"""Sets of characters: sorted, disjoint, inclusive ranges of code points."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, TypeAlias

from rheostat.engine.matcher.folding import kin, those_with_kin

Ranges: TypeAlias = tuple[tuple[int, int], ...]
LAST: Final = 0x10FFFF

DIGITS: Final[Ranges] = ((0x30, 0x39),)
WORD: Final[Ranges] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
SPACES: Final[Ranges] = ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20))
NOT_NEWLINE: Final[Ranges] = ((0x00, 0x09), (0x0B, LAST))


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the set of all characters in these ranges, which may overlap."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def negated(ranges: Ranges) -> Ranges:
    """Return all other characters."""
    others, start = [], 0
    for low, high in ranges:
        if start < low:
            others.append((start, low - 1))
        start = high + 1
    if start <= LAST:
        others.append((start, LAST))
    return tuple(others)


def folded(ranges: Ranges) -> Ranges:
    """Return the set with every character that differs from one of it only in case."""
    more = list(ranges)
    cased = those_with_kin()
    for low, high in ranges:
        for index in range(bisect_left(cased, low), bisect_left(cased, high + 1)):
            more.extend((other, other) for other in kin(cased[index]))
    return union(more)
