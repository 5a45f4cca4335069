"""The options that every command takes, and the connection that they make."""

import functools
import os
from collections.abc import Callable
from typing import Any

import click
import msgspec
from rich.console import Console

from rheostat_server.cli.connection import CommandFailed, Connection
from rheostat_server.cli.profile import DEFAULT_URL, Profile, ProfileBroken, profiles_path, read_profiles


class Session:
    """What a command works with: a connection, and where it prints."""

    def __init__(self, connection: Connection, *, as_json: bool) -> None:
        self.connection = connection
        self.as_json = as_json
        self.console = Console(highlight=False, soft_wrap=True)

    def show(self, body: Any, people: Callable[[Console], None]) -> None:
        """Print the JSON as it came where ``--json`` asks for it, else what people read."""
        if self.as_json:
            print_json(body)
        else:
            people(self.console)


def print_json(body: Any) -> None:
    """Print indented JSON to standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(body), indent=2).decode())


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the common options, and a ``Session`` as its first argument."""

    @click.option("-p", "--project", envvar="RHEOSTAT_PROJECT", help="Project. [default: default]")
    @click.option("-e", "--environment", envvar="RHEOSTAT_ENVIRONMENT", help="Environment. [default: production]")
    @click.option("--url", envvar="RHEOSTAT_URL", help=f"The server. [default: {DEFAULT_URL}]")
    @click.option("--token", envvar="RHEOSTAT_TOKEN", help="API token.")
    @click.option("--profile", "profile_name", envvar="RHEOSTAT_PROFILE", help="Profile of ~/.config/rheostat.")
    @click.option("--json", "as_json", is_flag=True, help="Print the server's answer as JSON.")
    @functools.wraps(command)
    def with_session(
        *args: Any,
        project: str | None,
        environment: str | None,
        url: str | None,
        token: str | None,
        profile_name: str | None,
        as_json: bool,
        **kwargs: Any,
    ) -> None:
        profile = _profile(profile_name)
        connection = Connection(
            url or profile.url or DEFAULT_URL,
            token or profile.token,
            project=project or profile.project or "default",
            environment=environment or profile.environment or "production",
        )
        command(Session(connection, as_json=as_json), *args, **kwargs)

    return with_session


def _profile(name: str | None) -> Profile:
    path = profiles_path(os.environ)
    try:
        profiles = read_profiles(path)
    except ProfileBroken as error:
        raise CommandFailed(str(error)) from error
    if name is not None and name not in profiles.profiles:
        known = ", ".join(sorted(profiles.profiles)) or "none"
        raise CommandFailed(f"there is no profile {name!r} in {path} (there: {known})")
    return profiles.profiles.get(name or profiles.current, Profile())
