"""Who looks after a ramp, and who has applied its kill."""

from typing import Any

from rich.text import Text

from rheostat_server.cli.kill_readback import readback_lines
from rheostat_server.cli.ramp_picture.look import MARGIN, Lines, Look, folded, printable
from rheostat_server.ramps.words import duration


def unattended(view: dict[str, Any], look: Look) -> Lines:
    """Return that no controller looks at the ramp, where that is known; nothing else."""
    if view.get("attended") is not False:
        return []
    silent = duration(view["silent_s"])
    text = Text.assemble(("UNATTENDED", "bold red"), f": no controller has looked at it for {silent}")
    return folded(text, look, indent=MARGIN, further=MARGIN + 2)


def read_back(view: dict[str, Any], look: Look) -> Lines:
    """Return who has applied the kill that ended the ramp."""
    if not view.get("kill"):
        return []
    first, *others = readback_lines(view["kill"])
    lines = folded(Text.assemble(("kill", "bold"), f"  {printable(first)}"), look, indent=MARGIN, further=MARGIN + 2)
    for line in others:
        lines += folded(Text(printable(line.strip())), look, indent=MARGIN + 2)
    return lines
