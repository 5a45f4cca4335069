"""What a crossed ceiling does: with a control a retreat, without one a kill."""

import math
from typing import Any

import pytest
from msgspec.structs import replace

from rheostat_server.ramps.ceiling import PROBE_MS, ceiling_phi, crossed, log_ceiling_bar
from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import ArmTotals, Block, Sight
from rheostat_server.ramps.memory import CeilingMemory, KillProcess, Retreat
from rheostat_server.ramps.model import Action, Family, Guardrail, GuardrailState, Measure, Plan, State, Status
from rheostat_server.ramps.observe import acceptable_rate
from rheostat_server.ramps.transition import act, start
from rheostat_server.ramps.verdicts import Decision, Hold, KillRamp, StepBack
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
    tick,
)

WATCHED = replace(ERRORS, ceiling=0.01)
OVER = CeilingMemory(process=KillProcess(log_s=(9.0,) * 6, spent=0.5, treatment_events=300), log_c=9.0)


def outage(until_s: int, epoch: int, percent: int, treatment: float = 0.3, control: float = 0.3) -> Block:
    """Fifteen seconds of 1 000 requests, of which such shares are bad; nobody fails newly."""
    treated = 10 * percent
    return Block(
        from_ms=(until_s - 15) * SECOND,
        until_ms=until_s * SECOND,
        epoch=epoch,
        exposure_ppm=percent * 10_000,
        treatment=ArmTotals(ended=treated, bad=int(treated * treatment)),
        control=ArmTotals(ended=1_000 - treated, bad=int((1_000 - treated) * control)),
    )


def through(
    plan: Plan, state: State, seconds: range, treatment: float = 0.3, control: float = 0.3
) -> tuple[State, Decision]:
    """The ramp after observations of an outage every 15 s."""
    decision: Decision = Hold(state.status, state.why)
    for until_s in seconds:
        percent = state.exposure_ppm // 10_000
        block = outage(until_s, state.epoch, percent, treatment, control)
        state, decision = tick(plan, state, evidence_of(until_s * SECOND, a_reading(block)))
        if not isinstance(decision, Hold):
            break
    return state, decision


def at_half(**changes: Any) -> tuple[Plan, State]:
    """A ramp with a ceiling that has just come to 50 %."""
    plan = a_plan(10, 50, 100, guardrails=(WATCHED,), **changes)
    return plan, running(plan, step=1)


def retreat(state: State) -> Retreat:
    """How far the retreat is."""
    return state.guardrails["errors"].ceiling.retreat


def test_shared_outage_above_the_ceiling_steps_back_and_looks() -> None:
    """With a live control nothing is killed: one level back, for two minutes, to see whether the arms recover."""
    plan, state = at_half()
    state, decision = through(plan, state, range(15, 300, 15))

    assert isinstance(decision, StepBack)
    assert "30 % of 500 treated requests are bad, the ceiling is 1 %" in decision.why
    assert (state.step, state.status, retreat(state)) == (0, Status.HELD, Retreat.PROBE)
    _, waiting = through(plan, state, range(45, 60, 15))
    assert isinstance(waiting, Hold)
    assert waiting.why.startswith("errors: above its ceiling; one level back to see whether both arms recover, 1:")


def test_recovery_during_the_probe_stays_and_calls_a_person() -> None:
    """Both arms below the ceiling again: the ramp stays where it went, until a person goes on."""
    plan, state = at_half()
    state, _ = through(plan, state, range(15, 300, 15))
    state, decision = through(plan, state, range(45, 600, 15), 0.0, 0.001)

    assert (retreat(state), state.status, state.step) == (Retreat.STAY, Status.HELD, 0)
    assert "look, then advance or abort by hand" in decision.why
    advanced = act(plan, state, Action.ADVANCE, 600 * SECOND, "it was the database")
    assert (advanced.step, retreat(advanced), advanced.guardrails["errors"].ceiling.log_c) == (1, Retreat.NONE, 0.0)


def test_an_outage_that_lasts_is_not_the_change() -> None:
    """Without recovery the ramp waits, and goes on by itself when both arms are below the ceiling."""
    plan, state = at_half()
    state, _ = through(plan, state, range(15, 300, 15))
    state, decision = through(plan, state, range(45, 240, 15))
    assert retreat(state) is Retreat.WAIT
    assert "waiting until both arms are below it" in decision.why
    state, _ = through(plan, state, range(240, 480, 15), 0.0, 0.3)
    assert retreat(state) is Retreat.WAIT

    state, _ = through(plan, state, range(480, 720, 15), 0.0, 0.0)
    assert retreat(state) is Retreat.NONE
    state, _ = through(plan, state, range(720, 1_800, 15), 0.0, 0.0)
    assert state.step > 0


def test_suspicion_is_told_beside_the_ceiling() -> None:
    """A ceiling says that too much fails, and M whose fault it is: a ramp that both hold gives both reasons."""
    plan, state = at_half()
    state, _ = through(plan, state, range(15, 300, 15))
    state, _ = through(plan, state, range(45, 60, 15))
    suspected = seeing(state, holding=True, log_m=3.0)
    decision = decide(plan, suspected, 60 * SECOND)

    assert isinstance(decision, Hold)
    assert decision.why.startswith("errors: above its ceiling; ")
    assert "; errors: " in decision.why
    assert "M 20.1, kill line" in decision.why
    assert decision.why.endswith("; nobody new is exposed until M is below 3")


def test_two_minutes_without_requests_prove_no_recovery() -> None:
    """Where nobody came in the two minutes the look goes on."""
    plan, state = at_half()
    state, _ = through(plan, state, range(15, 300, 15))
    for until_s in range(45, 300, 15):
        state, _ = tick(plan, state, evidence_of(until_s * SECOND, a_reading()))

    assert retreat(state) is Retreat.PROBE


def test_rows_of_another_exposure_do_not_tell_of_the_recovery() -> None:
    """In the two minutes only requests at the lower exposure count."""
    plan, state = at_half()
    state, _ = through(plan, state, range(15, 300, 15))
    late = a_reading(outage(45, state.epoch - 1, 50))
    after, _ = tick(plan, state, evidence_of(45_000, late))

    assert after.guardrails["errors"].ceiling.control_ended == 0


def test_nobody_goes_below_the_start() -> None:
    """At the exposure of the start, and while arming, a crossed ceiling waits where it is."""
    plan = a_plan(10, start_ppm=50_000, guardrails=(WATCHED,))
    back = replace(running(plan), step=-1, exposure_ppm=50_000)
    state, decision = through(plan, back, range(15, 120, 15))
    assert (state.step, retreat(state), state.status) == (-1, Retreat.WAIT, Status.HELD)
    assert isinstance(decision, Hold)

    arming = start(plan, 0)
    for until_s in range(15, 300, 15):
        arming, decision = tick(plan, arming, evidence_of(until_s * SECOND, a_reading(outage(until_s, 1, 10))))
    assert (arming.exposed_since_ms, arming.status, retreat(arming)) == (None, Status.HELD, Retreat.WAIT)
    assert "waiting until both arms are below it" in decision.why


def test_a_service_above_the_ceiling_without_the_change_is_no_ramps_fault() -> None:
    """While arming both arms count: a ramp does not begin under a ceiling that the service does not keep anyway."""
    plan = a_plan(1, guardrails=(WATCHED,), preflight_s=600.0)
    arming = start(plan, 0)
    for until_s in range(15, 300, 15):
        block = outage(until_s, 1, 1, 0.0, 0.02)
        arming, _ = tick(plan, arming, evidence_of(until_s * SECOND, a_reading(block)))

    assert (arming.exposed_since_ms, arming.status, retreat(arming)) == (None, Status.HELD, Retreat.WAIT)


def at_full(guardrail: Guardrail = WATCHED, memory: CeilingMemory = OVER, **seen: Any) -> tuple[Plan, State]:
    """A ramp at 100 % with nobody held back."""
    plan = a_plan(50, 100, guardrails=(guardrail,))
    state = replace(running(plan, step=1), observed_ms=10 * MINUTE)
    return plan, seeing(state, guardrail.name, ceiling=memory, **seen)


def test_without_a_control_a_crossed_ceiling_kills() -> None:
    """At 100 % with no holdback there is nothing to compare with, and nothing to wait for."""
    plan, state = at_full(treatment=ArmTotals(ended=1_000, bad=300, failing=40))
    decision = decide(plan, state, 10 * MINUTE)

    assert isinstance(decision, KillRamp)
    assert "30 % of 1 000 treated requests are bad, the ceiling is 1 %" in decision.why
    assert decision.why.endswith("there is no control to compare with")


def test_a_real_outage_at_full_exposure_is_killed_within_a_minute() -> None:
    """What is counted at 100 % leads there by itself."""
    plan = a_plan(50, 100, guardrails=(WATCHED,))
    state = running(plan, step=1)
    for until_s in range(15, 60, 15):
        block = outage(until_s, state.epoch, 100, 0.1)
        block = replace(block, treatment=replace(block.treatment, failing=50))
        state, decision = tick(plan, state, evidence_of(until_s * SECOND, a_reading(block)))
        if isinstance(decision, KillRamp):
            break

    assert state.status is Status.KILLED


@pytest.mark.parametrize(
    ("guardrail", "memory", "totals"),
    [
        (WATCHED, OVER, ArmTotals(ended=1_000, bad=300, failing=2)),
        (replace(WATCHED, may_kill=False), OVER, ArmTotals(ended=1_000, bad=300, failing=40)),
        (WATCHED, replace(OVER, log_c=6.0), ArmTotals(ended=1_000, bad=300, failing=40)),
        (WATCHED, replace(OVER, process=KillProcess(treatment_events=24)), ArmTotals(failing=40)),
        (ERRORS, OVER, ArmTotals(ended=1_000, bad=300, failing=40)),
    ],
    ids=["two users", "advisory", "below the line", "few requests", "no ceiling"],
)
def test_what_a_ceiling_does_not_kill_on(guardrail: Guardrail, memory: CeilingMemory, totals: ArmTotals) -> None:
    """Two broken users, a guardrail that may not kill, a process below its line, 24 requests: no kill."""
    plan, state = at_full(guardrail, memory, treatment=totals)

    assert isinstance(decide(plan, state, 10 * MINUTE), Hold)


def test_a_blind_ceiling_kills_nobody() -> None:
    """A guardrail that does not see now does not kill on what it saw."""
    plan, state = at_full(treatment=ArmTotals(failing=40), sight=Sight.QUERY_FAILED, blind_count=1)

    assert isinstance(decide(plan, state, 10 * MINUTE), Hold)


def test_users_who_were_sampled_badly_count_as_failing_to_latency() -> None:
    """To latency no user fails newly; three whose first sample of the step was slow are enough."""
    plan, state = at_full(step_treatment=ArmTotals(units=40, units_bad=3))

    assert isinstance(decide(plan, state, 10 * MINUTE), KillRamp)


def test_metrics_that_know_no_users_kill_by_requests() -> None:
    """A ceiling on the application's own counter needs 5·φ bad requests and no users."""
    counted = replace(REQUESTS, ceiling=0.01)
    plan, state = at_full(counted, treatment=ArmTotals(ended=1_000, bad=300))

    assert isinstance(decide(plan, state, 10 * MINUTE), KillRamp)
    assert (ceiling_phi(counted), ceiling_phi(replace(counted, phi=2.0)), ceiling_phi(WATCHED)) == (5, 2, 5)


def test_held_back_users_keep_the_ceiling_from_killing_at_full_exposure() -> None:
    """With 1 % held back, 100 % has a control: the ramp goes one level back to look."""
    plan = a_plan(50, 100, holdback_ppm=10_000, guardrails=(WATCHED,))
    state = seeing(replace(running(plan, step=1), observed_ms=10 * MINUTE), ceiling=OVER)

    assert isinstance(decide(plan, state, 10 * MINUTE), StepBack)


def test_what_was_seen_beside_a_control_does_not_kill_without_one() -> None:
    """Where the last step leaves nobody to compare with, the ceiling's process begins anew."""
    plan = a_plan(50, 100, guardrails=(WATCHED,))
    state = act(plan, seeing(running(plan), ceiling=OVER), Action.ADVANCE, MINUTE)

    assert state.guardrails["errors"].ceiling == CeilingMemory()
    below = act(plan, seeing(running(plan), ceiling=replace(OVER, log_c=1.0)), Action.ADVANCE, MINUTE)
    assert below.guardrails["errors"].ceiling == CeilingMemory()
    kept = a_plan(50, 90, guardrails=(WATCHED,))
    up = act(kept, seeing(running(kept), ceiling=replace(OVER, log_c=1.0)), Action.ADVANCE, MINUTE)
    assert up.guardrails["errors"].ceiling.process == OVER.process


def test_the_ceilings_line_is_a_fifth_of_the_budget() -> None:
    """K/(0.2 α)."""
    plan = a_plan(budget_parts=3)

    assert math.exp(log_ceiling_bar(plan)) == pytest.approx(3 / 0.002)
    assert not crossed(plan, ERRORS, OVER)


def test_another_step_back_does_not_end_a_retreat() -> None:
    """A ramp that waits for an outage to end waits on, also when metrics are lost and it steps back for that."""
    plan = a_plan(10, 50, on_blind="retreat", blind_limit_s=0.0, guardrails=(WATCHED,))
    waiting = replace(OVER, retreat=Retreat.WAIT, since_ms=0)
    state = replace(running(plan, step=1), entered_ms=0)
    state = seeing(state, ceiling=waiting)
    for at_s in (15, 30, 45):
        reading = a_reading(sight=Sight.QUERY_FAILED)
        state, decision = tick(plan, state, evidence_of(at_s * SECOND, reading))

    assert isinstance(decision, StepBack)
    assert retreat(state) is Retreat.WAIT


def test_probe_lasts_two_minutes() -> None:
    """The figure that people are told."""
    assert PROBE_MS == 2 * MINUTE


def test_latency_may_be_proved_below_its_own_ceiling() -> None:
    """What a latency guardrail or a query pair finds acceptable is its own ceiling, not the errors'."""
    plan = a_plan(acceptable=0.002)
    slow = replace(WATCHED, measure=Measure.LATENCY, ceiling=0.03)
    assert acceptable_rate(plan, slow, GuardrailState()) == 0.03
    assert acceptable_rate(plan, replace(WATCHED, family=Family.QUERIES, ceiling=0.04), GuardrailState()) == 0.04
    assert acceptable_rate(plan, WATCHED, GuardrailState()) == 0.002
