"""How a ramp by ``rule: threshold`` looks in the terminal: what failed so far, and each check."""

from typing import Any

from rich.console import RenderableType
from rich.text import Text


def rule_label(view: dict[str, Any]) -> str | None:
    """Return what the title says of a ramp's rule; ``None`` of one that the guard decides."""
    if view.get("rule", "guard") == "threshold":
        return "rule: threshold"
    return None if view.get("guarded", True) else "UNGUARDED"


def counting_lines(view: dict[str, Any]) -> list[RenderableType]:
    """Return the lines of a ramp that counts failed checks; none of another."""
    counting = view.get("counting")
    if not counting:
        return []
    limit = "" if counting["limit"] is None else f" of {counting['limit']}"
    failed = counting["failed_checks"]
    what = "failed checks" if counting["like"] == "flagger" else "failed measurements"
    lines: list[RenderableType] = [
        Text.assemble(f"{what}  ", (f"{failed}{limit}", "yellow" if failed else "green"), ("  no stated error", "dim"))
    ]
    lines += [
        Text.assemble(f"  {check['name']}  ", (f"{check['said']}, wanted: {check['wanted']}", "dim"))
        for check in counting["checks"]
    ]
    return [*lines, Text()]
