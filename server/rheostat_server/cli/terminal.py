"""How things are printed: consoles, tables that can be cut and piped, times in few characters."""

import sys
import textwrap
from io import TextIOWrapper
from typing import TextIO

import click
from rich.console import Console
from rich.table import Table

PANEL_WIDTH = 100
"""Wider panels are harder to read, not easier."""
_PIPE_WIDTH = 4000


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would exit with 1 by itself; the command's entry knows that a reader that left is no error.
        raise BrokenPipeError


def plain_where_it_must(stream: TextIO) -> None:
    """Let a character that the stream's encoding does not have become a question mark, and not an error."""
    if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="replace")


def a_console() -> Console:
    """Return a console on standard output. Into a pipe goes each row as one line, and no colour."""
    plain_where_it_must(sys.stdout)
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return _Console(highlight=False, soft_wrap=True, width=width)


def panel_width(console: Console) -> int:
    """Return how wide a panel is on this console."""
    return min(console.width, PANEL_WIDTH)


def a_table(*columns: str, fold: str | None = None) -> Table:
    """Return a table without lines; where the terminal is narrow, the column ``fold`` goes over several rows."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold" if column == fold else "ellipsis", no_wrap=column != fold)
    return table


def print_table(console: Console, table: Table) -> None:
    """Print a table without the spaces that fill its last column."""
    with console.capture() as capture:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def print_prose(console: Console, text: str, *, indent: int = 0, style: str = "") -> None:
    """Print a sentence that in a terminal is broken between words, and further lines as far in as the first."""
    room = " " * indent
    lines = [room + text]
    if console.is_terminal:
        lines = textwrap.wrap(text, console.width, initial_indent=room, subsequent_indent=room, break_on_hyphens=False)
    console.print("\n".join(lines), style=style, markup=False)


def moment(text: str | None, none: str = "never") -> str:
    """Return an RFC 3339 time in UTC as ``2026-11-23 17:46:12``."""
    return none if text is None else text[:19].replace("T", " ")
