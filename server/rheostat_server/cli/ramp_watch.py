"""Watching a ramp until it ends: a live picture in a terminal, else a line (or a JSON value) for each move."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

import click
import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from rheostat_server.cli.connection import Unreachable
from rheostat_server.cli.options import Session
from rheostat_server.cli.ramp_panel import look_on, ramp_picture, standing_line
from rheostat_server.cli.ramp_picture.decided import move_line, moves_since
from rheostat_server.cli.ramp_picture.ending import ending_line
from rheostat_server.cli.ramp_picture.look import Lines
from rheostat_server.cli.ramp_picture.moments import stamp
from rheostat_server.cli.ramp_watched import Watched

__all__ = ["REFRESH_SECONDS", "Watched", "watch"]

REFRESH_SECONDS = 1.0
_TICKS = 4
"""How often within that time the terminal's size is looked at."""


class Stopped(Exception):
    """A signal ends the watching. The ramp goes on."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def watch(session: Session, find: Callable[[], str]) -> dict[str, Any]:
    """Show the ramp that ``find`` names until it ends; return its last view. A server that is away is waited for.

    A newer ramp of the same rollout, such as a restart makes, is followed where ``find`` names it by then.

    Raises:
        CommandFailed: there is no such ramp, or the server was away from the start.
        Exit: somebody stopped watching.
    """
    watched = Watched(session.connection, find(), find)
    watched.look()
    live = session.console.is_terminal and not session.console.is_dumb_terminal
    try:
        with _signals():
            if session.as_json or not live:
                _watch_lines(watched, session.console, as_json=session.as_json)
            else:
                _watch_live(watched)
    except Stopped as stopped:
        line = f"Stopped watching {watched.view['flag']}; the ramp goes on: {standing_line(watched.view)}"
        click.echo(line, err=session.as_json or not live)
        raise click.exceptions.Exit(128 + stopped.number) from None
    return watched.view


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Make each signal that ends the command a ``Stopped``: a terminal is to be left as it was found."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Stopped(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch_live(watched: Watched) -> None:
    # The session's own console leaves long lines to the terminal; in a picture they are folded.
    console = Console(highlight=False)
    trouble = ""
    try:
        # A screen of its own is drawn anew when the terminal's size changes, and leaves nothing behind.
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while not watched.ended:
                _draw(live, console, watched, trouble)
                _wait(live, console, watched, trouble)
                trouble = _look_again(watched)
    finally:
        # All of it is to be seen above the shell's next line.
        for line in _picture(console, watched, _foot(watched), height=console.height - 1):
            console.print(line, soft_wrap=True)


def _draw(live: Live, console: Console, watched: Watched, trouble: str) -> None:
    last = Text(trouble, "bold yellow") if trouble else _foot(watched, "Ctrl-C: the ramp goes on")
    picture = _picture(console, watched, last, height=console.height)
    live.update(Group(*picture), refresh=True)


def _picture(console: Console, watched: Watched, last: Text, *, height: int) -> Lines:
    return ramp_picture(
        watched.view,
        look_on(console),
        decisions=watched.decisions,
        moves=watched.moves,
        height=height,
        last=last,
    )


def _wait(live: Live, console: Console, watched: Watched, trouble: str) -> None:
    size = console.size
    for _ in range(_TICKS):
        time.sleep(REFRESH_SECONDS / _TICKS)
        if console.size != size:
            size = console.size
            _draw(live, console, watched, trouble)


def _foot(watched: Watched, words: str = "") -> Text:
    view = watched.view
    return Text(f"{view['at'][11:19]}Z  ramp {view['id']}  {words}".rstrip(), "dim")


def _watch_lines(watched: Watched, console: Console, *, as_json: bool) -> None:
    def say(line: str) -> None:
        if not as_json:
            console.print(line, markup=False, emoji=False)

    view = watched.view
    say(f"{stamp(view['at'])} {view['flag']}: {standing_line(view)}")
    last: tuple[Any, ...] = ()
    status, away = view["status"], False
    new: list[dict[str, Any]] = []
    while True:
        view = watched.view
        moved = (view["id"], view["status"], view["exposure"], view["step"])
        if as_json and (moved != last or any(one["kind"] != "hold" for one in new)):
            click.echo(msgspec.json.encode(view))
        for one in moves_since(new, status):
            say(move_line(view["flag"], one))
        last, status = moved, new[-1]["detail"]["status"] if new else status
        if watched.ended:
            say(f"{stamp(view['at'])} {view['flag']}: {ending_line(view)}")
            return
        time.sleep(REFRESH_SECONDS)
        seen = len(watched.decisions) and watched.decisions[-1]["seq"]
        ramp = view["id"]
        trouble = _look_again(watched)
        # Once for each time that it goes: a log of a night is not to be full of it.
        if bool(trouble) != away:
            away = bool(trouble)
            click.echo(trouble if away else "the server is back", err=True)
        if watched.view["id"] != ramp:
            seen = -1
            say(f"{stamp(watched.view['at'])} {view['flag']}: a new ramp, {watched.view['id']}, goes on")
        new = [one for one in watched.decisions if one["seq"] > seen]


def _look_again(watched: Watched) -> str:
    """Look; return what is in the way, if anything."""
    try:
        watched.look()
    except Unreachable as error:
        at = stamp(watched.view["at"])
        return f"{str(error).splitlines()[0]}; shown is {at}, it is tried again"
    return ""
