"""Who moves by a write, printed before it is made."""

import contextlib
import textwrap
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.options import Session
from rheostat_server.flags.change import merge

_MOST_LINES = 40
_HASTE_SECONDS = 1.0
"""How long a kill may wait to hear who moves by it."""


def show_moves(session: Session, document: dict[str, Any], *, restart_ramp: bool = False, new: bool = False) -> None:
    """Print who moves if this flag's document is written; nothing where nobody does, or where ``--json`` is asked for.

    ``new``: only if the flag is not there yet.
    """
    if isinstance(document.get("key"), str):
        show_moves_of_change(session, document["key"], {"document": document}, restart_ramp=restart_ramp, new=new)


def show_moves_of_patch(session: Session, key: str, patch: dict[str, Any]) -> None:
    """Print who moves if this merge patch is written, as ``show_moves``."""
    if session.as_json:
        return
    try:
        document = session.connection.get(session.connection.flag(key))["document"]
    except CommandFailed:
        return  # the write that follows says what is wrong
    show_moves(session, merge(document, patch))


def show_moves_of_change(
    session: Session, key: str, change: dict[str, Any], *, restart_ramp: bool = False, new: bool = False
) -> None:
    """Print who moves by a change of a flag that is no new document, such as ``{"archive": {}}``, as ``show_moves``."""
    if not session.as_json:
        path = f"{session.connection.flag(key)}/preview"
        _show(session, path, change, restart_ramp=restart_ramp, new=new)


def show_moves_as_of_now(session: Session, moves: dict[str, Any]) -> None:
    """Print who would move if what waits for its time were made now; nothing where ``--json`` is asked for."""
    if not session.as_json:
        _print(session, [(f"as of now, {environment}", here["summary"]) for environment, here in moves.items()])


def show_moves_of_kill(session: Session, key: str, wanted: dict[str, Any]) -> None:
    """Print who moves by a kill, as ``show_moves``. Whatever goes wrong, and after a second, the kill goes on."""
    if session.as_json:
        return
    # A reader that left the pipe, too, is no reason not to kill.
    with contextlib.suppress(Exception):
        asked = {name: value for name, value in wanted.items() if name != "reason"}
        kill = {"kill": {"environment": session.connection.environment, **asked}}
        _show(session, f"{session.connection.flag(key)}/preview", kill, seconds=_HASTE_SECONDS)


def show_moves_of_shared(session: Session, kind: str, document: dict[str, Any], *, restart_ramp: bool) -> None:
    """Print who moves, by which flags, if this segment's or layer's document is written, as ``show_moves``."""
    if not session.as_json and isinstance(document.get("key"), str):
        path = f"{session.connection.of_project}/{kind}s/{quote(document['key'], safe='')}/preview"
        _show(session, path, {"document": document}, restart_ramp=restart_ramp)


def show_moves_of_documents(session: Session, wanted: dict[str, Any]) -> None:
    """Print who moves if these documents are applied, flag by flag, as ``show_moves``."""
    if session.as_json:
        return
    try:
        body = session.connection.post(f"{session.connection.of_project}/apply", {**wanted, "dry_run": True})
    except CommandFailed:
        return
    moves = {change["key"]: change["moves"] for change in body["changes"] if change.get("moves")}
    _print(session, [*_of_flags(moves), *_of_flags(body.get("others", {}))])


def _show(
    session: Session,
    path: str,
    change: dict[str, Any],
    *,
    restart_ramp: bool = False,
    new: bool = False,
    seconds: float | None = None,
) -> None:
    query = {"restart_ramp": "true" if restart_ramp else None}
    try:
        body = session.connection.send("POST", path, body=change, query=query, seconds=seconds).body
    except CommandFailed:
        return  # the write that follows says what is wrong
    if not new or body["action"] == "create":
        own = [(environment, here["summary"]) for environment, here in body["environments"].items()]
        _print(session, [*own, *_of_flags(body.get("others", {}))])


def _of_flags(moves: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for key, environments in moves.items():
        for environment, here in environments.items():
            yield f"{key} in {environment}", here["summary"]


def _print(session: Session, groups: list[tuple[str, list[str]]]) -> None:
    """Print who moves by where. On a screen, what belongs together is seen to; a pipe gets each line as one."""
    console = session.console
    shown = 0
    for where, lines in groups:
        if shown >= _MOST_LINES:
            break
        alone = len(lines) == 1 or not console.is_terminal
        if not alone:
            console.print(f"{where}:", style="cyan", markup=False)
        for line in lines:
            text, indent = (f"{where}: {line}", "") if alone else (line, "  ")
            for row in _rows(text, console.width, indent) if console.is_terminal else [text]:
                console.print(row, style="cyan", markup=False)
        shown += len(lines)
    total = sum(len(lines) for _, lines in groups)
    if total > shown:
        console.print(f"… and {total - shown} lines more", style="cyan", markup=False)


def _rows(text: str, width: int, indent: str) -> list[str]:
    # A number stays with its sign.
    kept = text.replace(" %", "\N{NO-BREAK SPACE}%")
    rows = textwrap.wrap(kept, width, initial_indent=indent, subsequent_indent=indent + "    ", break_on_hyphens=False)
    return [row.replace("\N{NO-BREAK SPACE}", " ") for row in rows]
