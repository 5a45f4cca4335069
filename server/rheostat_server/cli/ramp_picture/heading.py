"""What ramp it is, what its plan promises, and how it stands in one sentence."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from rheostat_server.cli.ramp_picture.look import Lines, Look, cut, figure, folded, joined, printable
from rheostat_server.cli.ramp_picture.moments import ms
from rheostat_server.ramps.words import duration

STATUS_STYLES = {
    "draft": "cyan",
    "arming": "cyan",
    "running": "green",
    "soaking": "green",
    "promoted": "bold green",
    "held": "yellow",
    "blind": "yellow",
    "paused": "yellow",
    "awaiting-approval": "yellow",
    "killed": "bold red",
    "aborted": "red",
}
_STANDING_STILL = frozenset({"held", "blind", "paused", "awaiting-approval"})


def standing_line(view: dict[str, Any]) -> str:
    """Return how a ramp stands, in one line; it begins with the status."""
    return printable(str((view.get("standing") or {}).get("line") or view.get("why") or view["status"]))


def status_text(view: dict[str, Any]) -> Text:
    """Return a ramp's status in its colour."""
    return Text(view["status"], style=STATUS_STYLES.get(view["status"], ""))


def heading(view: dict[str, Any], look: Look) -> Lines:
    """Return whose ramp it is and the labels of its plan."""
    name = Text(view["flag"], "bold").append(f"  {view['environment']}", "not bold")
    if view["rollout"] != "default":
        name.append(f"  rollout {view['rollout']}", "not bold")
    name.append(f"  {view['status'].upper()}", STATUS_STYLES.get(view["status"], "bold"))
    return [cut(name, look), *folded(Text(joined(labels(view, look), look), "dim"), look)]


def labels(view: dict[str, Any], look: Look) -> list[str]:
    """Return what everybody has to know of the plan, the warnings in capitals."""
    plan = view.get("plan") or {}
    found = [str(view.get("strategy") or plan.get("strategy") or "canary"), f"proof: {view['proof']}"]
    if (rule := view.get("rule") or plan.get("rule") or "guard") != "guard":
        return [*found, f"rule: {rule}, NO STATED ERROR"]
    if not view.get("guarded", True):
        return [*found, "UNGUARDED: moves by time alone"]
    if plan.get("alpha"):
        kills = ""
        if lines := {figure(one["kill_line"]) for one in view.get("guardrails", ()) if one["may_kill"]}:
            kills = f", kill line {' or '.join(sorted(lines))}"
        found.append(f"{look.marks.alpha} {plan['alpha']:g} / K {plan.get('budget_parts', 1)}{kills}")
    if view.get("holdback"):
        found.append(f"holdback {view['holdback']:g} %")
    crowd = (view.get("standing") or {}).get("crowd") or {}
    if plan.get("manual"):
        found.append("BY HAND: few users")
    if crowd.get("low_evidence"):
        users = crowd.get("users")
        found.append("LOW EVIDENCE: " + ("users unknown" if users is None else f"{users} users"))
    return found


def standing(view: dict[str, Any], decisions: Sequence[dict[str, Any]], look: Look, *, most: int = 99) -> Lines:
    """Return the sentence that tells how the ramp stands, and for how long it has stood still."""
    line = standing_line(view)
    status = view["status"]
    text = Text(line)
    # The line begins with the status; only that much of it is in colour.
    text.stylize(STATUS_STYLES.get(status, ""), 0, len(status) if line.startswith(status) else 0)
    if (lasts := stood_still(view, decisions)) is not None:
        text.append(f" ({lasts})")
    return folded(text, look, most=most)


def stood_still(view: dict[str, Any], decisions: Sequence[dict[str, Any]]) -> str | None:
    """Return for how long a ramp that stands still has done so, as far as the decisions tell."""
    status = view["status"]
    if status not in _STANDING_STILL or not decisions or decisions[-1]["detail"]["status"] != status:
        return None
    first = len(decisions) - 1
    while first and decisions[first - 1]["detail"]["status"] == status:
        first -= 1
    lasted = duration((ms(view["at"]) - ms(decisions[first]["at"])) / 1000)
    return f"for {lasted}" if first or decisions[0]["seq"] <= 1 else f"for more than {lasted}"
