"""Whether something may happen to a ramp where it stands, by the table of states. Pure."""

from rheostat_server.ramps.decide import under_way
from rheostat_server.ramps.few import is_manual
from rheostat_server.ramps.ladder import START, step_at
from rheostat_server.ramps.model import LIVE, Action, Gate, Plan, State, Status
from rheostat_server.ramps.states import Cause, Exposure, NotInTableError, outcomes, refusal
from rheostat_server.ramps.words import exposure


def refused(plan: Plan, state: State, action: Action) -> str | None:
    """Return why a person may not do this to the ramp now, where it stands, and what is allowed; ``None``: one may."""
    words = _refused(plan, state, action)
    if words is None:
        return None
    there = allowed(plan, state)
    may = f"allowed there: {', '.join(there)}" if there else "nothing is allowed there any more"
    return f"{words}. It stands {_place(plan, state)}; {may}"


def allowed(plan: Plan, state: State) -> tuple[Action, ...]:
    """Return what a person may do to the ramp now."""
    return tuple(action for action in Action if _refused(plan, state, action) is None)


def lawful(cause: Cause, plan: Plan, before: State, after: State) -> State:
    """Return the state ``after``, if that is what the cause may make of a ramp that stood as ``before``.

    Raises:
        NotInTableError: it may not.
    """
    course = under_way(before)
    for outcome in outcomes(cause, before.status, course):
        if (
            after.status is outcome.status_after(before.status, course)
            and under_way(after) is (outcome.course or course)
            and _has(outcome.exposure, plan, before, after)
        ):
            return after
    stood, stands = _place(plan, before), _place(plan, after)
    raise NotInTableError(f"{cause} may not take a ramp from {stood} to {stands}")


def _has(now: Exposure, plan: Plan, before: State, after: State) -> bool:
    steps = {
        Exposure.FIRST_STEP: START + 1,
        Exposure.NEXT_STEP: before.step + 1,
        Exposure.STEP_BEFORE: before.step - 1,
        Exposure.STAGE: START,
    }
    if after.step != steps.get(now, before.step):
        return False
    shares = {
        Exposure.UNCHANGED: before.exposure_ppm,
        Exposure.START: plan.start_ppm,
        Exposure.STAGE: plan.start_ppm,
        Exposure.NOTHING: 0,
    }
    at_step = step_at(plan, after.step).exposure_ppm
    return after.exposure_ppm == shares.get(now, at_step)


def _refused(plan: Plan, state: State, action: Action) -> str | None:
    words = refusal(Cause.by_person(action), state.status, under_way(state))
    if words is None and action is Action.APPROVE:
        return _not_to_approve(plan, state)
    return words


def _not_to_approve(plan: Plan, state: State) -> str | None:
    if state.approved_step == state.step:
        return "this step is approved already"
    if plan.baseline is not None:
        # An approval keeps the change for good: nobody gives it before all is seen.
        waits = state.status is Status.AWAITING_APPROVAL
        return None if waits else "a comparison is approved at its end, when it awaits approval"
    gated = step_at(plan, state.step).gate is Gate.MANUAL or is_manual(plan, state)
    if not gated and state.status is not Status.AWAITING_APPROVAL:
        return "this step waits for no approval"
    return None


def _place(plan: Plan, state: State) -> str:
    at = f"{state.status} at {exposure(state.exposure_ppm)}"
    if state.status not in LIVE:
        return at
    if under_way(state) is Status.ARMING:
        return f"{at}, before its first step"
    if state.step == START:
        return f"{at}, back at the start"
    return f"{at}, step {state.step + 1} of {len(plan.steps)}"
