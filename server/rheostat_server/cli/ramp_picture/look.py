"""How lines are drawn: how wide, and with which characters."""

import io
import math
from collections.abc import Iterable
from typing import TypeAlias

import msgspec
from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from rheostat_server.ramps.words import count

Lines: TypeAlias = list[Text]

MARGIN = 2
"""How far in everything but the heading stands."""
_FOLDING = Console(file=io.StringIO(), width=80)
_MANY = 1e6


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """The characters that are not letters. What was, and what is ahead, differ in shape, not in colour alone."""

    full: str
    rest: str
    line: str
    right: str
    past: str
    ahead: str
    upright: str
    ahead_upright: str
    corners: dict[str, str]
    here: str
    dot: str
    ellipsis: str
    alpha: str


UNICODE = Marks(
    full="━",
    rest="╌",
    line="┃",
    right="┃",
    past="━",
    ahead="╌",
    upright="┃",
    ahead_upright="╎",
    corners={"up-from": "┛", "up-to": "┏", "down-from": "┓", "down-to": "┗", "ahead-from": "┘", "ahead-to": "┌"},
    here="●",
    dot="·",
    ellipsis="…",
    alpha="α",
)
ASCII = Marks(
    full="=",
    rest=".",
    line="|",
    right="|",
    past="=",
    ahead=".",
    upright="|",
    ahead_upright=":",
    corners=dict.fromkeys(("up-from", "up-to", "down-from", "down-to", "ahead-from", "ahead-to"), "+"),
    here="o",
    dot="|",
    ellipsis="...",
    alpha="alpha",
)


def marks_for(encoding: str | None) -> Marks:
    """Return the characters that this encoding has."""
    every = "".join(value for value in msgspec.structs.astuple(UNICODE) if isinstance(value, str))
    try:
        (every + "".join(UNICODE.corners.values())).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """How wide the picture is, and with which characters it is drawn."""

    width: int
    marks: Marks = UNICODE


def cut(line: Text, look: Look) -> Text:
    """Return the line, cut where it is too long; the mark of the cut is within the width."""
    if line.cell_len <= look.width:
        return line
    room = max(0, look.width - cell_len(look.marks.ellipsis))
    kept = line.copy()
    # Whole characters of two cells: what is kept may be a cell shorter.
    kept.right_crop(len(line.plain) - len((chop_cells(line.plain, room) or [""])[0] if room else ""))
    return kept.append(look.marks.ellipsis)


def folded(text: Text | str, look: Look, *, indent: int = 0, further: int | None = None, most: int = 99) -> Lines:
    """Return the text broken between words: the first line ``indent`` in, those that follow ``further`` in."""
    further = indent if further is None else further
    whole = Text(text) if isinstance(text, str) else text
    rows = list(whole.wrap(_FOLDING, max(10, look.width - max(indent, further)), overflow="fold"))
    lines = []
    for number, row in enumerate(rows[:most]):
        row.rstrip()
        if number == most - 1 and len(rows) > most:
            row.append(" " + look.marks.ellipsis)
        lines.append(cut(Text(" " * (further if number else indent)).append_text(row), look))
    return lines


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return the text with spaces up to so many cells, before it with ``right``."""
    room = " " * max(0, width - cell_len(text))
    return room + text if right else text + room


def printable(text: str) -> str:
    """Return what somebody wrote without what a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


def figure(value: float | None) -> str:
    """Return a figure of the evidence: three digits, whole from a hundred on, and no more than a million."""
    if value is None:
        return "-"
    if not math.isfinite(value) or value >= _MANY:
        return "over 1 000 000"
    return count(value) if value >= 100 else f"{value:.3g}"


def percent(share: float | None) -> str:
    """Return a share of 0 … 1 as ``1.25 %``."""
    return "-" if share is None else f"{100 * share:.2f} %"


def joined(parts: Iterable[str], look: Look) -> str:
    """Return parts of a line with a mark between them."""
    return f" {look.marks.dot} ".join(part for part in parts if part)
