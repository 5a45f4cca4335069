"""A comparison with a baseline: it decides nothing by itself, and kills as ever."""

from typing import Any

import pytest
from msgspec.structs import replace

from rheostat.model.shares import TOTAL_PPM
from rheostat_server.errors import Conflict
from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.due import due
from rheostat_server.ramps.evidence import ArmTotals
from rheostat_server.ramps.legality import allowed
from rheostat_server.ramps.memory import CeilingMemory, KillProcess, Retreat
from rheostat_server.ramps.model import Action, Gate, Plan, State, Status, Step
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.standing import standing
from rheostat_server.ramps.transition import act, overlay, start, transition
from rheostat_server.ramps.verdicts import Advance, Begin, Decision, Hold, KillRamp, Promote, StepBack
from tests.unit.server.ramps.ramp_builders import (
    ERRORS,
    MINUTE,
    SECOND,
    a_plan,
    a_reading,
    evidence_of,
    over_the_line,
    running,
    seeing,
)

HOUR = 60 * MINUTE
GATED = Step(exposure_ppm=TOTAL_PPM, gate=Gate.MANUAL)


def comparing(**changes: Any) -> Plan:
    """A plan that compares with ``off`` at 100 % for an hour; half of the weight is the others'."""
    return a_plan(100, **{"baseline": "off", "compared_share": 0.5, "until_ms": HOUR, **changes})


def seen(plan: Plan, at_ms: int, **changes: Any) -> State:
    """A comparison that was just observed, at its exposure."""
    arms = {"treatment": ArmTotals(ended=1_000, bad=6), "control": ArmTotals(ended=2_000, bad=10)}
    state = seeing(running(plan), **{**arms, **changes.pop("guardrail", {})})
    return replace(state, observed_ms=at_ms, **changes)


def decided(plan: Plan, at_ms: int, **changes: Any) -> Decision:
    """What is decided then."""
    return decide(plan, seen(plan, at_ms, **changes), at_ms)


def test_until_its_end_it_compares() -> None:
    """No proof leads on, and none is asked for."""
    plan = comparing(sample=500)

    verdict = decided(plan, HOUR - MINUTE, guardrail={"log_a": 5.0, "log_e": 5.0}, exposed_units=90, control_units=80)

    assert verdict == Hold(
        Status.RUNNING,
        "100 %: comparing, 80 of 500 users seen on the smaller side; until 1970-01-01 01:00 UTC, 1:00 left",
    )


def test_without_a_date_it_compares_until_its_sample() -> None:
    """What is left is users."""
    verdict = decided(comparing(until_ms=None, sample=5_000), HOUR, exposed_units=4_999, control_units=6_000)

    assert verdict == Hold(Status.RUNNING, "100 %: comparing, 4 999 of 5 000 users seen on the smaller side")


@pytest.mark.parametrize(
    ("plan", "changes", "why"),
    [
        (comparing(), {}, "it is past 1970-01-01 01:00 UTC"),
        (comparing(until_ms=None, sample=80), {}, "both sides have had 80 users"),
        (comparing(until_ms=9 * HOUR, sample=80), {}, "both sides have had 80 users"),
    ],
)
def test_at_its_end_it_waits_with_what_was_seen(plan: Plan, changes: dict[str, Any], why: str) -> None:
    """Both sides' rates and M, and that a person says what comes of it."""
    verdict = decided(plan, HOUR, exposed_units=90, control_units=80, **changes)

    assert verdict == Hold(
        Status.AWAITING_APPROVAL,
        f"{why}; errors: 0.6 % of 1 000 requests of the others are bad, 0.5 % of 2 000 of off; no harm found (M 1, "
        "kill line 100); approve to keep it as it is, or abort",
    )


def test_approved_it_is_promoted_as_it_is() -> None:
    """The split stays; a comparison never soaks."""
    plan = comparing()
    waiting = replace(seen(plan, HOUR), status=Status.AWAITING_APPROVAL)

    approved = act(plan, waiting, Action.APPROVE, HOUR, "blue it is")
    verdict = decide(plan, approved, HOUR)

    assert isinstance(verdict, Promote)
    assert verdict.why.endswith("a person let it stay")
    done = transition(plan, approved, verdict, HOUR)
    shown = overlay(plan, "r", done, "ab", server_scope=True)
    assert (done.status, shown.exposure_ppm) == (Status.PROMOTED, TOTAL_PPM)
    assert (shown.live, shown.baseline) == (False, None)


@pytest.mark.parametrize("changes", [{"manual": True, "users": 40}, {"steps": (GATED,)}])
def test_few_users_or_a_gate_let_nobody_approve_before_the_end(changes: dict[str, Any]) -> None:
    """A word given early would promote it by itself at its end, whatever was seen meanwhile."""
    plan = replace(comparing(), **changes)
    state = seen(plan, MINUTE)

    assert Action.APPROVE not in allowed(plan, state)
    assert not due(plan, state, MINUTE).approval
    waiting = transition(plan, state, decide(plan, replace(state, observed_ms=HOUR), HOUR), HOUR)
    assert waiting.status is Status.AWAITING_APPROVAL
    assert Action.APPROVE in allowed(plan, waiting)
    assert due(plan, waiting, HOUR).approval
    approved = act(plan, waiting, Action.APPROVE, HOUR)
    assert Action.APPROVE not in allowed(plan, approved)
    assert not due(plan, approved, HOUR).approval


def test_before_its_end_there_is_nothing_to_approve_but_a_person_may_end_it() -> None:
    """``advance`` is the person's word that it was long enough; ``abort`` brings the start back."""
    plan = comparing()
    state = seen(plan, MINUTE)

    with pytest.raises(Conflict, match="a comparison is approved at its end"):
        act(plan, state, Action.APPROVE, MINUTE)
    ended = act(plan, state, Action.ADVANCE, MINUTE, "enough")
    aborted = act(plan, state, Action.ABORT, MINUTE)

    assert (ended.status, ended.why) == (Status.PROMOTED, "a person ended the comparison: enough")
    assert (aborted.status, aborted.exposure_ppm) == (Status.ABORTED, 0)


def test_harm_kills_at_any_time() -> None:
    """Also while it waits at its end: a kill is no decision about which variant is better."""
    plan = comparing()

    for at_ms in (MINUTE, HOUR):
        verdict = decided(plan, at_ms, status=Status.AWAITING_APPROVAL, guardrail=over_the_line())
        assert isinstance(verdict, KillRamp)
        assert "treated share 50 %, of those who do not get off," in verdict.why


def test_suspicion_holds_at_the_end() -> None:
    """Nobody is asked to approve what may do harm."""
    verdict = decided(comparing(), HOUR, guardrail={"log_m": 3.0, "holding": True})

    assert isinstance(verdict, Hold)
    assert verdict.status is Status.HELD


def test_it_arms_first_and_is_served_with_its_baseline() -> None:
    """Arms are drawn beforehand as they will be; readers that know no baseline count nothing."""
    plan = comparing()
    arming = start(plan, 0)
    begun = transition(plan, arming, Begin("go"), 1)

    before, after = (overlay(plan, "r", state, "ab", server_scope=True) for state in (arming, begun))

    assert (before.exposure_ppm, before.arming_ppm, before.baseline) == (0, TOTAL_PPM, "off")
    assert (after.exposure_ppm, after.arming_ppm, after.baseline) == (TOTAL_PPM, None, "off")
    assert {(one.plain_live, one.live_with, one.live) for one in (before, after)} == {(False, ("baseline",), True)}


def test_after_a_step_back_it_compares_again_when_nothing_holds() -> None:
    """From the exposure of the start, a minute later."""
    plan = comparing(start_ppm=100_000)
    back = transition(plan, seen(plan, 0), StepBack(-1, "x"), 0)

    early, later = (decide(plan, replace(seeing(back), observed_ms=at), at) for at in (1_000, MINUTE))

    assert early == Hold(Status.RUNNING, "10 %: at least 0:59 more")
    assert later == Advance(0, "10 %: nothing holds any more; comparing again at 100 %")
    assert act(plan, back, Action.ADVANCE, 1).step == 0


def test_what_was_served_before_has_no_lower_level() -> None:
    """Unclear harm holds it; a crossed ceiling waits until both sides are below it again."""
    ceiling = replace(ERRORS, ceiling=0.01)
    plan = comparing(start_ppm=TOTAL_PPM, guardrails=(ceiling,), preflight_s=0.0)
    unclear = seen(plan, MINUTE, guardrail={**over_the_line(), "recent_control": ArmTotals(units=9, units_bad=9)})
    unclear = seeing(unclear, recent_treatment=ArmTotals(units=9, units_bad=1))
    assert isinstance(decide(plan, unclear, MINUTE), Hold)

    crossed = CeilingMemory(process=KillProcess(treatment_events=99), log_c=99.0)
    state = seen(plan, MINUTE, guardrail={"ceiling": crossed})
    verdict = decide(plan, state, MINUTE)
    assert isinstance(verdict, Hold)
    after = observe(plan, state, evidence_of(MINUTE + SECOND, a_reading()))
    assert after.guardrails["errors"].ceiling.retreat is Retreat.WAIT


def test_units_of_both_sides_are_what_was_told() -> None:
    """A sample is counted by the source."""
    plan = comparing(sample=10)

    after = observe(plan, running(plan), replace(evidence_of(SECOND, a_reading(), units=7), control_units=5))

    assert (after.exposed_units, after.control_units) == (7, 5)


def test_the_status_line_says_what_is_left_and_no_proof() -> None:
    """What a comparison waits for is its end."""
    plan = comparing()
    state = seen(plan, MINUTE)
    state = transition(plan, state, decide(plan, state, MINUTE), MINUTE)

    shown = standing(plan, state, MINUTE)

    assert shown.line == "running at 100 % (step 1 of 1): comparing, until 1970-01-01 01:00 UTC, 59:00 left"
    assert shown.guardrails[0].requests_to_proof is None


def test_unguarded_it_compares_nothing_and_waits_all_the_same() -> None:
    """Without guardrails there is no evidence to show."""
    plan = comparing(guarded=False, guardrails=())

    verdict = decide(plan, replace(running(plan), guardrails={}), HOUR)

    assert verdict == Hold(
        Status.AWAITING_APPROVAL, "it is past 1970-01-01 01:00 UTC; approve to keep it as it is, or abort"
    )
