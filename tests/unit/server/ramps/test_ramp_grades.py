"""What a guardrail counts, and when a better count takes over."""

import math

import pytest
from msgspec.structs import replace

from rheostat_server.ramps.danger import Danger, danger, figures, kill_bar
from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import ArmTotals, Block, Evidence, Sight
from rheostat_server.ramps.grades import events, fewest_events, grade_of, phi_of, saturated, size
from rheostat_server.ramps.memory import CrowdMemory, KillProcess
from rheostat_server.ramps.model import Family, Guardrail, GuardrailState, Measure, State, Status
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.stats import kill_step, log_kill_bar, log_m
from rheostat_server.ramps.transition import start, transition
from rheostat_server.ramps.verdicts import Begin, Hold, KillRamp
from tests.unit.server.ramps.ramp_builders import (
    ERRORS,
    MINUTE,
    REQUESTS,
    SECOND,
    a_plan,
    a_reading,
    evidence_of,
    over_the_line,
    running,
    seeing,
)

SLOW = Guardrail(
    name="request-duration", family=Family.REPORTED, grade=2, measure=Measure.LATENCY, bound_ms=500, ceiling=0.01
)
FULL = CrowdMemory(active=100, active_failed=60)


def sampled(treatment: tuple[int, int], control: tuple[int, int], *, until_s: int = 15, epoch: int = 1) -> Block:
    """A block of (samples, bad ones) in both arms, at 5 %."""
    arms = [ArmTotals(ended=n, bad=y, sampled=n, sampled_bad=y) for n, y in (treatment, control)]
    return Block(
        from_ms=(until_s - 15) * SECOND,
        until_ms=until_s * SECOND,
        epoch=epoch,
        exposure_ppm=50_000,
        treatment=arms[0],
        control=arms[1],
    )


def crowded(evidence: Evidence, active: int, failed: int) -> Evidence:
    """The evidence, with so many control users met, and so many of them failed."""
    crowd = Block(
        from_ms=0,
        until_ms=evidence.at_ms,
        epoch=1,
        exposure_ppm=50_000,
        control=ArmTotals(active=active, active_failed=failed),
    )
    return replace(evidence, crowd=(crowd,))


def test_each_grade_counts_its_own() -> None:
    """Failing users among the arms' shares, bad samples among samples, bad requests among those that ended."""
    totals = ArmTotals(ended=90, bad=7, failing=3, sampled=20, sampled_bad=2)

    assert [events(grade, totals) for grade in (1, 2, 3)] == [3, 2, 7]
    assert [size(grade, totals) for grade in (2, 3)] == [20, 90]
    assert [phi_of(REQUESTS, grade) for grade in (1, 2, 3)] == [1, 1, 5]
    assert [fewest_events(REQUESTS, grade) for grade in (1, 2, 3)] == [3, 3, 25]


def test_latency_compares_users_samples() -> None:
    """Grade 2 moves the kill process by bad samples among samples, with φ = 1."""
    plan = a_plan(guardrails=(SLOW,))
    reading = a_reading(sampled((50, 4), (950, 10)), guardrail=SLOW.name)
    seen = observe(plan, running(plan), evidence_of(15_000, reading)).guardrails[SLOW.name]

    assert seen.kill == kill_step(
        KillProcess(), treatment_events=4, control_events=10, treatment_n=50, control_n=950, t1_s=0, t2_s=15
    )
    assert seen.log_e != 0
    assert seen.pending is None


def test_seconds_of_little_traffic_are_put_together_before_arms_are_compared() -> None:
    """Samples of one arm alone wait for the other's; together they weigh what one block of them would."""
    plan = a_plan(guardrails=(SLOW,))
    state = running(plan)
    for until_s, treatment, control in ((15, (1, 1), (0, 0)), (30, (0, 0), (30, 1)), (45, (1, 1), (20, 0))):
        reading = a_reading(sampled(treatment, control, until_s=until_s), guardrail=SLOW.name)
        state = observe(plan, state, evidence_of(until_s * SECOND, reading))
        if until_s < 45:
            assert state.guardrails[SLOW.name].kill == KillProcess()
    seen = state.guardrails[SLOW.name]

    assert seen.kill == kill_step(
        KillProcess(), treatment_events=2, control_events=1, treatment_n=2, control_n=50, t1_s=0, t2_s=45
    )
    assert seen.treatment.sampled == 2


def test_samples_wait_a_minute_at_most() -> None:
    """After a minute what there is of both arms is compared."""
    plan = a_plan(guardrails=(SLOW,))
    state = running(plan)
    for until_s in (15, 30, 45, 60):
        reading = a_reading(sampled((1 if until_s == 15 else 0, 0), (1, 1), until_s=until_s), guardrail=SLOW.name)
        state = observe(plan, state, evidence_of(until_s * SECOND, reading))

    assert state.guardrails[SLOW.name].kill.control_events == 4


def test_samples_of_two_exposures_are_never_mixed() -> None:
    """What waits for more of its exposure is compared as it is when the next one's blocks come."""
    plan = a_plan(5, 25, guardrails=(SLOW,))
    state = running(plan)
    state = observe(plan, state, evidence_of(15_000, a_reading(sampled((1, 1), (5, 0)), guardrail=SLOW.name)))
    assert state.guardrails[SLOW.name].pending is not None
    later = replace(state, step=1, epoch=2, exposure_ppm=250_000)
    block = replace(sampled((20, 0), (60, 0), until_s=30, epoch=2), exposure_ppm=250_000)
    seen = observe(plan, later, evidence_of(30_000, a_reading(block, guardrail=SLOW.name))).guardrails[SLOW.name]

    first = kill_step(KillProcess(), treatment_events=1, control_events=0, treatment_n=1, control_n=5, t1_s=0, t2_s=15)
    both = kill_step(first, treatment_events=0, control_events=0, treatment_n=20, control_n=60, t1_s=15, t2_s=30)
    assert seen.kill == both
    assert seen.pending is None


@pytest.mark.parametrize(
    ("crowd", "most", "full"),
    [
        (CrowdMemory(), 0.1, False),
        (CrowdMemory(active=9, active_failed=9), 0.1, False),
        (CrowdMemory(active=100, active_failed=10), 0.1, False),
        (CrowdMemory(active=100, active_failed=11), 0.1, True),
        (CrowdMemory(active=100, active_failed=50), 0.5, False),
        (CrowdMemory(active=100, active_failed=51), 0.5, True),
    ],
)
def test_saturation_is_a_share_of_the_controls_users(crowd: CrowdMemory, most: float, full: bool) -> None:
    """More than 10 % by the end of arming, 50 % during the ramp, of at least ten."""
    assert saturated(crowd, most) is full


def test_saturated_users_give_way_to_samples_at_the_first_exposure() -> None:
    """Where more than a tenth failed while arming, the ramp counts samples from the start, and says so."""
    plan = a_plan(guardrails=(ERRORS, SLOW))
    armed = replace(start(plan, 0), observed_ms=MINUTE, armed_s=60.0, crowd=CrowdMemory(active=100, active_failed=34))
    armed = seeing(seeing(armed), SLOW.name)
    decision = decide(plan, armed, MINUTE)

    assert isinstance(decision, Begin)
    assert "34 % of 100 other users failed already, so errors counts sampled requests" in decision.why
    exposed = transition(plan, armed, decision, MINUTE)
    assert grade_of(ERRORS, exposed.guardrails["errors"]) == 2
    assert grade_of(SLOW, exposed.guardrails[SLOW.name]) == 2
    clean = transition(plan, replace(armed, crowd=CrowdMemory(active=100, active_failed=10)), decision, MINUTE)
    assert grade_of(ERRORS, clean.guardrails["errors"]) == 1


@pytest.mark.parametrize(("failing", "carry"), [((6, 0), 0.0), ((0, 40), -0.5)], ids=["M above 1", "M below 1"])
def test_saturation_during_the_ramp_starts_a_fresh_process(failing: tuple[int, int], carry: float) -> None:
    """From 50 % on samples take over, and their process begins at min(1, M)."""
    plan = a_plan()
    arms = [ArmTotals(ended=500, bad=y, failing=y) for y in failing]
    block = Block(from_ms=0, until_ms=15_000, epoch=1, exposure_ppm=50_000, treatment=arms[0], control=arms[1])
    before = observe(plan, running(plan), crowded(evidence_of(15_000, a_reading(block)), 100, 50))
    assert grade_of(ERRORS, before.guardrails["errors"]) == 1
    m = before.guardrails["errors"].log_m
    after = observe(plan, before, crowded(evidence_of(30_000, a_reading()), 0, 1)).guardrails["errors"]

    assert after.grade == 2
    assert after.log_m == min(0.0, m) == after.kill.carry
    assert (after.log_m < carry) is (carry < 0)
    assert after.kill == KillProcess(carry=min(0.0, m))
    once = observe(plan, replace(before, guardrails={"errors": after}), crowded(evidence_of(45_000, a_reading()), 0, 9))
    assert once.guardrails["errors"].kill == after.kill


def test_arming_is_judged_on_failing_users_to_its_end() -> None:
    """No grade changes while arming: M restarts at the first exposure in any case."""
    plan = a_plan()
    after = observe(plan, start(plan, 0), crowded(evidence_of(15_000, a_reading()), 100, 90))

    assert after.guardrails["errors"].grade == 0
    assert after.guardrails["errors"].sight is Sight.SEEN


def read_back(state: State, failed: int) -> State:
    """The state of a ramp that reads failing users back from Prometheus, with so many of 100 failed."""
    plan = a_plan(guardrails=(replace(ERRORS, family=Family.REPORTED_METRICS),))
    return observe(plan, state, crowded(evidence_of(15_000, a_reading()), 100, failed))


def test_saturation_without_samples_is_no_sight() -> None:
    """What Prometheus tells has no samples: then the ramp is saturated, and neither begins nor goes up."""
    plan = a_plan(guardrails=(replace(ERRORS, family=Family.REPORTED_METRICS),))
    arming = read_back(start(plan, 0), 11)
    seen = arming.guardrails["errors"]
    assert (seen.sight, seen.grade, seen.blind_count) == (Sight.SATURATED, 0, 1)
    assert "11 % of the users not exposed have failed already" in seen.detail
    decision = decide(plan, replace(arming, armed_s=999.0), 15_000)
    assert isinstance(decision, Hold)
    assert "saturated" in decision.why

    assert read_back(running(plan), 50).guardrails["errors"].sight is Sight.SEEN
    full = read_back(running(plan), 51)
    assert full.guardrails["errors"].sight is Sight.SATURATED
    proved = replace(seeing(full, sight=Sight.SATURATED, log_e=9.0, blind_count=3), entered_ms=-10 * MINUTE)
    assert decide(plan, proved, 15_000) == Hold(Status.BLIND, f"errors: saturated ({full.guardrails['errors'].detail})")


@pytest.mark.parametrize("sight", [Sight.UNCOVERED, Sight.SATURATED])
def test_harm_that_is_seen_is_harm(sight: Sight) -> None:
    """Too few reports, or too few users left to fail, are no proof of health; what kills then kills all the same."""
    plan = a_plan()
    worse = GuardrailState(sight=sight, **over_the_line())

    assert danger(plan, ERRORS, worse) is Danger.KILL
    assert danger(plan, ERRORS, replace(worse, sight=Sight.SERIES_STALE)) is Danger.NONE


@pytest.mark.parametrize(
    ("treatment", "control", "verdict"),
    [((3, 60), (20, 2_000), Danger.KILL), ((3, 300), (20, 2_000), Danger.UNCLEAR), ((2, 60), (20, 2_000), Danger.NONE)],
    ids=["worse", "alike", "two users"],
)
def test_samples_need_three_bad_ones_and_a_difference(
    treatment: tuple[int, int], control: tuple[int, int], verdict: Danger
) -> None:
    """A bad sample is one a user: three are the fewest that kill, and only if the rate is higher."""
    seen = GuardrailState(
        sight=Sight.SEEN,
        recent_treatment=ArmTotals(sampled_bad=treatment[0], sampled=treatment[1]),
        recent_control=ArmTotals(sampled_bad=control[0], sampled=control[1]),
        **{**over_the_line(treatment[0]), "log_m": 9.0},
    )

    assert danger(a_plan(), SLOW, seen) is verdict


def test_a_ceiling_leaves_the_comparison_four_fifths_of_the_budget() -> None:
    """The relative line is K/(0.8 α) where there is a ceiling, else K/α."""
    plan = a_plan(budget_parts=2)

    assert kill_bar(plan, ERRORS) == log_kill_bar(0.01, 2)
    assert math.exp(kill_bar(plan, SLOW)) == pytest.approx(2 / 0.008)


def test_figures_say_what_was_counted() -> None:
    """People read of slow sampled requests, bad requests or failing users, as each guardrail counts."""
    plan = a_plan(guardrails=(ERRORS, SLOW, REQUESTS))
    arms = {"treatment": ArmTotals(ended=100, bad=5, sampled=50, sampled_bad=4), "control": ArmTotals(ended=900, bad=9)}
    state = running(plan)
    for guardrail in plan.guardrails:
        state = seeing(state, guardrail.name, **arms)

    assert "8 % of 50 treated sampled requests are slower than 500 ms, none others" in figures(plan, SLOW, state)
    assert "5 % of 100 treated requests are bad, 1 % of 900 others" in figures(plan, REQUESTS, state)
    assert "0 treated and 0 other users newly failed" in figures(plan, ERRORS, state)


def test_slow_samples_kill() -> None:
    """A change that makes every third user's request slow is taken back on samples alone."""
    plan = a_plan(guardrails=(SLOW,))
    reading = a_reading(sampled((60, 20), (1_140, 11)), guardrail=SLOW.name)
    state = observe(plan, running(plan), evidence_of(15_000, reading))
    decision = decide(plan, state, 15_000)

    assert isinstance(decision, KillRamp)
    assert log_m(state.guardrails[SLOW.name].kill) > kill_bar(plan, SLOW)
