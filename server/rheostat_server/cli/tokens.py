"""``rheostat token``: API tokens."""

import click

from rheostat_server.cli.keys import credentials_table, show_secret
from rheostat_server.cli.options import Session, connected
from rheostat_server.cli.token_reset import reset


@click.group()
def token() -> None:
    """API tokens of people and pipelines."""


token.add_command(reset)


@token.command("list")
@connected
def list_tokens(session: Session) -> None:
    """List the tokens."""
    body = session.connection.get("/tokens")
    session.show(body, lambda console: console.print(credentials_table(body["tokens"])))


@token.command("create")
@click.option("--label", required=True, help="Who or what it is for; the audit log names it.")
@click.option("--scope", type=click.Choice(["admin", "write", "read"]), default="write", show_default=True)
@click.option("--only-project", help="Bind it to one project.")
@click.option("--expires-in", help="For example 90d.")
@connected
def create_token(session: Session, label: str, scope: str, only_project: str | None, expires_in: str | None) -> None:
    """Make a token and print its secret, once."""
    wanted = {"label": label, "scope": scope, "project": only_project, "expires_in": expires_in}
    body = session.connection.post("/tokens", {name: value for name, value in wanted.items() if value is not None})
    session.show(body, lambda console: show_secret(console, body))


@token.command("revoke")
@click.argument("token_id")
@connected
def revoke_token(session: Session, token_id: str) -> None:
    """Refuse this token from now on."""
    body = session.connection.send("DELETE", f"/tokens/{token_id}").body
    session.show(body, lambda console: console.print(f"{token_id} is revoked"))
