"""Promises about every decision, whatever the plan and wherever the ramp stands."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rheostat_server.ramps.crowd import crowd_doubts
from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import ArmTotals, Sight
from rheostat_server.ramps.ladder import START, step_at
from rheostat_server.ramps.memory import CeilingMemory, CrowdMemory, KillProcess, Retreat
from rheostat_server.ramps.model import LIVE, Family, Gate, Guardrail, GuardrailState, Plan, State, Status, Step
from rheostat_server.ramps.transition import transition
from rheostat_server.ramps.verdicts import Advance, Begin, Hold, KillRamp, Promote, Refuse, Soak, StepBack
from tests.unit.server.ramps.ramp_builders import MINUTE

NOW = 100 * MINUTE
UP = (Begin, Advance, Soak, Promote)

totals = st.builds(
    ArmTotals,
    ended=st.integers(0, 2_000),
    bad=st.integers(0, 50),
    failing=st.integers(0, 50),
    units=st.integers(0, 1_000),
    units_bad=st.integers(0, 30),
)
logs = st.sampled_from([-3.0, 0.0, 1.0, math.log(5), math.log(12), math.log(99), math.log(101), 30.0])
guardrails = st.builds(
    Guardrail,
    name=st.sampled_from(["errors", "application-errors"]),
    family=st.sampled_from(Family),
    grade=st.sampled_from([1, 2, 3]),
    may_kill=st.booleans(),
    phi=st.sampled_from([1.0, 5.0]),
    ceiling=st.sampled_from([None, 0.01]),
)
ceilings = st.builds(
    CeilingMemory,
    process=st.builds(KillProcess, treatment_events=st.integers(0, 60)),
    log_c=logs,
    retreat=st.sampled_from(Retreat),
    since_ms=st.sampled_from([0, NOW - 10_000]),
)
crowds = st.builds(
    CrowdMemory,
    log_missing=logs,
    missing_holds=st.booleans(),
    expected=st.sampled_from([0.0, 19.0, 21.0]),
    arrivals=st.sampled_from([(), ((1, 50),)]),
    log_recount=logs,
    recount_holds=st.booleans(),
    active=st.sampled_from([0, 100]),
    active_failed=st.sampled_from([0, 20, 60]),
    users=st.sampled_from([0, 40, 400, 4_000]),
    step_treatment=st.integers(0, 100),
    step_control=st.integers(0, 100),
    log_srm=st.sampled_from([0.0, 6.0, 7.0]),
    srm_stepped_back=st.booleans(),
    crashed=st.booleans(),
    coverage=st.sampled_from([None, 0.5, 1.0]),
    vanished_ms=st.sampled_from([None, 0, NOW - 10_000]),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Plan, State]:
    """Any plan, and a ramp of it at any place."""
    exposures = sorted(draw(st.sets(st.integers(10, 1_000_000), min_size=1, max_size=4)))
    watched = draw(st.lists(guardrails, min_size=0, max_size=2, unique_by=lambda guardrail: guardrail.name))
    plan = Plan(
        project="default",
        environment="production",
        flag="checkout-v2",
        rollout="default",
        start_ppm=draw(st.integers(0, exposures[0] - 1)),
        steps=tuple(
            Step(
                exposure_ppm=ppm,
                min_dwell_s=draw(st.sampled_from([0.0, 60.0])),
                max_dwell_s=draw(st.sampled_from([None, 60.0])),
                gate=draw(st.sampled_from(Gate)),
            )
            for ppm in exposures
        ),
        guardrails=tuple(watched),
        on_inconclusive=draw(st.sampled_from(["hold", "advance"])),
        on_blind=draw(st.sampled_from(["hold", "retreat"])),
        low_evidence=draw(st.booleans()),
        guarded=bool(watched) or draw(st.booleans()),
        manual=draw(st.booleans()),
        soak_s=draw(st.sampled_from([0.0, 3_600.0])),
        holdback_ppm=draw(st.sampled_from([0, 20_000])),
        missing_kill=draw(st.booleans()),
    )
    arming = draw(st.booleans())
    step = START if arming else draw(st.integers(START, len(exposures) - 1))
    state = State(
        status=draw(st.sampled_from(Status)),
        step=step,
        epoch=draw(st.integers(1, 9)),
        exposure_ppm=step_at(plan, step).exposure_ppm,
        entered_ms=draw(st.sampled_from([0, NOW - 30_000])),
        exposed_since_ms=None if arming else 0,
        soaking_since_ms=draw(st.sampled_from([None, NOW - 60_000])) if step == len(exposures) - 1 else None,
        observed_ms=draw(st.sampled_from([None, NOW, NOW - 10 * MINUTE])),
        exposed_units=draw(st.sampled_from([0, 19, 20])),
        approved_step=draw(st.sampled_from([None, step])),
        guardrails={guardrail.name: draw(eyes()) for guardrail in watched},
        crowd=draw(crowds),
        users=draw(st.sampled_from([None, 40, 400])),
    )
    return plan, state


@st.composite
def eyes(draw: st.DrawFn) -> GuardrailState:
    """What any guardrail may show."""
    sight = draw(st.sampled_from([Sight.SEEN, Sight.SEEN, *Sight]))
    return GuardrailState(
        kill=KillProcess(treatment_events=draw(st.integers(0, 60))),
        log_m=draw(logs),
        log_e=draw(logs),
        log_a=draw(logs),
        sight=sight,
        blind_count=0 if sight is Sight.SEEN else draw(st.integers(1, 9)),
        blind_since_ms=None if sight is Sight.SEEN else draw(st.sampled_from([0, NOW - 10_000])),
        holding=draw(st.booleans()),
        stepped_back=draw(st.booleans()),
        recent_treatment=draw(totals),
        recent_control=draw(totals),
        grade=draw(st.sampled_from([0, 2])),
        ceiling=draw(ceilings),
    )


@given(situation=situations())
def test_exposure_never_rises_by_more_than_one_step(situation: tuple[Plan, State]) -> None:
    """One decision takes a ramp up by one step at most."""
    plan, state = situation
    after = transition(plan, state, decide(plan, state, NOW), NOW)

    assert after.step <= state.step + 1
    if after.exposure_ppm > state.exposure_ppm:
        assert after.exposure_ppm == plan.steps[state.step + 1].exposure_ppm


@given(situation=situations())
def test_nothing_rises_and_nothing_is_killed_on_the_word_of_the_blind(situation: tuple[Plan, State]) -> None:
    """With any guardrail blind, uncovered or saturated there is no step up; what a blind one saw kills nobody."""
    plan, state = situation
    # What the whole crowd showed kills on its own, and only when it has just shown it.
    still = replace(state, crowd=replace(state.crowd, crashed=False, log_missing=0.0))
    sights = {guardrail.name: state.guardrails[guardrail.name].sight for guardrail in plan.guardrails}

    if any(sight is not Sight.SEEN for sight in sights.values()):
        assert not isinstance(decide(plan, state, NOW), UP)
    decision = decide(plan, still, NOW)
    if isinstance(decision, KillRamp):
        assert sights[decision.guardrail] in {Sight.SEEN, Sight.UNCOVERED, Sight.SATURATED}


@given(situation=situations())
def test_nothing_rises_on_an_old_observation(situation: tuple[Plan, State]) -> None:
    """A guarded ramp that was not observed lately does not go up."""
    plan, state = situation
    if plan.guardrails and state.observed_ms != NOW:
        assert not isinstance(decide(plan, state, NOW), UP)


@given(situation=situations())
def test_nothing_rises_against_a_doubt(situation: tuple[Plan, State]) -> None:
    """Whatever keeps nobody new from being exposed, and is told to people, does so."""
    plan, state = situation
    if plan.guardrails and state.exposed_since_ms is not None and list(crowd_doubts(plan, state, NOW)):
        assert not isinstance(decide(plan, state, NOW), UP)


@given(
    situation=situations(),
    calmer=st.fixed_dictionaries(
        {
            "log_srm": st.sampled_from([0.0, 7.0]),
            "coverage": st.sampled_from([None, 0.1]),
            "vanished_ms": st.sampled_from([None, NOW]),
            "recount_holds": st.booleans(),
            "srm_stepped_back": st.booleans(),
        }
    ),
)
def test_no_doubt_masks_a_kill(situation: tuple[Plan, State], calmer: dict[str, Any]) -> None:
    """What is killed is killed whatever else is wrong with the crowd: arms' sizes, coverage, vanished instances."""
    plan, state = situation
    decision = decide(plan, state, NOW)

    if isinstance(decision, KillRamp):
        assert decide(plan, replace(state, crowd=replace(state.crowd, **calmer)), NOW) == decision


@given(situation=situations())
def test_safety_only_lowers(situation: tuple[Plan, State]) -> None:
    """A kill gives 0, a step back less than before (or as much, where two levels are one), a refusal the start."""
    plan, state = situation
    decision = decide(plan, state, NOW)
    after = transition(plan, state, decision, NOW)

    if isinstance(decision, KillRamp):
        assert after.exposure_ppm == 0
        assert after.status is Status.KILLED
    if isinstance(decision, StepBack):
        assert after.exposure_ppm < state.exposure_ppm
    if isinstance(decision, Refuse):
        assert after.exposure_ppm == plan.start_ppm
    if isinstance(decision, Hold):
        assert after.exposure_ppm == state.exposure_ppm
        assert after.epoch == state.epoch


@given(situation=situations(), other=st.sampled_from(sorted(LIVE)), approved=st.booleans())
def test_no_pause_gate_or_approval_stops_a_kill(
    situation: tuple[Plan, State], other: Status, *, approved: bool
) -> None:
    """What would be killed in one live state is killed in every other, with or without gate and approval."""
    plan, state = situation
    decision = decide(plan, state, NOW)

    if isinstance(decision, KillRamp | Refuse | StepBack):
        elsewhere = replace(state, status=other, approved_step=state.step if approved else None)
        gated = replace(plan, steps=tuple(replace(step, gate=Gate.MANUAL) for step in plan.steps))
        assert decide(gated, elsewhere, NOW) == decision


@given(situation=situations())
def test_every_decision_says_why(situation: tuple[Plan, State]) -> None:
    """A decision about a live ramp that is not paused has a reason in words."""
    plan, state = situation
    if state.status in LIVE - {Status.PAUSED}:
        assert decide(plan, state, NOW).why
