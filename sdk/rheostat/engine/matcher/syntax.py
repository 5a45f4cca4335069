"""What a pattern says, as a tree."""

import enum
from dataclasses import dataclass
from typing import Final, TypeAlias

from rheostat.engine.matcher.charset import Ranges

LONGEST: Final = 1_000
"""The most characters of a pattern."""
LARGEST: Final = 2_000
"""The most that a pattern may come to once its repetitions are written out (``size``)."""
MOST_REPEATS: Final = 1_000
"""The largest count of a repetition, and the largest product of counts inside one another; RE2's limit."""
DEEPEST: Final = 50
"""How many groups may stand inside one another."""


class PatternError(ValueError):
    """The pattern is not of the subset.

    ``position`` counts the characters before the fault; ``hint`` says what to write instead, where something helps.
    """

    def __init__(self, message: str, position: int, hint: str | None = None) -> None:
        super().__init__(f"{message}, at character {position + 1}")
        self.message = message
        self.position = position
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of a set."""

    ranges: Ranges


class Edge(enum.Enum):
    """A place in the text; it takes no character."""

    BEGIN = "^"
    END = "$"


@dataclass(frozen=True, slots=True)
class Chain:
    """One part after the other; without parts, the empty text."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the parts."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The body, ``least`` to ``most`` times; ``None`` is without end."""

    body: "Node"
    least: int
    most: int | None

    @property
    def copies(self) -> int:
        """How often the body is written out: an endless one repeats its last copy."""
        return max(self.least, 1) if self.most is None else self.most


Node: TypeAlias = Chars | Edge | Chain | Choice | Repeat


def size(node: Node) -> int:
    """Return what a pattern comes to: one for each character and edge, a repetition as often as it may repeat."""
    match node:
        case Chain(parts) | Choice(parts):
            return max(1, sum(map(size, parts)))
        case Repeat():
            return size(node.body) * max(1, node.copies)
        case _:
            return 1


def count_inside(node: Node) -> int:
    """Return the largest product of counts of repetitions inside one another (``*``, ``+`` and ``?`` count once)."""
    match node:
        case Chain(parts) | Choice(parts):
            return max(map(count_inside, parts), default=1)
        case Repeat():
            return count_inside(node.body) * max(1, node.copies)
        case _:
            return 1
