"""``rheostat notify``: where notifications go, and what became of each."""

import sys
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.groups import Group
from rheostat_server.cli.options import Session, common_options, connected
from rheostat_server.cli.terminal import a_table, moment, print_prose, print_table

_STYLES = {"delivered": "green", "failed": "red", "pending": "yellow"}
_FILTERS = ("environments", "events", "flags", "tags")


@click.group(cls=Group)
@common_options
def notify() -> None:
    """Notifications of ramps and kills: channels and deliveries."""


@notify.group(cls=Group)
@common_options
def channel() -> None:
    """Where notifications of a project go."""


def _channels(session: Session) -> str:
    return f"{session.connection.of_project}/notification-channels"


def _one(session: Session, name: str) -> str:
    return f"{_channels(session)}/{quote(name, safe='')}"


@channel.command("add")
@click.argument("name")
@click.option("--kind", type=click.Choice(["webhook", "slack", "email"]), required=True, help="How it is reached.")
@click.option("--to-url", help="The address of a webhook, or an incoming one of Slack, Mattermost … (`-`: the pipe)")
@click.option("--to", "addresses", multiple=True, metavar="ADDRESS", help="An e-mail address. Repeatable.")
@click.option("--secret", help="The secret to sign with (`-`: the pipe). Without: one is made, and printed once.")
@click.option("--in", "environments", multiple=True, metavar="ENVIRONMENT", help="Only of this one. Repeatable.")
@click.option("--event", "events", multiple=True, help="Only of this kind, such as killed. Repeatable.")
@click.option("--flag", "flags", multiple=True, metavar="KEY", help="Only of this flag. Repeatable.")
@click.option("--tag", "tags", multiple=True, help="Only of flags with this tag (or named by --flag). Repeatable.")
@connected
def add(
    session: Session,
    name: str,
    *,
    kind: str,
    to_url: str | None,
    addresses: tuple[str, ...],
    secret: str | None,
    **filters: tuple[str, ...],
) -> None:
    """Add a channel. A webhook's secret is printed alone on standard output, once."""
    given: dict[str, Any] = {"url": _said(to_url), "secret": _said(secret), "to": addresses or None}
    given |= {key: filters[key] or None for key in _FILTERS}
    body = {"name": name, "kind": kind, **{key: value for key, value in given.items() if value is not None}}
    made = session.connection.post(_channels(session), body)
    session.show(made, lambda console: _print_made(console, made))


@channel.command("list")
@connected
def list_channels(session: Session) -> None:
    """List the channels; secrets are not shown again."""
    body = session.connection.get(_channels(session))
    session.show(body, lambda console: _print_channels(console, body["channels"]))


@channel.command("remove")
@click.argument("name")
@connected
def remove(session: Session, name: str) -> None:
    """Remove a channel, with its deliveries; what waits for it is not sent."""
    body = session.connection.send("DELETE", _one(session, name)).body
    session.show(body, lambda console: console.print(f"The channel {name} is removed.", markup=False))


@channel.command("test")
@click.argument("name")
@connected
def test(session: Session, name: str) -> None:
    """Send a test message now; exits with 1 where it does not arrive."""
    body = session.connection.post(f"{_one(session, name)}/test", {})
    if not body["delivered"] and not session.as_json:
        raise CommandFailed(f"it did not arrive at {name}: {body['detail']}")
    session.show(body, lambda console: print_prose(console, f"It arrived at {name}.{_also(body['detail'])}"))
    if not body["delivered"]:
        click.get_current_context().exit(1)


@channel.command("rotate")
@click.argument("name")
@click.option("--overlap", default="24h", show_default=True, help="So long the former secret signs as well.")
@connected
def rotate(session: Session, name: str, overlap: str) -> None:
    """Make a webhook's secret anew, and print it, once."""
    body = session.connection.post(f"{_one(session, name)}/rotate", {"overlap": overlap})
    session.show(body, lambda console: _print_made(console, body))


@notify.command("deliveries")
@click.option("--channel", "only", metavar="NAME", help="Those to this channel.")
@click.option("--status", type=click.Choice(["pending", "delivered", "failed"]), help="Those that are so.")
@click.option("--flag", metavar="KEY", help="Those about this flag.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="So many, the newest first.")
@click.option("--id", "delivery_id", type=int, help="One, with all of its message (as JSON).")
@connected
def deliveries(
    session: Session, only: str | None, *, status: str | None, flag: str | None, limit: int, delivery_id: int | None
) -> None:
    """List deliveries, the newest first."""
    path = f"{session.connection.of_project}/notification-deliveries"
    if delivery_id is not None:
        one = session.connection.get(f"{path}/{delivery_id}")
        session.show(one, lambda console: _print_delivery(console, one))
        return
    page = session.connection.get(path, channel=only, status=status, flag=flag, limit=limit)
    session.show(page, lambda console: _print_deliveries(console, page["deliveries"]))


@notify.command("resend")
@click.argument("delivery_id", metavar="ID", type=int)
@connected
def resend(session: Session, delivery_id: int) -> None:
    """Send a delivery again that was delivered or has failed; its receiver sees the same id."""
    body = session.connection.post(f"{session.connection.of_project}/notification-deliveries/{delivery_id}/resend", {})
    words = f"The delivery {delivery_id} to {body['channel']} is sent again."
    session.show(body, lambda console: console.print(words, markup=False))


def _said(given: str | None) -> str | None:
    """Return what was given; of secrets people prefer the pipe to the shell's history."""
    return sys.stdin.readline().strip() if given == "-" else given


def _also(detail: str | None) -> str:
    return f" But: {detail}" if detail else ""


def _print_made(console: Console, body: dict[str, Any]) -> None:
    if body["secret"]:
        click.echo(body["secret"])
        click.echo(f"the secret of {body['name']}, shown once: with it the receiver checks the signature", err=True)
    else:
        console.print(f"The channel {body['name']} is there.", markup=False)
    if body["old_secret_until"]:
        click.echo(f"the former one signs as well until {moment(body['old_secret_until'])} UTC", err=True)
    for note in body["notes"]:
        click.echo(f"note: {note}", err=True)


def _print_channels(console: Console, channels: list[dict[str, Any]]) -> None:
    if not channels:
        console.print("There is no channel: rheostat notify channel add --help", markup=False)
        return
    table = a_table("NAME", "KIND", "TO", "ONLY", fold="ONLY")
    for one in channels:
        only = "; ".join(f"{name} {', '.join(one[name])}" for name in _FILTERS if one[name])
        table.add_row(one["name"], one["kind"], one["url"] or ", ".join(one["to"]), only or "everything")
    print_table(console, table)


def _print_deliveries(console: Console, found: list[dict[str, Any]]) -> None:
    if not found:
        console.print("There are no deliveries.")
        return
    table = a_table("ID", "AT (UTC)", "CHANNEL", "EVENT", "FLAG", "STATUS", fold="STATUS")
    for one in found:
        said = f": {one['last_error']}" if one["last_error"] else ""
        table.add_row(
            str(one["id"]),
            moment(one["at"]),
            one["channel"],
            one["event"],
            one["flag"],
            f"{one['status']}{_tries(one)}{said}",
            style=_STYLES[one["status"]],
        )
    print_table(console, table)


def _tries(one: dict[str, Any]) -> str:
    if one["status"] == "pending" and one["attempts"]:
        return f" ({one['attempts']} tried, next {moment(one['next_attempt'])[11:]})"
    return f" ({one['attempts']} tried)" if one["attempts"] > 1 else ""


def _print_delivery(console: Console, one: dict[str, Any]) -> None:
    console.print_json(data=one["message"])
    words = f"# to {one['channel']}: {one['status']}{_tries(one)}"
    console.print(words, style=_STYLES[one["status"]], markup=False)
    if one["last_error"]:
        print_prose(console, f"# {one['last_error']}", style="red" if one["status"] == "failed" else "dim")
