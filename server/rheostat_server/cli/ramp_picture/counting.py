"""How a ramp by ``rule: threshold`` looks in the terminal: what failed so far, and each check."""

from typing import Any

from rich.text import Text

from rheostat_server.cli.ramp_picture.look import Lines, Look, folded


def counting(view: dict[str, Any], look: Look) -> Lines:
    """Return the lines of a ramp that counts failed checks; none of another."""
    told = view.get("counting")
    if not told:
        return []
    limit = "" if told["limit"] is None else f" of {told['limit']}"
    failed = told["failed_checks"]
    what = "failed checks" if told["like"] == "flagger" else "failed measurements"
    lines = [
        Text.assemble(f"{what}  ", (f"{failed}{limit}", "yellow" if failed else "green"), ("  no stated error", "dim"))
    ]
    for check in told["checks"]:
        lines += folded(Text(f"{check['name']}  {check['said']}, wanted: {check['wanted']}", "dim"), look, indent=2)
    return lines
