"""A change as the command line gives it, by options and by a file. Pure."""

import datetime
from collections.abc import Iterable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rheostat_server.cli.connection import CommandFailed


def patch_of(assignments: Iterable[str]) -> dict[str, Any]:
    """Return the merge patch of assignments such as ``default.rollout.exposure=50``; values are YAML, null removes.

    Raises:
        CommandFailed: one is none, or two contradict each other.
    """
    patch: dict[str, Any] = {}
    for text in assignments:
        path, equals, value = text.partition("=")
        names = path.strip().split(".")
        if not equals or not all(names):
            raise CommandFailed(f"--set {text}: give a field and its value, such as --set enabled=true")
        inner = patch
        for name in names[:-1]:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise CommandFailed(f"--set {text}: another --set gives {name} a value of its own")
        if names[-1] in inner:
            raise CommandFailed(f"--set {text}: another --set gives {path.strip()} too")
        inner[names[-1]] = _value(text, value)
    refuse_dates(patch, "--set")
    return patch


def joined(patch: Any, more: Any) -> Any:
    """Return one merge patch that does what both do, the second after the first: nulls stay, for they take away."""
    if not isinstance(patch, dict) or not isinstance(more, dict):
        return more
    return {**patch, **{name: joined(patch[name], value) if name in patch else value for name, value in more.items()}}


def targets_of(add: Iterable[str], remove: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Return the edits of targets that units such as ``on=user-1`` ask for.

    Raises:
        CommandFailed: one names no variant or no unit.
    """
    targets: dict[str, dict[str, list[str]]] = {}
    for verb, units in (("add", add), ("remove", remove)):
        for text in units:
            variant, equals, unit = text.partition("=")
            if not (variant and equals and unit):
                raise CommandFailed(
                    f"--{verb}-target {text}: give a variant and a unit, such as --{verb}-target on=user-1"
                )
            targets.setdefault(variant, {}).setdefault(verb, []).append(unit)
    return targets


def change_in(data: Any, source: str) -> dict[str, Any]:
    """Return the change that a file holds.

    Raises:
        CommandFailed: it is no change.
    """
    if not isinstance(data, dict):
        raise CommandFailed(f"{source}: a change is an object with patch, rules or targets")
    if "kind" in data or "variants" in data:
        raise CommandFailed(f"{source} is a whole document; a change has patch, rules or targets: only what changes")
    refuse_dates(data, source)
    return data


def refuse_dates(data: Any, where: str) -> None:
    """Refuse what YAML read as a date: it would reach the server as another time than was written.

    Raises:
        CommandFailed: there is one.
    """
    if isinstance(data, dict):
        for name, value in data.items():
            refuse_dates(value, f"{where}: {name}" if isinstance(name, str) else where)
    elif isinstance(data, list):
        for value in data:
            refuse_dates(value, where)
    elif isinstance(data, (datetime.date, datetime.datetime)):
        raise CommandFailed(f"{where}: YAML takes {data} for a date; put it in quotes to make it text")


def _value(text: str, value: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(value)
    except YAMLError as error:
        raise CommandFailed(f"--set {text}: the value is not YAML; put text in quotes") from error
