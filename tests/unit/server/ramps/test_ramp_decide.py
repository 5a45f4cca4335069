"""What a ramp does next, case by case."""

import math
from typing import Any

import pytest
from msgspec.structs import replace

from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import ArmTotals, Sight
from rheostat_server.ramps.model import LIVE, Gate, Plan, State, Status, Step
from rheostat_server.ramps.transition import start
from rheostat_server.ramps.verdicts import Advance, Begin, Hold, KillRamp, Promote, Refuse, Soak, StepBack
from tests.unit.server.ramps.ramp_builders import (
    ERRORS,
    MINUTE,
    REQUESTS,
    SECOND,
    a_plan,
    over_the_line,
    running,
    seeing,
)

PROVED: dict[str, Any] = {"log_e": 2.0, "log_a": 0.0}
ADVISORY = replace(REQUESTS, name="advisory", may_kill=False)
WORSE: dict[str, Any] = {
    "recent_treatment": ArmTotals(ended=1_000, bad=40, failing=30, units=500, units_bad=20),
    "recent_control": ArmTotals(ended=10_000, bad=50, failing=40, units=5_000, units_bad=25),
}
ALIKE: dict[str, Any] = {
    "recent_treatment": ArmTotals(ended=1_000, bad=5, failing=5, units=500, units_bad=2),
    "recent_control": ArmTotals(ended=10_000, bad=50, failing=40, units=5_000, units_bad=25),
}


def at(plan: Plan, now_ms: int = 10 * MINUTE, step: int = 0, units: int = 100, **seen: Any) -> State:
    """A ramp that came to this step ten minutes before ``now_ms`` and has just been observed."""
    state = running(plan, step=step)
    state = replace(state, entered_ms=now_ms - 10 * MINUTE, observed_ms=now_ms, exposed_units=units)
    for guardrail in plan.guardrails:
        state = seeing(state, guardrail.name, **seen)
    return state


def judged(plan: Plan, state: State, now_ms: int = 10 * MINUTE) -> Any:
    """The decision at that time."""
    return decide(plan, state, now_ms)


def test_over_the_line_with_a_difference_is_a_kill() -> None:
    """M at the line, enough failing users and a worse sample: kill, with the figures."""
    plan = a_plan()
    decision = judged(plan, replace(at(plan, **over_the_line(), **WORSE), exposure_ppm=50_000))

    assert isinstance(decision, KillRamp)
    assert decision.guardrail == "errors"
    assert "M 150, kill line 100" in decision.why
    assert "treated share 5 %" in decision.why


def test_shared_budget_raises_the_line() -> None:
    """With two parts of the budget the line is at 200."""
    plan = a_plan(budget_parts=2)

    assert isinstance(judged(plan, at(plan, **over_the_line(), **WORSE)), Hold)


@pytest.mark.parametrize(("failing", "verdict"), [(2, Hold), (3, KillRamp)])
def test_fewer_than_three_failing_users_kill_nobody(failing: int, verdict: type) -> None:
    """Two failing users never kill, whatever M says; three may."""
    plan = a_plan()

    assert isinstance(judged(plan, at(plan, **over_the_line(failing), **WORSE)), verdict)


@pytest.mark.parametrize(("bad", "verdict"), [(24, Hold), (25, KillRamp)])
def test_requests_need_five_events_times_phi(bad: int, verdict: type) -> None:
    """On requests with φ = 5, 25 bad treatment requests are the least that kill."""
    plan = a_plan(guardrails=(REQUESTS,))

    assert isinstance(judged(plan, at(plan, **over_the_line(bad), **WORSE)), verdict)


def test_missing_difference_steps_back_once() -> None:
    """M at the line without a difference in the rates: one level down, then hold there."""
    plan = a_plan()
    state = at(plan, step=2, **over_the_line(), **ALIKE)
    decision = judged(plan, state)

    assert isinstance(decision, StepBack)
    assert decision.to_step == 1
    again = judged(plan, at(plan, step=1, stepped_back=True, **over_the_line(), **ALIKE))
    assert isinstance(again, Hold)
    assert again.status is Status.HELD


def test_kill_of_one_guardrail_goes_before_the_step_back_of_another() -> None:
    """Where one guardrail is unclear and another certain, the ramp is killed."""
    plan = a_plan(guardrails=(ERRORS, REQUESTS, replace(ERRORS, name="third")))
    state = at(plan, step=1, **over_the_line(), **ALIKE)
    state = seeing(state, "third", **WORSE)

    assert isinstance(judged(plan, state), KillRamp)
    unclear = judged(plan, at(plan, step=1, **over_the_line(), **ALIKE))
    assert isinstance(unclear, StepBack)
    assert unclear.why.startswith("errors:")


def test_nothing_to_step_back_to_from_the_start() -> None:
    """At the exposure of the start the unclear ramp holds."""
    plan = a_plan(start_ppm=10_000)
    state = replace(at(plan, **over_the_line(), **ALIKE), step=-1, exposure_ppm=10_000)

    assert isinstance(judged(plan, state), Hold)


def test_advisory_guardrails_hold_and_do_not_kill() -> None:
    """A guardrail that may not kill stops the ascent at M of 10 and takes nothing back."""
    plan = a_plan(guardrails=(ERRORS, ADVISORY))
    state = seeing(at(plan, **PROVED), "advisory", **over_the_line(), **WORSE)
    decision = judged(plan, state)

    assert isinstance(decision, Hold)
    assert decision.status is Status.HELD
    assert "advisory: 4 % of 1 000" in judged(plan, seeing(state, "advisory", treatment=WORSE["recent_treatment"])).why


def test_advisory_guardrails_need_no_proof() -> None:
    """A guardrail that may not kill does not keep the others' proof waiting; alone it has to prove."""
    plan = a_plan(guardrails=(ERRORS, ADVISORY))
    assert isinstance(judged(plan, seeing(at(plan), "errors", **PROVED)), Advance)
    assert isinstance(judged(plan, seeing(at(plan), "advisory", **PROVED)), Hold)
    alone = a_plan(guardrails=(ADVISORY,))
    assert isinstance(judged(alone, at(alone)), Hold)
    assert isinstance(judged(alone, at(alone, **PROVED)), Advance)


@pytest.mark.parametrize("proof", [{"log_e": math.log(5)}, {"log_a": math.log(5)}])
def test_either_proof_advances_by_one_step(proof: dict[str, Any]) -> None:
    """The relative or the absolute proof at 5 goes to the next step."""
    plan = a_plan(5, 25, 50)
    decision = judged(plan, at(plan, step=1, **proof))

    assert isinstance(decision, Advance)
    assert decision.to_step == 2
    assert decision.why.startswith("25 %: proved (errors: relative")


def test_no_proof_no_advance() -> None:
    """Just below 5 the step is held."""
    plan = a_plan()
    decision = judged(plan, at(plan, log_e=1.6, log_a=1.6))

    assert decision == Hold(Status.RUNNING, "5 %: not proved yet (errors: relative 4.95, absolute 4.95, needed 5)")


def test_proof_waits_for_the_dwell_and_for_enough_users() -> None:
    """A proof before the minimum dwell, or on too few distinct users, waits."""
    plan = a_plan()
    young = replace(at(plan, **PROVED), entered_ms=10 * MINUTE - 59 * SECOND)
    assert judged(plan, young) == Hold(Status.RUNNING, "5 %: at least 0:01 more")
    assert judged(plan, at(plan, units=19, **PROVED)) == Hold(Status.RUNNING, "5 %: 19 of 20 exposed users seen")
    few = a_plan(users=200)
    assert judged(few, at(few, units=4, **PROVED)) == Hold(Status.RUNNING, "5 %: 4 of 5 exposed users seen")
    assert isinstance(judged(few, at(few, units=5, **PROVED)), Advance)


def test_suspicion_holds_even_a_proof() -> None:
    """While the hold lasts nobody new is exposed."""
    plan = a_plan()
    decision = judged(plan, at(plan, log_m=math.log(5), holding=True, **PROVED))

    assert isinstance(decision, Hold)
    assert decision.status is Status.HELD


def test_last_step_soaks_and_is_promoted() -> None:
    """The last step, once proved, is watched for the soak and then promoted."""
    plan = a_plan(5, 100)
    state = at(plan, step=1, **PROVED)
    assert isinstance(judged(plan, state), Soak)

    soaking = replace(state, status=Status.SOAKING, soaking_since_ms=9 * MINUTE)
    assert judged(plan, soaking) == Hold(Status.SOAKING, "soak: 1:00 left")
    assert isinstance(judged(plan, replace(soaking, soaking_since_ms=8 * MINUTE)), Promote)
    assert isinstance(judged(plan, seeing(soaking, **over_the_line(), **WORSE)), KillRamp)


def test_inconclusive_step_holds_or_goes_on_as_the_plan_says() -> None:
    """After the maximum dwell: hold; with ``advance``, go on only if M is below 1."""
    steps = (Step(exposure_ppm=50_000, max_dwell_s=600.0), Step(exposure_ppm=500_000, max_dwell_s=601.0))
    hold, advance = a_plan(steps=steps), a_plan(steps=steps, on_inconclusive="advance")

    decision = judged(hold, at(hold, log_m=-0.5))
    assert isinstance(decision, Hold)
    assert (decision.status, decision.why[:30]) == (Status.HELD, "5 %: inconclusive after 10:00 ")
    assert isinstance(judged(advance, at(advance, log_m=-0.5)), Advance)
    assert isinstance(judged(advance, at(advance, log_m=0.0)), Hold)
    assert judged(advance, at(advance, step=1, log_m=-0.5)).why.startswith("50 %: not proved yet")


def test_inconclusive_from_half_on_little_evidence_needs_a_person() -> None:
    """With few users, an inconclusive step from 50 % on is not left without approval."""
    steps = (Step(exposure_ppm=490_000, max_dwell_s=60.0), Step(exposure_ppm=500_000, max_dwell_s=60.0))
    plan = a_plan(steps=steps, on_inconclusive="advance", low_evidence=True)
    state = at(plan, step=1, log_m=-0.5)

    assert isinstance(judged(plan, at(plan, log_m=-0.5)), Advance)
    assert judged(plan, state).status is Status.AWAITING_APPROVAL
    assert isinstance(judged(plan, replace(state, approved_step=1)), Soak)
    assert isinstance(judged(replace(plan, low_evidence=False), state), Soak)


def test_manual_gate_waits_for_approval_after_the_proof() -> None:
    """A gated step is left only when it is proved and a person approved it."""
    steps = (Step(exposure_ppm=50_000, gate=Gate.MANUAL), Step(exposure_ppm=500_000))
    plan = a_plan(steps=steps)
    waiting = judged(plan, at(plan, **PROVED))

    assert isinstance(waiting, Hold)
    assert waiting.status is Status.AWAITING_APPROVAL
    assert isinstance(judged(plan, replace(at(plan, **PROVED), approved_step=0)), Advance)
    assert isinstance(judged(plan, replace(at(plan), approved_step=0)), Hold)


def test_manual_plan_moves_by_approval_without_proof() -> None:
    """With so few users that nothing is ever proved, a person moves each step, and the guard still kills."""
    plan = a_plan(manual=True)

    assert judged(plan, at(plan)).status is Status.AWAITING_APPROVAL
    assert isinstance(judged(plan, replace(at(plan), approved_step=0)), Advance)
    assert isinstance(judged(plan, at(plan, **over_the_line(), **WORSE)), KillRamp)


def test_unguarded_plan_moves_by_time_and_says_so() -> None:
    """A plan without guardrails moves after each minimum dwell, and the reason names it unguarded."""
    plan = a_plan(guardrails=(), guarded=False)
    decision = judged(plan, at(plan))

    assert isinstance(decision, Advance)
    assert "unguarded" in decision.why


def test_arming_counts_down_then_begins() -> None:
    """The pre-flight lasts its time and then exposes the first step."""
    plan = a_plan()
    state = seeing(replace(start(plan, 0), observed_ms=45 * SECOND, armed_s=45.0))
    assert decide(plan, state, 45 * SECOND) == Hold(Status.ARMING, "pre-flight: 0:15 left")
    assert decide(plan, replace(state, armed_s=60.0), 45 * SECOND) == Begin("the pre-flight is clean; exposing 5 %")


def test_arming_that_would_have_killed_refuses() -> None:
    """If the cohorts differ before the change, the ramp does not start, and the reason has the figures."""
    plan = a_plan()
    state = seeing(replace(start(plan, 0), observed_ms=45 * SECOND), **over_the_line(), **WORSE)
    decision = decide(plan, state, 45 * SECOND)

    assert isinstance(decision, Refuse)
    assert "M 150, kill line 100" in decision.why
    assert "treated share 5 %" in decision.why


def test_suspicion_while_arming_does_not_outlast_it() -> None:
    """M below the line while arming stops nothing: it starts again at 1 with the first exposure."""
    plan = a_plan()
    state = seeing(replace(start(plan, 0), observed_ms=60 * SECOND, armed_s=60.0), holding=True, log_m=math.log(20))

    assert isinstance(decide(plan, state, 60 * SECOND), Begin)


def test_blind_after_three_observations() -> None:
    """One or two observations without evidence wait; the third makes the ramp blind, and names the reason."""
    plan = a_plan()
    for count, status in ((1, Status.RUNNING), (2, Status.RUNNING), (3, Status.BLIND)):
        state = at(plan, sight=Sight.SERIES_STALE, detail="30 s old", blind_count=count, blind_since_ms=1, **PROVED)
        decision = judged(plan, state)
        assert isinstance(decision, Hold)
        assert decision.status is status
        assert "errors: series stale (30 s old)" in decision.why


def test_blind_ramp_never_begins() -> None:
    """A pre-flight that saw nothing does not end in an exposure."""
    plan = a_plan()
    arming = replace(start(plan, 0), observed_ms=2 * MINUTE, armed_s=120.0)
    waiting = decide(plan, seeing(arming, sight=Sight.SERIES_ABSENT, blind_count=1), 2 * MINUTE)
    blind = decide(plan, seeing(arming, sight=Sight.SERIES_ABSENT, blind_count=3), 2 * MINUTE)

    assert waiting == Hold(Status.ARMING, "waiting for evidence: errors: series absent")
    assert blind == Hold(Status.BLIND, "errors: series absent")


def test_no_observation_no_progress() -> None:
    """Without an observation, or with an old one, nothing moves."""
    plan = a_plan()
    never = replace(at(plan, **PROVED), observed_ms=None)
    assert judged(plan, never) == Hold(Status.RUNNING, "waiting for the first observation")
    old = replace(at(plan, **PROVED), observed_ms=10 * MINUTE - 46 * SECOND)
    assert judged(plan, old) == Hold(Status.BLIND, "not observed for 0:46")


@pytest.mark.parametrize("on_blind", ["hold", "retreat"])
def test_blindness_beyond_its_limit_retreats_one_step_if_asked(on_blind: str) -> None:
    """After the limit ``retreat`` goes down one step, once for one blindness; ``hold`` stays."""
    plan = a_plan(on_blind=on_blind)
    now = 40 * MINUTE
    blind: dict[str, Any] = {"sight": Sight.QUERY_FAILED, "blind_count": 60}
    state = at(plan, now, step=2, blind_since_ms=now - 15 * MINUTE, **blind)
    state = replace(state, entered_ms=now - 20 * MINUTE)
    decision = judged(plan, state, now)

    if on_blind == "hold":
        assert isinstance(decision, Hold)
        return
    assert decision == StepBack(1, "errors: query failed for 15:00")
    younger = judged(plan, replace(state, entered_ms=now - 14 * MINUTE), now)
    assert isinstance(younger, Hold)
    shorter = judged(plan, seeing(state, blind_since_ms=now - 15 * MINUTE + 1, **blind), now)
    assert isinstance(shorter, Hold)
    once = judged(replace(plan, blind_limit_s=0.0), seeing(state, blind_count=2), now)
    assert isinstance(once, Hold)
    first = judged(plan, replace(state, step=-1), now)
    assert isinstance(first, Hold)


def test_blind_guardrail_kills_nobody() -> None:
    """A guardrail that does not see now does not kill on what it saw."""
    plan = a_plan()
    state = seeing(at(plan, **over_the_line(), **WORSE), sight=Sight.QUERY_FAILED, blind_count=1)

    assert isinstance(judged(plan, state), Hold)


def test_pause_stops_progress_and_no_kill() -> None:
    """A paused ramp stays with its reason, and is killed all the same."""
    plan = a_plan()
    paused = replace(at(plan, **PROVED), status=Status.PAUSED, why="paused by a person")
    assert judged(plan, paused) == Hold(Status.PAUSED, "paused by a person")
    assert isinstance(judged(plan, seeing(paused, **over_the_line(), **WORSE)), KillRamp)


def test_back_at_the_start_with_nobody_exposed() -> None:
    """After a retreat to an exposure of 0 the ramp goes on once it sees; after a suspicion it waits for a person."""
    plan = a_plan()
    state = replace(at(plan), step=-1, exposure_ppm=0)

    assert judged(plan, state) == Advance(0, "0 %: the metrics are back, and nothing holds; going to 5 %")
    suspicious = judged(plan, seeing(state, holding=True, log_m=9.0, stepped_back=True))
    assert isinstance(suspicious, Hold)
    assert suspicious.status is Status.HELD


def test_back_at_the_start_with_some_exposed_it_proves_itself_again() -> None:
    """A ramp that stepped back to an exposure above 0 goes up again on proof."""
    plan = a_plan(start_ppm=10_000)
    state = replace(at(plan, **PROVED), step=-1, exposure_ppm=10_000)
    decision = judged(plan, state)

    assert isinstance(decision, Advance)
    assert decision.to_step == 0


@pytest.mark.parametrize("status", sorted(set(Status) - LIVE))
def test_what_is_over_stays_over(status: Status) -> None:
    """An ended ramp, or one that never began, is left where it is."""
    plan = a_plan()
    state = replace(at(plan, **over_the_line(), **WORSE), status=status, why="because")

    assert judged(plan, state) == Hold(status, "because")
