"""``rheostat flag history``, ``diff``, ``restore``, ``archive``, ``unarchive``: a flag through time."""

import click
from rich.console import Console

from rheostat_server.cli.flag_exposure import overlay_lines
from rheostat_server.cli.moves import show_moves_of_change
from rheostat_server.cli.options import Session, connected
from rheostat_server.cli.terminal import a_table, moment, print_table

_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


@click.command("history")
@click.argument("key")
@connected
def history(session: Session, key: str) -> None:
    """List a flag's versions, newest first."""
    body = session.connection.get(f"{session.connection.flag(key)}/history")

    def people(console: Console) -> None:
        table = a_table("VERSION", "WHEN (UTC)", "WHO", "WHAT", "NOTE", fold="NOTE")
        for version in body["versions"]:
            table.add_row(
                str(version["version"]),
                moment(version["at"]),
                version["actor"],
                version["action"],
                version.get("note") or "",
            )
        print_table(console, table)

    session.show(body, people)


@click.command("diff")
@click.argument("key")
@click.argument("from_version", type=int, required=False)
@click.argument("to_version", type=int, required=False)
@connected
def diff(session: Session, key: str, from_version: int | None, to_version: int | None) -> None:
    """Show what changed between two versions. [default: the last change]"""
    path = f"{session.connection.flag(key)}/diff"
    body = session.connection.send("GET", path, query={"from": from_version, "to": to_version}).body

    def people(console: Console) -> None:
        for line in body["lines"]:
            console.print(line, style=_DIFF_STYLES.get(line[:1], ""), markup=False)
        if not body["lines"]:
            console.print(f"versions {body['from']} and {body['to']} are the same")
        view = session.connection.get(session.connection.flag(key))
        for environment in view["in_force"]:
            for line in overlay_lines(view, environment):
                console.print(f"# {environment}: {line}", style="dim", markup=False)

    session.show(body, people)


@click.command("restore")
@click.argument("key")
@click.argument("version", type=int)
@click.option("--note", help="Why; the history keeps it.")
@connected
def restore(session: Session, key: str, version: int, note: str | None) -> None:
    """Write an earlier version again, as a new version."""
    show_moves_of_change(session, key, {"restore": {"version": version}})
    wanted = {"version": version} | ({"note": note} if note else {})
    body = session.connection.post(f"{session.connection.flag(key)}/restore", wanted)
    words = f"{key} is at version {body['version']}, which is version {version} again"
    session.show(body, lambda console: console.print(words))


@click.command("archive")
@click.argument("key")
@click.option("--force", is_flag=True, help="Although it is still a prerequisite, or was evaluated lately.")
@connected
def archive(session: Session, key: str, force: bool) -> None:
    """Take a flag out of service; callers get their defaults."""
    show_moves_of_change(session, key, {"archive": {"force": force}})
    body = session.connection.post(f"{session.connection.flag(key)}/archive", {"force": force})

    def people(console: Console) -> None:
        console.print(f"{key} is archived. `rheostat flag unarchive {key}` undoes it.")
        for note in body.get("notes", []):
            console.print(f"  {note}", markup=False)

    session.show(body, people)


@click.command("unarchive")
@click.argument("key")
@connected
def unarchive(session: Session, key: str) -> None:
    """Put an archived flag back into service."""
    show_moves_of_change(session, key, {"unarchive": {}})
    body = session.connection.post(f"{session.connection.flag(key)}/unarchive")
    session.show(body, lambda console: console.print(f"{key} is back, at version {body['version']}"))


COMMANDS = (history, diff, restore, archive, unarchive)
