"""``rheostat ramp show``, ``rheostat ramp restart``: what a ramp was started from, and to start it again."""

from typing import Any

import click
from rich.console import Console

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.numbers import plain
from rheostat_server.cli.options import Session, connected
from rheostat_server.cli.ramp_panel import standing_line
from rheostat_server.cli.ramps import path_of_ramp
from rheostat_server.cli.terminal import moment, print_prose
from rheostat_server.cli.yaml_files import to_yaml


@click.command("show")
@click.argument("ramp_or_flag")
@connected
def show(session: Session, ramp_or_flag: str) -> None:
    """Print the document that a ramp was started from, as YAML that `ramp start -f` takes."""
    body = session.connection.get(path_of_ramp(session.connection, ramp_or_flag))
    if body.get("document") is None and not session.as_json:
        raise CommandFailed(
            f"ramp {body['id']} is from before documents were kept; `rheostat ramp status` has its plan"
        )

    def people(console: Console) -> None:
        click.echo(to_yaml([body["document"]]), nl=False)
        for line in _lines(body):
            console.print(f"# {line}", style="dim", markup=False)

    session.show(body, people)


def _lines(view: dict[str, Any]) -> list[str]:
    steps = ", ".join(f"{step:g}" for step in view["steps"])
    lines = [f"ramp {view['id']}, {view['status']}, started {moment(view['started_at'])} by {view['started_by']}"]
    if view.get("template"):
        lines.append(f"template {view['template']}, version {view['template_version']}")
    if view.get("restart_of"):
        first = view.get("started_from")
        lines.append(f"started again from ramp {view['restart_of']}" + ("" if first is None else f", at {first:g} %"))
    return [*lines, f"steps {steps} %", f"digest {view['digest']}"]


@click.command("restart")
@click.argument("ramp_or_flag")
@click.option(
    "--from",
    "first",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="The step to begin with. [default: the first]",
)
@click.option("--reason", help="Why; the audit log keeps it.")
@connected
def restart(session: Session, ramp_or_flag: str, first: float | None, reason: str | None) -> None:
    """Start a ramp that has ended again, from the same document, at any of its steps.

    A killed flag is revived first: `rheostat flag revive FLAG --reason …`.
    """
    wanted: dict[str, Any] = {} if first is None else {"from": plain(first)}
    if reason:
        wanted["reason"] = reason
    body = session.connection.post(f"{path_of_ramp(session.connection, ramp_or_flag)}/restart", wanted)

    def people(console: Console) -> None:
        print_prose(console, f"{body['flag']}: {standing_line(body)}")
        for note in body.get("notes", []):
            print_prose(console, note, indent=2)

    session.show(body, people)


COMMANDS = (show, restart)
