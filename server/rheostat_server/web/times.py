"""Moments and lengths of time as the API writes and reads them."""

from datetime import UTC, datetime

from rheostat.model.duration import duration_ms
from rheostat_server.errors import Fault, Invalid


def rfc3339(at_ms: int) -> str:
    """Return a moment in ms since the epoch as RFC 3339 text in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_or_none(at_ms: int | None) -> str | None:
    """Return as ``rfc3339``, and nothing for nothing."""
    return None if at_ms is None else rfc3339(at_ms)


def read_moment(text: str, path: str) -> int:
    """Return an RFC 3339 moment in ms since the epoch.

    Raises:
        Invalid: it is none, or it says no offset; the fault is at ``path``.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(text)
        at_ms = round(moment.timestamp() * 1000)
        # What is kept is shown again, in UTC: there the first and the last hours of Python's calendar do not exist.
        rfc3339(at_ms)
        return at_ms
    except (ValueError, OverflowError) as error:
        raise Invalid([Fault(path, f"{text!r} is not a time such as 2026-11-27T09:00:00Z")], "the request") from error


def read_duration(text: str, path: str) -> int:
    """Return a length of time such as ``24h`` in ms.

    Raises:
        Invalid: it is none, or longer than 100 years; the fault is at ``path``.
    """
    try:
        length = duration_ms(text)
    except ValueError as error:
        raise Invalid([Fault(path, str(error))], "the request") from error
    if length > 36_525 * 86_400_000:
        raise Invalid([Fault(path, f"{text!r} is longer than 100 years")], "the request")
    return length


def read_since(text: str, now_ms: int, path: str) -> int:
    """Return the moment that ``30m`` (ago) or an RFC 3339 time names.

    Raises:
        Invalid: it is neither; the fault is at ``path``.
    """
    return read_moment(text, path) if "-" in text else now_ms - read_duration(text, path)
