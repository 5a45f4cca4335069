"""``rheostat key``: SDK keys of an environment."""

from typing import Any

import click
from rich.console import Console

from rheostat_server.cli.options import Session, connected
from rheostat_server.cli.tables import a_table


@click.group()
def key() -> None:
    """SDK keys of an environment. Several are valid at once, so that they can be rotated."""


@key.command("list")
@connected
def list_keys(session: Session) -> None:
    """List the keys; secrets are not kept, so they cannot be shown."""
    body = session.connection.get(f"{session.connection.of_environment}/keys")
    session.show(body, lambda console: console.print(credentials_table(body["keys"])))


@key.command("create")
@click.option("--label", default="", help="What it is for.")
@click.option("--scope", type=click.Choice(["server", "client"]), default="server", show_default=True)
@click.option("--expires-in", help="For example 90d.")
@connected
def create_key(session: Session, label: str, scope: str, expires_in: str | None) -> None:
    """Make a key and print its secret, once."""
    wanted = {"label": label, "scope": scope} | ({"expires_in": expires_in} if expires_in else {})
    body = session.connection.post(f"{session.connection.of_environment}/keys", wanted)
    session.show(body, lambda console: show_secret(console, body))


@key.command("rotate")
@click.argument("key_id")
@click.option("--overlap", default="24h", show_default=True, help="How long the old key stays valid.")
@connected
def rotate_key(session: Session, key_id: str, overlap: str) -> None:
    """Make a successor; the old key stays valid for the overlap."""
    body = session.connection.post(f"{session.connection.of_environment}/keys/{key_id}/rotate", {"overlap": overlap})
    session.show(body, lambda console: show_secret(console, body))


@key.command("label")
@click.argument("key_id")
@click.argument("label")
@connected
def label_key(session: Session, key_id: str, label: str) -> None:
    """Change a key's label."""
    path = f"{session.connection.of_environment}/keys/{key_id}"
    body = session.connection.send("PATCH", path, body={"label": label}).body
    session.show(body, lambda console: console.print(f"{key_id} is now labelled {label!r}"))


@key.command("revoke")
@click.argument("key_id")
@connected
def revoke_key(session: Session, key_id: str) -> None:
    """Refuse this key from now on and close its streams."""
    body = session.connection.send("DELETE", f"{session.connection.of_environment}/keys/{key_id}").body
    session.show(body, lambda console: console.print(f"{key_id} is revoked"))


def show_secret(console: Console, created: dict[str, Any]) -> None:
    """Print a secret that cannot be shown again."""
    console.print(created["secret"], style="bold")
    console.print(f"id {created['id']}; shown once, stored hashed", style="dim")


def credentials_table(credentials: list[dict[str, Any]]) -> Any:
    """Return a table of keys or tokens."""
    table = a_table("ID", "STARTS WITH", "SCOPE", "LABEL", "CREATED", "LAST USED", "EXPIRES", "STATE")
    for one in credentials:
        table.add_row(
            one["id"],
            one["hint"],
            one["scope"],
            one["label"],
            one["created_at"],
            one.get("last_used_at") or "never",
            one.get("expires_at") or "never",
            "revoked" if one.get("revoked_at") else "valid",
        )
    return table
