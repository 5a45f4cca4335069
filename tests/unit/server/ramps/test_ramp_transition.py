"""What a decision, or a person, changes."""

from typing import Any, cast

import pytest
from msgspec.structs import replace

from rheostat.model.shares import TOTAL_PPM
from rheostat_server.errors import Conflict
from rheostat_server.ramps.evidence import ArmTotals, Sight
from rheostat_server.ramps.memory import KillProcess, Proof
from rheostat_server.ramps.model import (
    Action,
    Family,
    Gate,
    Guardrail,
    GuardrailState,
    Measure,
    Plan,
    State,
    Status,
    Step,
)
from rheostat_server.ramps.states import OVER
from rheostat_server.ramps.transition import act, drafted, overlay, start, transition
from rheostat_server.ramps.verdicts import Advance, Begin, Decision, Hold, KillRamp, Promote, Refuse, Soak, StepBack
from rheostat_server.ramps.windows import AdvanceWindow, Freeze
from tests.unit.server.ramps.ramp_builders import ERRORS, MINUTE, a_plan, running, seeing

KILL = KillProcess(log_s=(1.0,) * 6, spent=0.5, treatment_events=4)
SEEN = {
    "kill": KILL,
    "log_m": 1.0,
    "log_e": 2.0,
    "proof": Proof(log_e=(2.0, 2.0, 2.0)),
    "cursor": "c",
    "step_treatment": ArmTotals(ended=5),
    "recent_treatment": ArmTotals(ended=5),
    "treatment": ArmTotals(ended=9),
}
LATER = 5 * MINUTE


def at_step(plan: Plan, step: int = 0) -> State:
    """A ramp at this step, with evidence in it."""
    return replace(seeing(running(plan, step=step), "errors", **SEEN), exposed_units=50, approved_step=step)


def test_ramp_starts_arming_with_nobody_exposed_anew() -> None:
    """A ramp starts arming in epoch 1, at the exposure that was in force."""
    state = start(a_plan(start_ppm=10_000), 7)

    assert (state.status, state.step, state.epoch, state.exposure_ppm) == (Status.ARMING, -1, 1, 10_000)
    assert (state.started_ms, state.entered_ms, state.exposed_since_ms) == (7, 7, None)
    assert set(state.guardrails) == {"errors"}


def test_ramp_without_preflight_starts_exposed() -> None:
    """Without a pre-flight epoch 1 is the first exposure."""
    state = start(a_plan(preflight_s=0.0), 7)

    assert (state.status, state.step, state.epoch, state.exposure_ppm) == (Status.RUNNING, 0, 1, 50_000)
    assert (state.exposed_since_ms, state.exposed_epoch) == (7, 1)


def test_first_exposure_restarts_the_kill_process() -> None:
    """M is 1 again at the first exposure; only the cursor and the sight survive arming."""
    plan = a_plan()
    after = transition(plan, seeing(start(plan, 0), "errors", **SEEN), Begin("clean"), LATER)

    assert (after.status, after.step, after.epoch, after.exposure_ppm) == (Status.RUNNING, 0, 2, 50_000)
    assert (after.exposed_since_ms, after.exposed_epoch, after.entered_ms) == (LATER, 2, LATER)
    assert after.guardrails["errors"] == GuardrailState(cursor="c", sight=Sight.SEEN)
    assert after.why == "clean"


def test_acceptable_auto_is_fixed_at_the_first_exposure() -> None:
    """``acceptable: auto`` is taken from the control in arming and kept through the steps."""
    plan = a_plan(acceptable=None)
    armed = seeing(start(plan, 0), control=ArmTotals(ended=10_000, bad=10))
    exposed = transition(plan, armed, Begin(""), LATER)
    advanced = transition(plan, exposed, Advance(1, ""), LATER)

    assert exposed.guardrails["errors"].acceptable == pytest.approx(0.002)
    assert advanced.guardrails["errors"].acceptable == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("decision", "step", "status"), [(Advance(2, "w"), 2, Status.RUNNING), (StepBack(0, "w"), 0, Status.HELD)]
)
def test_each_change_of_exposure_resets_the_proofs_and_keeps_m(decision: Decision, step: int, status: Status) -> None:
    """A step up or back opens an epoch, in which the proofs and the step's totals begin anew and M goes on."""
    plan = a_plan()
    before = at_step(plan, 1)
    after = transition(plan, before, decision, LATER)
    seen = after.guardrails["errors"]

    assert (after.step, after.status, after.epoch, after.entered_ms) == (step, status, before.epoch + 1, LATER)
    assert after.exposure_ppm == plan.steps[step].exposure_ppm
    assert (after.exposed_units, after.approved_step) == (0, None)
    assert (seen.kill, seen.log_m, seen.treatment, seen.cursor) == (KILL, 1.0, ArmTotals(ended=9), "c")
    assert (seen.proof, seen.log_e) == (Proof(), 0.0)
    assert seen.step_treatment == seen.recent_treatment == ArmTotals()
    assert after.exposed_epoch == before.exposed_epoch


def test_step_back_from_the_first_step_returns_to_the_start() -> None:
    """One level below the first step is the exposure at the start; a pause outlasts it."""
    plan = a_plan(start_ppm=20_000)
    paused = replace(at_step(plan), status=Status.PAUSED)
    after = transition(plan, paused, StepBack(-1, "w"), LATER)

    assert (after.step, after.exposure_ppm, after.status) == (-1, 20_000, Status.PAUSED)


def test_step_back_is_remembered_by_the_hold_that_caused_it() -> None:
    """A guardrail that holds has had its step back; another has not."""
    plan = a_plan(guardrails=(ERRORS, replace(ERRORS, name="other")))
    state = seeing(seeing(at_step(plan, 1), "errors", holding=True), "other")
    after = transition(plan, state, StepBack(0, "w"), LATER)

    assert after.guardrails["errors"].stepped_back
    assert not after.guardrails["other"].stepped_back


def test_hold_changes_only_the_status_and_the_reason() -> None:
    """A hold leaves exposure, epoch and evidence as they were."""
    plan = a_plan()
    before = at_step(plan)
    after = transition(plan, before, Hold(Status.BLIND, "w"), LATER)

    assert after == replace(before, status=Status.BLIND, why="w")


def test_soak_keeps_the_exposure_and_its_proofs() -> None:
    """The soak is at the last step's exposure and in its epoch."""
    plan = a_plan()
    before = at_step(plan, 3)
    after = transition(plan, before, Soak("w"), LATER)

    assert after == replace(before, status=Status.SOAKING, soaking_since_ms=LATER, why="w")


def test_step_back_ends_the_soak() -> None:
    """After a step back the last step has to be proved again."""
    plan = a_plan()
    soaking = replace(at_step(plan, 3), status=Status.SOAKING, soaking_since_ms=1)

    assert transition(plan, soaking, StepBack(2, "w"), LATER).soaking_since_ms is None


@pytest.mark.parametrize(
    ("decision", "changes", "status", "exposure_ppm"),
    [
        (Promote("w"), {"soaking_since_ms": 1}, Status.PROMOTED, 250_000),
        (KillRamp("errors", "w"), {}, Status.KILLED, 0),
        (Refuse("w"), {"exposed_since_ms": None}, Status.ABORTED, 10_000),
    ],
)
def test_ends_of_a_ramp(decision: Decision, changes: dict[str, Any], status: Status, exposure_ppm: int) -> None:
    """Promoted keeps the exposure, killed gives 0, refused the exposure at the start; each opens an epoch."""
    plan = a_plan(start_ppm=10_000)
    before = replace(at_step(plan, 1), **changes)
    after = transition(plan, before, decision, LATER)

    assert (after.status, after.exposure_ppm, after.epoch, after.why) == (status, exposure_ppm, before.epoch + 1, "w")


def test_overlay_while_arming_changes_nobodys_answer() -> None:
    """While arming the exposure in force is the one at the start, and the arms are those of the first step."""
    plan = a_plan(5, 25, start_ppm=10_000, holdback_ppm=20_000)
    shown = overlay(plan, "r1", start(plan, 0), "ab", server_scope=True)

    assert (shown.exposure_ppm, shown.arming_ppm, shown.arm_ppm) == (10_000, 50_000, 50_000)
    assert shown.levels == (10_000, 50_000, 250_000)
    assert (shown.holdback_ppm, shown.live, shown.epoch, shown.unit_key) == (20_000, True, 1, "ab")


def test_overlay_of_a_running_ramp() -> None:
    """A running ramp's arms are drawn at its exposure; client-scoped snapshots do not get the key."""
    plan = a_plan(5, 100)
    shown = overlay(plan, "r1", at_step(plan, 1), "ab", server_scope=False)

    assert (shown.exposure_ppm, shown.arming_ppm, shown.live) == (TOTAL_PPM, None, True)
    assert shown.unit_key is None
    assert (shown.ramp, shown.flag, shown.rollout) == ("r1", "checkout-v2", "default")


def test_overlay_names_the_bounds_that_reports_are_to_count() -> None:
    """They are those of the latency guardrails that read reports, ascending, each once."""
    slow = Guardrail(name="a", family=Family.REPORTED, grade=2, measure=Measure.LATENCY, bound_ms=500)
    plan = a_plan(
        guardrails=(
            slow,
            replace(slow, name="b", bound_ms=100),
            replace(slow, name="c"),
            replace(slow, name="d", family=Family.APPLICATION, bound_ms=250),
            replace(slow, name="e", measure=Measure.ERRORS, bound_ms=None),
        )
    )

    assert overlay(plan, "r1", at_step(plan), "ab", server_scope=True).slow_bounds_ms == (100, 500)
    assert overlay(a_plan(), "r1", at_step(plan), "ab", server_scope=True).slow_bounds_ms == ()


@pytest.mark.parametrize(
    ("status", "keep", "holdback"),
    [(Status.PROMOTED, False, 0), (Status.PROMOTED, True, 10_000), (Status.KILLED, True, 0), (Status.ABORTED, True, 0)],
)
def test_overlay_of_an_ended_ramp(status: Status, keep: bool, holdback: int) -> None:
    """After its end outcomes do not count, and only a promoted ramp may keep its holdback."""
    plan = a_plan(holdback_ppm=10_000, keep_holdback=keep)
    shown = overlay(plan, "r1", replace(at_step(plan), status=status), "ab", server_scope=True)

    assert (shown.live, shown.arming_ppm, shown.holdback_ppm) == (False, None, holdback)


def test_pause_and_resume() -> None:
    """A pause is lifted to where the ramp was; neither is done twice."""
    plan = a_plan()
    for before in (
        start(plan, 0),
        at_step(plan),
        replace(at_step(plan, 3), status=Status.SOAKING, soaking_since_ms=1),
    ):
        paused = act(plan, before, Action.PAUSE, LATER, "lunch")
        assert paused == replace(before, status=Status.PAUSED, why="paused by a person: lunch")
        assert act(plan, paused, Action.RESUME, LATER) == replace(before, why="resumed by a person")
        with pytest.raises(Conflict, match="paused already"):
            act(plan, paused, Action.PAUSE, LATER)
        with pytest.raises(Conflict, match="only a paused ramp"):
            act(plan, before, Action.RESUME, LATER)


def test_approval_is_for_one_step_that_waits_for_it() -> None:
    """A gated step, or one that awaits approval, is approved once; there is nothing to approve elsewhere."""
    plan = a_plan(steps=(Step(exposure_ppm=1_000, gate=Gate.MANUAL), Step(exposure_ppm=2_000)))
    gated = replace(at_step(plan), approved_step=None)
    approved = act(plan, gated, Action.APPROVE, LATER)

    assert approved.approved_step == 0
    with pytest.raises(Conflict, match="approved already"):
        act(plan, approved, Action.APPROVE, LATER)
    ungated = replace(at_step(plan, 1), approved_step=None)
    with pytest.raises(Conflict, match="waits for no approval"):
        act(plan, ungated, Action.APPROVE, LATER)
    assert act(plan, replace(ungated, status=Status.AWAITING_APPROVAL), Action.APPROVE, LATER).approved_step == 1
    assert act(replace(plan, manual=True), ungated, Action.APPROVE, LATER).approved_step == 1
    with pytest.raises(Conflict, match="nothing to approve: the ramp is arming"):
        act(plan, start(plan, 0), Action.APPROVE, LATER)


def test_advance_by_hand_goes_one_step() -> None:
    """A person ends the pre-flight, a step, or the last step; not a pause, nor the soak."""
    plan = a_plan(5, 25)
    begun = act(plan, start(plan, 0), Action.ADVANCE, LATER, "urgent")
    assert (begun.step, begun.status, begun.why) == (0, Status.RUNNING, "a person ended the pre-flight: urgent")
    assert begun.exposed_since_ms == LATER
    advanced = act(plan, replace(begun, status=Status.HELD), Action.ADVANCE, LATER)
    assert (advanced.step, advanced.status, advanced.epoch) == (1, Status.RUNNING, begun.epoch + 1)
    soaking = act(plan, advanced, Action.ADVANCE, LATER)
    assert (soaking.step, soaking.status) == (1, Status.SOAKING)
    with pytest.raises(Conflict, match="soaking"):
        act(plan, soaking, Action.ADVANCE, LATER)
    with pytest.raises(Conflict, match="resume it first"):
        act(plan, act(plan, begun, Action.PAUSE, LATER), Action.ADVANCE, LATER)


def test_abort_restores_the_exposure_at_the_start() -> None:
    """Abort ends a live ramp wherever it stands, with the exposure that was in force before."""
    plan = a_plan(start_ppm=10_000)
    for before in (start(plan, 0), at_step(plan, 2), replace(at_step(plan), status=Status.PAUSED)):
        after = act(plan, before, Action.ABORT, LATER)
        assert (after.status, after.exposure_ppm, after.epoch) == (Status.ABORTED, 10_000, before.epoch + 1)


def test_kill_is_latched_until_a_person_revives() -> None:
    """A killed ramp takes no other action than revive, which gives back the exposure at the start."""
    plan = a_plan(start_ppm=10_000)
    killed = act(plan, at_step(plan, 2), Action.KILL, LATER, "incident 7")
    assert (killed.status, killed.exposure_ppm, killed.why) == (Status.KILLED, 0, "killed by a person: incident 7")
    for action in set(Action) - {Action.REVIVE}:
        with pytest.raises(Conflict, match="the ramp is over: it is killed"):
            act(plan, killed, action, LATER)
    revived = act(plan, killed, Action.REVIVE, LATER, "fixed")
    assert (revived.status, revived.exposure_ppm) == (Status.ABORTED, 10_000)
    assert revived.why.endswith(": fixed")


def test_unknown_decision_is_refused() -> None:
    """Something that is no decision is an error, not a hold."""
    plan = a_plan()
    with pytest.raises(AssertionError):
        transition(plan, at_step(plan), cast(Decision, "advance"), LATER)


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.KILLED}))
def test_only_the_killed_are_revived(status: Status) -> None:
    """Revive is refused anywhere else, and an ended ramp takes no action at all."""
    plan = a_plan()
    state = replace(at_step(plan), status=status)
    with pytest.raises(Conflict, match="only a killed ramp"):
        act(plan, state, Action.REVIVE, LATER)
    if status in OVER:
        with pytest.raises(Conflict, match="the ramp is over"):
            act(plan, state, Action.ABORT, LATER)


def test_a_draft_is_started_or_aborted_and_takes_no_other_action() -> None:
    """What has not started can only be started or ended."""
    plan = a_plan(start_ppm=20_000)
    draft = drafted(plan, 5, 1_000, "starts Tue 1 Dec 09:00 UTC")
    assert (draft.status, draft.exposure_ppm, draft.starts_ms, draft.epoch) == (Status.DRAFT, 20_000, 1_000, 0)

    ended = act(plan, draft, Action.ABORT, LATER, "never mind")

    assert (ended.status, ended.exposure_ppm) == (Status.ABORTED, 20_000)
    assert ended.why == "aborted by a person: never mind"
    assert act(plan, draft, Action.ADVANCE, LATER) == start(plan, LATER)
    for action in set(Action) - {Action.ABORT, Action.ADVANCE, Action.REVIVE}:
        with pytest.raises(Conflict, match="not started yet"):
            act(plan, draft, action, LATER)


def test_without_a_preflight_the_first_step_waits_for_the_calendar() -> None:
    """With windows or freezes a ramp that exposes at once arms first: the controller looks at the calendar."""
    for calendar in (
        {"advance_windows": (AdvanceWindow(timezone="UTC"),)},
        {"freezes": (Freeze(from_ms=0, until_ms=9),)},
    ):
        state = start(a_plan(preflight_s=0.0, **calendar), 0)
        assert (state.status, state.exposed_since_ms) == (Status.ARMING, None)
