"""Scheduled changes in words. Pure."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from rheostat.model.window import zone_of
from rheostat_server.errors import Fault
from rheostat_server.scheduled.change import ScheduledChange, TargetEdit

_LONGEST = 300
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def change_words(change: ScheduledChange) -> str:
    """Return the change in a line, as ``enabled: true; rule beta: rollout.exposure: 50``; a long one is cut."""
    parts = list(_patch_words("", change.patch))
    for name, edit in change.rules.items():
        said = "removed" if edit is None else ", ".join(_patch_words("", edit)) or "nothing"
        parts.append(f"rule {name}: {said}")
    parts += [f"targets of {variant}: {_target_words(edit)}" for variant, edit in change.targets.items()]
    return _line("; ".join(parts))


def failure_words(error: Exception, faults: Sequence[Fault] = ()) -> str:
    """Return in a line why a change could not be made, with the first of its faults."""
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return _line(f"{faults[0]}{more}" if faults else str(error))


def local_time(at_ms: int, timezone: str | None) -> str:
    """Return the instant as the clocks of the timezone (or UTC) show it, RFC 3339 to the second."""
    zone = UTC if timezone is None else zone_of(timezone)
    return datetime.fromtimestamp(at_ms / 1000, zone).isoformat(timespec="seconds").replace("+00:00", "Z")


def _line(text: str) -> str:
    """Return a line that a database and a terminal can take: names in metadata may hold anything."""
    line = _CONTROL.sub("\ufffd", text)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _patch_words(path: str, patch: dict[str, Any]) -> Iterator[str]:
    for name, value in patch.items():
        where = f"{path}.{name}" if path else name
        if isinstance(value, dict) and value:
            yield from _patch_words(where, value)
        elif value is None:
            yield f"{where}: removed"
        elif isinstance(value, list):
            yield f"{where}: a list of {len(value)}"
        else:
            yield f"{where}: {msgspec.json.encode(value).decode()}"


def _target_words(edit: TargetEdit) -> str:
    parts = [f"{verb} {len(units)}" for verb, units in (("add", edit.add), ("remove", edit.remove)) if units]
    return ", ".join(parts) or "nothing"
