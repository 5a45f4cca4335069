"""Which instances applied a kill, and whether exposure fell."""

from typing import Any

import pytest

from rheostat_server.ramps.readback import NOBODY, Heard, Readback, line_of, read_back, straggler_line

KILL = 1_000_000
BOUND = 10_000


def one(instance: str = "a", **fields: Any) -> Heard:
    """An instance that was heard a second after the kill, and speaks of then."""
    usual: dict[str, Any] = {
        "service": "shop",
        "seen_ms": KILL + 1_000,
        "said_ms": KILL + 1_000,
        "acknowledges": True,
        "before": True,
    }
    return Heard(**{"instance": instance, **usual, **fields})


def after(seconds: float, *heard: Heard) -> Readback:
    return read_back(KILL, heard, KILL + round(1000 * seconds), BOUND)


def test_delays_are_of_those_who_were_there_before() -> None:
    """A process that began after the kill applied it at its start: that is no way of the kill."""
    there = [one(str(number), applied_ms=KILL + number) for number in range(100)]

    seen = after(2, *there, one("late", before=False, applied_ms=KILL + 60_000))

    assert (seen.known, seen.applied, seen.complete) == (101, 101, True)
    assert (seen.delay_ms(0.5), seen.delay_ms(0.99), len(seen.delays_ms)) == (49, 98, 100)
    assert line_of(seen) == "101 of 101 instances applied it: p50 49 ms, p99 98 ms"


def test_clocks_that_differ_give_no_negative_delay() -> None:
    """Where the acknowledging node's clock is behind, the delay is 0."""
    assert after(2, one(applied_ms=KILL - 30)).delays_ms == (0,)


def test_nobody_known_is_not_complete() -> None:
    """Where no SDK reports nobody can say that all applied it."""
    seen = after(2)

    assert (seen.known, seen.complete, seen.delay_ms(0.5), line_of(seen)) == (0, False, None, NOBODY)


def test_without_delays_there_are_no_percentiles() -> None:
    """Only processes that began since have applied it."""
    assert line_of(after(2, one(before=False, applied_ms=KILL + 5))) == "1 of 1 instances applied it"


@pytest.mark.parametrize(
    ("fields", "seconds", "state", "words"),
    [
        ({}, 2, "reports", "shop a reports, and has not applied it (heard 0:01 ago)"),
        (
            {"said_ms": KILL - 1, "seen_ms": KILL - 9_000},
            2,
            "awaited",
            "shop a has not reported since (heard 0:11 ago)",
        ),
        ({"acknowledges": False}, 2, "mute", "shop a never says what it applied (heard 0:01 ago)"),
        ({"service": ""}, 61, "silent", "(no name) a has been silent for 1:00"),
    ],
)
def test_a_straggler_is_named_with_what_is_known_of_it(
    fields: dict[str, Any], seconds: float, state: str, words: str
) -> None:
    """It reports without the kill, is silent, is awaited, or never says."""
    [straggler] = after(seconds, one(**fields)).stragglers

    assert (straggler.state, straggler_line(straggler, KILL + round(1000 * seconds))) == (state, words)


def test_who_ended_is_not_waited_for() -> None:
    """A goodbye, or ten minutes of silence: gone without the kill. Who ended before it does not count at all."""
    seen = after(
        700,
        one("bye", goodbye=True),
        one("dead"),
        one("ended before", goodbye=True, seen_ms=KILL - 1),
        one("forgotten", seen_ms=None, treated_ms=KILL + 1),
        one("done", seen_ms=None, applied_ms=KILL + 7),
    )

    assert (seen.known, seen.applied, seen.gone, seen.stragglers) == (1, 1, 2, ())


@pytest.mark.parametrize(
    ("fields", "is_unconfirmed"),
    [
        ({"said_ms": KILL + BOUND + 1}, True),
        ({"said_ms": KILL + BOUND}, False),
        ({"said_ms": KILL + BOUND + 1, "acknowledges": False}, False),
        ({"said_ms": KILL + BOUND + 1, "goodbye": True}, False),
        ({"said_ms": KILL + BOUND + 1, "applied_ms": KILL + BOUND + 1}, False),
        ({"treated_ms": KILL + BOUND + 1}, True),
        ({"treated_ms": KILL + BOUND}, False),
        ({"treated_ms": KILL + BOUND + 1, "acknowledges": False}, True),
        ({"treated_ms": KILL + BOUND + 1, "applied_ms": KILL + 40}, True),
        ({"treated_ms": KILL + BOUND + 1, "applied_ms": KILL + BOUND + 2}, False),
    ],
)
def test_exposure_has_fallen_or_not(fields: dict[str, Any], is_unconfirmed: bool) -> None:
    """After the bound: who reports without the kill, or has exposed somebody since and not applied it after that."""
    assert after(20, one(seen_ms=KILL + 19_000, **fields)).unconfirmed == (("a",) if is_unconfirmed else ())
