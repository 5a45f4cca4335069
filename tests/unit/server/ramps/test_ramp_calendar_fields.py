"""The windows, freezes and start of a ramp document."""

from contextlib import suppress
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from rheostat.model.document import RampDocument
from rheostat_server.errors import Invalid
from rheostat_server.ramps.calendar_fields import days_of, freezes_of, minute_of, start_ms_of, windows_of
from rheostat_server.ramps.validate import validate_ramp
from rheostat_server.ramps.windows import AdvanceWindow, Freeze
from tests.strategies import json_values

MADRID = "Europe/Madrid"


def a_ramp(**changes: Any) -> dict[str, Any]:
    return {"kind": "ramp", "flag": "checkout", "environment": "production", **changes}


def a_window(**changes: Any) -> dict[str, Any]:
    return a_ramp(advance_windows=[{"timezone": MADRID, **changes}])


def a_freeze(**changes: Any) -> dict[str, Any]:
    return a_ramp(freezes=[{"from": "2026-12-24", "until": "2027-01-02", "timezone": MADRID, **changes}])


def at(text: str, zone: str = MADRID) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


W, F = "advance_windows[0]", "freezes[0]"


@pytest.mark.parametrize(
    ("data", "path", "part"),
    [
        (a_ramp(advance_windows={}), "advance_windows", "not a list"),
        (a_ramp(advance_windows=["mon-fri"]), W, "not an object"),
        (a_window(day="mon"), f"{W}.day", "did you mean days?"),
        (a_ramp(advance_windows=[{"from": "09:00"}]), f"{W}.timezone", "a window has a timezone (such as"),
        (a_window(timezone="Europe/Madird"), f"{W}.timezone", "did you mean Europe/Madrid?"),
        (a_window(timezone="Nowhere"), f"{W}.timezone", "such as Europe/Madrid or UTC"),
        (a_window(timezone=1), f"{W}.timezone", "not text"),
        (a_window(days="funday"), f"{W}.days", "there is no day funday (such as mon-fri"),
        (a_window(days="mon-"), f"{W}.days", "there is no day without a name"),
        (a_window(days="monda"), f"{W}.days", "there is no day monda"),
        (a_window(days=["mon"]), f"{W}.days", "not text"),
        (a_window(**{"from": "9:00"}), f"{W}.from", 'such as "09:00"'),
        (a_window(**{"from": "24:00"}), f"{W}.from", "not a time of the day"),
        (a_window(to="25:00"), f"{W}.to", "not a time of the day"),
        (a_window(to=17), f"{W}.to", "not text"),
        (a_window(**{"from": "09:00", "to": "09:00"}), f"{W}.to", 'the whole day is from "00:00" to "24:00"'),
        (a_ramp(advance_windows=[{"timezone": MADRID}] * 21), "advance_windows", "at most 20 of these"),
        (a_ramp(freezes=3), "freezes", "not a list"),
        (a_ramp(freezes=[3]), F, "not an object"),
        (a_ramp(freezes=[{"from": "2026-12-24"}]), f"{F}.until", "required"),
        (a_freeze(why="holidays"), f"{F}.why", "no such field"),
        (a_freeze(timezone="Nowhere"), f"{F}.timezone", "no timezone Nowhere"),
        (a_freeze(**{"from": "24 Dec"}), f"{F}.from", 'not a date and time ("2026-12-24" or'),
        (a_freeze(**{"from": "2026-02-29"}), f"{F}.from", "day"),
        (a_freeze(until="2026-12-24"), f"{F}.until", "ends after it begins (until a date is until that day begins)"),
        (a_freeze(until=20270102), f"{F}.until", "not text"),
        (a_freeze(reason=5), f"{F}.reason", "not text"),
        (a_ramp(freezes=[{"from": "2026-12-24", "until": "2027-01-02"}]), f"{F}.from", "needs a timezone, or"),
        (a_ramp(freezes=[a_freeze()["freezes"][0]] * 101), "freezes", "at most 100 of these"),
        (a_ramp(start_at="tomorrow", timezone=MADRID), "start_at", 'not a date and time ("2026-12-01T09:00" with'),
        (a_ramp(start_at="2026-12-01T09:00"), "start_at", "2026-12-01T09:00 needs a timezone, or an offset"),
        (a_ramp(start_at=5, timezone=MADRID), "start_at", "not text"),
        (a_ramp(start_at="9999-12-31T23:59:59-10:00"), "start_at", "not between the years 1970 and 9892"),
        (a_freeze(until="9999-12-31"), f"{F}.until", "9999-12-31T00:00 is not between the years 1970 and 9892"),
        (a_freeze(**{"from": "0001-01-01"}), f"{F}.from", "not between the years 1970 and 9892"),
        (a_ramp(timezone="Nowhere", start_at="2026-12-01T09:00", advance_windows=[{}]), "timezone", "no timezone"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_its_path(data: dict[str, Any], path: str, part: str) -> None:
    """Each fault stands alone, has the path of the field, and says what to write."""
    with pytest.raises(Invalid) as caught:
        validate_ramp(data)

    first, *others = caught.value.faults
    assert first.path == path
    assert part in str(first)
    assert not [fault for fault in others if fault.path not in {f"{F}.until"}]


def test_windows_are_read_as_they_are_meant() -> None:
    """Days, hours and timezone, each with its default; the ramp's timezone where a window has none."""
    document = validate_ramp(
        a_ramp(
            timezone="America/New_York",
            advance_windows=[
                {"days": "mon-fri", "from": "09:00", "to": "17:00", "timezone": MADRID},
                {"days": "sat", "from": "22:00", "to": "02:30"},
                {},
                {"from": "18:00", "to": "24:00"},
            ],
        )
    )

    assert windows_of(document) == (
        AdvanceWindow(timezone=MADRID, days=(0, 1, 2, 3, 4), from_minute=540, until_minute=1_020),
        AdvanceWindow(timezone="America/New_York", days=(5,), from_minute=1_320, until_minute=150),
        AdvanceWindow(timezone="America/New_York"),
        AdvanceWindow(timezone="America/New_York", from_minute=1_080),
    )


@pytest.mark.parametrize("text", ["2026-12-01T09:00Z", "2026-12-01T10:00+01:00", "2026-12-01T09:00:00Z"])
def test_seconds_may_be_left_out(text: str) -> None:
    """Of a start and of a freeze's bounds, with an offset, whatever the timezone of the others is."""
    freeze = {"from": text, "until": "2026-12-02"}
    document = validate_ramp(a_ramp(start_at=text, timezone=MADRID, freezes=[freeze]))

    assert start_ms_of(document) == at("2026-12-01T09:00", "UTC")
    assert freezes_of(document)[0].from_ms == at("2026-12-01T09:00", "UTC")


def test_freezes_are_dates_local_times_or_instants() -> None:
    """A date is its first moment; the ramp's timezone where a freeze has none; an offset goes before it."""
    document = validate_ramp(
        a_ramp(
            timezone="America/New_York",
            freezes=[
                {"from": "2026-12-24", "until": "2027-01-02", "timezone": MADRID, "reason": "holidays"},
                {"from": "2026-11-26T18:00", "until": "2026-11-30"},
                {"from": "2026-12-01T00:00:00Z", "until": "2026-12-01T09:00:00+01:00"},
            ],
        )
    )

    assert freezes_of(document) == (
        Freeze(from_ms=at("2026-12-24"), until_ms=at("2027-01-02"), timezone=MADRID, reason="holidays"),
        Freeze(
            from_ms=at("2026-11-26T18:00", "America/New_York"),
            until_ms=at("2026-11-30", "America/New_York"),
            timezone="America/New_York",
        ),
        Freeze(from_ms=at("2026-12-01", "UTC"), until_ms=at("2026-12-01T08:00", "UTC"), timezone="America/New_York"),
    )
    bare = validate_ramp(a_ramp(freezes=[{"from": "2026-12-01T00:00:00Z", "until": "2026-12-02T00:00:00-05:00"}]))
    [freeze] = freezes_of(bare)
    assert (freeze.timezone, freeze.until_ms) == ("UTC", at("2026-12-02T05:00", "UTC"))


def test_a_start_is_local_or_an_instant() -> None:
    """A local time in the ramp's timezone, or one with an offset, whatever the timezone is."""
    for changes in (
        {"start_at": "2026-12-01T09:00", "timezone": MADRID},
        {"start_at": "2026-12-01T09:00:00+01:00"},
        {"start_at": "2026-12-01T08:00:00Z", "timezone": "Asia/Tokyo"},
    ):
        assert start_ms_of(validate_ramp(a_ramp(**changes))) == at("2026-12-01T09:00")
    assert start_ms_of(validate_ramp(a_ramp())) is None


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("daily", (0, 1, 2, 3, 4, 5, 6)),
        ("mon-fri", (0, 1, 2, 3, 4)),
        ("sat-sun", (5, 6)),
        ("fri-mon", (0, 4, 5, 6)),
        ("mon,wed,fri", (0, 2, 4)),
        ("Monday, wed - Thursday", (0, 2, 3)),
        ("sun,sun", (6,)),
        ("tue-tue", (1,)),
    ],
)
def test_days(text: str, days: tuple[int, ...]) -> None:
    """Single days, ranges (over the week's end too), lists of them, in any case, short or in full."""
    assert days_of(text) == days


def test_minutes() -> None:
    """A time of the day; its end is a time only where something ends."""
    assert (minute_of("00:00"), minute_of("23:59"), minute_of("24:00", end=True)) == (0, 1_439, 1_440)
    with pytest.raises(ValueError, match="24:00 is not a time of the day"):
        minute_of("24:00")


def test_a_document_made_in_python_is_taken_at_its_word() -> None:
    """What was not validated and names no timezone is in UTC."""
    document = validate_ramp(a_window(to="10:00"))
    bare = RampDocument(flag="f", environment="e", advance_windows=document.advance_windows)

    assert windows_of(bare) == windows_of(document)


@given(value=json_values)
def test_whatever_is_sent_is_a_document_or_invalid(value: Any) -> None:
    """Nothing else is raised, wherever the nonsense stands."""
    for data in (
        a_ramp(advance_windows=value, freezes=value, start_at=value, timezone=value),
        a_ramp(advance_windows=[{"days": value, "from": value, "to": value, "timezone": MADRID}]),
        a_ramp(freezes=[{"from": value, "until": value, "reason": value}], timezone=MADRID),
        a_ramp(step_weight=value, first_weight=value, max_weight=value, factor=value, strategy="linear", gate=value),
    ):
        with suppress(Invalid):
            assert isinstance(validate_ramp(data), RampDocument)
