"""Both arms of a guardrail: who is exposed, and the others."""

from typing import Any

from rich.text import Text

from rheostat_server.cli.ramp_picture.look import MARGIN, Lines, Look, cut, padded, percent
from rheostat_server.ramps.grades import BY_REQUESTS
from rheostat_server.ramps.words import count

_LABEL = 13
_FIGURES = 11


def arms(guardrail: dict[str, Any], look: Look, *, arming: bool, timed: bool) -> Lines:
    """Return both arms in figures: requests, and distinct users of the step, and those of the ramp who newly failed.

    While ``arming`` nobody is exposed yet; ``timed`` requests are slow, not bad.
    """
    counts_users = not timed and guardrail["grade"] != BY_REQUESTS
    heads = ["requests", "slow" if timed else "bad", "rate", "users", "failing"]
    rows = []
    for arm, label in (("treatment", "to expose" if arming else "exposed"), ("control", "control")):
        seen = guardrail[arm]
        cells = [count(seen["requests"]), count(seen["bad"]), percent(seen.get("rate"))]
        cells.append(count(seen["units"]) if seen["units"] else "-")
        cells.append(count(seen["failing"]) if counts_users else "-")
        rows.append((label, cells))
    lines = [_line("", heads, look, "dim")]
    return lines + [_line(label, cells, look) for label, cells in rows]


def _line(label: str, cells: list[str], look: Look, style: str = "") -> Text:
    room = min(_FIGURES, (look.width - MARGIN - _LABEL) // len(cells) - 1)
    text = padded(" " * MARGIN + f"  {label}", MARGIN + _LABEL)
    return cut(Text(text + "".join(" " + padded(cell, room, right=True) for cell in cells), style), look)
