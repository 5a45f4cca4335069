"""What an observation changes."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import ArmTotals, Block, Sight
from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.memory import KillProcess, Proof
from rheostat_server.ramps.model import LIVE, Guardrail, GuardrailState, State, Status
from rheostat_server.ramps.observe import acceptable_after, acceptable_rate, observe
from rheostat_server.ramps.stats import kill_step, log_m
from rheostat_server.ramps.transition import start
from rheostat_server.ramps.verdicts import Hold
from tests.unit.server.ramps.ramp_builders import (
    ERRORS,
    MINUTE,
    REQUESTS,
    SECOND,
    a_plan,
    a_reading,
    evidence_of,
    running,
    seeing,
)


def failing(treatment: int = 0, control: int = 0, *, epoch: int = 1, percent: int = 5, until_s: int = 15) -> Block:
    """A block of 15 s with these newly failing users, each of one bad request."""
    return Block(
        from_ms=(until_s - 15) * SECOND,
        until_ms=until_s * SECOND,
        epoch=epoch,
        exposure_ppm=percent * 10_000,
        treatment=ArmTotals(ended=100, bad=treatment, failing=treatment, units=50, units_bad=treatment),
        control=ArmTotals(ended=1_900, bad=control, failing=control, units=900, units_bad=control),
    )


def seen(state: State, name: str = "errors") -> GuardrailState:
    """What the guardrail shows."""
    return state.guardrails[name]


@pytest.mark.parametrize("sight", [sight for sight in Sight if sight is not Sight.SEEN])
def test_blind_sights_move_no_process(sight: Sight) -> None:
    """A sight other than SEEN moves neither M nor a proof nor a total, even if blocks came with it."""
    plan = a_plan()
    before = observe(plan, running(plan), evidence_of(15_000, a_reading(failing(2, 1))))
    after = observe(plan, before, evidence_of(30_000, a_reading(failing(9), sight=sight, detail="why")))

    kept = {"sight": Sight.SEEN, "detail": "", "blind_count": 0, "blind_since_ms": None}
    assert replace(seen(after), **kept) == seen(before)
    assert seen(after).sight is sight
    assert seen(after).detail == "why"
    assert seen(after).blind_count == 1


def test_missing_reading_is_blindness() -> None:
    """A guardrail of which the evidence says nothing is blind."""
    plan = a_plan()
    after = observe(plan, running(plan), evidence_of(15_000))

    assert seen(after).sight is Sight.QUERY_FAILED
    assert seen(after).blind_count == 1


def test_ramp_that_just_started_is_not_blind_yet() -> None:
    """In the first 15 s applications take the ramp up: nothing is seen, nothing goes up, and no blindness counts."""
    plan = a_plan(preflight_s=600.0)
    state = start(plan, MINUTE)
    for second in range(1, 15):
        blind = a_reading(sight=Sight.NO_TRAFFIC)
        state = observe(plan, state, evidence_of(MINUTE + second * SECOND, blind))

    assert (seen(state).sight, seen(state).blind_count) == (Sight.NO_TRAFFIC, 0)
    assert decide(plan, state, MINUTE + 14 * SECOND) == Hold(Status.ARMING, "waiting for evidence: errors: no traffic")
    later = observe(plan, state, evidence_of(MINUTE + 15 * SECOND, a_reading(sight=Sight.NO_TRAFFIC)))
    assert seen(later).blind_count == 1


def test_blindness_is_counted_from_its_first_observation() -> None:
    """Blindness remembers when it began, counts up, and is over with the first sight."""
    plan = a_plan()
    state = running(plan)
    for at_ms in (15_000, 30_000, 45_000):
        state = observe(plan, state, evidence_of(at_ms, a_reading(sight=Sight.QUERY_FAILED)))

    assert (seen(state).blind_count, seen(state).blind_since_ms) == (3, 15_000)
    state = observe(plan, state, evidence_of(60_000, a_reading()))
    assert (seen(state).blind_count, seen(state).blind_since_ms) == (0, None)


def test_rows_of_an_older_epoch_go_to_the_kill_process_with_their_own_exposure() -> None:
    """A late row moves M as its own exposure demands, and neither the proofs nor the totals of the present step."""
    plan = a_plan(5, 25)
    state = running(plan, now_ms=60_000, step=1)
    after = seen(observe(plan, state, evidence_of(75_000, a_reading(failing(3, 2, epoch=1, percent=5, until_s=75)))))
    expected = kill_step(
        KillProcess(),
        treatment_events=3,
        control_events=2,
        treatment_n=0.05,
        control_n=0.95,
        t1_s=60.0,
        t2_s=75.0,
    )

    assert after.kill == expected
    assert after.log_m == log_m(expected)
    assert after.proof == Proof()
    assert after.step_treatment == after.recent_treatment == ArmTotals()
    assert after.treatment.failing == 3


def test_rows_of_arming_never_count_after_the_first_exposure() -> None:
    """A block with an epoch of arming that arrives late is dropped."""
    plan = a_plan()
    exposed = replace(running(plan), epoch=2, exposed_epoch=2)
    after = observe(plan, exposed, evidence_of(15_000, a_reading(failing(9, 0, epoch=1))))

    assert seen(after).kill == KillProcess()
    assert seen(after).treatment == ArmTotals()


def test_arming_moves_the_kill_process_alone() -> None:
    """While arming the A/A process runs and no proof does."""
    plan = a_plan()
    after = seen(observe(plan, start(plan, 0), evidence_of(15_000, a_reading(failing(3, 1)))))

    assert after.kill.treatment_events == 3
    assert after.proof == Proof()
    assert after.step_treatment.failing == 3


@pytest.mark.parametrize("percent", [0, 100])
def test_everybody_or_nobody_exposed_gives_no_relative_evidence(percent: int) -> None:
    """At x = 0 and x = 1 only the absolute proof moves, for users and for requests."""
    plan = a_plan(100, guardrails=(ERRORS, REQUESTS))
    blocks = failing(9, 9, percent=percent)
    readings = (a_reading(blocks), a_reading(blocks, guardrail=REQUESTS.name))
    after = observe(plan, running(plan), evidence_of(15_000, *readings))

    for guardrail in (ERRORS, REQUESTS):
        assert seen(after, guardrail.name).kill == KillProcess()
        assert seen(after, guardrail.name).proof.log_e == Proof().log_e
        assert seen(after, guardrail.name).proof.log_a != Proof().log_a


def test_holdback_keeps_the_relative_test_alive_at_full_exposure() -> None:
    """With 1 % held back, 100 % exposure is compared at x = 0.99."""
    plan = a_plan(100, holdback_ppm=10_000)

    assert treated_share(plan, 1_000_000) == 0.99
    after = observe(plan, running(plan), evidence_of(15_000, a_reading(failing(90, 1, percent=100))))
    assert seen(after).kill.treatment_events == 90


def test_share_of_a_range_is_rounded_as_the_engine_rounds() -> None:
    """x is min(⌊w·exposure⌋, w - ⌊w·holdback⌋) / w for a rollout that owns a part of the line."""
    plan = a_plan(50, width_ppm=333_333, holdback_ppm=30_000)

    assert treated_share(plan, 500_000) == 166_666 / 333_333
    assert treated_share(plan, 1_000_000) == (333_333 - 9_999) / 333_333


def test_requests_are_compared_by_their_own_numbers() -> None:
    """Grade 3 counts bad requests among ended ones, with its overdispersion."""
    plan = a_plan(guardrails=(REQUESTS,))
    reading = a_reading(failing(40, 10), guardrail=REQUESTS.name)
    after = seen(observe(plan, running(plan), evidence_of(15_000, reading)), REQUESTS.name)

    assert after.kill == kill_step(
        KillProcess(),
        treatment_events=40,
        control_events=10,
        treatment_n=100.0,
        control_n=1_900.0,
        phi=5.0,
        t1_s=0.0,
        t2_s=15.0,
    )


def test_hold_begins_at_ten_and_ends_below_three() -> None:
    """M of 10 or more holds, and holds on until M is below 3."""
    plan = a_plan()
    state = observe(plan, running(plan), evidence_of(15_000, a_reading(failing(2, 0))))
    assert 10 <= math.exp(seen(state).log_m) < 100
    assert seen(state).holding
    state = seeing(state, stepped_back=True)

    at_s, course = 15, []
    while seen(state).holding:
        at_s += 15
        course.append(seen(state).log_m)
        state = observe(plan, state, evidence_of(at_s * SECOND, a_reading(failing(0, 1, until_s=at_s))))

    assert min(course) >= math.log(3)
    assert any(value < math.log(10) for value in course)
    assert seen(state).log_m < math.log(3)
    assert not seen(state).stepped_back


def test_recent_totals_begin_with_the_suspicion() -> None:
    """The totals that the difference clause is judged on hold only what came since M rose above 1."""
    plan = a_plan()
    state = running(plan)
    for at_s in range(15, 3_600, 15):
        state = observe(plan, state, evidence_of(at_s * SECOND, a_reading(failing(0, 0, until_s=at_s))))
    assert seen(state).recent_treatment == ArmTotals()
    assert seen(state).step_treatment.ended == 239 * 100

    state = observe(plan, state, evidence_of(3_600_000, a_reading(failing(1, 0, until_s=3_600))))
    assert seen(state).recent_treatment.ended == 100


def test_recent_totals_reach_back_an_hour_at_most() -> None:
    """A suspicion that never quite ends does not drown a later fault in hours of clean requests."""
    plan = a_plan()
    state = observe(plan, running(plan), evidence_of(15_000, a_reading(failing(1, 0))))
    for at_s in range(30, 7 * 3_600, 15):
        state = observe(plan, state, evidence_of(at_s * SECOND, a_reading(failing(0, 0, until_s=at_s))))
    after = seen(state)

    blocks = (after.recent_treatment.ended + after.earlier_treatment.ended) / 100
    assert 30 * 4 <= blocks <= 60 * 4
    assert after.earlier_control.ended > 0


def test_what_is_over_is_not_observed() -> None:
    """An ended ramp is returned as it was."""
    plan = a_plan()
    for status in set(Status) - LIVE:
        state = replace(running(plan), status=status)
        assert observe(plan, state, evidence_of(15_000, a_reading(failing(3)))) is state


def test_cursor_is_kept_until_a_new_one_comes() -> None:
    """A reading without a cursor leaves the last one in place; a blind one may bring a new one."""
    plan = a_plan()
    state = observe(plan, running(plan), evidence_of(15_000, a_reading(cursor="a")))
    assert seen(observe(plan, state, evidence_of(30_000, a_reading()))).cursor == "a"
    warming = a_reading(sight=Sight.WARMING, cursor="b")
    assert seen(observe(plan, state, evidence_of(30_000, warming))).cursor == "b"


@pytest.mark.parametrize(
    ("bad", "expected"), [(0, 0.0005), (1, 0.0005), (10, 0.002), (100, 0.005)], ids=["none", "few", "some", "many"]
)
def test_acceptable_auto_is_twice_the_baseline_within_bounds(bad: int, expected: float) -> None:
    """``acceptable: auto`` is twice the control's rate while arming, within 0.05 … 0.5 %."""
    plan = a_plan(acceptable=None)
    arming = GuardrailState(control=ArmTotals(ended=10_000, bad=bad))

    assert acceptable_after(plan, arming) == pytest.approx(expected)
    assert acceptable_rate(plan, ERRORS, replace(arming, acceptable=acceptable_after(plan, arming))) == pytest.approx(
        expected
    )


def test_acceptable_auto_is_strict_where_arming_saw_nothing() -> None:
    """Without a request in arming, ``auto`` is the strictest; a plan that names a rate keeps it."""
    assert acceptable_after(a_plan(acceptable=None), GuardrailState()) is None
    assert acceptable_rate(a_plan(acceptable=None), ERRORS, GuardrailState()) == 0.0005
    assert acceptable_after(a_plan(acceptable=0.02), GuardrailState(control=ArmTotals(ended=9, bad=9))) is None
    assert acceptable_rate(a_plan(acceptable=0.02), ERRORS, GuardrailState()) == 0.02


streams = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 30), st.sampled_from([Sight.SEEN, Sight.SEEN, Sight.QUERY_FAILED])),
    min_size=1,
    max_size=12,
)


@given(stream=streams)
def test_saving_between_observations_changes_nothing(stream: list[tuple[int, int, Sight]]) -> None:
    """A leader that reads the state back from JSON goes on exactly as the one that kept it in memory."""
    plan = a_plan(5, 25, guardrails=(ERRORS, REQUESTS))
    kept = saved = running(plan)
    for i, (treatment, control, sight) in enumerate(stream, start=1):
        block = failing(treatment, control, until_s=15 * i)
        readings = (a_reading(block, sight=sight), a_reading(block, guardrail=REQUESTS.name))
        evidence = evidence_of(15_000 * i, *readings)
        kept = observe(plan, kept, evidence)
        saved = observe(plan, msgspec.json.decode(msgspec.json.encode(saved), type=State), evidence)

    assert saved == kept
    assert b"null" not in msgspec.json.encode(kept.guardrails["errors"].kill)


def test_block_from_before_the_first_exposure_is_clipped_to_it() -> None:
    """A block of the first epoch that began before the exposure spends no time before zero."""
    plan = a_plan()
    state = replace(running(plan), exposed_since_ms=MINUTE)
    after = seen(observe(plan, state, evidence_of(MINUTE, a_reading(failing(1, 1, until_s=15)))))

    assert after.kill.until_s == 0


@pytest.mark.parametrize("sight", [Sight.SEEN, Sight.NO_TRAFFIC])
def test_late_reports_reach_the_totals_alone(sight: Sight) -> None:
    """What came too late to be evidence moves nothing but what people see, whatever the source sees now."""
    plan = a_plan()
    late = a_reading(sight=sight, late=(failing(10, 2),))
    with_it = observe(plan, running(plan), evidence_of(15_000, late))
    without = observe(plan, running(plan), evidence_of(15_000, a_reading(sight=sight)))

    seen = with_it.guardrails["errors"]
    assert (seen.late_treatment.failing, seen.late_control.ended) == (10, 1_900)
    bare = without.guardrails["errors"]
    assert replace(seen, late_treatment=bare.late_treatment, late_control=bare.late_control) == bare


def test_late_reports_of_arming_are_dropped() -> None:
    """What was seen before the first exposure is not even shown beside what the exposed met."""
    plan = a_plan()
    late = a_reading(late=(failing(10, 2, epoch=0),))

    seen = observe(plan, running(plan), evidence_of(15_000, late)).guardrails["errors"]

    assert (seen.late_treatment, seen.late_control) == (ArmTotals(), ArmTotals())


def walked(guardrail: Guardrail, stream: list[tuple[int, int]]) -> float:
    """Log M of a guardrail after blocks of a second with these bad ones of 9 treated and 60 others."""
    plan = a_plan(guardrails=(guardrail,))
    state = running(plan)
    for i, bad in enumerate(stream, start=1):
        arms = [
            ArmTotals(ended=n, bad=y, failing=y, sampled=n, sampled_bad=y) for n, y in zip((9, 60), bad, strict=True)
        ]
        block = Block(
            from_ms=(i - 1) * SECOND,
            until_ms=i * SECOND,
            epoch=1,
            exposure_ppm=50_000,
            treatment=arms[0],
            control=arms[1],
        )
        state = observe(plan, state, evidence_of(i * SECOND, a_reading(block, guardrail=guardrail.name)))
    return seen(state, guardrail.name).log_m


@given(
    guardrail=st.sampled_from([ERRORS, REQUESTS, replace(ERRORS, grade=2), replace(ERRORS, ceiling=0.01)]),
    stream=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 60)), min_size=1, max_size=12),
    at=st.integers(0, 11),
)
def test_one_more_bad_treated_event_never_lowers_m(
    guardrail: Guardrail, stream: list[tuple[int, int]], at: int
) -> None:
    """Whatever is counted, and however blocks are put together, more harm is never better news."""
    i = at % len(stream)
    treatment, control = stream[i]
    worse = [*stream[:i], (treatment + 1, control), *stream[i + 1 :]]

    assert walked(guardrail, worse) >= walked(guardrail, stream) - 1e-12
