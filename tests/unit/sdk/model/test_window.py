"""Local times and moments become instants."""

import pytest

from rheostat.model.moment import moment_ns
from rheostat.model.window import Window, WindowDocument, instant_ms, serve_window


def utc(text: str) -> int:
    nanoseconds = moment_ns(text)
    assert nanoseconds is not None
    return nanoseconds // 1_000_000


@pytest.mark.parametrize(
    ("text", "timezone", "instant"),
    [
        ("2026-11-27T00:00", "Europe/Madrid", "2026-11-26T23:00:00Z"),
        ("2026-07-01T00:00:01", "Europe/Madrid", "2026-06-30T22:00:01Z"),
        ("2026-11-27t00:00", "UTC", "2026-11-27T00:00:00Z"),
        ("2026-11-27T00:00", "Asia/Kolkata", "2026-11-26T18:30:00Z"),
        ("2026-11-27T00:00:00+05:30", None, "2026-11-26T18:30:00Z"),
        ("2026-11-27T00:00:00.0019Z", None, "2026-11-27T00:00:00.001Z"),
        ("2026-12-01T09:00Z", None, "2026-12-01T09:00:00Z"),
        ("2026-12-01t09:00z", None, "2026-12-01T09:00:00Z"),
        ("2026-12-01T09:00+01:00", None, "2026-12-01T08:00:00Z"),
        ("1969-12-31T23:59:59.9999Z", None, "1969-12-31T23:59:59.999Z"),
        ("0001-01-01T00:00", "Asia/Tokyo", "0001-01-01T00:00:00+09:18"),
    ],
)
def test_a_time_is_an_instant(text: str, timezone: str | None, instant: str) -> None:
    """Local in a timezone, or with an offset of its own; what is finer than a millisecond is cut off."""
    found = instant_ms(text, timezone)

    assert abs(found - utc(instant)) < 60_000 if text.startswith("0001") else found == utc(instant)


@pytest.mark.parametrize(
    ("local", "timezone", "instant", "shown"),
    [
        ("2026-03-29T02:30", "Europe/Madrid", "2026-03-29T01:30:00Z", "03:30, an hour later than written"),
        ("2026-03-08T02:30", "America/New_York", "2026-03-08T07:30:00Z", "03:30"),
        ("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:45:00Z", "02:45: half an hour is skipped there"),
    ],
)
def test_a_local_time_that_is_skipped_is_the_later_instant(local: str, timezone: str, instant: str, shown: str) -> None:
    """It counts with the offset before the change."""
    assert instant_ms(local, timezone) == utc(instant), shown


@pytest.mark.parametrize(
    ("local", "timezone", "instant"),
    [
        ("2026-10-25T02:30", "Europe/Madrid", "2026-10-25T00:30:00Z"),
        ("2026-11-01T01:30", "America/New_York", "2026-11-01T05:30:00Z"),
    ],
)
def test_a_local_time_that_comes_twice_is_the_first(local: str, timezone: str, instant: str) -> None:
    """The earlier instant."""
    assert instant_ms(local, timezone) == utc(instant)


@pytest.mark.parametrize(
    ("text", "timezone", "message"),
    [
        ("2026-11-27T00:00", None, "needs an offset, or the window a timezone"),
        ("2026-11-27", None, "not a date and time"),
        ("2026-11-27", "Europe/Madrid", "not a date and time"),
        ("2026-11-27 00:00", "Europe/Madrid", "not a date and time"),
        ("2026-11-27T00:00:00Z", "Europe/Madrid", "one of them is enough"),
        ("2026-11-27T00:00Z", "Europe/Madrid", "one of them is enough"),
        ("2026-11-27T24:00Z", None, "not a date and time"),
        ("2026-11-27T09Z", None, "not a date and time"),
        ("2026-11-27T09:00+0100", None, "not a date and time"),
        ("2026-02-30T00:00", "Europe/Madrid", "day"),
        ("2026-02-28T24:00", "Europe/Madrid", "hour"),
        ("2026-11-27T00:00", "Europe/Madird", "no timezone Europe/Madird"),
        ("2026-11-27T00:00", "../etc/passwd", "no timezone"),
        ("2026-11-27T00:00", "Europe", "no timezone"),
        ("2026-11-27T00:00", "", "no timezone"),
    ],
)
def test_what_is_no_time_is_refused(text: str, timezone: str | None, message: str) -> None:
    """The message says what is missing or too much."""
    with pytest.raises(ValueError, match=message):
        instant_ms(text, timezone)


def test_a_window_may_lack_a_bound() -> None:
    """What is not written does not bound it."""
    assert serve_window(WindowDocument(from_="1970-01-01T00:00:01Z")) == Window(1_000, None)
    assert serve_window(WindowDocument(until="1970-01-01T00:00", timezone="UTC")) == Window(None, 0)
