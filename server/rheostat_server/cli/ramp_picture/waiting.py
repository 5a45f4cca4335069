"""What a ramp waits for: the countdowns."""

from typing import Any

from rich.text import Text

from rheostat_server.cli.ramp_picture.look import MARGIN, Lines, Look, folded, joined, printable
from rheostat_server.ramps.words import about, count, duration, roughly


def waiting(view: dict[str, Any], look: Look) -> Lines:
    """Return what is still missing until the next move; nothing of a ramp that is over, or that has not begun."""
    lines = _countdown(view, look)
    if shut := (view.get("standing") or {}).get("shut"):
        text = Text.assemble(("calendar:", "bold"), " " + printable(shut))
        lines += folded(text, look, indent=MARGIN, further=MARGIN + 2)
    return lines


def _countdown(view: dict[str, Any], look: Look) -> Lines:
    standing = view.get("standing") or {}
    if view.get("ended_at") is not None or view["status"] == "draft":
        return []
    plan, due = view.get("plan") or {}, standing.get("due") or {}
    if (left := standing.get("preflight_left_s")) is not None:
        first = f"{view['steps'][0]:g} %" if view["steps"] else "the first step"
        # When its time is over it may go on for want of requests: why says of how many.
        words = f"pre-flight {_left(left)} of {duration(plan.get('preflight_s', left))}" if left else view["why"]
        return _line(first, [printable(words)], look)
    if (left := due.get("soak_left_s")) is not None:
        return _line("promoted", [f"soak {_left(left)} of {duration(plan.get('soak_s', left))}"], look)
    if view.get("counting"):
        return _line(_next(view, end="promoted"), _of_rounds(view, due), look)
    if view.get("baseline") is not None and due.get("dwell_left_s") is None:
        return _line("its end", _of_comparison(view, due), look)
    if due.get("dwell_left_s") is None:
        return []
    # A comparison decides nothing, and asks for no proof.
    parts = [_proof(view)] if view.get("guarded", True) and view.get("baseline") is None else []
    if due["dwell_left_s"] > 0:
        parts.append(f"dwell {_left(due['dwell_left_s'])}")
    wanted, seen = due.get("users_wanted"), due.get("users_seen", 0)
    if wanted is not None and seen < wanted:
        parts.append(f"{count(seen)} of {count(wanted)} users seen")
    if due.get("trial_left_s") is not None:
        parts.append(f"inconclusive in {duration(due['trial_left_s'])}")
    parts.append(_approval(view, due))
    return _line(_next(view), [part for part in parts if part] or ["nothing is missing"], look)


def _proof(view: dict[str, Any]) -> str:
    """Return what the slowest of the proofs that are asked for still needs."""
    if view["step"] < 0:
        return ""
    judges = [one for one in view["guardrails"] if one["may_kill"]] or view["guardrails"]
    missing = [one for one in judges if not one["proved"]]
    if not missing:
        return "proved"
    if any(one["requests_to_proof"] is None for one in missing):
        return "no proof at the control's rate"
    slowest = max(missing, key=lambda one: one["requests_to_proof"])
    words = f"proof in {about(slowest['requests_to_proof'])} requests"
    seconds = slowest["seconds_to_proof"]
    return words if seconds is None else f"{words}, ~{roughly(seconds)}"


def _of_rounds(view: dict[str, Any], due: dict[str, Any]) -> list[str]:
    """Return what a ramp that counts failed checks waits for; where rounds have no time, that is in its sentence."""
    left = due.get("round_left_s")
    parts = [] if left is None else [f"next round in {duration(left)}"]
    return [part for part in (*parts, _approval(view, due)) if part]


def _of_comparison(view: dict[str, Any], due: dict[str, Any]) -> list[str]:
    """Return what is left of a comparison: of its time or its sample, whichever ends first, then a person."""
    if due.get("approval"):
        return [_approval(view, due)]
    ways = []
    if (wanted := due.get("users_wanted")) is not None:
        ways.append(f"{count(due['users_seen'])} of {count(wanted)} users seen on the smaller side")
    if (left := due.get("until_left_s")) is not None:
        ways.append(_left(left))
    return [" or ".join(ways)]


def _approval(view: dict[str, Any], due: dict[str, Any]) -> str:
    return f"a person: rheostat ramp approve {view['flag']}" if due.get("approval") else ""


def _next(view: dict[str, Any], *, end: str = "soak") -> str:
    """Return what comes after this step: another, the next stage of a rolling ramp, or the end."""
    following = view["steps"][view["step"] + 1 :]
    if following:
        return f"{following[0]:g} %"
    later = (view.get("stages") or ())[(view.get("stage") or 0) + 1 :]
    return str(later[0]) if later else end


def _left(seconds: float) -> str:
    return f"{duration(seconds)} left"


def _line(to: str, parts: list[str], look: Look) -> Lines:
    if not parts:
        return []
    label = f"to {to}:"
    text = Text.assemble((label, "bold"), " " + joined(parts, look))
    return folded(text, look, indent=MARGIN, further=MARGIN + 2)
