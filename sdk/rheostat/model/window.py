"""When a rule is active: from one instant until another."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from rheostat.model.moment import moment_ns

_LOCAL = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?")
_MINUTE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2})([Zz]|[+-][0-9]{2}:[0-9]{2})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Window(msgspec.Struct, frozen=True, omit_defaults=True):
    """From ``from_ms`` on and before ``until_ms``, in milliseconds since the Unix epoch; ``None`` is no bound."""

    from_ms: int | None = None
    until_ms: int | None = None

    def holds(self, now_ms: int | None) -> bool:
        """Return whether this instant is within. An unknown one is within no window."""
        if now_ms is None:
            return False
        return (self.from_ms is None or self.from_ms <= now_ms) and (self.until_ms is None or now_ms < self.until_ms)


class WindowDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """A window as people write it: local times with their ``timezone``, or RFC 3339 times without one."""

    from_: str | None = msgspec.field(default=None, name="from")
    until: str | None = None
    timezone: str | None = None


def serve_window(document: WindowDocument) -> Window:
    """Return the window in instants.

    Raises:
        ValueError: a bound is no time, or the timezone is not one.
    """
    zone = document.timezone
    return Window(
        from_ms=None if document.from_ is None else instant_ms(document.from_, zone),
        until_ms=None if document.until is None else instant_ms(document.until, zone),
    )


def is_local(text: str) -> bool:
    """Return whether the text has the form of a local date and time, without an offset."""
    return _LOCAL.fullmatch(text) is not None


def has_offset(text: str) -> bool:
    """Return whether the text is a date and time that says its offset."""
    return _written_ns(text) is not None


def instant_ms(text: str, timezone: str | None) -> int:
    """Return milliseconds since the Unix epoch of an RFC 3339 time, or of a local time in this IANA timezone.

    A local time that the clocks skip counts with the offset before the change, so it is the later instant (02:30
    is what the clocks then show as 03:30). One that comes twice is the first of the two.

    Seconds may be left out of either.

    Raises:
        ValueError: the text is no time, has an offset beside the timezone or has neither; or there is no such zone.
    """
    if timezone is None:
        moment = _written_ns(text)
        if moment is not None:
            return moment // 1_000_000
        if is_local(text):
            raise ValueError(f"{text} needs an offset, or the window a timezone")
        raise ValueError(f"{text} is not a date and time")
    match = _LOCAL.fullmatch(text)
    if match is None:
        if has_offset(text):
            raise ValueError(f"{text} has an offset, and the window a timezone: one of them is enough")
        raise ValueError(f"{text} is not a date and time")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    local = datetime(year, month, day, hour, minute, second, tzinfo=zone_of(timezone), fold=0)
    return (local - _EPOCH) // _MILLISECOND


def zone_of(name: str) -> ZoneInfo:
    """Return the timezone.

    Raises:
        ValueError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError(f"there is no timezone {name}") from None


def _written_ns(text: str) -> int | None:
    # What is evaluated is strictly RFC 3339; people leave out the seconds.
    return moment_ns(_MINUTE.sub(r"\1:00\2", text) if _MINUTE.fullmatch(text) else text)
