"""The options that every command takes, before or after its name, and the session that they make."""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import click
import msgspec
from rich.console import Console

from rheostat_server.cli.connection import CommandFailed, Connection
from rheostat_server.cli.profile import DEFAULT_URL, Profile, ProfileBroken, profiles_path, read_profiles
from rheostat_server.cli.terminal import a_console

_GIVEN = "rheostat.given."


class Session:
    """What a command works with: a connection, and where it prints."""

    def __init__(self, connection: Connection, *, as_json: bool, environment_given: bool) -> None:
        self.connection = connection
        self.as_json = as_json
        self.environment_given = environment_given
        """Whether somebody said which environment; a command about the whole project may then narrow it."""
        self.console = a_console()

    def show(self, body: Any, people: Callable[[Console], None]) -> None:
        """Print the JSON as it came where ``--json`` asks for it, else what people read."""
        if self.as_json:
            print_json(body)
        else:
            people(self.console)


def print_json(body: Any) -> None:
    """Print indented JSON to standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(body), indent=2).decode())


def json_asked() -> bool:
    """Return whether ``--json`` stands before or after the command's name."""
    return bool(click.get_current_context().meta.get(_GIVEN + "as_json"))


def _note(context: click.Context, option: click.Parameter, value: Any) -> Any:
    # A context's meta is shared with the contexts below it, and those are parsed later: the innermost word counts.
    if value is not None and value is not False:
        context.meta[f"{_GIVEN}{option.name}"] = value
    return value


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--json``; ``json_asked`` tells."""
    words = "Print JSON: the server's answer, as it came."
    return click.option("--json", "as_json", is_flag=True, expose_value=False, callback=_note, help=words)(command)


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command, or a group for all below it, the common options; their values are kept for the session."""
    command = json_option(command)
    for names, words in (
        (("--profile", "profile"), "A profile of ~/.config/rheostat (RHEOSTAT_PROFILE)."),
        (("--token", "token"), "API token (RHEOSTAT_TOKEN)."),
        (("--url", "url"), f"The server (RHEOSTAT_URL). [default: {DEFAULT_URL}]"),
        (("-e", "--environment", "environment"), "Environment (RHEOSTAT_ENVIRONMENT). [default: production]"),
        (("-p", "--project", "project"), "Project (RHEOSTAT_PROJECT). [default: default]"),
    ):
        command = click.option(*names, expose_value=False, callback=_note, help=words)(command)
    return command


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the common options, and a ``Session`` as its first argument."""

    @functools.wraps(command)
    def with_session(*args: Any, **kwargs: Any) -> None:
        command(_session(click.get_current_context().meta, os.environ), *args, **kwargs)

    return common_options(with_session)


def _session(meta: Mapping[str, Any], environ: Mapping[str, str]) -> Session:
    def said(name: str) -> str | None:
        return meta.get(_GIVEN + name) or None

    def set_in(name: str) -> str | None:
        return environ.get(f"RHEOSTAT_{name.upper()}") or None

    profile = _profile(said("profile") or set_in("profile"))

    def value(name: str) -> str | None:
        kept: str | None = getattr(profile, name)
        # A profile that is named here and now is meant; one that is merely current gives way to the environment.
        lesser = (kept, set_in(name)) if said("profile") else (set_in(name), kept)
        return said(name) or lesser[0] or lesser[1]

    try:
        connection = Connection(
            value("url") or DEFAULT_URL,
            value("token"),
            project=value("project") or "default",
            environment=value("environment") or "production",
        )
    except ValueError as error:
        raise CommandFailed(f"{error} (--url, RHEOSTAT_URL, --token, RHEOSTAT_TOKEN)") from error
    return Session(
        connection,
        as_json=bool(meta.get(_GIVEN + "as_json")),
        environment_given=bool(said("environment") or set_in("environment")),
    )


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
