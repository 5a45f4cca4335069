"""``rheostat token``: API tokens."""

import click

from rheostat_server.cli.credentials import credentials_table, resolve, show_secret
from rheostat_server.cli.groups import Group
from rheostat_server.cli.options import Session, common_options, connected
from rheostat_server.cli.terminal import print_table
from rheostat_server.cli.token_reset import reset


@click.group(cls=Group)
@common_options
def token() -> None:
    """API tokens of people and pipelines."""


token.add_command(reset)


def _path(session: Session, token_id: str) -> str:
    return f"/tokens/{resolve(session.connection.get('/tokens')['tokens'], token_id)}"


@token.command("list")
@connected
def list_tokens(session: Session) -> None:
    """List the tokens; secrets are not kept, so they cannot be shown."""
    body = session.connection.get("/tokens")
    session.show(body, lambda console: print_table(console, credentials_table(body["tokens"])))


@token.command("create")
@click.option("--label", required=True, help="Who or what it is for; the audit log names it.")
@click.option(
    "--scope",
    type=click.Choice(["admin", "write", "read"]),
    default="write",
    show_default=True,
    help="What it may do; only `admin` makes keys and tokens.",
)
@click.option("--only-project", help="Bind it to one project.")
@click.option("--expires-in", help="For example 90d.")
@connected
def create_token(session: Session, label: str, scope: str, only_project: str | None, expires_in: str | None) -> None:
    """Make a token and print its secret, once."""
    wanted = {"label": label, "scope": scope, "project": only_project, "expires_in": expires_in}
    body = session.connection.post("/tokens", {name: value for name, value in wanted.items() if value is not None})
    session.show(body, lambda console: show_secret(body))


@token.command("revoke")
@click.argument("token_id")
@connected
def revoke_token(session: Session, token_id: str) -> None:
    """Refuse this token from now on."""
    body = session.connection.send("DELETE", _path(session, token_id)).body
    session.show(body, lambda console: console.print(f"{body['hint']}… ({body['label']}) is revoked"))
