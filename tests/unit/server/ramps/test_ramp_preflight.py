"""The pre-flight lasts as long as it was watched."""

from hypothesis import given
from hypothesis import strategies as st

from rheostat_server.ramps.evidence import Sight
from rheostat_server.ramps.model import State, Status
from rheostat_server.ramps.observe import WATCHED_INTERVALS, observe
from rheostat_server.ramps.transition import start
from rheostat_server.ramps.verdicts import Begin, Hold
from tests.unit.server.ramps.ramp_builders import (
    ERRORS,
    MINUTE,
    REQUESTS,
    SECOND,
    a_plan,
    a_reading,
    evidence_of,
    running,
    tick,
)

SIGHTS = [Sight.SEEN, Sight.NO_TRAFFIC, Sight.QUERY_FAILED]


def watched(*sights: tuple[int, Sight], interval_s: float = 15.0) -> State:
    """An arming ramp after observations at these times (s)."""
    plan = a_plan(interval_s=interval_s)
    state = start(plan, 0)
    for at_s, sight in sights:
        state = observe(plan, state, evidence_of(at_s * SECOND, a_reading(sight=sight)))
    return state


def test_only_time_between_observations_that_saw_counts() -> None:
    """Neither the time before the first observation counts nor any that ended or began without sight."""
    state = watched(
        (15, Sight.SEEN), (30, Sight.SEEN), (45, Sight.QUERY_FAILED), (60, Sight.SEEN), (75, Sight.SEEN)
    )  # fmt: skip

    assert state.armed_s == 30.0


def test_a_long_gap_is_not_all_watched() -> None:
    """A controller that stood still for an hour has not watched for an hour."""
    assert watched((15, Sight.SEEN), (3_600, Sight.SEEN)).armed_s == WATCHED_INTERVALS * 15.0


def test_a_clock_set_back_takes_nothing_away() -> None:
    """Time watched never falls."""
    assert watched((15, Sight.SEEN), (30, Sight.SEEN), (20, Sight.SEEN)).armed_s == 15.0


def test_every_guardrail_has_to_see() -> None:
    """One guardrail that sees does not make up for another that does not."""
    plan = a_plan(guardrails=(ERRORS, REQUESTS), budget_parts=2)
    state = start(plan, 0)
    for at_s in (15, 30, 45):
        blind = a_reading(guardrail=REQUESTS.name, sight=Sight.SERIES_ABSENT)
        state = observe(plan, state, evidence_of(at_s * SECOND, a_reading(), blind))

    assert state.armed_s == 0.0


def test_nothing_is_watched_any_more_once_somebody_is_exposed() -> None:
    """The figure is of arming alone."""
    plan = a_plan()
    state = running(plan)
    for at_s in (15, 30):
        state = observe(plan, state, evidence_of(at_s * SECOND, a_reading()))

    assert state.armed_s == 0.0


def test_a_ramp_that_was_blind_all_along_does_not_begin_with_the_first_sight() -> None:
    """Metrics that come back after the pre-flight's time was over begin the pre-flight, not the ramp."""
    plan = a_plan(preflight_s=60.0)
    state = start(plan, 0)
    for at_s in range(15, 900, 15):
        state, _ = tick(plan, state, evidence_of(at_s * SECOND, a_reading(sight=Sight.QUERY_FAILED)))

    state, decision = tick(plan, state, evidence_of(15 * MINUTE, a_reading()))

    assert decision == Hold(Status.ARMING, "pre-flight: 1:00 left")
    for at_s in range(915, 960, 15):
        state, decision = tick(plan, state, evidence_of(at_s * SECOND, a_reading()))
        assert isinstance(decision, Hold)
    _, decision = tick(plan, state, evidence_of(960 * SECOND, a_reading()))
    assert isinstance(decision, Begin)


@given(sights=st.lists(st.tuples(st.integers(1, 120), st.sampled_from(SIGHTS)), max_size=40))
def test_a_ramp_never_begins_before_it_watched_long_enough(sights: list[tuple[int, Sight]]) -> None:
    """Whatever it sees and when, the first exposure comes after at least the pre-flight's time of sight."""
    plan = a_plan(preflight_s=60.0)
    state, now_ms, seen_s, before = start(plan, 0), 0, 0.0, Sight.WARMING
    for gap_s, sight in sights:
        now_ms += gap_s * SECOND
        if sight is before is Sight.SEEN:
            seen_s += gap_s
        before = sight
        state, decision = tick(plan, state, evidence_of(now_ms, a_reading(sight=sight)))
        if isinstance(decision, Begin):
            assert seen_s >= 60.0
            return
