"""``rheostat ramp``: raise a flag's exposure on evidence."""

import re
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.text import Text

from rheostat_server.cli.connection import CommandFailed, Connection
from rheostat_server.cli.documents import check
from rheostat_server.cli.groups import Group
from rheostat_server.cli.numbers import plain
from rheostat_server.cli.options import Session, common_options, connected
from rheostat_server.cli.ramp_panel import ramp_panel, standing_line, status_text, telling
from rheostat_server.cli.ramp_watch import ENDED, watch
from rheostat_server.cli.terminal import a_table, moment, panel_width, print_prose, print_table
from rheostat_server.cli.yaml_files import FileDocument, read_documents
from rheostat_server.ramps.model import Plan
from rheostat_server.ramps.simulation.estimate import outlook
from rheostat_server.ramps.words import duration

_DECISIONS_READ = 200
_DECISIONS_SHOWN = 8


@click.group(cls=Group)
@common_options
def ramp() -> None:
    """Raise a flag's exposure on evidence, and take it back when it hurts."""


@ramp.command("start")
@click.argument("flag", required=False)
@click.option("-f", "--file", help="A ramp document; FLAG and the options below are then not needed.")
@click.option("--rollout", help="A rule's rollout, instead of the default's.")
@click.option("--steps", help="Percentages, such as 1,5,25,50,100.")
@click.option("--preflight", help="How long to watch before the first step. [default: 10m]")
@click.option("--no-preflight", is_flag=True, help="Expose at once, without watching who fails anyway.")
@click.option("--min-dwell", help="The least time on each step. [default: 60s]")
@click.option("--soak", help="How long to watch at the last step. [default: 1h]")
@click.option("--holdback", type=float, help="Percent of users kept as control to the end.")
@click.option("--users", type=int, help="About how many users the rollout has, where a former ramp does not tell.")
@click.option("--unguarded", is_flag=True, help="Move by time alone.")
@click.option("--rps", type=click.FloatRange(0, min_open=True), help="Requests a second, to tell times beforehand.")
@connected
def start(session: Session, flag: str | None, file: str | None, rps: float | None, **options: Any) -> None:
    """Start a ramp of FLAG in the environment, and say what to expect of it; `ramp simulate` says more.

    What is expected supposes 0.5 % failing requests, and 2 % with the variant if it is harmful.
    """
    connection = session.connection
    document = _document(connection, flag, file, options)
    if not session.environment_given:
        # A document says for which environment it is.
        connection.environment = str(document.get("environment") or connection.environment)
    body = connection.post(f"{connection.of_environment}/ramps", document)

    def people(console: Console) -> None:
        _print_line(console, body)
        for note in body.get("notes", []):
            print_prose(console, note, indent=2)
        for line in outlook(msgspec.convert(body["plan"], Plan), rps):
            print_prose(console, line, indent=2)
        console.print(f"Watch it: rheostat ramp watch {body['flag']}", style="dim", markup=False)

    session.show(body, people)


@ramp.command("guardrails")
@click.argument("file")
@connected
def try_guardrails(session: Session, file: str) -> None:
    """Show what the queries of a ramp document's guardrails return now; exits with 1 where one is wrong.

    Nothing is started.
    """
    connection = session.connection
    document = _document(connection, None, file, {})
    if not session.environment_given:
        connection.environment = str(document.get("environment") or connection.environment)
    body = connection.post(f"{connection.of_environment}/guardrails/try", document)
    session.show(body, lambda console: _print_trial(console, body["guardrails"]))
    if any(one["problem"] for one in body["guardrails"]):
        raise click.exceptions.Exit(1)


@ramp.command("status")
@click.argument("ramp_or_flag", required=False)
@connected
def status(session: Session, ramp_or_flag: str | None) -> None:
    """Show one ramp, by its id or its flag, or list all of the environment."""
    connection = session.connection
    if ramp_or_flag is None:
        body = connection.get(f"{connection.of_environment}/ramps")
        session.show(body, lambda console: _print_ramps(console, connection, body["ramps"]))
        return
    path = path_of_ramp(connection, ramp_or_flag)
    view = connection.get(path)

    def people(console: Console) -> None:
        decisions = connection.get(f"{path}/decisions", last=_DECISIONS_READ)["decisions"]
        shown = telling(decisions, _DECISIONS_SHOWN)
        console.print(ramp_panel(view, width=panel_width(console), decisions=shown), soft_wrap=False)

    session.show(view, people)


@ramp.command("watch")
@click.argument("ramp_or_flag")
@connected
def watch_ramp(session: Session, ramp_or_flag: str) -> None:
    """Watch a ramp until it ends; exits with 1 when it was killed or aborted.

    With --json, or into a pipe: a line for each move.
    """
    view = watch(session, path_of_ramp(session.connection, ramp_or_flag))
    if view["status"] != "promoted":
        raise click.exceptions.Exit(1)


def _print_ramps(console: Console, connection: Connection, ramps: list[dict[str, Any]]) -> None:
    if not ramps:
        console.print(f"No ramps in {connection.environment}. Start one: rheostat ramp start FLAG")
        return
    table = a_table("FLAG", "STATUS", "EXPOSURE", "STARTED (UTC)", "STANDING", fold="STANDING")
    for view in ramps:
        name = view["flag"] if view["rollout"] == "default" else f"{view['flag']} ({view['rollout']})"
        exposure = f"{view['exposure']:g} %"
        table.add_row(name, status_text(view), exposure, moment(view["started_at"]), _in_list(view))
    print_table(console, table)


def _in_list(view: dict[str, Any]) -> str:
    line = standing_line(view)
    return f"unattended for {duration(view['silent_s'])}; {line}" if view.get("attended") is False else line


def _print_trial(console: Console, tried: list[dict[str, Any]]) -> None:
    if not tried:
        console.print("No guardrail here reads queries: the server's own counts need no trial.")
    for one in tried:
        if one["problem"]:
            console.print(Text(f"{one['name']}: {one['problem']}", "bold red"))
        for line in one["lines"]:
            if line != f"{one['name']}: {one['problem']}":
                console.print(Text(line))
        may = "may kill" if one["may_kill"] else "holds, does not kill"
        bound = "" if one["bound_ms"] is None else f", bad above {one['bound_ms']} ms"
        why = f"from {one['history_minutes'] // 60} h of history"
        if one["unmeasured"] is not None:
            why = "not measured" if one["unmeasured"] == one["problem"] else one["unmeasured"]
        console.print(Text(f"{one['name']}: {may}{bound}; φ = {one['phi']:.3g} ({why})", "dim"))


def _act(session: Session, ramp_or_flag: str, action: str, reason: str | None) -> None:
    connection = session.connection
    body = connection.post(f"{path_of_ramp(connection, ramp_or_flag)}/{action}", {"reason": reason} if reason else {})
    session.show(body, lambda console: _print_line(console, body))


def _action(name: str, help_text: str, *, reason_required: bool = False) -> None:
    @ramp.command(name, help=help_text)
    @click.argument("ramp_or_flag")
    @click.option("--reason", required=reason_required, help="Why; the audit log keeps it.")
    @connected
    def command(session: Session, ramp_or_flag: str, reason: str | None) -> None:
        _act(session, ramp_or_flag, name, reason)


_action("pause", "Stay at this exposure. Evidence is still read, and still kills.")
_action("resume", "Go on after a pause.")
_action("approve", "Let a ramp through the manual gate at which it waits.")
_action("advance", "Go up one step now, without proof.", reason_required=True)
_action("abort", "End the ramp and go back to the exposure in force when it started.", reason_required=True)


def _document(connection: Connection, flag: str | None, file: str | None, options: dict[str, Any]) -> dict[str, Any]:
    if file is not None:
        # A file may hold the flag beside its ramp, for `apply`.
        every = read_documents([file])
        documents = [one for one in every if isinstance(one.data, dict) and one.data.get("kind") == "ramp"] or every
        if len(documents) != 1:
            raise CommandFailed(f"{file} has {len(documents)} documents; one ramp is started at a time")
        check(documents)
        data: dict[str, Any] = documents[0].data
        return data
    if flag is None:
        raise CommandFailed("say which flag to ramp, or give a document with --file")
    document: dict[str, Any] = {"kind": "ramp", "flag": flag, "environment": connection.environment}
    if options["steps"]:
        document["steps"] = [_number(part) for part in options["steps"].split(",")]
    if options["no_preflight"]:
        document["preflight"] = "0s"
    for name in ("rollout", "preflight", "min_dwell", "soak", "holdback", "users"):
        if options[name] is not None:
            document[name] = plain(options[name]) if name == "holdback" else options[name]
    if options["unguarded"]:
        document["unguarded"] = True
    check([FileDocument("the command line", document)])
    return document


def _number(text: str) -> int | float:
    try:
        number = float(text.strip().removesuffix("%"))
    except ValueError as error:
        raise CommandFailed(f"--steps: {text.strip()!r} is not a percentage; write them as 1,5,25,50,100") from error
    return plain(number)


def path_of_ramp(connection: Connection, ramp_or_flag: str) -> str:
    """Return the path of a ramp that is named by its id or by its flag (the live one then, else the newest)."""
    base = f"{connection.of_environment}/ramps"
    of_flag = connection.get(base, flag=ramp_or_flag)["ramps"]
    if not of_flag:
        if re.fullmatch(r"[0-9a-f-]{36}", ramp_or_flag):
            return f"{base}/{ramp_or_flag}"
        raise CommandFailed(
            f"there is no ramp of {ramp_or_flag!r} in {connection.environment}; `rheostat ramp status` lists them"
        )
    live = [view for view in of_flag if view["status"] not in ENDED]
    if len(live) > 1:
        ids = ", ".join(f"{view['id']} ({view['rollout']})" for view in live)
        raise CommandFailed(f"{ramp_or_flag} has several live ramps; name one: {ids}")
    newest = max(live or of_flag, key=lambda view: str(view["started_at"]))
    return f"{base}/{newest['id']}"


def _print_line(console: Console, view: dict[str, Any]) -> None:
    print_prose(console, f"{view['flag']}: {standing_line(view)}")
