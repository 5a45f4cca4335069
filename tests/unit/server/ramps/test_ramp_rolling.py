"""A rolling ramp: one stage after the other, each a canary within itself."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from rheostat.model.ramp import Cells
from rheostat.model.shares import TOTAL_PPM
from rheostat_server.errors import Conflict
from rheostat_server.ramps.crowd import crowd_after
from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import ArmTotals, Sight
from rheostat_server.ramps.ladder import has_next_stage
from rheostat_server.ramps.memory import CrowdMemory
from rheostat_server.ramps.model import Action, Gate, GuardrailState, Plan, Stage, State, Status, Step
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.rolling import at_stage, cells_of, in_force_words, in_stage, stage_words, whom
from rheostat_server.ramps.standing import standing
from rheostat_server.ramps.transition import act, overlay, start, transition
from rheostat_server.ramps.verdicts import Advance, Begin, Hold, KillRamp, NextStage, Promote, Refuse, Soak, StepBack
from rheostat_server.ramps.waiting import by_calendar
from rheostat_server.ramps.windows import Shut
from tests.unit.server.ramps.ramp_builders import (
    MINUTE,
    SECOND,
    a_plan,
    a_reading,
    crowd_of,
    evidence_of,
    over_the_line,
    running,
    seeing,
)

STAGES = (Stage(("eu",)), Stage(("us", "ca")), Stage())
PROVED = {"log_a": 2.0}


def a_rolling_plan(*exposures: int, **changes: Any) -> Plan:
    """A plan by region, without the proof that requests do not vanish."""
    return a_plan(*(exposures or (5, 100)), **{"by": "region", "stages": STAGES, **changes})


def ready(plan: Plan, state: State, **seen: Any) -> State:
    """The state with all that leaving a step asks for, a minute later."""
    state = seeing(state, **{**PROVED, **seen})
    crowd = replace(state.crowd, step_requests=(500, 9_500), armed_requests=(500, 9_500))
    return replace(state, exposed_units=50, observed_ms=state.entered_ms + MINUTE, crowd=crowd)


def decided(plan: Plan, state: State) -> Any:
    """What is decided a minute after the step was entered."""
    return decide(plan, state, state.entered_ms + MINUTE)


def test_the_last_step_of_a_stage_leads_to_the_next_stage() -> None:
    """Proved and dwelt, it arms other users; the step before goes up as ever."""
    plan = a_rolling_plan()
    first, last = ready(plan, running(plan)), ready(plan, running(plan, step=1))

    up, on = decided(plan, first), decided(plan, last)

    assert isinstance(up, Advance)
    assert up.to_step == 1
    assert isinstance(on, NextStage)
    assert on.to_stage == 1
    assert on.why.endswith("done with region eu, going on with region us, ca")


def test_only_after_the_last_stage_it_soaks() -> None:
    """And is promoted."""
    plan = a_rolling_plan()
    state = ready(plan, replace(running(plan, step=1), stage=2))

    assert isinstance(decided(plan, state), Soak)


def test_a_gate_holds_the_last_step_of_each_stage() -> None:
    """A manual gate is asked before the next stage too."""
    plan = a_rolling_plan(steps=(Step(exposure_ppm=TOTAL_PPM, gate=Gate.MANUAL),))
    state = ready(plan, running(plan))

    waits, goes = decided(plan, state), decided(plan, replace(state, approved_step=0))

    assert isinstance(waits, Hold)
    assert waits.status is Status.AWAITING_APPROVAL
    assert isinstance(goes, NextStage)


def test_the_next_stage_begins_with_everything_anew() -> None:
    """It arms at the start's exposure; what is kept says only how far sources were read, and who reports."""
    plan = a_rolling_plan(start_ppm=10_000)
    before = seeing(
        running(plan, step=1), cursor="c", log_m=2.0, treatment=ArmTotals(ended=9), detail="d", acceptable=0.002
    )
    crowd = CrowdMemory(
        arrivals=((50_000, 7), (-1, 90)), users=40, recounted=3, log_missing=1.0, coverage=0.9, vanished_ms=5
    )
    before = replace(before, crowd=crowd, armed_s=99, users=40, exposed_units=30, control_units=4, approved_step=1)

    after = transition(plan, before, NextStage(1, "on"), 5 * MINUTE)

    assert (after.status, after.stage, after.step, after.exposure_ppm) == (Status.ARMING, 1, -1, 10_000)
    assert (after.epoch, after.exposed_epoch, after.exposed_since_ms) == (before.epoch + 1, before.epoch + 1, None)
    assert (after.started_ms, after.entered_ms, after.armed_s) == (5 * MINUTE, 5 * MINUTE, 0)
    assert (after.users, after.exposed_units, after.control_units, after.approved_step) == (None, 0, 0, None)
    assert after.guardrails == {"errors": GuardrailState(cursor="c", sight=Sight.SEEN, detail="d")}
    assert after.crowd == CrowdMemory(arrivals_before=((-1, 90), (50_000, 7)), coverage=0.9, vanished_ms=5)
    assert after.left[-1] == (TOTAL_PPM, 5 * MINUTE)
    assert after.why == "on"


def test_without_a_preflight_the_next_stage_is_exposed_at_once() -> None:
    """One epoch further, at the first step."""
    plan = a_rolling_plan(preflight_s=0.0)
    before = running(plan, step=1)

    after = transition(plan, before, NextStage(1, "on"), MINUTE)

    assert (after.status, after.stage, after.step, after.epoch) == (Status.RUNNING, 1, 0, before.epoch + 1)
    assert (after.exposed_since_ms, after.exposed_epoch, after.exposure_ppm) == (MINUTE, after.epoch, 50_000)


def test_arrivals_of_earlier_stages_are_not_those_of_this_one() -> None:
    """The source counts from the ramp's start; what was there when the stage began is taken off, each time."""
    plan = a_rolling_plan()
    state = replace(start(plan, 0), crowd=CrowdMemory(arrivals=((-1, 90), (50_000, 7))))
    for stage, seen, expected in (
        (1, ((-1, 90), (50_000, 7)), ()),
        (1, ((-1, 100), (50_000, 7), (1_000_000, 2)), ((-1, 10), (1_000_000, 2))),
    ):
        if state.stage != stage:
            state = at_stage(plan, state, stage, 0, "on")
        evidence = replace(crowd_of(epoch=state.epoch), arrivals_by_level=seen)
        state = replace(state, crowd=crowd_after(plan, state, evidence))
        assert state.crowd.arrivals == expected
    third = at_stage(plan, state, 2, 0, "on")
    assert third.crowd.arrivals_before == ((-1, 100), (50_000, 7), (1_000_000, 2))
    exposed = transition(plan, third, Begin("go"), 1)
    assert exposed.crowd.arrivals_before == third.crowd.arrivals_before


def test_what_was_seen_of_the_stage_before_says_nothing_of_this_one() -> None:
    """Blocks of an earlier epoch are not counted, though this one has not exposed anybody yet."""
    plan = a_rolling_plan()
    state = transition(plan, running(plan, step=1), NextStage(1, "on"), MINUTE)
    bad = ArmTotals(ended=100, bad=50, failing=50)

    def after(epoch: int) -> State:
        block = replace(crowd_of(bad, epoch=epoch).crowd[0], exposure_ppm=50_000)
        return observe(plan, state, evidence_of(MINUTE + SECOND, a_reading(block)))

    assert after(state.epoch - 1).guardrails["errors"].treatment == ArmTotals()
    assert after(state.epoch).guardrails["errors"].treatment == bad


def test_a_cohort_that_differs_keeps_its_stage_from_beginning() -> None:
    """The first stage does not start, and the ramp with it; a later one waits for a person, who may go on."""
    plan = a_rolling_plan(steps=(Step(exposure_ppm=50_000), Step(exposure_ppm=TOTAL_PPM)))
    first = seeing(start(plan, 0), **over_the_line())
    first = replace(first, observed_ms=0, armed_s=60.0)
    later = replace(seeing(at_stage(plan, running(plan), 1, 0, "on"), **over_the_line()), observed_ms=0, armed_s=60.0)

    refused, held = decide(plan, first, 0), decide(plan, later, 0)
    fine = decide(plan, seeing(later, log_m=0.0, holding=False), 0)

    assert isinstance(refused, Refuse)
    assert isinstance(held, Hold)
    assert held.status is Status.HELD
    assert "the cohort differs before it sees anything" in held.why
    assert "a person may advance all the same" in held.why
    assert isinstance(fine, Begin)
    assert fine.why.startswith("region us, ca: the pre-flight is clean")
    begun = act(plan, later, Action.ADVANCE, 1)
    assert (begun.stage, begun.step) == (1, 0)


def test_a_step_back_from_the_first_step_is_to_the_start_of_the_stage() -> None:
    """Not to a stage that is over."""
    plan = a_rolling_plan(start_ppm=10_000)
    state = replace(running(plan), stage=1)

    back = transition(plan, state, StepBack(-1, "x"), 1)

    assert (back.stage, back.step, back.exposure_ppm) == (1, -1, 10_000)
    assert cells_of(plan, back) == Cells(
        attribute="region", done=("eu",), now=("us", "ca"), done_ppm=TOTAL_PPM, exposure_ppm=10_000
    )


def test_a_kill_says_in_which_stage() -> None:
    """And takes it back from everybody: exposure 0 is over all stages."""
    plan = a_rolling_plan()
    state = replace(seeing(running(plan), **over_the_line()), stage=1, observed_ms=0)

    verdict = decide(plan, state, 0)

    assert isinstance(verdict, KillRamp)
    assert verdict.why.startswith("region us, ca: errors: ")
    dead = transition(plan, state, verdict, 0)
    assert (dead.status, dead.exposure_ppm, cells_of(plan, dead)) == (Status.KILLED, 0, None)


@pytest.mark.parametrize(
    ("stage", "changes", "cells"),
    [
        (0, {}, Cells(attribute="region", now=("eu",), done_ppm=TOTAL_PPM, exposure_ppm=50_000)),
        (2, {}, Cells(attribute="region", done=("eu", "us", "ca"), rest=True, done_ppm=TOTAL_PPM, exposure_ppm=50_000)),
        (
            1,
            {"exposed_since_ms": None, "exposure_ppm": 0},
            Cells(attribute="region", done=("eu",), now=("us", "ca"), done_ppm=TOTAL_PPM, arming_ppm=50_000),
        ),
    ],
)
def test_what_is_served_says_how_far_it_has_come(stage: int, changes: dict[str, Any], cells: Cells) -> None:
    """In a form that exposes nobody early, and counts nobody wrongly, to an SDK that does not know it."""
    plan = a_rolling_plan(holdback_ppm=20_000)
    state = replace(running(plan), stage=stage, **changes)

    shown = overlay(plan, "r", state, "ab", server_scope=True)

    assert shown.cells == cells
    assert (shown.exposure_ppm, shown.arming_ppm, shown.plain_live) == (0, None, False)
    assert (shown.live_with, shown.live, shown.holdback_ppm) == (("cells",), True, 20_000)
    assert shown.levels == (0, 50_000, TOTAL_PPM)


@pytest.mark.parametrize("others", [True, False])
def test_promoted_all_users_are_alike_or_the_listed_stay(others: bool) -> None:
    """With the others as last stage a plain exposure is left; without, the listed keep theirs."""
    plan = a_rolling_plan(stages=STAGES if others else STAGES[:2], start_ppm=10_000)
    state = transition(plan, replace(running(plan, step=1), stage=len(plan.stages) - 1), Promote("done"), 1)

    shown = overlay(plan, "r", state, "ab", server_scope=True)

    assert (shown.live, shown.live_with) == (False, ())
    in_force = "100 %" if others else "100 % of region eu, us, ca and 1 % of others"
    assert in_force_words(plan, state) == in_force
    if others:
        assert (shown.exposure_ppm, shown.cells) == (TOTAL_PPM, None)
    else:
        assert shown.exposure_ppm == 10_000
        assert shown.cells == Cells(attribute="region", done=("eu", "us", "ca"), done_ppm=TOTAL_PPM)


def test_a_person_ends_a_stage() -> None:
    """``advance`` at its last step goes on to the next; at the last stage it soaks."""
    plan = a_rolling_plan()
    state = running(plan, step=1)

    later = act(plan, state, Action.ADVANCE, MINUTE, "fine")
    last = act(plan, replace(state, stage=2), Action.ADVANCE, MINUTE)

    assert (later.status, later.stage, later.why) == (Status.ARMING, 1, "a person ended region eu: fine")
    assert last.status is Status.SOAKING


def test_the_stage_stands_before_all_that_is_said() -> None:
    """Whom it is at, which of how many; and who is next."""
    plan = a_rolling_plan()
    running_at = standing(plan, ready(plan, running(plan, step=1), log_a=0.0), MINUTE)
    arming = standing(plan, replace(start(plan, 0), stage=2), 0)
    over = standing(plan, replace(running(plan), status=Status.ABORTED), 0)

    assert running_at.stage == "region eu (1 of 3)"
    assert running_at.line.startswith("region eu (1 of 3): running at 100 % (step 2 of 2)")
    assert running_at.line.endswith("then region us, ca")
    assert arming.line == "everyone else (3 of 3): arming 1:00 left"
    assert (over.stage, over.line[:7]) == (None, "aborted")
    soaks = standing(plan, replace(ready(plan, running(plan, step=1), log_a=0.0), stage=2), MINUTE)
    assert soaks.line.endswith("then soaking")


MOVES = st.sampled_from(["up", "back", "pause", "resume", "advance", "hold", "soak"])


@settings(deadline=None)
@given(
    moves=st.lists(MOVES, max_size=25), start_ppm=st.sampled_from([0, 10_000]), preflight_s=st.sampled_from([0.0, 60.0])
)
def test_whatever_happens_stages_follow_each_other(moves: list[str], start_ppm: int, preflight_s: float) -> None:
    """Up, back, by the rule or a person: no stage is left out or met again, and nobody of a later one is exposed."""
    plan = a_rolling_plan(5, 50, 100, start_ppm=start_ppm, preflight_s=preflight_s)
    state = start(plan, 0)
    for now_ms, move in enumerate(moves, start=1):
        before = state
        if move in {"pause", "resume", "advance"}:
            with suppress(Conflict):
                state = act(plan, state, Action(move), now_ms)
        elif state.status is Status.PAUSED and (move == "up" or state.exposed_since_ms is None):
            continue  # the rule goes nowhere up from a pause, and lifts none
        elif state.exposed_since_ms is None:
            state = transition(plan, state, Begin("go") if move == "up" else Hold(Status.ARMING, "x"), now_ms)
        elif move == "back" and state.step > -1:
            state = transition(plan, state, StepBack(state.step - 1, "x"), now_ms)
        elif move == "up" and state.step < 2:
            state = transition(plan, state, Advance(state.step + 1, "x"), now_ms)
        elif move == "up" and has_next_stage(plan, state):
            state = transition(plan, state, NextStage(state.stage + 1, "x"), now_ms)
        assert state.stage - before.stage in {0, 1}
        assert state.epoch >= before.epoch
        shown = overlay(plan, "r", state, "ab", server_scope=True)
        cells = shown.cells
        assert cells is not None
        assert (shown.exposure_ppm, shown.plain_live, shown.live) == (start_ppm, False, True)
        assert cells.done == sum((stage.values for stage in STAGES[: state.stage]), ())
        assert (cells.now, cells.rest) == (STAGES[state.stage].values, state.stage == 2)
        assert cells.done_ppm == TOTAL_PPM
        assert cells.exposure_ppm == (start_ppm if state.step == -1 else plan.steps[state.step].exposure_ppm)
        assert (cells.arming_ppm is None) == (state.exposed_since_ms is not None)
        assert shown.arm_ppm in shown.levels


def test_words_of_a_stage() -> None:
    """Of many values the first few; of a ramp without stages nothing."""
    plan = a_rolling_plan(stages=(Stage(("a", 1, False, "b", "c")), Stage()))

    assert [stage_words(plan, stage) for stage in (0, 1)] == ["region a, 1, false and 2 more", "everyone else"]
    assert in_stage(a_plan(), running(a_plan()), "x") == "x"
    assert cells_of(a_plan(), running(a_plan())) is None


def test_a_stage_without_a_preflight_waits_for_the_calendar() -> None:
    """It would expose its users at once; with a pre-flight they are exposed later, and it begins."""
    shut = Shut(why="frozen", opens_ms=None)
    for preflight_s, waits in ((0.0, True), (60.0, False)):
        plan = a_rolling_plan(5, 100, preflight_s=preflight_s)
        state = replace(running(plan, step=1), shut=shut)
        on = NextStage(1, "done; going on")

        assert isinstance(by_calendar(plan, state, on, MINUTE), Hold) is waits


def test_whose_exposure_it_is() -> None:
    """The stage's while it is live; the listed users' where the others were left out; else everybody's."""
    plan = a_rolling_plan(stages=STAGES[:2])
    live = replace(running(plan), stage=1)

    assert whom(plan, live) == "region us, ca"
    assert whom(plan, replace(live, status=Status.PROMOTED)) == "region eu, us, ca"
    assert whom(a_rolling_plan(), replace(live, status=Status.PROMOTED)) is None
    assert whom(plan, replace(live, status=Status.KILLED)) is None
    assert whom(a_plan(), running(a_plan())) is None
