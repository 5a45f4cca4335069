"""``rheostat flag explain``: why a user gets what they get."""

from typing import Any

import click
import msgspec
from rich.console import Console

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.explanation_lines import lines_of
from rheostat_server.cli.options import Session, connected


@click.command("explain")
@click.argument("key")
@click.option(
    "--context",
    required=True,
    help='Whom to explain it for, as JSON: {"targetingKey": "user-1", "plan": "pro"}.',
)
@connected
def explain(session: Session, key: str, context: str) -> None:
    """Show why a user gets what they get: each rule and clause with its verdict, the place on the line, the revision.

    It is no exposure: nothing is counted.
    """
    connection = session.connection
    body = connection.post(f"{connection.flag_in_environment(key)}/explain", {"context": read_context(context)})

    def people(console: Console) -> None:
        for line, style in lines_of(body, connection.environment):
            console.print(line, style=style, markup=False)

    session.show(body, people)


def read_context(text: str) -> dict[str, Any]:
    """Return the context that was given as JSON.

    Raises:
        CommandFailed: it is not a JSON object.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise CommandFailed(
            f'--context is not a JSON object: {error}\nGive one such as \'{{"targetingKey": "user-1"}}\''
        ) from error
