"""Scheduled changes in words."""

from rheostat_server.errors import Fault, Invalid, VersionConflict
from rheostat_server.scheduled.change import ScheduledChange, TargetEdit
from rheostat_server.scheduled.words import change_words, failure_words, local_time


def test_a_change_is_said_in_a_line() -> None:
    """Fields by path, rules and targets by name."""
    change = ScheduledChange(
        environment="production",
        patch={
            "enabled": True,
            "default": {"serve": None, "rollout": {"exposure": 50}},
            "rules": [1, 2],
            "metadata": {},
        },
        rules={"beta": {"serve": "on"}, "old": None, "same": {}},
        targets={"on": TargetEdit(add=("a", "b"), remove=("c",)), "off": TargetEdit()},
    )

    assert change_words(change) == (
        "enabled: true; default.serve: removed; default.rollout.exposure: 50; rules: a list of 2; metadata: {}; "
        'rule beta: serve: "on"; rule old: removed; rule same: nothing; targets of on: add 2, remove 1; '
        "targets of off: nothing"
    )


def test_a_long_change_is_cut() -> None:
    """The line fits a terminal's few lines."""
    words = change_words(ScheduledChange(patch={"description": "x" * 1000}))

    assert (len(words), words[-1]) == (300, "…")


def test_a_time_is_told_as_its_clocks_show_it() -> None:
    """In the timezone that was asked for, with the offset of that day; else in UTC."""
    assert local_time(1_796_112_000_000, "Europe/Madrid") == "2026-12-01T09:00:00+01:00"
    assert local_time(1_796_112_000_000, None) == "2026-12-01T08:00:00Z"


def test_a_line_has_no_control_characters() -> None:
    """A name in metadata may hold a NUL, which PostgreSQL does not store, or what a terminal obeys."""
    assert change_words(ScheduledChange(patch={"metadata": {"a\x00\x1b[2J": 1}})) == "metadata.a\ufffd\ufffd[2J: 1"


def test_a_failure_is_said_in_a_line() -> None:
    """The error's words, or the first of its faults and how many there are."""
    faults = [Fault("a.b", "no such field", "did you mean c?"), Fault("d", "too\nlong")]

    assert failure_words(VersionConflict("it moved on")) == "it moved on"
    assert failure_words(Invalid(faults[:1]), faults[:1]) == "a.b: no such field (did you mean c?)"
    assert failure_words(Invalid(faults), faults) == "a.b: no such field (did you mean c?) (and 1 more)"
