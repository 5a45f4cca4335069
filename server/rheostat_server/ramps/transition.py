"""What a decision, or a person, changes in where a ramp stands and in what is served."""

from typing import assert_never

from msgspec.structs import replace

from rheostat.model.ramp import RampOverlay
from rheostat_server.errors import Conflict
from rheostat_server.ramps.ceiling import begun_anew, crossed, retreating
from rheostat_server.ramps.crowd import at_first_exposure, in_new_step, is_short, mismatched
from rheostat_server.ramps.decide import under_way
from rheostat_server.ramps.evidence import ArmTotals
from rheostat_server.ramps.few import users_seen
from rheostat_server.ramps.grades import first_grade
from rheostat_server.ramps.ladder import START, has_next_stage, is_last, leaving, levels, step_at, treated_share
from rheostat_server.ramps.legality import lawful, refused
from rheostat_server.ramps.memory import Proof, Retreat
from rheostat_server.ramps.model import LIVE, Action, Family, GuardrailState, Measure, Plan, State, Status
from rheostat_server.ramps.observe import acceptable_after
from rheostat_server.ramps.rolling import at_stage, cells_of, kept, stage_words
from rheostat_server.ramps.states import Cause
from rheostat_server.ramps.threshold import begun
from rheostat_server.ramps.verdicts import (
    Advance,
    Begin,
    Decision,
    Hold,
    KillRamp,
    NextStage,
    Promote,
    Refuse,
    Soak,
    StepBack,
)

_NOTHING = ArmTotals()


def start(plan: Plan, now_ms: int) -> State:
    """Return the state of a ramp that starts now: arming, or without a pre-flight at its first step.

    Where it has windows or freezes the first step waits for the controller to look at the calendar.
    """
    if plan.threshold is not None:
        return begun(plan, plan.threshold, now_ms)
    state = State(
        status=Status.ARMING,
        epoch=1,
        exposure_ppm=plan.start_ppm,
        entered_ms=now_ms,
        started_ms=now_ms,
        guardrails={guardrail.name: GuardrailState() for guardrail in plan.guardrails},
        why="the pre-flight has begun",
    )
    if plan.preflight_s > 0:
        return state
    if plan.advance_windows or plan.freezes:
        return replace(state, why="no pre-flight was asked for; the first step waits for its window")
    return _first_exposure(plan, replace(state, epoch=0), now_ms, "no pre-flight was asked for")


def drafted(plan: Plan, now_ms: int, starts_ms: int | None, why: str) -> State:
    """Return the state of a ramp that starts later; till then nothing of it is in force."""
    return State(exposure_ppm=plan.start_ppm, entered_ms=now_ms, started_ms=now_ms, starts_ms=starts_ms, why=why)


def begun_from(plan: Plan, draft: State, now_ms: int) -> State:
    """Return the state of a draft that starts now, by a plan that was made anew.

    Raises:
        NotInTableError: it is no draft.
    """
    return lawful(Cause.TIME_START, plan, draft, start(plan, now_ms))


def transition(plan: Plan, state: State, decision: Decision, now_ms: int) -> State:
    """Return the state after the decision. Only ``Hold`` leaves the exposure and its epoch as they were.

    Raises:
        NotInTableError: the table of states has no such decision about a ramp that stands so.
    """
    match decision:
        case Hold(status=status, why=why):
            return lawful(Cause.RULE_HOLD, plan, state, replace(state, status=status, why=why))
        case Begin(why=why):
            return lawful(Cause.RULE_BEGIN, plan, state, _first_exposure(plan, state, now_ms, why))
        case Refuse(why=why):
            return lawful(Cause.RULE_REFUSE, plan, state, restored(plan, state, now_ms, why))
        case Advance(to_step=to_step, why=why):
            up = moved(plan, state, to_step, now_ms, status=Status.RUNNING, why=why)
            return lawful(Cause.RULE_ADVANCE, plan, state, up)
        case NextStage(to_stage=to_stage, why=why):
            armed = at_stage(plan, state, to_stage, now_ms, why)
            if plan.preflight_s == 0:
                armed = _first_exposure(plan, replace(armed, epoch=state.epoch), now_ms, why)
            return lawful(Cause.RULE_STAGE, plan, state, armed)
        case StepBack(to_step=to_step, why=why):
            paused = state.status is Status.PAUSED
            status = Status.PAUSED if paused else Status.HELD
            back = _stepped_back(plan, state, moved(plan, state, to_step, now_ms, status=status, why=why), now_ms)
            return lawful(Cause.RULE_STEP_BACK, plan, state, back)
        case Soak(why=why):
            soaking = replace(state, status=Status.SOAKING, soaking_since_ms=now_ms, why=why)
            return lawful(Cause.RULE_SOAK, plan, state, soaking)
        case Promote(why=why):
            promoted = replace(state, status=Status.PROMOTED, entered_ms=now_ms, epoch=state.epoch + 1, why=why)
            return lawful(Cause.RULE_PROMOTE, plan, state, promoted)
        case KillRamp(why=why):
            return lawful(Cause.RULE_KILL, plan, state, killed(state, now_ms, why))
        case _:
            assert_never(decision)


def written_over(plan: Plan, state: State, cause: Cause, now_ms: int, why: str) -> State:
    """Return the state of a ramp that a write of the flag ended, or of a draft whose time has come in vain.

    Raises:
        NotInTableError: the table of states has no such end of a ramp that stands so.
    """
    return lawful(cause, plan, state, restored(plan, state, now_ms, why))


def moved(plan: Plan, state: State, to_step: int, now_ms: int, *, status: Status, why: str) -> State:
    """Return the state at another step: a new epoch, in which the proofs begin anew and M goes on."""
    alone = treated_share(plan, step_at(plan, to_step).exposure_ppm) >= 1
    return replace(
        state,
        status=status,
        step=to_step,
        epoch=state.epoch + 1,
        exposure_ppm=step_at(plan, to_step).exposure_ppm,
        entered_ms=now_ms,
        soaking_since_ms=None,
        approved_step=None,
        exposed_units=0,
        control_units=0,
        guardrails={name: _in_new_step(seen, alone=alone) for name, seen in state.guardrails.items()},
        crowd=replace(in_new_step(state.crowd), srm_stepped_back=False),
        left=leaving(state, now_ms),
        why=why,
    )


def killed(state: State, now_ms: int, why: str) -> State:
    """Return the state of a ramp whose variant is taken back, latched."""
    return replace(state, status=Status.KILLED, exposure_ppm=0, epoch=state.epoch + 1, entered_ms=now_ms, why=why)


def restored(plan: Plan, state: State, now_ms: int, why: str) -> State:
    """Return the state of a ramp that ended with the exposure it started from."""
    return replace(
        state,
        status=Status.ABORTED,
        exposure_ppm=plan.start_ppm,
        epoch=state.epoch + 1,
        entered_ms=now_ms,
        why=why,
    )


def act(plan: Plan, state: State, action: Action, now_ms: int, why: str = "", *, source: str | None = None) -> State:
    """Return the state after a person's action; ``why`` is that person's reason, in words.

    ``source`` is what gave the order to kill, if not a person.

    Raises:
        Conflict: the action is not allowed where the ramp stands; the message says where that is, and what is.
        NotInTableError: the table of states does not know the action there.
    """
    if (words := refused(plan, state, action)) is not None:
        raise Conflict(words)
    after = _acted(plan, state, action, now_ms, said=f": {why}" if why else "", by=source or "a person")
    return lawful(Cause.by_person(action), plan, state, after)


def _acted(plan: Plan, state: State, action: Action, now_ms: int, *, said: str, by: str) -> State:
    match action:
        case Action.PAUSE:
            return replace(state, status=Status.PAUSED, why=f"paused by a person{said}")
        case Action.RESUME:
            return replace(state, status=under_way(state), why=f"resumed by a person{said}")
        case Action.APPROVE:
            return replace(state, approved_step=state.step, why=f"approved by a person{said}")
        case Action.ADVANCE:
            return _advanced(plan, state, now_ms, said)
        case Action.KILL:
            return killed(state, now_ms, f"killed by {by}{said}")
        case Action.REVIVE:
            return restored(plan, state, now_ms, f"revived by a person, back at the exposure of the start{said}")
        case _:
            return restored(plan, state, now_ms, f"aborted by a person{said}")


def overlay(plan: Plan, ramp_id: str, state: State, unit_key: str, *, server_scope: bool) -> RampOverlay:
    """Return what a snapshot says of the ramp. Only server-scoped snapshots get the key of the unit hashes.

    While arming, the exposure in force stays the one at the start, and the arms are drawn at the first step's with the
    holdback as it will be. That changes nobody's answer: ``plan_of`` refuses a holdback that would reach into the
    exposure at the start. After promotion the holdback is in force only if the plan keeps it.
    """
    live = state.status in LIVE
    arming = live and state.exposed_since_ms is None
    cells, baseline = cells_of(plan, state), plan.baseline if live else None
    # Who reads none of these exposes nobody of a later stage, and reports no arms, for they would be wrong.
    parts = [name for name, part in (("cells", cells), ("baseline", baseline)) if part is not None]
    holds_back = live or (state.status is Status.PROMOTED and plan.keep_holdback)
    return RampOverlay(
        ramp=ramp_id,
        flag=plan.flag,
        rollout=plan.rollout,
        exposure_ppm=state.exposure_ppm if cells is None else plan.start_ppm,
        epoch=state.epoch,
        levels=levels(plan),
        arming_ppm=plan.steps[0].exposure_ppm if arming and cells is None else None,
        holdback_ppm=plan.holdback_ppm if holds_back else 0,
        plain_live=live and not parts,
        cells=cells,
        baseline=baseline,
        live_with=tuple(parts) if live else (),
        unit_key=unit_key if server_scope else None,
        slow_bounds_ms=slow_bounds(plan),
    )


def slow_bounds(plan: Plan) -> tuple[int, ...]:
    """Return the durations (ms), ascending, above which SDKs are to count a request as slow."""
    bounds = {
        guardrail.bound_ms
        for guardrail in plan.guardrails
        if guardrail.family is Family.REPORTED and guardrail.measure is Measure.LATENCY
    }
    return tuple(sorted(bound for bound in bounds if bound is not None))


def _first_exposure(plan: Plan, state: State, now_ms: int, why: str) -> State:
    exposed = moved(plan, state, START + 1, now_ms, status=Status.RUNNING, why=why)
    return replace(
        exposed,
        exposed_since_ms=now_ms,
        exposed_epoch=exposed.epoch,
        crowd=at_first_exposure(state.crowd),
        users=users_seen(plan, state),
        guardrails={
            # M restarts at 1. Where a source had read up to, and whether it saw, is not evidence and stays.
            guardrail.name: replace(
                kept(seen), acceptable=acceptable_after(plan, seen), grade=first_grade(guardrail, state.crowd)
            )
            for guardrail in plan.guardrails
            if (seen := exposed.guardrails.get(guardrail.name, GuardrailState()))
        },
    )


def _stepped_back(plan: Plan, before: State, back: State, now_ms: int) -> State:
    """Return the state after a step back, which remembers what it was for: each cause costs one level."""
    guardrails = {}
    for guardrail in plan.guardrails:
        seen = before.guardrails.get(guardrail.name, GuardrailState())
        ceiling = seen.ceiling
        if ceiling.retreat is Retreat.NONE and crossed(plan, guardrail, ceiling):
            ceiling = retreating(ceiling, now_ms, retreat=Retreat.PROBE)
        guardrails[guardrail.name] = replace(
            back.guardrails.get(guardrail.name, GuardrailState()),
            stepped_back=seen.stepped_back or seen.holding,
            ceiling=ceiling,
        )
    short = mismatched(before.crowd) and is_short(plan, before)
    crowd = replace(back.crowd, srm_stepped_back=before.crowd.srm_stepped_back or short)
    return replace(back, guardrails=guardrails, crowd=crowd)


def _in_new_step(seen: GuardrailState, *, alone: bool) -> GuardrailState:
    # Where nobody is left to compare with, the ceiling may kill: not for what was seen beside a control. And going up,
    # by proof or by a person's word, ends a retreat.
    anew = alone or seen.ceiling.retreat is not Retreat.NONE
    return replace(
        seen,
        ceiling=begun_anew(seen.ceiling) if anew else seen.ceiling,
        proof=Proof(),
        log_e=0.0,
        log_a=0.0,
        step_treatment=_NOTHING,
        step_control=_NOTHING,
        recent_treatment=_NOTHING,
        recent_control=_NOTHING,
        earlier_treatment=_NOTHING,
        earlier_control=_NOTHING,
        recent_since_ms=None,
    )


def _advanced(plan: Plan, state: State, now_ms: int, said: str) -> State:
    if state.status is Status.DRAFT:
        return start(plan, now_ms)
    if under_way(state) is Status.ARMING:
        return transition(plan, state, Begin(f"a person ended the pre-flight{said}"), now_ms)
    if not is_last(plan, state):
        return transition(plan, state, Advance(state.step + 1, f"advanced by a person{said}"), now_ms)
    if plan.baseline is not None:
        return transition(plan, state, Promote(f"a person ended the comparison{said}"), now_ms)
    if has_next_stage(plan, state):
        why = f"a person ended {stage_words(plan, state.stage)}{said}"
        return transition(plan, state, NextStage(state.stage + 1, why), now_ms)
    return transition(plan, state, Soak(f"a person ended the last step{said}"), now_ms)
