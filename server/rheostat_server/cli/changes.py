"""``rheostat changes``: who changed what, lately."""

import click
from rich.console import Console

from rheostat_server.cli.options import Session, connected
from rheostat_server.cli.tables import a_table


@click.command()
@click.option("--since", default="30m", show_default=True, help="How far back: 90s, 30m, 2h, 7d, or an RFC 3339 time.")
@click.option("--all", "everywhere", is_flag=True, help="All projects and environments.")
@connected
def changes(session: Session, since: str, everywhere: bool) -> None:
    """List what changed: the first question of an incident."""
    connection = session.connection
    body = connection.get(
        "/changes",
        since=since,
        project=None if everywhere else connection.project,
    )

    def people(console: Console) -> None:
        if not body["changes"]:
            console.print(f"Nothing changed in the last {since}.")
            return
        table = a_table("WHEN", "WHO", "WHERE", "WHAT")
        for change in body["changes"]:
            where = "/".join(part for part in (change.get("project"), change.get("environment")) if part)
            table.add_row(change["at"], change["actor"], where, change["summary"])
        console.print(table)

    session.show(body, people)
