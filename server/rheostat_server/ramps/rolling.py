"""The stages of a rolling ramp: which users are done, on and to come, and how one stage follows the other."""

from collections.abc import Iterator

from msgspec.structs import replace

from rheostat.model.ramp import Cells
from rheostat_server.faults import spelled
from rheostat_server.ramps.crowd import at_next_stage
from rheostat_server.ramps.danger import Danger, danger, figures
from rheostat_server.ramps.ladder import START, leaving
from rheostat_server.ramps.model import LIVE, GuardrailState, Plan, State, Status
from rheostat_server.ramps.words import exposure

_MOST_NAMED = 3


def cells_of(plan: Plan, state: State) -> Cells | None:
    """Return how far a rolling ramp has come; ``None`` for one without stages, or where all users stand alike.

    After promotion they differ only where the others were left out.
    """
    if not plan.stages:
        return None
    if state.status in LIVE:
        now = plan.stages[state.stage]
        return Cells(
            attribute=plan.by,
            done=_values(plan, state.stage),
            now=now.values,
            rest=not now.values,
            done_ppm=plan.steps[-1].exposure_ppm,
            exposure_ppm=state.exposure_ppm,
            arming_ppm=plan.steps[0].exposure_ppm if state.exposed_since_ms is None else None,
        )
    if state.status is Status.PROMOTED and plan.stages[-1].values:
        return Cells(attribute=plan.by, done=_values(plan, len(plan.stages)), done_ppm=state.exposure_ppm)
    return None


def stage_words(plan: Plan, stage: int) -> str:
    """Return whom a stage is of: ``region eu, us`` or ``everyone else``."""
    values = plan.stages[stage].values
    if not values:
        return "everyone else"
    more = f" and {len(values) - _MOST_NAMED} more" if len(values) > _MOST_NAMED else ""
    return f"{plan.by} {', '.join(map(spelled, values[:_MOST_NAMED]))}{more}"


def whom(plan: Plan, state: State) -> str | None:
    """Return whose exposure the state's is, of a rolling ramp; ``None`` where it is everybody's."""
    if not plan.stages:
        return None
    if state.status in LIVE:
        return stage_words(plan, state.stage)
    cells = cells_of(plan, state)
    return None if cells is None else f"{plan.by} {', '.join(map(spelled, cells.done))}"


def in_force_words(plan: Plan, state: State) -> str:
    """Return the exposure that a ramp has in force, of one that left its others out for both kinds of users."""
    cells = cells_of(plan, state)
    if cells is None:
        return exposure(state.exposure_ppm)
    listed = ", ".join(map(spelled, cells.done))
    return f"{exposure(cells.done_ppm)} of {plan.by} {listed} and {exposure(plan.start_ppm)} of others"


def in_stage(plan: Plan, state: State, words: str) -> str:
    """Return the words, of a rolling ramp with the stage that they are said of."""
    return f"{stage_words(plan, state.stage)}: {words}" if plan.stages else words


def cohort_doubts(plan: Plan, state: State) -> Iterator[str]:
    """Yield why the users of a later stage must not be exposed by the rule alone: they differ already.

    Before the first stage such a ramp does not start. Now others are served the change already, who bear it well.
    """
    if not state.stage or state.exposed_since_ms is not None:
        return
    for guardrail in plan.guardrails:
        seen = state.guardrails.get(guardrail.name, GuardrailState())
        if danger(plan, guardrail, seen) is Danger.KILL:
            why = figures(plan, guardrail, state)
            yield f"the cohort differs before it sees anything ({why}): a person may advance all the same, or abort"


def at_stage(plan: Plan, state: State, to_stage: int, now_ms: int, why: str) -> State:
    """Return the state that arms the next stage, with everything anew but what is known of units and sources."""
    return replace(
        state,
        status=Status.ARMING,
        stage=to_stage,
        step=START,
        epoch=state.epoch + 1,
        exposure_ppm=plan.start_ppm,
        entered_ms=now_ms,
        started_ms=now_ms,
        exposed_since_ms=None,
        # What was seen of the stage before must not count for or against this one.
        exposed_epoch=state.epoch + 1,
        armed_s=0.0,
        soaking_since_ms=None,
        approved_step=None,
        exposed_units=0,
        control_units=0,
        users=None,
        guardrails={name: kept(seen) for name, seen in state.guardrails.items()},
        crowd=at_next_stage(state.crowd),
        left=leaving(state, now_ms),
        why=why,
    )


def kept(seen: GuardrailState) -> GuardrailState:
    """Return what is no evidence of a guardrail: how far its source was read, and whether it saw."""
    return GuardrailState(
        cursor=seen.cursor,
        sight=seen.sight,
        detail=seen.detail,
        blind_count=seen.blind_count,
        blind_since_ms=seen.blind_since_ms,
    )


def _values(plan: Plan, until_stage: int) -> tuple[object, ...]:
    return tuple(value for stage in plan.stages[:until_stage] for value in stage.values)
