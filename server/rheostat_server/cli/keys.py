"""``rheostat key``: SDK keys of an environment."""

from typing import Any

import click
from rich.console import Console

from rheostat_server.cli.credentials import credentials_table, resolve, show_secret
from rheostat_server.cli.groups import Group
from rheostat_server.cli.options import Session, common_options, connected
from rheostat_server.cli.terminal import print_table


@click.group(cls=Group)
@common_options
def key() -> None:
    """SDK keys of an environment. Several are valid at once, so that they can be rotated."""


def _keys(session: Session) -> str:
    return f"{session.connection.of_environment}/keys"


def _path(session: Session, key_id: str) -> str:
    """Return the path of the key that an id, its beginning, or the key's first characters name."""
    return f"{_keys(session)}/{resolve(session.connection.get(_keys(session))['keys'], key_id)}"


@key.command("list")
@connected
def list_keys(session: Session) -> None:
    """List the keys; secrets are not kept, so they cannot be shown."""
    body = session.connection.get(_keys(session))
    session.show(body, lambda console: print_table(console, credentials_table(body["keys"])))


@key.command("create")
@click.option("--label", default="", help="What it is for.")
@click.option(
    "--scope",
    type=click.Choice(["server", "client"]),
    default="server",
    show_default=True,
    help="Where it will be: `client` keys get answers only, of flags that are marked for clients.",
)
@click.option("--expires-in", help="For example 90d.")
@connected
def create_key(session: Session, label: str, scope: str, expires_in: str | None) -> None:
    """Make a key and print its secret, once."""
    wanted = {"label": label, "scope": scope} | ({"expires_in": expires_in} if expires_in else {})
    body = session.connection.post(_keys(session), wanted)
    session.show(body, lambda console: show_secret(body))


@key.command("rotate")
@click.argument("key_id")
@click.option("--overlap", default="24h", show_default=True, help="How long the old key stays valid.")
@connected
def rotate_key(session: Session, key_id: str, overlap: str) -> None:
    """Make a successor and print its secret; the old key stays valid for the overlap."""
    body = session.connection.post(f"{_path(session, key_id)}/rotate", {"overlap": overlap})
    session.show(body, lambda console: show_secret(body))


@key.command("label")
@click.argument("key_id")
@click.argument("label")
@connected
def label_key(session: Session, key_id: str, label: str) -> None:
    """Change a key's label."""
    body = session.connection.send("PATCH", _path(session, key_id), body={"label": label}).body
    session.show(body, lambda console: console.print(f"{body['hint']}… is now labelled {label!r}"))


@key.command("revoke")
@click.argument("key_id")
@connected
def revoke_key(session: Session, key_id: str) -> None:
    """Refuse this key from now on and close its streams."""
    body: dict[str, Any] = session.connection.send("DELETE", _path(session, key_id)).body

    def people(console: Console) -> None:
        console.print(f"{body['hint']}… is revoked")

    session.show(body, people)
