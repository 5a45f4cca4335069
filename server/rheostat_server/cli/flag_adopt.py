"""``rheostat flag adopt``: what promoted ramps made of a flag, in its document."""

import click
from rich.console import Console

from rheostat_server.cli.options import Session, connected
from rheostat_server.cli.yaml_files import to_yaml


@click.command("adopt")
@click.argument("key")
@click.option("--rollout", help="Only this rollout: a rule's name, or `default`.")
@connected
def adopt(session: Session, key: str, rollout: str | None) -> None:
    """Declare in a flag's document what promoted ramps have in force, and print it as YAML, to commit.

    Nobody moves. Where there is nothing to adopt it says so, and prints the document as it is.
    """
    connection = session.connection
    wanted = {} if rollout is None else {"rollout": rollout}
    body = connection.post(f"{connection.flag_in_environment(key)}/adopt", wanted)

    def people(console: Console) -> None:
        # The output is a file that `apply` takes: what is said to people is a comment in it.
        click.echo(to_yaml([body["document"]]), nl=False)
        for line in (*body["notes"], f"version {body['version']}"):
            console.print(f"# {line}", style="dim", markup=False)

    session.show(body, people)
