"""``rheostat hook``: secrets by which other systems may kill."""

from typing import Any

import click
from rich.console import Console

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.credentials import show_secret
from rheostat_server.cli.groups import Group
from rheostat_server.cli.options import Session, common_options, connected
from rheostat_server.cli.terminal import a_table, moment, print_table

_ID_SHOWN = 8


@click.group(cls=Group)
@common_options
def hook() -> None:
    """Secrets by which other systems, such as Alertmanager, may kill flags of a project."""


def _path(session: Session) -> str:
    return f"{session.connection.of_project}/hooks"


@hook.command("list")
@connected
def list_hooks(session: Session) -> None:
    """List the hooks; secrets are not kept, so they cannot be shown."""
    body = session.connection.get(_path(session))

    def people(console: Console) -> None:
        if not body["hooks"]:
            console.print("There are no hooks. Make one: rheostat hook create --label alertmanager")
            return
        table = a_table("ID", "STARTS", "STATE", "LAST USED (UTC)", "MAY KILL", "LABEL", fold="MAY KILL")
        for one in body["hooks"]:
            table.add_row(
                one["id"][:_ID_SHOWN],
                one["hint"],
                "revoked" if one.get("revoked_at") else "valid",
                moment(one.get("last_used_at")),
                _scope(one),
                one["label"],
            )
        print_table(console, table)

    session.show(body, people)


@hook.command("create")
@click.option("--label", required=True, help="Who holds it; kills and the audit log name it.")
@click.option("--only-environment", "environments", multiple=True, help="Only there. May be repeated.")
@click.option("--only-flag", "flags", multiple=True, help="Only this flag. May be repeated.")
@click.option("--expires-in", help="For example 90d.")
@connected
def create_hook(
    session: Session, label: str, environments: tuple[str, ...], flags: tuple[str, ...], expires_in: str | None
) -> None:
    """Make a hook and print its secret, once."""
    wanted: dict[str, Any] = {"label": label, "environments": environments, "flags": flags}
    if expires_in is not None:
        wanted["expires_in"] = expires_in
    body = session.connection.post(_path(session), wanted)
    session.show(body, lambda console: show_secret(body))


@hook.command("revoke")
@click.argument("hook_id")
@connected
def revoke_hook(session: Session, hook_id: str) -> None:
    """Refuse this hook from now on; an id's beginning or the secret's first characters will do."""
    hooks = session.connection.get(_path(session))["hooks"]
    found = [one["id"] for one in hooks if hook_id and (one["id"].startswith(hook_id) or one["hint"] == hook_id)]
    if len(found) != 1:
        said = "several begin so" if found else "`rheostat hook list` shows them"
        raise CommandFailed(f"there is no one hook {hook_id!r}: {said}")
    body = session.connection.send("DELETE", f"{_path(session)}/{found[0]}").body
    session.show(body, lambda console: console.print(f"{body['hint']}… ({body['label']}) is revoked"))


def _scope(one: dict[str, Any]) -> str:
    flags = ", ".join(one["flags"]) or "any flag"
    return f"{flags} in {', '.join(one['environments'])}" if one["environments"] else flags
