"""The staircase: how the exposure went over time, where it is, and what is still ahead."""

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.text import Text

from rheostat_server.cli.ramp_picture.look import MARGIN, Lines, Look, cut, padded
from rheostat_server.cli.ramp_picture.moments import clock, ms
from rheostat_server.ramps.words import count, duration

_LABEL = 9
_WORDS = 34
_WIDEST_STRIDE = 6
_NARROWEST_STRIDE = 2
_FEWEST_ROWS = 3
_OVER = frozenset({"promoted", "killed", "aborted"})


class Visit(msgspec.Struct, frozen=True):
    """A stay at an exposure, in percent. ``until_ms`` is ``None`` while it lasts."""

    exposure: float
    from_ms: int
    until_ms: int | None = None


def visits(view: dict[str, Any], moves: Sequence[dict[str, Any]]) -> list[Visit]:
    """Return where the ramp has been, in order: from what moved it, and from where it is now.

    ``moves`` are its decisions, oldest first; those that changed no exposure may be among them or not.
    """
    if view["status"] == "draft":
        return []
    stays: list[Visit] = []
    for move in moves:
        exposure = move["detail"]["exposure_ppm"] / 10_000
        _go(stays, exposure, ms(move["at"]))
    _go(stays, view["exposure"], ms(view["entered_at"]))
    if view["ended_at"] is not None and view["status"] == "promoted":
        stays[-1] = msgspec.structs.replace(stays[-1], until_ms=ms(view["ended_at"]))
    return stays


def _go(stays: list[Visit], exposure: float, at_ms: int) -> None:
    if stays and stays[-1].exposure == exposure:
        return
    if stays:
        stays[-1] = msgspec.structs.replace(stays[-1], until_ms=at_ms)
    stays.append(Visit(exposure, at_ms))


def staircase(view: dict[str, Any], moves: Sequence[dict[str, Any]], look: Look, *, rows: int = 99) -> Lines:
    """Return the staircase, its top first, in about ``rows`` rows: those around the present are kept."""
    stays = visits(view, moves)
    levels = _levels(view, stays)
    kept = _kept(levels, view["exposure"], max(rows, _FEWEST_ROWS))
    graph = _graph(view, stays, levels, look)
    lines = []
    left_out = 0
    for level in levels:
        if level not in kept:
            left_out += 1
            continue
        lines += _left_out(left_out, look)
        left_out = 0
        lines.append(_row(view, stays, level, graph[level], look))
    return [*lines, *_left_out(left_out, look)]


def _row(view: dict[str, Any], stays: Sequence[Visit], level: float, drawn: Text, look: Look) -> Text:
    here = level == view["exposure"]
    line = Text(" " * MARGIN).append(padded(f"{level:g} %", _LABEL - 2, right=True), "bold" if here else "")
    words, style = _words(view, stays, level)
    return cut(line.append("  ").append_text(drawn).append("  ").append(words, style), look)


def _levels(view: dict[str, Any], stays: Sequence[Visit]) -> list[float]:
    return sorted({_start(view), view["exposure"], *view["steps"], *(stay.exposure for stay in stays)}, reverse=True)


def _start(view: dict[str, Any]) -> float:
    return float((view.get("plan") or {}).get("start_ppm", 0) / 10_000)


def _kept(levels: Sequence[float], here: float, rows: int) -> set[float]:
    """Return the levels to show: the top, the bottom, and as many around the present as there is room for."""
    if len(levels) <= rows:
        return set(levels)
    # Up to two rows say how many are left out.
    around = max(1, rows - 4)
    place = levels.index(here)
    first = min(max(0, place - (around + 1) // 2), len(levels) - around)
    return {levels[0], levels[-1], here, *levels[first : first + around]}


def _left_out(number: int, look: Look) -> Lines:
    if not number:
        return []
    words = f"{look.marks.ellipsis} {count(number)} more step{'s' if number > 1 else ''}"
    return [cut(Text(" " * MARGIN + padded("", _LABEL) + words, "dim"), look)]


def _words(view: dict[str, Any], stays: Sequence[Visit], level: float) -> tuple[str, str]:
    now_ms = ms(view["at"])
    mine = [stay for stay in stays if stay.exposure == level]
    if not mine:
        return _still(view, level)
    last = mine[-1]
    times = f", {count(len(mine))} times" if len(mine) > 1 else ""
    if last is stays[-1]:
        arming = (view.get("standing") or {}).get("preflight_left_s") is not None
        since = clock(last.from_ms, now_ms)
        if view["status"] == "promoted":
            return f"{since} for {duration(_length(last) / 1000)}, promoted", "bold"
        if view["status"] in _OVER:
            return f"{'taken back' if view['status'] == 'killed' else 'back'} since {since}", "bold"
        lasted = duration((now_ms - last.from_ms) / 1000)
        return f"{'arming' if arming else 'here'} since {since}, {lasted}{times}", "bold"
    spent_ms = sum(_length(stay) for stay in mine)
    spent = duration(spent_ms / 1000)
    return (
        f"{clock(last.from_ms, now_ms)}{times}, {spent} in all"
        if times
        else f"{clock(last.from_ms, now_ms)} for {spent}",
        "",
    )


def _length(stay: Visit) -> int:
    return 0 if stay.until_ms is None else stay.until_ms - stay.from_ms


def _still(view: dict[str, Any], level: float) -> tuple[str, str]:
    if level not in view["steps"]:
        return "at the start", "dim"
    if view["status"] in _OVER:
        return "not reached", "dim"
    index = view["steps"].index(level)
    if index <= view["step"]:
        return "passed over", "dim"
    plan = (view.get("plan") or {}).get("steps") or []
    step = plan[index] if index < len(plan) else {}
    least = step.get("min_dwell_s")
    words = "ahead" if least is None else f"ahead, at least {duration(least)}"
    return words + (", then by hand" if step.get("gate") == "manual" else ""), "dim"


def _graph(view: dict[str, Any], stays: Sequence[Visit], levels: Sequence[float], look: Look) -> dict[float, Text]:
    """Return the drawing, a row a level: the stays from left to right, then the steps that are ahead."""
    ahead: list[float] = []
    if view["status"] not in _OVER:
        ahead = [step for index, step in enumerate(view["steps"]) if index > view["step"]]
    room = max(_NARROWEST_STRIDE * 4, look.width - MARGIN - _LABEL - _WORDS - 2)
    path = [*((stay.exposure, True) for stay in stays), *((step, False) for step in ahead)]
    most = room // _NARROWEST_STRIDE
    if len(path) > most:
        # What was long ago gives way to what is and what is next.
        first = max(0, min(len(path) - most, len(stays) - most // 2))
        path = path[first : first + most]
    stride = min(_WIDEST_STRIDE, max(_NARROWEST_STRIDE, room // max(1, len(path))))
    places = {level: row for row, level in enumerate(levels)}
    grid = [[(" ", "")] * (stride * len(path)) for _ in levels]
    for number, (level, been) in enumerate(path):
        _draw_stay(grid[places[level]], number * stride, stride, look, been=been)
        if number:
            _draw_riser(grid, places[path[number - 1][0]], places[level], number * stride, look, been=been)
    now = sum(been for _, been in path)
    if now:
        grid[places[path[now - 1][0]]][now * stride - 1] = (look.marks.here, "bold")
    return {level: Text.assemble(*grid[row]) for level, row in places.items()}


def _draw_stay(row: list[tuple[str, str]], start: int, stride: int, look: Look, *, been: bool) -> None:
    mark = (look.marks.past, "green") if been else (look.marks.ahead, "dim")
    row[start : start + stride] = [mark] * stride


def _draw_riser(
    grid: list[list[tuple[str, str]]], before: int, after: int, column: int, look: Look, *, been: bool
) -> None:
    """Join two stays at a column; rows count from the top, so a smaller one is higher."""
    corners = look.marks.corners
    style = "green" if been else "dim"
    up = after < before
    way = "ahead" if not been else "up" if up else "down"
    grid[before][column] = (corners[f"{way}-from"], style)
    grid[after][column] = (corners[f"{way}-to"], style)
    for row in range(min(before, after) + 1, max(before, after)):
        grid[row][column] = (look.marks.upright if been else look.marks.ahead_upright, style)
