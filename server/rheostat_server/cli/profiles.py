"""``rheostat profile``: servers that a person uses, by name."""

import os
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.profile import Profile, ProfileBroken, Profiles, profiles_path, read_profiles, write_profiles


@click.group()
def profile() -> None:
    """Keep URLs and tokens under names, in ~/.config/rheostat."""


@profile.command("set")
@click.argument("name")
@click.option("--url")
@click.option("--token")
@click.option("-p", "--project")
@click.option("-e", "--environment")
def set_profile(name: str, **given: str | None) -> None:
    """Make a profile, or change what is given of it."""
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
        raise CommandFailed(f"there is no profile {name!r} (there: {', '.join(sorted(profiles.profiles)) or 'none'})")
    write_profiles(path, msgspec.structs.replace(profiles, current=name))
    click.echo(f"{name} is used from now on")


@profile.command("list")
def list_profiles() -> None:
    """List the profiles; tokens are not shown."""
    _, profiles = _profiles()
    table = Table(box=None, pad_edge=False)
    for column in ("", "PROFILE", "URL", "PROJECT", "ENVIRONMENT", "TOKEN"):
        table.add_column(column)
    for name, kept in sorted(profiles.profiles.items()):
        mark = "*" if name == profiles.current else ""
        token = "kept" if kept.token else "-"
        table.add_row(mark, name, kept.url or "-", kept.project or "-", kept.environment or "-", token)
    Console().print(table)


def _profiles() -> tuple[Path, Profiles]:
    path = profiles_path(os.environ)
    try:
        return path, read_profiles(path)
    except ProfileBroken as error:
        raise CommandFailed(str(error)) from error
