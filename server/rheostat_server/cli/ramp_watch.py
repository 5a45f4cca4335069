"""Watching a ramp until it ends: a live panel in a terminal, else a line (or a JSON value) for each move."""

import time
from typing import Any

import click
import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from rheostat_server.cli.connection import Connection, Unreachable
from rheostat_server.cli.options import Session
from rheostat_server.cli.ramp_panel import decisions_that_fit, ramp_panel, standing_line, telling
from rheostat_server.cli.terminal import panel_width

ENDED = frozenset({"promoted", "killed", "aborted"})
REFRESH_SECONDS = 1.0
_FIRST_DECISIONS = 200


class Watched:
    """A ramp as it was seen last, and its decisions so far."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self.view: dict[str, Any] = {}
        self.decisions: list[dict[str, Any]] = []

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.view["status"] in ENDED

    def look(self) -> None:
        """Ask the server; only new decisions are asked for."""
        # The ramp first: a decision that comes in between is then shown early, and not lost.
        self.view = self._connection.get(self._path)
        page = {"after": self.decisions[-1]["seq"]} if self.decisions else {"last": _FIRST_DECISIONS}
        new = self._connection.get(f"{self._path}/decisions", **page)["decisions"]
        self.decisions = [*self.decisions, *new][-_FIRST_DECISIONS:]


def watch(session: Session, path: str) -> dict[str, Any]:
    """Show the ramp at ``path`` until it ends; return its last view. A server that is away is waited for.

    Raises:
        CommandFailed: there is no such ramp, or the server was away from the start.
    """
    watched = Watched(session.connection, path)
    watched.look()
    if session.as_json or not session.console.is_terminal:
        _watch_lines(watched, as_json=session.as_json)
    else:
        _watch_live(watched)
    return watched.view


def _watch_live(watched: Watched) -> None:
    # The session's own console leaves long lines to the terminal; in a panel they are to be folded.
    console = Console(highlight=False)
    # What comes before the panel in the loop is cut where the terminal is low; the last picture is whole.
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        trouble = ""
        while True:
            shown = telling(watched.decisions, decisions_that_fit(console.height))
            panel = ramp_panel(watched.view, width=panel_width(console), decisions=shown)
            # The last line is never a full one: the terminal's own ^C would wrap there, and the picture stand twice.
            live.update(Group(panel, Text(trouble, "yellow")), refresh=True)
            if watched.ended:
                return
            trouble = _look_again(watched)


def _watch_lines(watched: Watched, *, as_json: bool) -> None:
    last: tuple[Any, ...] = ()
    while True:
        view = watched.view
        moved = (view["status"], view["exposure"], view["step"])
        if moved != last:
            last = moved
            click.echo(msgspec.json.encode(view).decode() if as_json else f"{view['flag']}: {standing_line(view)}")
        if watched.ended:
            return
        if trouble := _look_again(watched):
            click.echo(trouble, err=True)


def _look_again(watched: Watched) -> str:
    """Wait and look; return what is in the way, if anything."""
    time.sleep(REFRESH_SECONDS)
    try:
        watched.look()
    except Unreachable as error:
        return f"{str(error).splitlines()[0]}; what is shown is the last that was seen"
    return ""
