"""What was decided lately."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from rheostat_server.cli.ramp_picture.look import MARGIN, Lines, Look, cut, printable
from rheostat_server.cli.ramp_picture.moments import clock, ms, stamp

_STYLES = {"kill": "bold red", "promote": "bold green", "begin": "green", "advance": "green"}


def telling(decisions: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return the last ``most`` decisions that say something: of many holds in a row, the last."""
    told: list[dict[str, Any]] = []
    for decision in decisions:
        if told and told[-1]["kind"] == decision["kind"] == "hold":
            told.pop()
        told.append(decision)
    return told[-most:] if most > 0 else []


def decided(view: dict[str, Any], decisions: Sequence[dict[str, Any]], look: Look, *, most: int) -> Lines:
    """Return the last decisions that say something, a line each; the whole reasons are in `ramp decisions`."""
    if not decisions:
        return [Text(" " * MARGIN + "nothing was decided yet", "dim")]
    now_ms = ms(view["at"])
    lines = []
    for one in telling(decisions, most):
        kind = one["kind"]
        line = Text(" " * MARGIN).append(f"{clock(ms(one['at']), now_ms)}  ", "dim")
        line.append(f"{kind:<9} ", _STYLES.get(kind, "dim" if kind == "hold" else "bold"))
        lines.append(cut(line.append(printable(_why(one))), look))
    return lines


def moves_since(decisions: Sequence[dict[str, Any]], status: str | None) -> list[dict[str, Any]]:
    """Return the decisions that moved the ramp, or changed its status from ``status`` on."""
    moved = []
    for one in decisions:
        if one["kind"] != "hold" or one["detail"]["status"] != status:
            moved.append(one)
        status = one["detail"]["status"]
    return moved


def move_line(flag: str, one: dict[str, Any]) -> str:
    """Return a move as one line of a log."""
    detail = one["detail"]
    at = f"{detail['exposure_ppm'] / 10_000:g} %"
    return f"{stamp(one['at'])} {flag}: {one['kind']}, {detail['status']} at {at}: {printable(_why(one))}"


def _why(one: dict[str, Any]) -> str:
    detail = one.get("detail") or {}
    why = str(one.get("why", ""))
    return f"{why} (by {detail['actor']})" if detail.get("actor") and one["kind"] != "start" else why
