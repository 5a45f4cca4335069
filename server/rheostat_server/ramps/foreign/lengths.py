"""Lengths of time as Kubernetes' tools write them: ``1m30s``, ``1.5h``, ``90``. Pure."""

import re
from typing import Final

from rheostat.model.duration import duration_text
from rheostat_server.faults import Fields, spelled

_UNITS_S: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "w": 604_800.0,
}
_PART: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|s|m|h|d|w)")
_LONGEST_S: Final = 365 * 86_400.0
_SUCH: Final = "such as 30s, 1m or 1h30m"


def seconds_of(text: str) -> float:
    """Return the length in seconds.

    Raises:
        ValueError: the text is not numbers with units.
    """
    at, seconds = 0, 0.0
    while at < len(text) and (part := _PART.match(text, at)):
        seconds += float(part[1]) * _UNITS_S[part[2]]
        at = part.end()
    if not text or at < len(text):
        raise ValueError(f"{text!r} is not a length of time")
    return seconds


def length_text(seconds: float) -> str:
    """Return the length as ramp documents write it, to a millisecond."""
    return duration_text(round(seconds * 1000))


def length_at(fields: Fields, name: str, *, most_s: float = _LONGEST_S) -> float | None:
    """Return a length above 0 in seconds; ``None`` where the field is absent or faulty."""
    text = fields.text(name)
    if text is None or text == "":
        return None
    try:
        seconds = seconds_of(text)
    except ValueError:
        fields.fault(name, f"{spelled(text)} is not a length of time", _SUCH)
        return None
    if not 0 < seconds <= most_s:
        most = "a year" if most_s == _LONGEST_S else f"{most_s / _UNITS_S['h']:g} h"
        fields.fault(name, f"a length of time is above 0 here, and at most {most}", _SUCH)
        return None
    return seconds
