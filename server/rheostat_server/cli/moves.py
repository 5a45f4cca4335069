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
        _print(session, [*_of_environments(body["environments"], ""), *_of_flags(body.get("others", {}))])


def _of_flags(moves: dict[str, Any]) -> Iterator[str]:
    for key, environments in moves.items():
        yield from _of_environments(environments, f"{key} in ")


def _of_environments(environments: dict[str, Any], before: str) -> Iterator[str]:
    for environment, here in environments.items():
        for line in here["summary"]:
            yield f"{before}{environment}: {line}"


def _print(session: Session, lines: list[str]) -> None:
    console = session.console
    shown = lines[:_MOST_LINES]
    if len(lines) > len(shown):
        shown.append(f"… and {len(lines) - len(shown)} lines more")
    for line in shown:
        # On a screen, what belongs together is seen to; a pipe gets each line as one.
        rows = textwrap.wrap(line, console.width, subsequent_indent="    ", break_on_hyphens=False)
        for row in rows if console.is_terminal else [line]:
            console.print(row, style="cyan", markup=False)
