"""The evidence of one guardrail against its lines: M towards holding and killing, E and A towards proof."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from rheostat_server.cli.ramp_picture.bars import bar
from rheostat_server.cli.ramp_picture.look import MARGIN, Lines, Look, cut, figure, padded, percent, printable
from rheostat_server.ramps.words import about, count, roughly

_LABEL = 10
_WORDS = 38
_WIDEST_BAR = 40
_NARROWEST_BAR = 8
_COMPACT_BAR = 10
_HOLD = 10.0


def evidence(view: dict[str, Any], guardrail: dict[str, Any], look: Look) -> Lines:
    """Return a guardrail's name and what it sees, then a bar for each of its processes."""
    width = _bar_width(look)
    hold, kill = guardrail.get("hold_line", _HOLD), guardrail["kill_line"]
    lines = [_title(view, guardrail, look)]
    harm = f"M {figure(guardrail['m'])}, holds at {figure(hold)}, "
    harm += f"kills at {figure(kill)}" if guardrail["may_kill"] else "does not kill"
    rows = [("harm", bar(guardrail["m"], kill, look, width=width, color="red", marked=hold), harm)]
    if guardrail.get("ceiling") is not None:
        line = guardrail["ceiling_line"]
        words = f"{figure(guardrail['c'])}, crossed at {figure(line)} ({100 * guardrail['ceiling']:.3g} % bad)"
        rows.append(("ceiling", bar(guardrail["c"], line, look, width=width, color="yellow"), words))
    if _proves(view):
        drawn = bar(_proof(guardrail), guardrail["advance_line"], look, width=width, color="green")
        rows.append(("proof", drawn, proof_words(view, guardrail)))
    for label, drawn, words in rows:
        line = Text(" " * MARGIN + padded("  " + label, _LABEL))
        lines.append(cut(line.append_text(drawn).append("  ").append(words), look))
    return lines


def proof_words(view: dict[str, Any], guardrail: dict[str, Any]) -> str:
    """Return how far the nearer of the two proofs is, and what it still needs."""
    letter = "E" if guardrail["e"] > guardrail["a"] else "A"
    so_far = f"{letter} {figure(_proof(guardrail))} of {figure(guardrail['advance_line'])}"
    if guardrail["proved"]:
        return f"{so_far}, proved"
    if not _stepping(view):
        return so_far
    needed, seconds = guardrail["requests_to_proof"], guardrail["seconds_to_proof"]
    if needed is None:
        return f"{so_far}, none at the control's rate"
    words = f"{so_far}, {about(needed)} requests"
    return words if seconds is None else f"{words}, ~{roughly(seconds)}"


def compact(view: dict[str, Any], guardrails: Sequence[dict[str, Any]], look: Look, *, rows: int = 99) -> Lines:
    """Return guardrails in two lines each, where not all fit the most urgent ones."""
    shown = list(guardrails)
    if 2 * len(shown) > rows:
        fit = max(1, (rows - 1) // 2)
        first = sorted(shown, key=_urgency)[:fit]
        shown = [one for one in shown if one in first]
    lines: Lines = []
    for one in shown:
        line = _title(view, one, look).append("  ")
        if one["sight"] == "seen":
            marked = one.get("hold_line", _HOLD)
            drawn = bar(one["m"], one["kill_line"], look, width=_COMPACT_BAR, color="red", marked=marked)
            line.append_text(drawn).append(" ")
        m = f"M {figure(one['m'])} of {figure(one['kill_line'])}" + ("" if one["may_kill"] else " (does not kill)")
        lines.append(cut(line.append(f"{m}; {proof_words(view, one)}" if _proves(view) else m), look))
        arms = ", ".join(
            f"{word} {count(one[arm]['bad'])} of {count(one[arm]['requests'])} ({percent(one[arm]['rate'])})"
            for arm, word in (("treatment", "bad: exposed"), ("control", "control"))
        )
        lines.append(cut(Text(" " * (MARGIN + 2) + arms), look))
    if left_out := len(guardrails) - len(shown):
        lines.append(cut(Text(f"{'':{MARGIN}}and {left_out} more guardrails: `rheostat ramp status`", "dim"), look))
    return lines


def _urgency(guardrail: dict[str, Any]) -> tuple[int, float]:
    """What holds comes first, then what sees nothing, then what is nearer to killing."""
    holds = guardrail["holding"] or guardrail["m"] >= guardrail.get("hold_line", _HOLD)
    return (0 if holds else 1 if guardrail["sight"] != "seen" else 2), -guardrail["toward_kill"]


def _title(view: dict[str, Any], guardrail: dict[str, Any], look: Look) -> Text:
    title = Text(" " * MARGIN).append(guardrail["name"], "bold")
    if guardrail["holding"] and view["ended_at"] is None:
        title.append("  HOLDS", "bold yellow")
    if guardrail["sight"] != "seen":
        why = guardrail.get("detail")
        title.append(f"  no evidence: {guardrail['sight']}" + (f" ({printable(why)})" if why else ""), "yellow")
    return cut(title, look)


def _proves(view: dict[str, Any]) -> bool:
    """Whether steps are left on proof: a comparison asks for none."""
    return view.get("baseline") is None


def _proof(guardrail: dict[str, Any]) -> float:
    return float(max(guardrail["e"], guardrail["a"]))


def _stepping(view: dict[str, Any]) -> bool:
    """Whether the ramp is at a step that is left on proof."""
    standing = view.get("standing") or {}
    due = standing.get("due") or {}
    return view.get("ended_at") is None and due.get("dwell_left_s") is not None and view["step"] >= 0


def _bar_width(look: Look) -> int:
    return min(_WIDEST_BAR, max(_NARROWEST_BAR, look.width - MARGIN - _LABEL - 2 - _WORDS))
