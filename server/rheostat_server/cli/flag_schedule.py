"""``rheostat flag schedule``, ``scheduled``, ``unschedule``: changes that wait for their time."""

from typing import Any

import click
from rich.console import Console

from rheostat_server.cli.change_given import change_in, joined, patch_of, targets_of
from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.flag_exposure import exposure_patch
from rheostat_server.cli.moves import show_moves_as_of_now
from rheostat_server.cli.numbers import plain
from rheostat_server.cli.options import Session, connected
from rheostat_server.cli.terminal import a_table, moment, print_table
from rheostat_server.cli.yaml_files import read_documents, to_yaml

_MOST_LINES = 10
_STYLES = {"done": "green", "failed": "red", "cancelled": "dim"}


@click.command("schedule")
@click.argument("key")
@click.option("--at", help='When: "2026-12-01T09:00" with --timezone, or "2026-12-01T09:00:00+01:00".')
@click.option("--timezone", help="The IANA timezone of a local time, such as Europe/Madrid.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Give a field of the environment's part a value (YAML; null takes it away): enabled=true. Repeatable.",
)
@click.option("--exposure", type=float, help="Percent of users to expose.")
@click.option("--rule", help="With --exposure: the rollout of this rule, instead of the default's.")
@click.option("--add-target", multiple=True, metavar="VARIANT=UNIT", help="Make a unit a target. Repeatable.")
@click.option("--remove-target", multiple=True, metavar="VARIANT=UNIT", help="Make it none any more. Repeatable.")
@click.option("--file", help="Read patch, rules and targets, and what else the API takes, from FILE (`-`: the pipe).")
@click.option("--whole-flag", is_flag=True, help="Change the whole document, instead of the environment's part.")
@click.option("--if-version", type=int, help="Only while the flag is at this version: now, and when the time comes.")
@click.option("--note", help="Why; the history keeps it.")
@connected
def schedule(
    session: Session,
    key: str,
    *,
    at: str | None,
    timezone: str | None,
    file: str | None,
    whole_flag: bool,
    if_version: int | None,
    note: str | None,
    **given: Any,
) -> None:
    """Schedule a change of a flag in the environment: any field, applied to the flag as it is then.

    Prints who would move if it were made now.
    """
    connection = session.connection
    wanted = _from_file(file)
    if whole_flag:
        wanted.pop("environment", None)
    elif "environment" not in wanted or session.environment_given:
        wanted["environment"] = connection.environment
    said = {"at": at, "timezone": timezone, "if_version": if_version, "note": note}
    wanted |= {name: value for name, value in said.items() if value is not None}
    if "at" not in wanted:
        raise CommandFailed('say when: --at "2026-12-01T09:00" --timezone Europe/Madrid')
    _add_given(session, key, wanted, **given)
    body = connection.post(f"{connection.flag(key)}/scheduled-changes", wanted)
    show_moves_as_of_now(session, body["moves"])
    session.show(body, lambda console: _print_scheduled(console, body))


@click.command("scheduled")
@click.argument("key", required=False)
@click.option("--all", "every", is_flag=True, help="Those that are done, failed or cancelled too, the latest first.")
@click.option("--id", "scheduled_id", type=int, help="One, with all of the change and what became of it.")
@connected
def scheduled(session: Session, key: str | None, every: bool, scheduled_id: int | None) -> None:
    """List the changes that are scheduled, of a flag or of the project; with -e, those of that environment."""
    connection = session.connection
    if scheduled_id is not None:
        one = connection.get(f"{connection.of_project}/scheduled-changes/{scheduled_id}")
        session.show(one, lambda console: _print_one(console, one))
        return
    changes: list[dict[str, Any]] = []
    after: int | None = None
    while True:
        page = connection.get(
            f"{connection.of_project}/scheduled-changes",
            flag=key,
            environment=connection.environment if session.environment_given else None,
            status="all" if every else None,
            after=after,
        )
        changes += page["changes"]
        after = page.get("next")
        if after is None:
            break
    session.show({"changes": changes}, lambda console: _print_all(console, changes, every=every))


@click.command("unschedule")
@click.argument("scheduled_id", metavar="ID", type=int)
@click.option("--reason", help="Why; the audit log keeps it.")
@connected
def unschedule(session: Session, scheduled_id: int, reason: str | None) -> None:
    """Cancel a scheduled change."""
    path = f"{session.connection.of_project}/scheduled-changes/{scheduled_id}/cancel"
    body = session.connection.post(path, {"reason": reason} if reason else {})
    words = f"The change {scheduled_id} of {body['flag']}, scheduled for {_when(body)}, is cancelled."
    session.show(body, lambda console: console.print(words, markup=False))


COMMANDS = (schedule, scheduled, unschedule)


def scheduled_lines(session: Session, key: str) -> list[str]:
    """Return a line for each pending change of a flag, the next first; the first ten."""
    connection = session.connection
    path = f"{connection.of_project}/scheduled-changes"
    page = connection.get(path, flag=key, limit=_MOST_LINES)
    lines = [f"scheduled for {_when(one)}, {_where(one)}: {one['summary']} ({one['id']})" for one in page["changes"]]
    return lines + (["and more: rheostat flag scheduled"] if page.get("next") else [])


def _from_file(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    documents = read_documents([name])
    if len(documents) > 1:
        raise CommandFailed(f"{name} has {len(documents)} documents; a change is one")
    return change_in(documents[0].data, documents[0].source)


def _add_given(
    session: Session,
    key: str,
    wanted: dict[str, Any],
    *,
    assignments: tuple[str, ...],
    exposure: float | None,
    rule: str | None,
    add_target: tuple[str, ...],
    remove_target: tuple[str, ...],
) -> None:
    """Add to the change what the options say."""
    environment = wanted.get("environment")
    patch, rules = patch_of(assignments), {}
    if rule is not None and exposure is None:
        raise CommandFailed("--rule says whose --exposure; give that too")
    if exposure is not None:
        if environment is None:
            raise CommandFailed("--exposure is of an environment; it does not go with --whole-flag")
        document = session.connection.get(session.connection.flag(key))["document"]
        edit = exposure_patch(document, environment, plain(exposure), rule)
        if rule is None:
            patch = joined(patch, {"default": edit})
        else:
            rules[rule] = edit
    targets = targets_of(add_target, remove_target)
    for name, said in (("patch", patch), ("rules", rules), ("targets", targets)):
        if said:
            wanted[name] = joined(wanted.get(name) or {}, said)


def _print_scheduled(console: Console, body: dict[str, Any]) -> None:
    where = f" in {body['environment']}" if body["environment"] else ""
    console.print(f"{body['flag']} will change{where} at {_when(body)}: {body['summary']}", markup=False)
    for note in body["notes"]:
        console.print(f"  {note}", markup=False, style="yellow" if note.startswith("warning") else "")
    console.print(f"`rheostat flag unschedule {body['id']}` cancels it.", markup=False)


def _print_all(console: Console, changes: list[dict[str, Any]], *, every: bool) -> None:
    if not changes:
        console.print("Nothing was ever scheduled." if every else "Nothing is scheduled.")
        return
    status = ("STATUS",) if every else ()
    table = a_table("ID", "WHEN (UTC)", "FLAG", "WHERE", "WHO", *status, "WHAT", fold="WHAT")
    for one in changes:
        row = [str(one["id"]), moment(one["at"]), one["flag"], _where(one), one["scheduled_by"]]
        what = one["summary"] + (f" ({one['why']})" if one["why"] else "")
        table.add_row(*row, *([one["status"]] if every else []), what, style=_STYLES.get(one["status"]))
    print_table(console, table)


def _print_one(console: Console, body: dict[str, Any]) -> None:
    click.echo(to_yaml([body["change"]]), nl=False)
    console.print(f"# {body['flag']}, {_where(body)}, at {_when(body)}", style="dim", markup=False)
    only = f", only at version {body['if_version']}" if body["if_version"] else ""
    console.print(f"# by {body['scheduled_by']}{only}", style="dim", markup=False)
    if body["note"]:
        console.print(f"# {body['note']}", style="dim", markup=False)
    became = body["status"]
    if body["ended_at"]:
        became += f" at {moment(body['ended_at'])} UTC"
    if body["version"]:
        became += f", version {body['version']}"
    if body["why"]:
        became += f": {body['why']}"
    console.print(f"# {became}", style=_STYLES.get(body["status"], "dim"), markup=False)
    for fault in body["faults"]:
        hint = f" ({fault['hint']})" if fault.get("hint") else ""
        console.print(f"#   {fault['path']}: {fault['message']}{hint}", style="red", markup=False)


def _where(body: dict[str, Any]) -> str:
    return body["environment"] or "the whole flag"


def _when(body: dict[str, Any]) -> str:
    utc = f"{moment(body['at'])} UTC"
    return f"{moment(body['local'])} {body['timezone']} ({utc})" if body["timezone"] else utc
