"""The windows, freezes and start of a ramp document: whether they can be read, and what they come to.

Pure, but for the timezones of the machine.
"""

import re
from typing import Any, Final

import msgspec

from rheostat.model.advance_window import AdvanceWindowDocument, FreezeDocument
from rheostat.model.document import RampDocument
from rheostat.model.window import instant_ms, is_local
from rheostat_server.faults import Faults, Fields, did_you_mean, items_at, spelled
from rheostat_server.flags.windows import timezones
from rheostat_server.ramps.windows import ALL_DAYS, DAY_MINUTES, DAY_NAMES, LAST_MS, AdvanceWindow, Freeze

FIELDS: Final = ("advance_windows", "freezes", "start_at", "timezone")
"""The fields of a document that are read here."""
MOST_WINDOWS: Final = 20
MOST_FREEZES: Final = 100

_WINDOW: Final = ("days", "from", "to", "timezone")
_FREEZE: Final = ("from", "until", "timezone", "reason")
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LONGEST_REASON: Final = 200
_A_ZONE: Final = "such as timezone: Europe/Madrid, here or for the whole ramp"
_A_CLOCK: Final = 'a time of the day such as "09:00", in quotes'
_DAYS: Final = "such as mon-fri, mon,wed,fri or sat-sun; without days it is every day"
_A_MOMENT: Final = '"2026-12-01T09:00" with timezone: Europe/Madrid, or "2026-12-01T09:00:00+01:00" without'
_A_STRETCH: Final = '"2026-12-24" or "2026-12-24T18:00" with timezone: Europe/Madrid, or "2026-12-24T18:00:00+01:00"'


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """What a document says of time, as it was written."""

    advance_windows: tuple[AdvanceWindowDocument, ...] = ()
    freezes: tuple[FreezeDocument, ...] = ()
    start_at: str | None = None
    timezone: str | None = None


def check_calendar(fields: Fields) -> Calendar:
    """Return what a ramp document says of time, and note the faults in it."""
    zone = _zone(fields)
    # One that is faulty is told of once, and not by all that would have it.
    theirs = "UTC" if zone is None and fields.raw("timezone") is not None else zone
    windows = [_check_window(data, path, fields.faults, theirs) for path, data in _items(fields, "advance_windows")]
    freezes = [_check_freeze(data, path, fields.faults, theirs) for path, data in _items(fields, "freezes")]
    for name, number, most in (
        ("advance_windows", len(windows), MOST_WINDOWS),
        ("freezes", len(freezes), MOST_FREEZES),
    ):
        if number > most:
            fields.fault(name, f"a ramp has at most {most} of these", "put some of them together")
    start_at = fields.text("start_at", longest=64)
    if start_at is not None:
        try:
            _instant_ms(start_at, theirs)
        except ValueError as error:
            fields.fault("start_at", spelled(error), _A_MOMENT)
    return Calendar(
        advance_windows=tuple(window for window in windows if window is not None),
        freezes=tuple(freeze for freeze in freezes if freeze is not None),
        start_at=start_at,
        timezone=zone,
    )


def windows_of(document: RampDocument) -> tuple[AdvanceWindow, ...]:
    """Return the windows of a document that was checked."""
    return tuple(
        AdvanceWindow(
            timezone=window.timezone or document.timezone or "UTC",
            days=ALL_DAYS if window.days is None else days_of(window.days),
            from_minute=0 if window.from_ is None else minute_of(window.from_),
            until_minute=DAY_MINUTES if window.to is None else minute_of(window.to, end=True),
        )
        for window in document.advance_windows
    )


def freezes_of(document: RampDocument) -> tuple[Freeze, ...]:
    """Return the freezes of a document that was checked."""
    return tuple(
        Freeze(
            from_ms=_bound_ms(freeze.from_ or "", zone),
            until_ms=_bound_ms(freeze.until or "", zone),
            timezone=zone or "UTC",
            reason=freeze.reason or "",
        )
        for freeze in document.freezes
        for zone in (freeze.timezone or document.timezone,)
    )


def start_ms_of(document: RampDocument) -> int | None:
    """Return when a document that was checked wants its ramp to start; ``None``: at once."""
    return None if document.start_at is None else _instant_ms(document.start_at, document.timezone)


def days_of(text: str) -> tuple[int, ...]:
    """Return the days of the week (0: Monday) that ``mon-fri``, ``mon,wed`` or ``daily`` names, in order.

    A range may go over the week's end: ``fri-mon``.

    Raises:
        ValueError: a part is no day.
    """
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = (end.strip() for end in part.partition("-"))
        if part.strip() == "daily":
            found.update(ALL_DAYS)
        elif dash:
            begins, ends = _day(first), _day(last)
            found.update((begins + step) % 7 for step in range((ends - begins) % 7 + 1))
        else:
            found.add(_day(first))
    return tuple(sorted(found))


def minute_of(text: str, *, end: bool = False) -> int:
    """Return the minute of the day of ``09:00``; ``end``: also of ``24:00``.

    Raises:
        ValueError: it is no time of the day.
    """
    if end and text == "24:00":
        return DAY_MINUTES
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f"{spelled(text)} is not a time of the day")
    return int(match.group(1)) * 60 + int(match.group(2))


def _day(name: str) -> int:
    # Monday is as good as mon.
    short = name[:3]
    full = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    if short not in DAY_NAMES or name not in {short, full[DAY_NAMES.index(short)]}:
        raise ValueError(f"there is no day {spelled(name) or 'without a name'}")
    return DAY_NAMES.index(short)


def _items(fields: Fields, name: str) -> list[tuple[str, Any]]:
    value = fields.raw(name)
    return [] if value is None else list(items_at(value, fields.at(name), fields.faults))


def _zone(fields: Fields) -> str | None:
    zone = fields.text("timezone", longest=256)
    if zone is None or zone in timezones():
        return zone
    hint = did_you_mean(zone, timezones()) or "such as Europe/Madrid or UTC"
    fields.fault("timezone", f"there is no timezone {spelled(zone)}", hint)
    return None


def _check_window(data: object, path: str, faults: Faults, ramps_zone: str | None) -> AdvanceWindowDocument | None:
    before = len(faults)
    fields = Fields(data, path, faults, _WINDOW)
    if len(faults) > before:
        return None
    zone = _zone(fields)
    if ramps_zone is None and fields.raw("timezone") is None:
        fields.fault("timezone", "a window has a timezone", _A_ZONE)
    days = fields.text("days", longest=256)
    if days is not None:
        try:
            days_of(days)
        except ValueError as error:
            fields.fault("days", spelled(error), _DAYS)
    texts = {name: fields.text(name, longest=64) for name in ("from", "to")}
    minutes = {}
    for name, default in (("from", 0), ("to", DAY_MINUTES)):
        text = texts[name]
        try:
            minutes[name] = default if text is None else minute_of(text, end=name == "to")
        except ValueError as error:
            fields.fault(name, str(error), _A_CLOCK)
    if len(minutes) == 2 and minutes["from"] == minutes["to"]:
        fields.fault("to", "a window ends at another time than it begins", 'the whole day is from "00:00" to "24:00"')
    if len(faults) > before:
        return None
    return AdvanceWindowDocument(days=days, from_=texts["from"], to=texts["to"], timezone=zone)


def _check_freeze(data: object, path: str, faults: Faults, ramps_zone: str | None) -> FreezeDocument | None:
    before = len(faults)
    fields = Fields(data, path, faults, _FREEZE)
    if len(faults) > before:
        return None
    fields.required("from", "until")
    zone = _zone(fields)
    bounds = {}
    texts = {name: fields.text(name, longest=64) for name in ("from", "until")}
    if len(faults) > before:
        return None
    for name, text in texts.items():
        try:
            bounds[name] = _bound_ms(text or "", zone or ramps_zone)
        except ValueError as error:
            fields.fault(name, spelled(error), _A_STRETCH)
    if len(bounds) == 2 and bounds["until"] <= bounds["from"]:
        hint = "until a date is until that day begins"
        fields.fault("until", "a freeze ends after it begins", hint)
    reason = fields.text("reason", longest=_LONGEST_REASON)
    if len(faults) > before:
        return None
    return FreezeDocument(from_=texts["from"], until=texts["until"], timezone=zone, reason=reason)


def _bound_ms(text: str, zone: str | None) -> int:
    return _instant_ms(f"{text}T00:00" if _DATE.fullmatch(text) else text, zone)


def _instant_ms(text: str, zone: str | None) -> int:
    if zone is None and is_local(text):
        raise ValueError(f"{text} needs a timezone, or an offset")
    # What has an offset of its own means the same whatever the timezone of the others is.
    own = text[-1:] in {"Z", "z"} or text[-6:-5] in {"+", "-"}
    at_ms = instant_ms(text, None if own else zone)
    if not 0 <= at_ms < LAST_MS:
        raise ValueError(f"{text} is not between the years 1970 and 9892")
    return at_ms
