"""A pattern as a program: the positions of its characters, and which may follow which (Glushkov's automaton).

Each character of the pattern, repetitions written out, is a position: a bit of an integer. A set of positions
is the set of all ways in which the text so far can be a match, so one step is a few operations on integers,
however many ways there are. Bit 0 is the beginning of the text.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from rheostat.engine.matcher.charset import LAST, Ranges
from rheostat.engine.matcher.syntax import Chain, Chars, Choice, Edge, Node, Repeat

INSIDE, AT_BEGIN, AT_END, ALONE = 1, 2, 4, 8
"""The places where nothing more need be read: in the text, at its beginning, at its end, and both (the empty text)."""
EVERYWHERE: Final = INSIDE | AT_BEGIN | AT_END | ALONE


class _Follow(NamedTuple):
    """What may come after a part: positions, and the places (INSIDE, AT_END) where the match may end."""

    positions: int
    ends: int


class _Part(NamedTuple):
    """What a part of the pattern looks like from outside."""

    empty: int
    """The places where it may match nothing."""
    first: int
    """The positions that it may begin with."""
    opening: int
    """The same, at the beginning of the text."""
    link: Callable[[_Follow], None]
    """Tells its last positions what may follow them."""

    def before(self, follow: _Follow) -> _Follow:
        """Return what may come where this part is, and then ``follow``."""
        positions = self.first | follow.positions if self.empty & INSIDE else self.first
        return _Follow(positions, follow.ends & self.empty)


def _ignore(follow: _Follow) -> None:
    del follow


class Positions:
    """The program of a pattern.

    A step takes ``1 + len(jumps)`` unions of sets, and ``jumps`` has at most one entry a position.
    """

    def __init__(self, tree: Node) -> None:
        self._sets: dict[Ranges, int] = {}
        self._follow = [0]
        self.inside = 0
        """The positions at which a match is complete, whatever comes next."""
        self.at_end = 0
        """The positions at which it is complete if the text ends there."""
        whole = self._part(tree)
        whole.link(_Follow(0, INSIDE | AT_END))
        self.always = bool(whole.empty & ~ALONE)
        """Whether every text matches."""
        self.empty = bool(whole.empty)
        """Whether the empty text does."""
        self.restart = whole.first
        """Where a match may begin, after any character."""
        self._follow[0] = whole.opening
        self.bounds, self.masks = _intervals(self._sets)
        """The first characters of the intervals that no set tells apart, and the positions that take each."""
        self.chained, self.looped, self.jumps = _shapes(self._follow)

    def step(self, positions: int, interval: int) -> int:
        """Return the positions that the next character, of this interval, leads to."""
        reached = self.restart | (positions & self.chained) << 1 | positions & self.looped
        for members, follow in self.jumps:
            if positions & members:
                reached |= follow
        return reached & self.masks[interval]

    def interval(self, char: str) -> int:
        """Return the interval that the character is in."""
        return bisect_right(self.bounds, char) - 1

    def _part(self, node: Node) -> _Part:
        match node:
            case Chars(ranges):
                return self._chars(ranges)
            case Edge():
                places = (AT_BEGIN if node is Edge.BEGIN else AT_END) | ALONE
                return _Part(places, 0, 0, _ignore)
            case Chain(parts):
                return _chain([self._part(part) for part in parts])
            case Choice(parts):
                return _choice([self._part(part) for part in parts])
            case _:
                return _repeat(node, [self._part(node.body) for _ in range(node.copies)])

    def _chars(self, ranges: Ranges) -> _Part:
        number = len(self._follow)
        bit = 1 << number
        self._follow.append(0)
        self._sets[ranges] = self._sets.get(ranges, 0) | bit

        def link(follow: _Follow) -> None:
            self._follow[number] = follow.positions
            if follow.ends & INSIDE:
                self.inside |= bit
            if follow.ends & AT_END:
                self.at_end |= bit

        return _Part(0, bit, bit, link)


def _firsts(parts: Iterable[_Part]) -> tuple[int, int, int]:
    """Return where a chain of parts may match nothing, and what it may begin with."""
    empty, first, opening = EVERYWHERE, 0, 0
    for part in parts:
        if empty & INSIDE:
            first |= part.first
        if empty & AT_BEGIN:
            opening |= part.opening
        empty &= part.empty
    return empty, first, opening


def _chain(parts: list[_Part]) -> _Part:
    def link(follow: _Follow) -> None:
        for part in reversed(parts):
            part.link(follow)
            follow = part.before(follow)

    return _Part(*_firsts(parts), link)


def _choice(parts: list[_Part]) -> _Part:
    def link(follow: _Follow) -> None:
        for part in parts:
            part.link(follow)

    empty = first = opening = 0
    for part in parts:
        empty, first, opening = empty | part.empty, first | part.first, opening | part.opening
    return _Part(empty, first, opening, link)


def _repeat(node: Repeat, copies: list[_Part]) -> _Part:
    """``x{2,4}`` is ``xx(x(x)?)?`` and ``x{2,}`` is ``xx+``."""

    def link(after: _Follow) -> None:
        follow = after
        if node.most is None:
            follow = _Follow(after.positions | copies[-1].first, after.ends)
        for number, copy in reversed(list(enumerate(copies, 1))):
            if number < len(copies):
                follow = copies[number].before(follow)
                if number >= node.least:
                    follow = _Follow(follow.positions | after.positions, follow.ends | after.ends)
            copy.link(follow)

    empty, first, opening = _firsts(copies)
    return _Part(empty if node.least else EVERYWHERE, first, opening, link)


def _intervals(sets: dict[Ranges, int]) -> tuple[list[str], list[int]]:
    cuts = {0}
    for ranges in sets:
        for low, high in ranges:
            cuts.update((low, high + 1))
    cuts.discard(LAST + 1)
    starts = sorted(cuts)
    index = {start: number for number, start in enumerate(starts)}
    index[LAST + 1] = len(starts)
    masks = [0] * len(starts)
    for ranges, members in sets.items():
        for low, high in ranges:
            for number in range(index[low], index[high + 1]):
                masks[number] |= members
    return [chr(start) for start in starts], masks


def _shapes(follow: list[int]) -> tuple[int, int, list[tuple[int, int]]]:
    """Sort positions by where they lead: only to the next and to themselves, or elsewhere, by where."""
    chained = looped = 0
    jumps: dict[int, int] = {}
    for number, targets in enumerate(follow):
        bit = 1 << number
        if targets & ~(bit | bit << 1):
            jumps[targets] = jumps.get(targets, 0) | bit
        else:
            chained |= bit if targets & bit << 1 else 0
            looped |= targets & bit
    return chained, looped, [(members, targets) for targets, members in jumps.items()]
