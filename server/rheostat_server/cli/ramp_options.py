"""Options of ``ramp start`` as fields of a ramp document. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from rheostat_server.cli.connection import CommandFailed
from rheostat_server.cli.numbers import plain

_FIELDS: Final = (
    "template",
    "rollout",
    "rule",
    "strategy",
    "step_weight",
    "first_weight",
    "factor",
    "max_weight",
    "start_at",
    "timezone",
    "preflight",
    "min_dwell",
    "soak",
    "holdback",
    "users",
)
"""The fields of a ramp document that are options by the same name."""


def fields_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the options say, as fields of a document: of one made from them alone, or over a file's.

    Raises:
        CommandFailed: two of them contradict each other, or the steps are no percentages.
    """
    given: dict[str, Any] = {}
    if options.get("steps") is not None:
        given["steps"] = [_percentage(part) for part in options["steps"].split(",")]
    if options.get("no_preflight"):
        if options.get("preflight") is not None:
            raise CommandFailed("--preflight and --no-preflight contradict each other: give one of them")
        given["preflight"] = "0s"
    for name in _FIELDS:
        value = options.get(name)
        if value is not None:
            given[name] = plain(value) if isinstance(value, float) else value
    if options.get("unguarded"):
        given["unguarded"] = True
    return given


def flag_given(argument: str | None, option: str | None) -> str | None:
    """Return the flag that FLAG or ``--flag`` names.

    Raises:
        CommandFailed: each names another.
    """
    if argument is not None and option is not None and argument != option:
        raise CommandFailed(f"FLAG says {argument!r} and --flag {option!r}: give one of them")
    return argument if option is None else option


def _percentage(text: str) -> int | float:
    try:
        number = float(text.strip().removesuffix("%"))
        return plain(number)
    except ValueError as error:
        raise CommandFailed(f"--steps: {text.strip()!r} is not a percentage; write them as 1,5,25,50,100") from error
