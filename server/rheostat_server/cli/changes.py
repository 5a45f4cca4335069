"""``rheostat changes``: who changed what, lately."""

import click
from rich.console import Console

from rheostat_server.cli.options import Session, connected
from rheostat_server.cli.terminal import a_table, moment, print_table


@click.command()
@click.option("--since", default="30m", show_default=True, help="How far back: 90s, 30m, 2h, 7d, or an RFC 3339 time.")
@click.option("--all", "everywhere", is_flag=True, help="All projects and environments.")
@connected
def changes(session: Session, since: str, everywhere: bool) -> None:
    """List what changed lately in the project: the first question of an incident.

    With -e, what changed in that environment; with --all, everything.
    """
    connection = session.connection
    body = connection.get(
        "/changes",
        since=since,
        project=None if everywhere else connection.project,
        environment=connection.environment if session.environment_given and not everywhere else None,
    )

    def people(console: Console) -> None:
        if not body["changes"]:
            console.print(f"Nothing changed since {moment(body['since'])} UTC.")
            return
        table = a_table("WHEN (UTC)", "WHO", "WHERE", "WHAT", fold="WHAT")
        for change in body["changes"]:
            places = (change["project"] if everywhere else None, change["environment"])
            where = "/".join(place for place in places if place)
            table.add_row(moment(change["at"]), change["actor"], where, change["summary"])
        print_table(console, table)
        if body.get("truncated"):
            console.print("There is more; say --since with a shorter time, or see the audit log of the API.")

    session.show(body, people)
