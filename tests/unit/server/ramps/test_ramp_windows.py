"""When a ramp may go up: over midnight, through changed clocks, at the ends of months and years, and in no freeze."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat_server.ramps.windows import (
    ALL_DAYS,
    AdvanceWindow,
    Freeze,
    calendar_remarks,
    distance,
    moment_words,
    next_opening,
    shut_at,
    window_words,
)

MADRID = "Europe/Madrid"
NEW_YORK = "America/New_York"
OFFICE = AdvanceWindow(timezone=MADRID, days=(0, 1, 2, 3, 4), from_minute=9 * 60, until_minute=17 * 60)
NIGHT = AdvanceWindow(timezone=MADRID, days=(4,), from_minute=22 * 60, until_minute=2 * 60)
HOUR = 3_600_000
DAY = 24 * HOUR


def at(text: str, zone: str = MADRID, fold: int = 0) -> int:
    """The instant of a local time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def hours(begins: str, ends: str, *, days: tuple[int, ...] = ALL_DAYS, zone: str = MADRID) -> AdvanceWindow:
    """A window from one time of the day to another."""
    minutes = [int(text[:2]) * 60 + int(text[3:]) for text in (begins, ends)]
    return AdvanceWindow(timezone=zone, days=days, from_minute=minutes[0], until_minute=minutes[1])


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-27T12:00", "2026-11-27T12:00"),
        ("2026-11-27T09:00", "2026-11-27T09:00"),
        ("2026-11-27T08:59", "2026-11-27T09:00"),
        ("2026-11-27T17:00", "2026-11-30T09:00"),
        ("2026-11-28T12:00", "2026-11-30T09:00"),
        ("2026-11-30T00:00", "2026-11-30T09:00"),
        # The end of a month, of a February with and without its 29th, and of a year.
        ("2027-04-30T18:00", "2027-05-03T09:00"),
        ("2028-02-28T18:00", "2028-02-29T09:00"),
        ("2028-02-29T18:00", "2028-03-01T09:00"),
        ("2027-02-26T18:00", "2027-03-01T09:00"),
        ("2026-12-31T17:00", "2027-01-01T09:00"),
    ],
)
def test_an_office_window_opens_on_its_days(now: str, opens: str) -> None:
    """The end is not within; after Friday comes Monday."""
    assert next_opening([OFFICE], [], at(now)) == at(opens)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-27T21:59", "2026-11-27T22:00"),
        ("2026-11-27T23:59", "2026-11-27T23:59"),
        ("2026-11-28T01:59", "2026-11-28T01:59"),
        ("2026-11-28T02:00", "2026-12-04T22:00"),
        # Saturday's own evening is not Friday's.
        ("2026-11-28T23:00", "2026-12-04T22:00"),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(now: str, opens: str) -> None:
    """Friday's window from 22:00 to 02:00 is open on Saturday at 01:59."""
    assert next_opening([NIGHT], [], at(now)) == at(opens)


def test_a_day_ends_at_24_00() -> None:
    """Up to 24:00, and over midnight to 00:00, are the same; two days that touch are one stretch."""
    for ends in (1_440, 0):
        evening = AdvanceWindow(timezone=MADRID, days=(6,), from_minute=22 * 60, until_minute=ends)
        assert next_opening([evening], [], at("2026-11-29T23:59:59")) == at("2026-11-29T23:59:59")
        assert next_opening([evening], [], at("2026-11-30T00:00")) == at("2026-12-06T22:00")
    whole = AdvanceWindow(timezone=MADRID, days=(5, 6))
    assert next_opening([whole], [], at("2026-11-29T00:00")) == at("2026-11-29T00:00")


@pytest.mark.parametrize(
    ("window", "now", "opens"),
    [
        # On 28 March 2027 the clocks of Madrid go from 02:00 to 03:00.
        (hours("02:00", "03:00"), "2027-03-27T12:00", "2027-03-29T02:00"),
        (hours("02:15", "02:45", days=(6,)), "2027-03-27T12:00", "2027-03-28T03:15"),
        (hours("02:15", "02:45", days=(6,)), "2027-03-28T03:45", "2027-04-04T02:15"),
        (hours("02:30", "05:00"), "2027-03-28T00:00", "2027-03-28T03:30"),
        (hours("01:00", "02:30"), "2027-03-28T03:29", "2027-03-28T03:29"),
        (hours("01:00", "02:30"), "2027-03-28T03:30", "2027-03-29T01:00"),
        # Begins at 03:30 by the later instant, and ends before.
        (hours("02:30", "03:15"), "2027-03-28T00:00", "2027-03-29T02:30"),
    ],
)
def test_an_hour_that_is_skipped(window: AdvanceWindow, now: str, opens: str) -> None:
    """A time that the clocks skip is the later instant; a window of just that hour does not open on that day."""
    assert next_opening([window], [], at(now)) == at(opens)


def test_an_hour_that_comes_twice() -> None:
    """On 25 October 2026 the clocks of Madrid go from 03:00 back to 02:00: the first of the two counts."""
    first, second = at("2026-10-25T02:30"), at("2026-10-25T02:30", fold=1)
    assert second - first == HOUR
    half = hours("02:30", "03:00")
    assert next_opening([half], [], first - 1) == first
    assert next_opening([half], [], second) == second, "from the first 02:30 on it is open until 03:00"
    until = hours("01:00", "02:30")
    assert next_opening([until], [], first - 1) == first - 1
    assert next_opening([until], [], first) == at("2026-10-26T01:00"), "it has ended, though clocks show 02:00 again"
    both = hours("02:00", "03:00")
    assert next_opening([both], [], second) == second, "the hour that comes twice is open for two"


def test_windows_of_several_timezones_are_each_their_own() -> None:
    """The first that opens is the next opening, wherever it is."""
    there = hours("09:00", "17:00", zone=NEW_YORK)
    assert next_opening([OFFICE, there], [], at("2026-11-27T17:30")) == at("2026-11-27T11:30", NEW_YORK)
    assert next_opening([OFFICE, there], [], at("2026-11-27T23:30")) == at("2026-11-28T09:00", NEW_YORK)


def test_a_freeze_keeps_windows_shut() -> None:
    """Until it ends, and then until a window opens; freezes that overlap or touch are one."""
    holidays = Freeze(from_ms=at("2026-12-24T00:00"), until_ms=at("2027-01-02T00:00"))
    sales = Freeze(from_ms=at("2026-12-20T00:00"), until_ms=at("2026-12-28T00:00"))
    stock = Freeze(from_ms=at("2027-01-02T00:00"), until_ms=at("2027-01-05T12:00"))
    now = at("2026-12-24T10:00")
    assert next_opening([OFFICE], [holidays], now) == at("2027-01-04T09:00")
    assert next_opening([OFFICE], [holidays, sales, stock], at("2026-12-21T10:00")) == at("2027-01-05T12:00")
    assert next_opening([], [holidays], now) == at("2027-01-02T00:00")
    assert next_opening([], [holidays], at("2027-01-02T00:00")) == at("2027-01-02T00:00")
    assert next_opening([], [holidays], at("2026-12-23T23:59")) == at("2026-12-23T23:59")
    # A window that opens into a freeze waits for its end.
    assert next_opening([OFFICE], [sales], at("2026-12-19T10:00")) == at("2026-12-28T09:00")


def test_without_windows_and_freezes_nothing_is_ever_shut() -> None:
    """A plain ramp asks no calendar."""
    assert shut_at([], [], 0) is None


def test_shut_says_when_it_opens() -> None:
    """In the window's own time, with the year where it is another, and with the reason of a freeze."""
    saturday = at("2026-11-28T12:00")
    shut = shut_at([OFFICE], [], saturday)
    assert shut is not None
    assert shut.why == "waits for the advance window: opens Mon 30 Nov 09:00 Europe/Madrid"
    assert shut.opens_ms == at("2026-11-30T09:00")
    assert shut_at([OFFICE], [], at("2026-11-30T09:00")) is None

    holidays = Freeze(
        from_ms=at("2026-12-24T00:00"), until_ms=at("2027-01-02T00:00"), timezone=MADRID, reason="holidays"
    )
    christmas = at("2026-12-25T12:00")
    frozen, plain = shut_at([OFFICE], [holidays], christmas), shut_at([], [holidays], christmas)
    assert frozen is not None
    assert plain is not None
    assert frozen.why == "frozen (holidays): opens Mon 4 Jan 2027 09:00 Europe/Madrid"
    assert plain.why == "frozen (holidays): opens Sat 2 Jan 2027 00:00 Europe/Madrid"
    between = shut_at([], [holidays], at("2027-01-01T12:00"))
    assert between is not None
    assert between.why == "frozen (holidays): opens Sat 2 Jan 00:00 Europe/Madrid"


def test_a_freeze_that_never_ends_is_told_so() -> None:
    """Nothing is searched for ever."""
    ever = Freeze(from_ms=at("2026-12-24T00:00"), until_ms=at("9998-01-01T00:00"), timezone=MADRID)
    assert next_opening([OFFICE], [ever], at("2026-12-24T10:00")) is None
    for windows, when, why in (
        ([], "2026-12-25T12:00", "waits for a freeze, which never ends"),
        ([OFFICE], "2026-12-23T18:00", "waits for its windows, which never open again"),
    ):
        shut = shut_at(windows, [ever], at(when))
        assert shut is not None
        assert (shut.why, shut.opens_ms) == (why, None)


def test_a_machine_without_the_timezone_waits() -> None:
    """It cannot tell, so it does not go up; that is no reason to stop watching."""
    shut = shut_at([AdvanceWindow(timezone="Mars/Olympus")], [], 0)

    assert shut is not None
    assert shut.opens_ms is None
    assert "there is no timezone Mars/Olympus" in shut.why


def test_remarks_tell_of_windows_and_freezes() -> None:
    """What a person should know at the start: the windows, the freezes to come, and when it first goes up."""
    holidays = Freeze(
        from_ms=at("2026-12-24T00:00"), until_ms=at("2027-01-02T00:00"), timezone=MADRID, reason="holidays"
    )
    past = Freeze(from_ms=0, until_ms=1)
    plain = Freeze(from_ms=at("2026-12-24T00:00"), until_ms=at("2026-12-25T00:00"), timezone=MADRID)

    assert list(calendar_remarks([OFFICE], [past, holidays], at("2026-11-28T12:00"))) == [
        "it goes up only within mon-fri 09:00-17:00 Europe/Madrid; evidence and kills run always",
        "frozen (holidays) from Thu 24 Dec 00:00 Europe/Madrid until Sat 2 Jan 2027 00:00 Europe/Madrid",
        "it begins to watch now; waits for the advance window: opens Mon 30 Nov 09:00 Europe/Madrid",
    ]
    assert list(calendar_remarks([], [plain], at("2026-11-27T12:00"))) == [
        "frozen from Thu 24 Dec 00:00 Europe/Madrid until Fri 25 Dec 00:00 Europe/Madrid"
    ]
    assert list(calendar_remarks([], [], 0)) == []
    for until in ("2028-06-01T00:00", "9998-01-01T00:00"):
        long = Freeze(from_ms=0, until_ms=at(until))
        assert list(calendar_remarks([OFFICE], [long], at("2026-11-28T12:00")))[-1] == (
            "nothing lets it go up within a year: look at its windows and freezes"
        )


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (ALL_DAYS, "daily"),
        ((0, 1, 2, 3, 4), "mon-fri"),
        ((5, 6), "sat,sun"),
        ((0, 2, 4), "mon,wed,fri"),
        ((3,), "thu"),
    ],
)
def test_windows_read_as_people_write_them(days: tuple[int, ...], words: str) -> None:
    """Days, hours, timezone."""
    window = AdvanceWindow(timezone=MADRID, days=days, from_minute=9 * 60 + 5, until_minute=1_440)
    assert window_words(window) == f"{words} 09:05-24:00 Europe/Madrid"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "in 0 s"),
        (89, "in 89 s"),
        (90, "in 2 min"),
        (5_399, "in 90 min"),
        (50_400, "in 14 h"),
        (172_800, "in 2 days"),
        (9 * 86_400, "in 9 days"),
    ],
)
def test_distances_are_rounded(seconds: float, words: str) -> None:
    """A figure and its unit."""
    assert distance(seconds) == words


def test_moments_have_the_year_where_it_is_another() -> None:
    """By the local calendar: at New Year's Eve in UTC it is the next year in Auckland."""
    eve = round(datetime(2026, 12, 31, 18, 0, tzinfo=UTC).timestamp() * 1000)
    assert moment_words(eve, "UTC", eve) == "Thu 31 Dec 18:00 UTC"
    assert moment_words(eve, "Pacific/Auckland", eve) == "Fri 1 Jan 07:00 Pacific/Auckland"
    assert moment_words(eve, "UTC", eve + DAY) == "Thu 31 Dec 2026 18:00 UTC"


ZONES = st.sampled_from(
    ["UTC", MADRID, NEW_YORK, "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"]
)
WINDOWS = st.builds(
    AdvanceWindow,
    timezone=ZONES,
    days=st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    from_minute=st.integers(0, 1_439),
    until_minute=st.integers(0, 1_440),
).filter(lambda window: window.from_minute != window.until_minute)
INSTANTS = st.integers(at("2026-01-01T00:00"), at("2029-01-01T00:00"))
FREEZES = st.builds(
    lambda begins, length: Freeze(from_ms=begins, until_ms=begins + length), INSTANTS, st.integers(1, 40 * DAY)
)


def is_open(windows: list[AdvanceWindow], freezes: list[Freeze], now_ms: int) -> bool:
    """Whether the instant is within a window and no freeze, read off the clocks on the wall where they go evenly."""
    if any(freeze.from_ms <= now_ms < freeze.until_ms for freeze in freezes):
        return False
    for window in windows:
        local = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(window.timezone))
        minute = local.hour * 60 + local.minute
        today, yesterday = local.weekday() in window.days, (local.weekday() - 1) % 7 in window.days
        begins, ends = window.from_minute, window.until_minute
        if (begins < ends and today and begins <= minute < ends) or (
            begins >= ends and ((today and minute >= begins) or (yesterday and minute < ends))
        ):
            return True
    return not windows


def is_even(now_ms: int, windows: list[AdvanceWindow]) -> bool:
    """Whether no clock is changed within three days before or after."""
    for window in windows:
        zone = ZoneInfo(window.timezone)
        offsets = {
            datetime.fromtimestamp(now_ms / 1000, zone).utcoffset(),
            datetime.fromtimestamp(now_ms / 1000 - 3 * 86_400, zone).utcoffset(),
            datetime.fromtimestamp(now_ms / 1000 + 3 * 86_400, zone).utcoffset(),
        }
        if len(offsets) > 1:
            return False
    return True


@given(windows=st.lists(WINDOWS, max_size=3), freezes=st.lists(FREEZES, max_size=3), now_ms=INSTANTS)
def test_the_next_opening_is_open_and_nothing_earlier_is(
    windows: list[AdvanceWindow], freezes: list[Freeze], now_ms: int
) -> None:
    """It is open at the next opening and shut at every instant before it; asked there, it opens there."""
    opens_ms = next_opening(windows, freezes, now_ms)

    assert opens_ms is not None
    assert opens_ms >= now_ms
    assert next_opening(windows, freezes, opens_ms) == opens_ms
    assert shut_at(windows, freezes, opens_ms) is None
    for eighth in range(8):
        before = now_ms + (opens_ms - now_ms) * eighth // 8
        if before < opens_ms:
            assert next_opening(windows, freezes, before) == opens_ms
    if opens_ms > now_ms:
        assert next_opening(windows, freezes, opens_ms - 1) == opens_ms


@given(windows=st.lists(WINDOWS, max_size=3), freezes=st.lists(FREEZES, max_size=2), now_ms=INSTANTS)
def test_it_is_open_when_the_clocks_on_the_wall_say_so(
    windows: list[AdvanceWindow], freezes: list[Freeze], now_ms: int
) -> None:
    """Where no clock is changed, a window is what anybody reads off a clock."""
    if is_even(now_ms, windows):
        assert (shut_at(windows, freezes, now_ms) is None) == is_open(windows, freezes, now_ms)


@given(window=WINDOWS, now_ms=INSTANTS)
def test_a_window_opens_within_two_weeks(window: AdvanceWindow, now_ms: int) -> None:
    """Each window comes every week, but for the hour that a change of clocks takes."""
    opens_ms = next_opening([window], [], now_ms)

    assert opens_ms is not None
    assert opens_ms - now_ms <= timedelta(days=15).total_seconds() * 1000
