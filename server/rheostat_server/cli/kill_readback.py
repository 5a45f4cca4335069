"""What a kill came to, told while its instances apply it."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from rheostat_server.cli.connection import CommandFailed, Connection
from rheostat_server.cli.terminal import print_prose

LOOK_SECONDS = 0.25
NAMED = 10
"""So many stragglers are named."""


def wait_for_readback(connection: Connection, kill_id: str, seconds: float) -> Any:
    """Return a kill's read-back once every instance has applied it, or as it is after so long; ``None``: not known."""
    # The wait of a person at a terminal, not a time of the product's.
    end = time.monotonic() + seconds  # noqa: TID251
    seen: Any = None
    while True:
        left = end - time.monotonic()  # noqa: TID251
        try:
            seen = connection.send("GET", readback_path(connection, kill_id), seconds=max(1.0, left)).body
        except CommandFailed:
            # The kill is latched whatever becomes of this; it may be asked for later.
            pass
        if left <= LOOK_SECONDS or (seen is not None and (seen["complete"] or not seen["known"])):
            return seen
        time.sleep(LOOK_SECONDS)


def readback_path(connection: Connection, kill_id: str) -> str:
    """Return the path of a kill's read-back."""
    return f"{connection.of_environment}/kills/{kill_id}/readback"


def readback_lines(seen: Mapping[str, Any]) -> list[str]:
    """Return a read-back in lines: how many applied the kill, and who has not."""
    lines = [str(seen["line"])]
    stragglers = seen["stragglers"]
    lines += [f"  {one['line']}" for one in stragglers[:NAMED]]
    if len(stragglers) > NAMED:
        lines.append(f"  and {len(stragglers) - NAMED} more")
    if seen["gone"]:
        lines.append(f"  {seen['gone']} ended, or fell silent long ago, without it")
    if seen["unconfirmed"]:
        lines.append(f"  exposure has not fallen: {len(seen['unconfirmed'])} still expose users or report without it")
    return lines


def print_readback(console: Console, seen: Mapping[str, Any] | None) -> None:
    """Print a read-back for people."""
    if seen is None:
        print_prose(console, "who has applied it could not be asked; the kill stands", style="yellow")
        return
    first, *others = readback_lines(seen)
    print_prose(console, first, style="green" if seen["complete"] else "yellow")
    for line in others:
        print_prose(console, line.strip(), indent=2)
