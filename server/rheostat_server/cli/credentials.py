"""Keys and tokens in the terminal: their table, a secret that is shown once, and which one is meant."""

from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.terminal import a_table, moment

_ID_SHOWN = 8


def resolve(credentials: Sequence[dict[str, Any]], given: str) -> str:
    """Return the id of the one that ``given`` names: by its id, the id's beginning, or the secret's first characters.

    Raises:
        CommandFailed: there is none, or several.
    """
    for one in credentials:
        if one["id"] == given:
            return given
    found = [one["id"] for one in credentials if given and given in {one["id"][: len(given)], one["hint"]}]
    if len(found) == 1:
        only: str = found[0]
        return only
    if found:
        raise CommandFailed(f"{given!r} is the beginning of several; say more of the id: {', '.join(found)}")
    raise CommandFailed(f"there is none with the id {given!r}; `list` shows them")


def show_secret(created: dict[str, Any]) -> None:
    """Print a secret that cannot be shown again: alone on standard output, so that a script can take it."""
    click.echo(created["secret"])
    click.echo(f"id {created['id']}; shown once, stored hashed", err=True)


def credentials_table(credentials: list[dict[str, Any]]) -> Table:
    """Return a table of keys or tokens."""
    table = a_table("ID", "STARTS", "SCOPE", "STATE", "LAST USED (UTC)", "EXPIRES (UTC)", "LABEL", fold="LABEL")
    for one in credentials:
        table.add_row(
            one["id"][:_ID_SHOWN],
            one["hint"],
            one["scope"],
            "revoked" if one.get("revoked_at") else "valid",
            moment(one.get("last_used_at")),
            moment(one.get("expires_at")),
            one["label"],
        )
    return table
