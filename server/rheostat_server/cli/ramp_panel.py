"""How a ramp looks in the terminal: its parts put together, and fitted to the terminal's height."""

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from rheostat_server.cli.ramp_picture.arms import arms
from rheostat_server.cli.ramp_picture.attending import read_back, unattended
from rheostat_server.cli.ramp_picture.counting import counting
from rheostat_server.cli.ramp_picture.decided import decided, telling
from rheostat_server.cli.ramp_picture.ending import ending
from rheostat_server.cli.ramp_picture.evidence import compact, evidence
from rheostat_server.cli.ramp_picture.heading import (
    STATUS_STYLES,
    heading,
    standing,
    standing_line,
    status_text,
)
from rheostat_server.cli.ramp_picture.look import MARGIN, Lines, Look, cut, marks_for
from rheostat_server.cli.ramp_picture.reporting import reporting
from rheostat_server.cli.ramp_picture.stages import stages
from rheostat_server.cli.ramp_picture.staircase import staircase
from rheostat_server.cli.ramp_picture.waiting import waiting
from rheostat_server.cli.terminal import panel_width

__all__ = ["STATUS_STYLES", "look_on", "ramp_picture", "standing_line", "status_text", "telling"]

MOST_DECISIONS = 8


class _Fit(msgspec.Struct, frozen=True, kw_only=True):
    """How much is shown: with spaces between the parts or not, in how many rows the stairs, how long the guardrails."""

    spaced: bool = False
    stairs: int = 99
    compact: bool = False
    sentence: int = 99
    decisions: int = 1


class _Seen(msgspec.Struct, frozen=True):
    view: dict[str, Any]
    decisions: Sequence[dict[str, Any]]
    moves: Sequence[dict[str, Any]]


_FITS = (
    _Fit(spaced=True, decisions=4),
    _Fit(decisions=3),
    _Fit(stairs=7, decisions=2),
    _Fit(stairs=5, sentence=2),
    _Fit(stairs=7, compact=True, decisions=3),
    _Fit(stairs=5, compact=True, sentence=3),
    _Fit(stairs=3, compact=True, sentence=2),
)


def look_on(console: Console) -> Look:
    """Return how to draw on this console."""
    return Look(width=panel_width(console), marks=marks_for(console.encoding))


def ramp_picture(
    view: dict[str, Any],
    look: Look,
    *,
    decisions: Sequence[dict[str, Any]] = (),
    moves: Sequence[dict[str, Any]] = (),
    height: int | None = None,
    last: Text | None = None,
) -> Lines:
    """Return the picture in lines of at most ``look.width`` characters, ``height`` of them at most.

    ``decisions`` are the last few, ``moves`` all that may have changed the exposure. ``last`` is the last line.
    """
    end = [] if last is None else [cut(last, look)]
    room = None if height is None else max(0, height - len(end))
    seen = _Seen(view, decisions, moves)
    lines: Lines = []
    for fit in _FITS:
        lines = _put(_parts(seen, look, fit, room), fit)
        if room is None or len(lines) + fit.decisions <= room:
            break
    most = MOST_DECISIONS if room is None else max(0, min(MOST_DECISIONS, room - len(lines)))
    lines += decided(view, decisions, look, most=most) if most else []
    if room is not None and len(lines) > room:
        more = Text(" " * MARGIN + f"{look.marks.ellipsis} the terminal is too low for the rest", "dim")
        lines = [*lines[: max(0, room - 1)], cut(more, look)][:room]
    return lines + end


def _parts(seen: _Seen, look: Look, fit: _Fit, room: int | None) -> list[Lines]:
    view, decisions, moves = seen.view, seen.decisions, seen.moves
    top = [*heading(view, look), *standing(view, decisions, look, most=fit.sentence)]
    parts = [
        top,
        unattended(view, look),
        read_back(view, look),
        ending(view, look),
        waiting(view, look),
        stages(view, look),
        staircase(view, moves, look, rows=fit.stairs),
    ]
    if fit.compact:
        used = sum(map(len, parts)) + fit.decisions + 2
        parts.append(compact(view, view["guardrails"], look, rows=99 if room is None else room - used))
    else:
        parts += [[*evidence(view, one, look), *_arms(view, one, look)] for one in view["guardrails"]]
    parts.append(counting(view, look))
    return [part for part in (*parts, reporting(view, look)) if part]


def _put(parts: Sequence[Lines], fit: _Fit) -> Lines:
    lines: Lines = []
    for part in parts:
        lines += part
        if fit.spaced:
            lines.append(Text())
    return lines


def _arms(view: dict[str, Any], guardrail: dict[str, Any], look: Look) -> Lines:
    timed = {one["name"] for one in (view.get("plan") or {}).get("guardrails", ()) if one.get("bound_ms") is not None}
    arming = (view.get("standing") or {}).get("preflight_left_s") is not None
    return arms(guardrail, look, arming=arming, timed=guardrail["name"] in timed)
