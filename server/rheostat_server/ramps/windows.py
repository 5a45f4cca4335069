"""When a ramp may go up: its windows and freezes, and when they next let it. Pure, but for the machine's timezones.

A local time that the clocks skip is the later instant, and one that comes twice is the first of the two, as in the
windows of rules. So where 02:00 to 03:00 is skipped, a window of just that hour does not open on that day, and one from
02:15 to 02:45 opens at what clocks then show as 03:15. One that begins or ends in an hour that comes twice does so at
its first time.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from rheostat.model.window import instant_ms, zone_of

DAY_NAMES: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ALL_DAYS: Final = tuple(range(7))
DAY_MINUTES: Final = 1440

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS_AHEAD: Final = 15
"""A window of a day of the week that the clocks skip this week opens in the next."""
_YEAR_MS: Final = 366 * 86_400_000
LAST_MS: Final = 250_000_000_000_000
"""In the year 9892: beyond it there is no calendar to look into."""


class AdvanceWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Hours of days of the week (0: Monday). Times are minutes of the local day.

    A window that ends no later than it begins ends on the day after; ``until_minute`` of 1440 is the day's end.
    """

    timezone: str
    days: tuple[int, ...] = ALL_DAYS
    from_minute: int = 0
    until_minute: int = DAY_MINUTES


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """From ``from_ms`` on and before ``until_ms`` nothing goes up. ``timezone`` is for telling of it."""

    from_ms: int
    until_ms: int
    timezone: str = "UTC"
    reason: str = ""


class Shut(msgspec.Struct, frozen=True, kw_only=True):
    """Why a ramp may not go up now, and when it may again (``None``: never, or nobody can tell).

    It is an input of the rule and kept with the evidence: what a timezone is differs between machines and years.
    """

    why: str
    opens_ms: int | None = None


def shut_at(windows: Sequence[AdvanceWindow], freezes: Sequence[Freeze], at_ms: int) -> Shut | None:
    """Return what keeps a ramp from going up at this instant; ``None``: nothing does."""
    try:
        opens_ms = next_opening(windows, freezes, at_ms)
        if opens_ms == at_ms:
            return None
        return Shut(why=_why(windows, freezes, at_ms, opens_ms), opens_ms=opens_ms)
    except ValueError as error:
        # Not going up is all that a machine without the timezone can do; evidence is read, and kills.
        return Shut(why=f"waits, for this machine cannot tell the time of its windows: {error}")


def next_opening(windows: Sequence[AdvanceWindow], freezes: Sequence[Freeze], at_ms: int) -> int | None:
    """Return the first instant, from this one on, that is within a window (if there are any) and within no freeze.

    Raises:
        ValueError: this machine does not know a timezone.
    """
    while at_ms < LAST_MS:
        inside = max((freeze.until_ms for freeze in freezes if _frozen(freeze, at_ms)), default=None)
        if inside is not None:
            at_ms = inside
        elif not windows:
            return at_ms
        else:
            opens_ms = min(_next_of(window, at_ms) for window in windows)
            if opens_ms == at_ms:
                return at_ms
            at_ms = opens_ms
    return None


def moment_words(at_ms: int, timezone: str, now_ms: int) -> str:
    """Return an instant as ``Mon 30 Nov 09:00 Europe/Madrid``, with the year where it is not this one."""
    zone = zone_of(timezone)
    then, now = (_datetime(each).astimezone(zone) for each in (at_ms, now_ms))
    year = f" {then.year}" if then.year != now.year else ""
    day = DAY_NAMES[then.weekday()].capitalize()
    return f"{day} {then.day} {_MONTHS[then.month - 1]}{year} {then:%H:%M} {timezone}"


def distance(seconds: float) -> str:
    """Return how far off something is: ``in 14 h``."""
    for most, unit_s, unit in ((90, 1, "s"), (5_400, 60, "min"), (172_800, 3_600, "h")):
        if seconds < most:
            return f"in {max(0, round(seconds / unit_s))} {unit}"
    return f"in {round(seconds / 86_400)} days"


def window_words(window: AdvanceWindow) -> str:
    """Return a window as people write it: ``mon-fri 09:00-17:00 Europe/Madrid``."""
    return f"{_days_words(window.days)} {_clock(window.from_minute)}-{_clock(window.until_minute)} {window.timezone}"


def calendar_remarks(windows: Sequence[AdvanceWindow], freezes: Sequence[Freeze], at_ms: int) -> Iterator[str]:
    """Yield what a person should know of a ramp's calendar when it starts, a line each."""
    if windows:
        yield f"it goes up only within {', '.join(map(window_words, windows))}; evidence and kills run always"
    for freeze in freezes:
        if at_ms < freeze.until_ms:
            begins, ends = (moment_words(each, freeze.timezone, at_ms) for each in (freeze.from_ms, freeze.until_ms))
            reason = f" ({freeze.reason})" if freeze.reason else ""
            yield f"frozen{reason} from {begins} until {ends}"
    shut = shut_at(windows, freezes, at_ms)
    if shut is None:
        return
    if shut.opens_ms is None or shut.opens_ms - at_ms > _YEAR_MS:
        yield "nothing lets it go up within a year: look at its windows and freezes"
    else:
        yield f"it begins to watch now; {shut.why}"


def _why(windows: Sequence[AdvanceWindow], freezes: Sequence[Freeze], at_ms: int, opens_ms: int | None) -> str:
    frozen = next((freeze for freeze in freezes if _frozen(freeze, at_ms)), None)
    reason = "" if frozen is None or not frozen.reason else f" ({frozen.reason})"
    if opens_ms is None:
        return (
            "waits for its windows, which never open again"
            if frozen is None
            else f"waits for a freeze{reason}, which never ends"
        )
    if windows:
        opening = next(window for window in windows if _holds(window, opens_ms))
        timezone = opening.timezone
    else:
        timezone = "UTC" if frozen is None else frozen.timezone
    opens = moment_words(opens_ms, timezone, at_ms)
    if frozen is None:
        return f"waits for the advance window: opens {opens}"
    return f"frozen{reason}: opens {opens}"


def _frozen(freeze: Freeze, at_ms: int) -> bool:
    return freeze.from_ms <= at_ms < freeze.until_ms


def _holds(window: AdvanceWindow, at_ms: int) -> bool:
    return any(begins <= at_ms < ends for begins, ends in _openings(window, at_ms, days=1))


def _next_of(window: AdvanceWindow, at_ms: int) -> int:
    """Return the first instant, from this one on, that is within the window."""
    # Days come in order, and none begins before the day before it.
    begun = (begins for begins, ends in _openings(window, at_ms, days=_DAYS_AHEAD) if at_ms < ends)
    return max(at_ms, next(begun, LAST_MS))


def _openings(window: AdvanceWindow, at_ms: int, *, days: int) -> Iterator[tuple[int, int]]:
    """Yield when the window opens and closes, on its days from the day before the instant on."""
    zone = zone_of(window.timezone)
    today = _datetime(at_ms).astimezone(zone).date()
    over_midnight = window.until_minute <= window.from_minute
    for ahead in range(-1, days + 1):
        day = today + timedelta(days=ahead)
        if day.weekday() not in window.days:
            continue
        begins = _instant(day, window.from_minute, window.timezone)
        ends = _instant(day + timedelta(days=over_midnight), window.until_minute, window.timezone)
        if begins < ends:
            yield begins, ends


def _instant(day: date, minute: int, timezone: str) -> int:
    whole, rest = divmod(minute, DAY_MINUTES)
    day += timedelta(days=whole)
    return instant_ms(f"{day.isoformat()}T{rest // 60:02}:{rest % 60:02}", timezone)


def _datetime(at_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)


def _days_words(days: tuple[int, ...]) -> str:
    if days == ALL_DAYS:
        return "daily"
    if len(days) > 2 and days == tuple(range(days[0], days[-1] + 1)):
        return f"{DAY_NAMES[days[0]]}-{DAY_NAMES[days[-1]]}"
    return ",".join(DAY_NAMES[day] for day in days)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
