"""The reference of the command line."""

from pathlib import Path

import click

from rheostat_server.cli.main import rheostat
from rheostat_server.cli.reference import reference

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "cli.md"


def commands(group: click.Group, path: str) -> list[tuple[str, click.Command]]:
    """Return every command below a group, with the words that call it."""
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += commands(command, f"{path} {name}")
        else:
            found.append((f"{path} {name}", command))
    return found


def test_the_page_is_up_to_date() -> None:
    """docs/reference/cli.md is what `make docs` writes."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_every_command_and_option_is_explained() -> None:
    """No command is without help, and no option without its words."""
    for path, command in commands(rheostat, "rheostat"):
        assert command.help, path
        assert f"### `{path}" in reference()
        silent = [one.name for one in command.params if isinstance(one, click.Option) and not one.help]
        assert silent == [], path


def test_no_command_has_an_option_twice() -> None:
    """Each option of a command is its own: two of one name make click warn whoever runs it."""
    for path, command in commands(rheostat, "rheostat"):
        names = [name for one in command.params for name in one.opts]
        assert sorted(names) == sorted(set(names)), path
