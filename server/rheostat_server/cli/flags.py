"""``rheostat flag``: flags of a project."""

from typing import Any

import click
from rich.console import Console

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.documents import check
from rheostat_server.cli.flag_exposure import exposure_words, overlay_lines, with_exposure
from rheostat_server.cli.flag_schedule import scheduled_lines
from rheostat_server.cli.groups import Group
from rheostat_server.cli.kill_readback import print_readback, wait_for_readback
from rheostat_server.cli.moves import show_moves, show_moves_of_change, show_moves_of_kill, show_moves_of_patch
from rheostat_server.cli.numbers import plain
from rheostat_server.cli.options import Session, common_options, connected
from rheostat_server.cli.terminal import a_table, print_prose, print_table
from rheostat_server.cli.yaml_files import read_documents, to_yaml


@click.group(cls=Group)
@common_options
def flag() -> None:
    """Flags of a project."""


@flag.command("list")
@click.option("--archived", is_flag=True, help="The archived ones.")
@click.option("--tag", help="Only those with this tag.")
@connected
def list_flags(session: Session, archived: bool, tag: str | None) -> None:
    """List the flags, with what is in force in the environment."""
    connection = session.connection
    flags: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = connection.get(
            f"{connection.of_project}/flags", archived="true" if archived else None, tag=tag, after=after
        )
        flags += page["flags"]
        after = page.get("next")
        if after is None:
            break

    if flags and connection.environment not in flags[0]["in_force"]:
        raise CommandFailed(f"there is no environment {connection.environment!r} in project {connection.project!r}")

    def people(console: Console) -> None:
        if not flags:
            console.print(
                "No flag fits."
                if archived or tag
                else "There are no flags. Make the first: rheostat flag create my-flag"
            )
            return
        table = a_table(
            "FLAG",
            "TYPE",
            f"IN {connection.environment.upper()}",
            "VERSION",
            "OWNER",
            fold=f"IN {connection.environment.upper()}",
        )
        for view in flags:
            document = view["document"]
            words = exposure_words(view, connection.environment)
            table.add_row(document["key"], document["type"], words, str(view["version"]), document.get("owner") or "")
        print_table(console, table)

    session.show({"flags": flags}, people)


@flag.command("get")
@click.argument("key")
@connected
def get_flag(session: Session, key: str) -> None:
    """Print a flag's document as YAML, with what is in force."""
    body = session.connection.get(session.connection.flag(key))

    def people(console: Console) -> None:
        click.echo(to_yaml([body["document"]]), nl=False)
        archived = ", archived" if body.get("archived") else ""
        console.print(f"# version {body['version']}{archived}", style="dim")
        for environment in body["document"].get("environments", {}):
            console.print(f"# {environment}: {exposure_words(body, environment)}", style="dim")
            for line in overlay_lines(body, environment):
                console.print(f"#   {line}", style="dim", markup=False)
        for line in scheduled_lines(session, key):
            console.print(f"# {line}", style="dim", markup=False)

    session.show(body, people)


@flag.command("create")
@click.argument("key")
@click.option("--owner", help="Who answers for it.")
@click.option("--exposure", type=float, default=0.0, show_default=True, help="Percent of users who get `on`.")
@connected
def create_flag(session: Session, key: str, owner: str | None, exposure: float) -> None:
    """Make a boolean flag that is enabled in the environment, at 0 %."""
    document: dict[str, Any] = {
        "kind": "flag",
        "key": key,
        "type": "boolean",
        "variants": {"on": True, "off": False},
        "off_variant": "off",
        "environments": {
            session.connection.environment: {
                "enabled": True,
                "default": {"rollout": {"exposure": plain(exposure), "split": {"on": 1}, "fallback": "off"}},
            }
        },
    }
    if owner:
        document["owner"] = owner
    connection = session.connection
    show_moves(session, document, new=True)
    body = connection.send("PUT", connection.flag(key), body=document, create=True).body
    session.show(body, lambda console: _print_written(console, body, connection.environment))


@flag.command("put")
@click.argument("file")
@click.option("--restart-ramp", is_flag=True, help="Let this restart a ramp whose evidence it invalidates.")
@connected
def put_flag(session: Session, file: str, restart_ramp: bool) -> None:
    """Write the flag in FILE (`-`: standard input). Environments that it does not list stay as they are."""
    documents = read_documents([file])
    if len(documents) > 1:
        raise CommandFailed(f"{file} has {len(documents)} documents; `rheostat apply` takes many")
    check(documents)
    data = documents[0].data
    if data.get("kind", "flag") != "flag":
        raise CommandFailed(f"{file} is a {data['kind']}; `rheostat apply` takes it")
    connection = session.connection
    query = {"restart_ramp": "true" if restart_ramp else None}
    show_moves(session, data, restart_ramp=restart_ramp)
    body = connection.send("PUT", connection.flag(data["key"]), body=data, query=query).body
    session.show(body, lambda console: _print_written(console, body, connection.environment))


def _enable(session: Session, key: str, enabled: bool) -> None:
    connection = session.connection
    change = {"environments": {connection.environment: {"enabled": enabled}}}
    show_moves_of_patch(session, key, change)
    body = connection.send("PATCH", connection.flag(key), body=change).body
    session.show(body, lambda console: _print_written(console, body, connection.environment))


@flag.command("enable")
@click.argument("key")
@connected
def enable_flag(session: Session, key: str) -> None:
    """Enable a flag in the environment."""
    _enable(session, key, enabled=True)


@flag.command("disable")
@click.argument("key")
@connected
def disable_flag(session: Session, key: str) -> None:
    """Disable a flag in the environment: everyone gets its off variant, and a live ramp is aborted."""
    _enable(session, key, enabled=False)


@flag.command("rollout")
@click.argument("key")
@click.argument("percent", type=float)
@click.option("--rule", help="The rollout of this rule, instead of the default's.")
@connected
def roll_out(session: Session, key: str, percent: float, rule: str | None) -> None:
    """Expose PERCENT of users to a flag in the environment, at once and without a guard."""
    connection = session.connection
    answer = connection.send("GET", connection.flag(key))
    document = with_exposure(answer.body["document"], connection.environment, plain(percent), rule)
    show_moves(session, document)
    # If-Match: what somebody else wrote in between is not overwritten.
    body = connection.send("PUT", connection.flag(key), body=document, etag=answer.etag).body
    session.show(body, lambda console: _print_written(console, body, connection.environment))


@flag.command("kill")
@click.argument("key")
@click.option("--reason", required=True, help="Why; the audit log keeps it.")
@click.option(
    "--scope",
    type=click.Choice(["rollout", "flag"]),
    help="What to take back. [default: the ramping rollout where a ramp runs, else the flag]",
)
@click.option("--to-code-default", is_flag=True, help="Without an off variant: let callers use their defaults.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, 600),
    default=10.0,
    show_default=True,
    help="Seconds to wait at most until every instance has applied it.",
)
@click.option("--no-wait", is_flag=True, help="Do not wait, nor tell who has applied it.")
@connected
def kill_flag(session: Session, key: str, wait_seconds: float, no_wait: bool, **options: Any) -> None:
    """Take a flag back in the environment, now, and tell which instances have applied it.

    It stays killed until `revive`. Exits with 0 once the kill is latched, whoever has applied it. Without --scope a
    flag that is killed stays killed as it is.
    """
    wanted = {name: value for name, value in options.items() if value is not None}
    connection = session.connection
    show_moves_of_kill(session, key, wanted)
    body = connection.post(f"{connection.flag_in_environment(key)}/kill", wanted)
    words = f"{key} is killed in {connection.environment}. `rheostat flag revive {key} --reason …` undoes it."
    if not session.as_json:
        session.console.print(words, style="bold red")
        for note in body.get("notes", []):
            print_prose(session.console, note, indent=2)
    if no_wait or not body["kills"]:
        session.show(body, lambda console: None)
        return
    # The newest: where it was killed already, that stands.
    seen = wait_for_readback(connection, body["kills"][-1]["kill_id"], wait_seconds)
    session.show({**body, "readback": seen}, lambda console: print_readback(console, seen))


@flag.command("revive")
@click.argument("key")
@click.option("--reason", required=True, help="Why it is safe now; the audit log keeps it.")
@connected
def revive_flag(session: Session, key: str, reason: str) -> None:
    """Lift the kills of a flag in the environment."""
    connection = session.connection
    show_moves_of_change(session, key, {"revive": {"environment": connection.environment}})
    body = connection.post(f"{connection.flag_in_environment(key)}/revive", {"reason": reason})
    session.show(body, lambda console: console.print(f"{key} is revived in {connection.environment}."))


def _print_written(console: Console, view: dict[str, Any], environment: str) -> None:
    key = view["document"]["key"]
    console.print(f"{key} is at version {view['version']}; {environment}: {exposure_words(view, environment)}")
    for note in view.get("notes", []):
        console.print(f"  {note}")
