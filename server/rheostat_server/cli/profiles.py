"""``rheostat profile``: servers that a person uses, by name."""

import os
from pathlib import Path

import click
import msgspec

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.groups import Group
from rheostat_server.cli.options import json_asked, json_option, print_json
from rheostat_server.cli.profile import Profile, ProfileBroken, Profiles, profiles_path, read_profiles, write_profiles
from rheostat_server.cli.terminal import a_console, a_table, print_table


@click.group(cls=Group)
def profile() -> None:
    """Keep URLs and tokens under names, in ~/.config/rheostat."""


@profile.command("set")
@click.argument("name")
@click.option("--url", help="The server.")
@click.option("--token", help="API token.")
@click.option("-p", "--project", help="Project, where a command names none.")
@click.option("-e", "--environment", help="Environment, where a command names none.")
def set_profile(name: str, **given: str | None) -> None:
    """Make a profile, or change what is given of it. The one called `default` is used until `use` says otherwise."""
    path, profiles = _profiles()
    known = profiles.profiles.get(name, Profile())
    changed = msgspec.structs.replace(known, **{field: value for field, value in given.items() if value is not None})
    write_profiles(path, msgspec.structs.replace(profiles, profiles={**profiles.profiles, name: changed}))
    click.echo(f"{name} is kept in {path}")


@profile.command("use")
@click.argument("name")
def use_profile(name: str) -> None:
    """Use this profile when none is named."""
    path, profiles = _profiles()
    if name not in profiles.profiles:
        raise CommandFailed(_unknown(name, profiles))
    write_profiles(path, msgspec.structs.replace(profiles, current=name))
    click.echo(f"{name} is used from now on")


@profile.command("remove")
@click.argument("name")
def remove_profile(name: str) -> None:
    """Forget a profile."""
    path, profiles = _profiles()
    if name not in profiles.profiles:
        raise CommandFailed(_unknown(name, profiles))
    rest = {known: kept for known, kept in profiles.profiles.items() if known != name}
    write_profiles(path, msgspec.structs.replace(profiles, profiles=rest))
    click.echo(f"{name} is forgotten")


@profile.command("list")
@json_option
def list_profiles() -> None:
    """List the profiles; tokens are not shown."""
    _, profiles = _profiles()
    if json_asked():
        shown = {
            name: {**_shown(kept), "current": name == profiles.current} for name, kept in profiles.profiles.items()
        }
        print_json({"profiles": shown})
        return
    table = a_table("", "PROFILE", "URL", "PROJECT", "ENVIRONMENT", "TOKEN")
    for name, kept in sorted(profiles.profiles.items()):
        mark = "*" if name == profiles.current else ""
        token = "kept" if kept.token else "-"
        table.add_row(mark, name, kept.url or "-", kept.project or "-", kept.environment or "-", token)
    print_table(a_console(), table)


def _shown(kept: Profile) -> dict[str, str | bool | None]:
    return {
        "url": kept.url,
        "project": kept.project,
        "environment": kept.environment,
        "has_token": kept.token is not None,
    }


def _unknown(name: str, profiles: Profiles) -> str:
    return f"there is no profile {name!r} (there: {', '.join(sorted(profiles.profiles)) or 'none'})"


def _profiles() -> tuple[Path, Profiles]:
    path = profiles_path(os.environ)
    try:
        return path, read_profiles(path)
    except ProfileBroken as error:
        raise CommandFailed(str(error)) from error
