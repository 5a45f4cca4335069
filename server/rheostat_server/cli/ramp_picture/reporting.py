"""Who evaluates the flag and reports what became of it, and who fell silent."""

from collections import Counter
from typing import Any

from rich.text import Text

from rheostat_server.cli.ramp_picture.look import MARGIN, Lines, Look, folded, printable
from rheostat_server.ramps.words import count


def reporting(view: dict[str, Any], look: Look) -> Lines:
    """Return how much of the traffic is reported, by service, and which instances vanished."""
    told = view.get("reporting") or {}
    lines: Lines = []
    if (covered := told.get("coverage")) is not None:
        parts = ", ".join(
            f"{_name(one['service'])} {count(one['evaluations'])}" + ("" if one["reports"] else " WITHOUT REPORTING")
            for one in sorted(told.get("services", ()), key=lambda one: (one["reports"], -one["evaluations"]))
        )
        whole = covered >= 1
        text = Text.assemble((f"coverage {100 * covered:.0f} %", "" if whole else "yellow"), f" of 5 min: {parts}")
        lines += folded(text, look, indent=MARGIN, further=MARGIN + 2, most=2)
    if vanished := Counter(told.get("vanished", ())):
        who = ", ".join(f"{number} of {_name(service)}" for service, number in sorted(vanished.items()))
        text = Text.assemble(("vanished", "yellow"), f" without a goodbye: {who}")
        lines += folded(text, look, indent=MARGIN, further=MARGIN + 2, most=2)
    return lines


def _name(service: str) -> str:
    return printable(service) or "(no name)"
