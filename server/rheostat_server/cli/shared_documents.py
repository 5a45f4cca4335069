"""``rheostat segment``, ``rheostat layer`` and ``rheostat template``: what flags and ramps of a project share."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.documents import check
from rheostat_server.cli.groups import Group
from rheostat_server.cli.moves import show_moves_of_shared
from rheostat_server.cli.options import Session, common_options, connected
from rheostat_server.cli.terminal import a_table, moment, print_table
from rheostat_server.cli.yaml_files import read_documents, to_yaml

_PATHS = {"segment": "segments", "layer": "layers", "template": "ramp-templates"}


def _path(session: Session, kind: str, key: str) -> str:
    return f"{session.connection.of_project}/{_PATHS[kind]}/{quote(key, safe='')}"


def _users(view: dict[str, Any]) -> str:
    """Return who uses it, each once."""
    return ", ".join(dict.fromkeys(f"{use['kind']} {use['key']}" for use in view["used_by"])) or "nothing"


def _all(session: Session, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = session.connection.get(f"{session.connection.of_project}/{_PATHS[kind]}", after=after)
        found += page["items"]
        after = page.get("next")
        if after is None:
            return found


def _restart_ramp(kind: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what gives a command ``--restart-ramp``, where a write may spoil evidence: that of a template does not."""
    if kind == "template":
        return lambda command: command
    return click.option("--restart-ramp", is_flag=True, help="Let this restart ramps whose evidence it invalidates.")


def _group(kind: str, meaning: str) -> click.Group:
    """Return the commands of one kind."""

    @click.group(kind, cls=Group, help=meaning)
    @common_options
    def group() -> None: ...

    @group.command("list", help=f"List the {kind}s, with who uses them.")
    @connected
    def list_them(session: Session) -> None:
        found = _all(session, kind)

        def people(console: Console) -> None:
            if not found:
                console.print(f"There are no {kind}s. Make one: rheostat {kind} put FILE")
                return
            table = a_table(kind.upper(), "VERSION", "OWNER", "USED BY", fold="USED BY")
            for view in found:
                table.add_row(view["key"], str(view["version"]), view["document"].get("owner") or "", _users(view))
            print_table(console, table)

        session.show({f"{kind}s": found}, people)

    @group.command("get", help=f"Print a {kind}'s document as YAML, with who uses it.")
    @click.argument("key")
    @connected
    def get_it(session: Session, key: str) -> None:
        body = session.connection.get(_path(session, kind, key))

        def people(console: Console) -> None:
            click.echo(to_yaml([body["document"]]), nl=False)
            console.print(f"# version {body['version']}, used by {_users(body)}", style="dim")

        session.show(body, people)

    in_force = (
        "It is for ramps that start from now on." if kind == "template" else "It is in force in every environment."
    )

    @group.command("put", help=f"Write the {kind} in FILE (`-`: standard input). {in_force}")
    @click.argument("file")
    @_restart_ramp(kind)
    @connected
    def put_it(session: Session, file: str, restart_ramp: bool = False) -> None:
        documents = read_documents([file])
        if len(documents) > 1:
            raise CommandFailed(f"{file} has {len(documents)} documents; `rheostat apply` takes many")
        check(documents)
        data = documents[0].data
        if data.get("kind", "flag") != kind:
            raise CommandFailed(f"{file} is a {data.get('kind', 'flag')}; `rheostat apply` takes it")
        query = {"restart_ramp": "true" if restart_ramp else None}
        if kind != "template":
            show_moves_of_shared(session, kind, data, restart_ramp=restart_ramp)
        body = session.connection.send("PUT", _path(session, kind, data["key"]), body=data, query=query).body

        def people(console: Console) -> None:
            console.print(f"{body['key']} is at version {body['version']}, used by {_users(body)}")
            for note in body["notes"]:
                console.print(f"  {note}")

        session.show(body, people)

    @group.command("delete", help=f"Delete a {kind} that nothing uses.")
    @click.argument("key")
    @connected
    def delete_it(session: Session, key: str) -> None:
        session.connection.send("DELETE", _path(session, kind, key))
        session.show({"deleted": key}, lambda console: console.print(f"{key} is deleted"))

    @group.command("used-by", help=f"List each place that uses a {kind}.")
    @click.argument("key")
    @connected
    def used_by(session: Session, key: str) -> None:
        body = session.connection.get(_path(session, kind, key))

        def people(console: Console) -> None:
            if not body["used_by"]:
                console.print(f"Nothing uses {key}.")
                return
            table = a_table("KIND", "KEY", "ENVIRONMENT", "PLACE", fold="PLACE")
            for use in body["used_by"]:
                table.add_row(use["kind"], use["key"], use.get("environment") or "", use["path"])
            print_table(console, table)

        session.show({"used_by": body["used_by"]}, people)

    @group.command("history", help=f"List a {kind}'s versions, newest first; of a deleted one too.")
    @click.argument("key")
    @connected
    def history(session: Session, key: str) -> None:
        body = session.connection.get(f"{_path(session, kind, key)}/history")

        def people(console: Console) -> None:
            table = a_table("VERSION", "WHEN (UTC)", "WHO", "WHAT")
            for version in body["versions"]:
                table.add_row(str(version["version"]), moment(version["at"]), version["actor"], version["action"])
            print_table(console, table)

        session.show(body, people)

    return group


segment = _group("segment", "Segments: named sets of users that rules of many flags share.")
layer = _group("layer", "Layers: lines of users of which each flag owns a range, so that no two expose the same user.")
template = _group("template", "Templates: plans of ramps under a name, which ramp documents and environments take.")
