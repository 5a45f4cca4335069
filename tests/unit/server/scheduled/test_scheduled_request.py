"""What may be asked when a change is scheduled."""

from typing import Any

import pytest

from rheostat_server.scheduled.change import ScheduledChange, TargetEdit
from rheostat_server.scheduled.request import HORIZON_MS, Request, read_request
from rheostat_server.web.times import rfc3339

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
PATCH = {"patch": {"owner": "ann"}}


def ask(**fields: Any) -> Request:
    return read_request({"at": "2026-06-01T00:00:00Z", **PATCH, **fields}, NOW_MS)


def paths(asked: Request) -> list[str]:
    return [fault.path for fault in asked.faults]


@pytest.mark.parametrize(
    ("at", "timezone", "instant"),
    [
        ("2026-12-01T09:00:00+01:00", None, "2026-12-01T08:00:00.000Z"),
        ("2026-12-01T09:00", "Europe/Madrid", "2026-12-01T08:00:00.000Z"),
        ("2026-12-01T09:00Z", None, "2026-12-01T09:00:00.000Z"),
        ("2026-12-01T09:00+01:00", None, "2026-12-01T08:00:00.000Z"),
        ("2026-12-01T09:00:30", "UTC", "2026-12-01T09:00:30.000Z"),
        # The clocks go from 02:00 to 03:00, and from 03:00 to 02:00.
        ("2026-03-29T02:30", "Europe/Madrid", "2026-03-29T01:30:00.000Z"),
        ("2026-10-25T02:30", "Europe/Madrid", "2026-10-25T00:30:00.000Z"),
        ("2026-01-01T00:00:00.001Z", None, "2026-01-01T00:00:00.001Z"),
    ],
)
def test_a_time_is_an_instant(at: str, timezone: str | None, instant: str) -> None:
    """RFC 3339, or local with a timezone: a skipped one is the later instant, one that comes twice the first."""
    moment = ask(at=at, timezone=timezone).moment

    assert moment is not None
    assert (rfc3339(moment.at_ms), moment.text, moment.timezone) == (instant, at, timezone)


@pytest.mark.parametrize(
    ("at", "timezone", "path", "word"),
    [
        (None, None, "at", "required"),
        (5, None, "at", "not text"),
        ("2026-12-01T09:00", None, "at", "needs an offset"),
        ("2026-12-01T09:00:00Z", "Europe/Madrid", "at", "one of them is enough"),
        ("2026-12-01T09:00Z", "Europe/Madrid", "at", "one of them is enough"),
        ("tomorrow", "Europe/Madrid", "at", "not a date and time"),
        ("2026-13-01T09:00", "Europe/Madrid", "at", "not a date and time"),
        ("2026-12-01", None, "at", "not a date and time"),
        ("2026-12-01T09:00", "Europe/Madird", "timezone", "no timezone"),
        ("2026-12-01T09:00", "localtime", "timezone", "no timezone"),
        ("2026-01-01T00:00:00Z", None, "at", "is past"),
        ("0001-01-01T00:00", "Asia/Tokyo", "at", "is past"),
        ("2031-01-06T00:00:00Z", None, "at", "five years"),
        ("9999-12-31T23:59", "America/New_York", "at", "five years"),
    ],
)
def test_a_time_that_cannot_be_meant_is_a_fault(at: Any, timezone: str | None, path: str, word: str) -> None:
    """Past, too far ahead, without an offset, with two: one fault, and no moment."""
    asked = ask(at=at, timezone=timezone)

    assert asked.moment is None
    [fault] = asked.faults
    assert fault.path == path
    assert word in fault.message


def test_five_years_are_the_most() -> None:
    """The last millisecond of the horizon is within, the next is not."""
    last = rfc3339(NOW_MS + HORIZON_MS)
    beyond = rfc3339(NOW_MS + HORIZON_MS + 1)

    assert (ask(at=last).faults, paths(ask(at=beyond))) == ((), ["at"])


def test_a_request_is_read_as_it_was_meant() -> None:
    """Patch, rules and targets of an environment, for one version, with a note."""
    asked = ask(
        environment="production",
        patch={"enabled": True},
        rules={"beta": None, "old": {"serve": "on"}},
        targets={"on": {"add": ["ann"]}, "off": {"remove": ["ann"]}, "other": {}},
        if_version=3,
        note="launch",
    )

    assert asked.faults == ()
    assert (asked.if_version, asked.note) == (3, "launch")
    assert asked.change == ScheduledChange(
        environment="production",
        patch={"enabled": True},
        rules={"beta": None, "old": {"serve": "on"}},
        targets={"on": TargetEdit(add=("ann",)), "off": TargetEdit(remove=("ann",)), "other": TargetEdit()},
    )


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"patch": {}}, [""]),
        ({"patch": None}, [""]),
        ({"patch": 5}, ["patch"]),
        ({"patch": {"environments": None}}, ["patch.environments"]),
        ({"patch": {"environments": {"a": None}}}, ["patch.environments.a"]),
        ({"rules": {"beta": None}, "targets": {"on": {"add": ["ann"]}}}, ["rules", "targets"]),
        ({"environment": "a", "rules": [1]}, ["rules"]),
        ({"environment": "a", "rules": {"beta": 5}}, ["rules.beta"]),
        ({"environment": "a", "targets": 5}, ["targets"]),
        ({"environment": "a", "targets": {"on": ["ann"]}}, ["targets.on"]),
        ({"environment": "a", "targets": {"on": {"added": []}}}, ["targets.on.added"]),
        ({"environment": "a", "targets": {"on": {"add": "ann"}}}, ["targets.on.add"]),
        ({"environment": "a", "targets": {"on": {"add": ["ann", 5]}}}, ["targets.on.add[1]"]),
        ({"environment": "a", "targets": {"on": {"add": ["x"]}, "off": {"add": ["x"]}}}, ["targets.off.add"]),
        ({"environment": 5}, ["environment"]),
    ],
)
def test_a_change_that_cannot_be_meant_is_none(fields: dict[str, Any], found: list[str]) -> None:
    """Each fault has its path, and there is no change to try."""
    asked = ask(**fields)

    assert paths(asked) == found
    assert asked.change is None


def test_all_faults_are_found_at_once() -> None:
    """Of the time, the note, the version and unknown fields; the change may be sound all the same."""
    asked = ask(at="never", note="two\nlines", if_version=0, notes=1)

    assert sorted(paths(asked)) == ["at", "if_version", "note", "notes"]
    assert asked.change is not None


def test_what_is_no_object_is_a_fault() -> None:
    """A request is an object."""
    assert read_request([], NOW_MS).faults[0].message == "this is a list, not an object"
