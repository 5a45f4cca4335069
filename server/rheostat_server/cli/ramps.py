"""``rheostat ramp``: raise a flag's exposure on evidence."""

import re
from typing import Any
from urllib.parse import quote

import click
import msgspec
from rich.console import Console
from rich.text import Text

from rheostat_server.cli.connection import CommandFailed, Connection
from rheostat_server.cli.documents import check
from rheostat_server.cli.groups import Group
from rheostat_server.cli.options import Session, common_options, connected
from rheostat_server.cli.ramp_actions import may_now
from rheostat_server.cli.ramp_files import ramp_of_file
from rheostat_server.cli.ramp_options import fields_given, flag_given
from rheostat_server.cli.ramp_panel import look_on, ramp_picture, standing_line, status_text
from rheostat_server.cli.ramp_watch import watch
from rheostat_server.cli.ramp_watched import ENDED, moves_of
from rheostat_server.cli.terminal import a_table, moment, print_prose, print_table
from rheostat_server.cli.yaml_files import FileDocument
from rheostat_server.ramps.model import Plan
from rheostat_server.ramps.simulation.estimate import outlook
from rheostat_server.ramps.words import duration

_DECISIONS_READ = 200


@click.group(cls=Group)
@common_options
def ramp() -> None:
    """Raise a flag's exposure on evidence, and take it back when it hurts."""


@ramp.command("start")
@click.argument("flag", required=False)
@click.option("-f", "--file", help="A ramp document, or Flagger's or Argo Rollouts' own. Options go over its fields.")
@click.option("--flag", "of_flag", help="The flag, where the file is Flagger's Canary or Argo's Rollout.")
@click.option("--rule", type=click.Choice(["guard", "threshold"]), help="Who decides. [default: guard]")
@click.option("--template", help="A template of the project; `none`: not even the environment's default.")
@click.option("--rollout", help="A rule's rollout, instead of the default's.")
@click.option("--steps", help="Percentages, such as 1,5,25,50,100.")
@click.option("--strategy", help="canary, linear, exponential or blue-green. [default: canary]")
@click.option("--step-weight", type=float, help="Of linear: percent from step to step.")
@click.option("--first-weight", type=float, help="Of exponential: percent of the first step. [default: 1]")
@click.option("--factor", type=float, help="Of exponential: how many times the one before each step is. [default: 2]")
@click.option("--max-weight", type=float, help="Of linear and exponential: percent of the last step before 100.")
@click.option("--start-at", help="Start later: an RFC 3339 time, or a local one with --timezone.")
@click.option("--timezone", help="Of --start-at, such as Europe/Madrid.")
@click.option("--preflight", help="How long to watch before the first step. [default: 10m]")
@click.option("--no-preflight", is_flag=True, help="Expose at once, without watching who fails anyway.")
@click.option("--min-dwell", help="The least time on each step. [default: 60s]")
@click.option("--soak", help="How long to watch at the last step. [default: 1h]")
@click.option("--holdback", type=float, help="Percent of users kept as control to the end.")
@click.option("--users", type=int, help="About how many users the rollout has, where a former ramp does not tell.")
@click.option("--unguarded", is_flag=True, help="Move by time alone.")
@click.option("--rps", type=click.FloatRange(0, min_open=True), help="Requests a second, to tell times beforehand.")
@connected
def start(
    session: Session, flag: str | None, file: str | None, of_flag: str | None, rps: float | None, **options: Any
) -> None:
    """Start a ramp of FLAG in the environment, and say what to expect of it; `ramp simulate` says more.

    What is expected supposes 0.5 % failing requests, and 2 % with the variant if it is harmful.
    """
    connection = session.connection
    document = _document(connection, flag_given(flag, of_flag), file, options)
    if not session.environment_given:
        # A document says for which environment it is.
        connection.environment = str(document.get("environment") or connection.environment)
    body = connection.post(f"{connection.of_environment}/ramps", document)

    def people(console: Console) -> None:
        _print_line(console, body)
        print_prose(
            console, f"{body['strategy']}: steps {', '.join(f'{step:g}' for step in body['steps'])} %", indent=2
        )
        for note in body.get("notes", []):
            print_prose(console, note, indent=2)
        for line in outlook(msgspec.convert(body["plan"], Plan), rps):
            print_prose(console, line, indent=2)
        console.print(f"Watch it: rheostat ramp watch {body['flag']}", style="dim", markup=False)

    session.show(body, people)


@ramp.command("guardrails")
@click.argument("file")
@click.option("--flag", help="The flag, where the file is Flagger's Canary or Argo's Rollout.")
@connected
def try_guardrails(session: Session, file: str, flag: str | None) -> None:
    """Show what the queries of a ramp document's guardrails return now; exits with 1 where one is wrong.

    By `rule: threshold` each check is asked once. Nothing is started.
    """
    connection = session.connection
    document = _document(connection, flag, file, {})
    if not session.environment_given:
        connection.environment = str(document.get("environment") or connection.environment)
    body = connection.post(f"{connection.of_environment}/guardrails/try", document)
    session.show(body, lambda console: _print_trial(console, body["guardrails"], body["checks"]))
    if any(one["problem"] for one in (*body["guardrails"], *body["checks"])):
        raise click.exceptions.Exit(1)


@ramp.command("status")
@click.argument("ramp_or_flag", required=False)
@click.option("-A", "--all-environments", is_flag=True, help="List those of every environment of the project.")
@connected
def status(session: Session, ramp_or_flag: str | None, all_environments: bool) -> None:
    """Show one ramp as `ramp watch` does, by its id or its flag, and what may be done to it now; or list all of the
    environment.
    """
    connection = session.connection
    if ramp_or_flag is not None and all_environments:
        raise CommandFailed("--all-environments lists ramps; to show one, say its environment with -e")
    if ramp_or_flag is None:
        body = _every_ramp(connection) if all_environments else connection.get(f"{connection.of_environment}/ramps")
        where = "any environment" if all_environments else connection.environment
        session.show(body, lambda console: _print_ramps(console, body["ramps"], where, each=all_environments))
        return
    path = path_of_ramp(connection, ramp_or_flag)
    view = connection.get(path)

    def people(console: Console) -> None:
        decisions = connection.get(f"{path}/decisions", last=_DECISIONS_READ)["decisions"]
        moves = moves_of(connection.get, path)
        foot = Text(f"ramp {view['id']}", "dim")
        for line in ramp_picture(view, look_on(console), decisions=decisions, moves=moves, last=foot):
            console.print(line)
        print_prose(console, may_now(view), style="dim")

    session.show(view, people)


@ramp.command("watch")
@click.argument("ramp_or_flag")
@connected
def watch_ramp(session: Session, ramp_or_flag: str) -> None:
    """Watch a ramp until it ends; exits with 1 when it was killed or aborted.

    With --json, into a pipe, or where the terminal is dumb: a line for each move. A server that goes away is waited
    for. By its flag, a ramp that a restart puts in this one's place is watched on. Ctrl-C leaves the ramp alone.
    """
    view = watch(session, lambda: path_of_ramp(session.connection, ramp_or_flag))
    if view["status"] != "promoted":
        raise click.exceptions.Exit(1)


def _every_ramp(connection: Connection) -> dict[str, Any]:
    every = connection.get(f"{connection.of_project}/environments")["environments"]
    ramps: list[dict[str, Any]] = []
    for environment in every:
        ramps += connection.get(f"{connection.of_project}/environments/{quote(environment['key'], safe='')}/ramps")[
            "ramps"
        ]
    return {"ramps": sorted(ramps, key=lambda view: str(view["started_at"]), reverse=True)}


def _print_ramps(console: Console, ramps: list[dict[str, Any]], where: str, *, each: bool) -> None:
    if not ramps:
        console.print(f"No ramps in {where}. Start one: rheostat ramp start FLAG")
        return
    columns = ("FLAG", *(("ENVIRONMENT",) if each else ()), "STATUS", "EXPOSURE", "STARTED (UTC)", "STANDING")
    table = a_table(*columns, fold="STANDING")
    for view in ramps:
        name = view["flag"] if view["rollout"] == "default" else f"{view['flag']} ({view['rollout']})"
        cells = [name, *([view["environment"]] if each else []), status_text(view), f"{view['exposure']:g} %"]
        # A draft has not started: its time is in its standing.
        started = "-" if view["status"] == "draft" else moment(view["started_at"])
        table.add_row(*cells, started, _in_list(view))
    print_table(console, table)


def _in_list(view: dict[str, Any]) -> str:
    line = standing_line(view)
    return f"unattended for {duration(view['silent_s'])}; {line}" if view.get("attended") is False else line


def _print_trial(console: Console, tried: list[dict[str, Any]], checks: list[dict[str, Any]]) -> None:
    for asked in checks:
        line = f"{asked['name']} {asked['said']}; wanted: {asked['wanted']}"
        verdict, style = {True: ("good", ""), False: ("fails", "bold red"), None: ("", "")}[asked["good"]]
        if asked["problem"]:
            style = "bold red"
        print_prose(console, f"{line}: {verdict}" if verdict else line, style=style)
        if asked["query"] is not None:
            print_prose(console, f"from {asked['query']}", indent=2)
    if not tried and not checks:
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

    def people(console: Console) -> None:
        _print_line(console, body)
        for note in body.get("notes", []):
            print_prose(console, note, indent=2)

    session.show(body, people)


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
_action("advance", "Go up one step now, without proof; of a draft: start it now.", reason_required=True)
_action("abort", "End the ramp and go back to the exposure in force when it started.", reason_required=True)


def _document(connection: Connection, flag: str | None, file: str | None, options: dict[str, Any]) -> dict[str, Any]:
    if file is not None:
        data, left_out = ramp_of_file(file, connection.environment, flag=flag, given=fields_given(options))
        for line in left_out:
            click.echo(line, err=True)
        return data
    if flag is None:
        raise CommandFailed("say which flag to ramp, or give a document with --file")
    document = {"kind": "ramp", "flag": flag, "environment": connection.environment, **fields_given(options)}
    check([FileDocument("the command line", document)])
    return document


def path_of_ramp(connection: Connection, ramp_or_flag: str) -> str:
    """Return the path of a ramp that is named by its id or by its flag: the live one then, else the newest.

    One that starts later goes before those that are over.
    """
    base = f"{connection.of_environment}/ramps"
    of_flag = connection.get(base, flag=ramp_or_flag)["ramps"]
    if not of_flag:
        if re.fullmatch(r"[0-9a-f-]{36}", ramp_or_flag):
            return f"{base}/{ramp_or_flag}"
        raise CommandFailed(
            f"there is no ramp of {ramp_or_flag!r} in {connection.environment}; `rheostat ramp status` lists them"
        )
    drafts = [view for view in of_flag if view["status"] == "draft"]
    live = [view for view in of_flag if view["status"] not in ENDED and view not in drafts] or drafts
    if len(live) > 1:
        ids = ", ".join(f"{view['id']} ({view['rollout']})" for view in live)
        what = "several drafts" if live == drafts else "several live ramps"
        raise CommandFailed(f"{ramp_or_flag} has {what}; name one: {ids}")
    newest = max(live or of_flag, key=lambda view: str(view["started_at"]))
    return f"{base}/{newest['id']}"


def _print_line(console: Console, view: dict[str, Any]) -> None:
    print_prose(console, f"{view['flag']}: {standing_line(view)}")
