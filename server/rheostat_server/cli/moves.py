"""Who moves by a write, printed before it is made."""

from typing import Any

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.options import Session
from rheostat_server.flags.change import merge


def show_moves(session: Session, document: dict[str, Any]) -> None:
    """Print who moves if this document is written; nothing where nobody does, or where ``--json`` is asked for."""
    connection = session.connection
    if session.as_json or not isinstance(document.get("key"), str):
        return
    try:
        body = connection.post(f"{connection.flag(document['key'])}/preview", {"document": document})
    except CommandFailed:
        return  # the write that follows says what is wrong
    print_moves(session, body["environments"])


def show_moves_of_patch(session: Session, key: str, patch: dict[str, Any]) -> None:
    """Print who moves if this merge patch is written, as ``show_moves``."""
    if session.as_json:
        return
    try:
        document = session.connection.get(session.connection.flag(key))["document"]
    except CommandFailed:
        return
    show_moves(session, merge(document, patch))


def show_moves_of_version(session: Session, key: str, version: int) -> None:
    """Print who moves if this version is restored, as ``show_moves``."""
    if session.as_json:
        return
    try:
        document = session.connection.get(f"{session.connection.flag(key)}/versions/{version}")["document"]
    except CommandFailed:
        return
    show_moves(session, document)


def show_moves_of_documents(session: Session, wanted: dict[str, Any]) -> None:
    """Print who moves if these documents are applied, flag by flag, as ``show_moves``."""
    if session.as_json:
        return
    try:
        body = session.connection.post(f"{session.connection.of_project}/apply", {**wanted, "dry_run": True})
    except CommandFailed:
        return
    for change in body["changes"]:
        print_moves(session, change.get("moves", {}), f"{change['key']} in ")


def print_moves(session: Session, moves: dict[str, Any], before: str = "") -> None:
    """Print the lines of each environment, each with these words before it."""
    for environment, here in moves.items():
        for line in here["summary"]:
            session.console.print(f"{before}{environment}: {line}", style="cyan", markup=False)
