"""Counters are read by raw samples: each used once, resets seen, the first error counted."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rheostat_server.adapters.evidence.prometheus.client import Series
from rheostat_server.adapters.evidence.prometheus.cursor import (
    FORGET_MS,
    Cursor,
    Growth,
    advanced,
    read_cursor,
    write_cursor,
)

LABELS = {"job": "app", "instance": "a:1", "arm": "treatment", "outcome": "ok"}


def a_series(*samples: tuple[int, float], **labels: str) -> Series:
    """Return a counter's samples, at (ms, value)."""
    return Series("requests_total", {**LABELS, **labels}, samples)


def step(cursor: Cursor, *series: Series, born_with_ramp: bool = False) -> tuple[Cursor, list[Growth]]:
    """Return what a reading of these series gives."""
    return advanced(cursor, series, asked_ms=99, born_with_ramp=born_with_ramp)


def amounts(growth: list[Growth]) -> list[int]:
    """Return the amounts alone."""
    return [grown.amount for grown in growth]


def test_a_new_target_counts_from_its_first_sample() -> None:
    """What an application counted before it was first seen is no evidence."""
    cursor, growth = step(Cursor(), a_series((1000, 500), (2000, 503)))

    assert amounts(growth) == [3]
    assert (growth[0].from_ms, growth[0].until_ms) == (1000, 2000)
    assert cursor.newest_ms == 2000


def test_a_new_series_on_a_known_target_starts_from_zero() -> None:
    """The first error of an application that was seen before counts."""
    cursor, _ = step(Cursor(), a_series((1000, 500)))

    _, growth = step(cursor, a_series((1000, 500), (2000, 501)), a_series((2000, 1), outcome="error"))

    assert amounts(growth) == [1, 1]
    assert (growth[1].labels["outcome"], growth[1].from_ms, growth[1].until_ms) == ("error", 1000, 2000)


def test_a_series_born_with_the_ramp_starts_from_zero_anywhere() -> None:
    """A node that joins during the ramp shows first what it counted since: all of it is the ramp's."""
    _, growth = step(Cursor(), a_series((1000, 4)), born_with_ramp=True)

    assert amounts(growth) == [4]


def test_each_sample_is_used_once() -> None:
    """Ranges overlap; what was read is not read again."""
    cursor, _ = step(Cursor(), a_series((1000, 10), (2000, 12)))

    cursor, growth = step(cursor, a_series((1000, 10), (2000, 12), (3000, 15)))
    _, again = step(cursor, a_series((2000, 12), (3000, 15)))

    assert (amounts(growth), again) == ([3], [])


def test_a_fall_is_a_reset() -> None:
    """A counter that begins anew has grown by what it shows."""
    cursor, _ = step(Cursor(), a_series((1000, 10)))

    _, growth = step(cursor, a_series((2000, 12), (3000, 4), (4000, 5)))

    assert amounts(growth) == [2, 4, 1]


def test_growth_over_a_gap_counts_from_the_cursor() -> None:
    """After an outage of Prometheus or of the controller nothing is missing, however long it was."""
    cursor, _ = step(Cursor(), a_series((1000, 10)))

    _, growth = step(cursor, a_series((1_000_000, 90)))

    assert amounts(growth) == [80]
    assert (growth[0].from_ms, growth[0].until_ms) == (1000, 1_000_000)


def test_a_target_long_gone_is_forgotten() -> None:
    """The cursor is saved with each observation and must not grow with every instance that ever was."""
    cursor, _ = step(Cursor(), a_series((1000, 10)), a_series((1000, 10), instance="b:1"))

    cursor, _ = step(cursor, a_series((FORGET_MS + 2000, 11)))

    assert len(cursor.series) == len(cursor.targets) == 1
    _, growth = step(cursor, a_series((FORGET_MS + 3000, 70), instance="b:1"))
    assert growth == []


def test_a_cursor_survives_being_saved() -> None:
    """What is written is what is read."""
    cursor, _ = step(Cursor(), a_series((1000, 10.5)), a_series((1000, 3), instance="b:1"))

    assert read_cursor(write_cursor(cursor)) == cursor
    assert read_cursor("") == Cursor()


@given(
    counts=st.lists(st.integers(0, 5), min_size=2, max_size=30),
    resets=st.sets(st.integers(1, 29)),
    cuts=st.sets(st.integers(1, 29)),
)
def test_however_it_is_read_it_adds_up_to_what_was_counted(counts: list[int], resets: set[int], cuts: set[int]) -> None:
    """The sum of all growth is what was counted after the first sample, wherever resets and readings fall."""
    value, samples = 0, []
    for at, count in enumerate(counts):
        # A reset that is overtaken within one scrape cannot be seen by anyone; so none is made here.
        value = count if at in resets and count < value else value + count
        samples.append((at * 1000, float(value)))
    edges = [0, *sorted(cut for cut in cuts if cut < len(counts)), len(counts)]
    cursor, total = Cursor(), 0

    for low, high in pairwise(edges):
        cursor, growth = step(cursor, a_series(*samples[max(0, low - 3) : high]))
        total += sum(amounts(growth))

    assert total == sum(counts[1:])
