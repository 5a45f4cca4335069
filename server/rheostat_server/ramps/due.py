"""What a ramp at a step still waits for, besides proof."""

import msgspec

from rheostat_server.ramps.comparing import smaller_side
from rheostat_server.ramps.few import is_manual
from rheostat_server.ramps.ladder import START, min_units, step_at, treated_share
from rheostat_server.ramps.model import LIVE, Gate, Plan, State, Status, Step
from rheostat_server.ramps.threshold import next_round_s


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What is still due. Times are in s; ``None``: it is not waited for now.

    ``dwell_left_s`` is the rest of the least time on the step, 0 once that is over; ``trial_left_s`` the rest of the
    time in which a proof is waited for. ``users_wanted`` are the distinct exposed users who must have been seen,
    ``users_seen`` those who were. ``approval`` says that a person still has to let the ramp through this step.

    A comparison asks for no proof: it ends in ``until_left_s``, or when ``users_wanted`` were seen on its smaller side,
    and then a person approves. A ramp by ``rule: threshold`` waits for its next round, in ``round_left_s``.
    """

    dwell_left_s: float | None = None
    trial_left_s: float | None = None
    soak_left_s: float | None = None
    users_wanted: int | None = None
    users_seen: int = 0
    approval: bool = False
    until_left_s: float | None = None
    round_left_s: float | None = None


def due(plan: Plan, state: State, now_ms: int) -> Due:
    """Return what the ramp waits for at ``now_ms``; nothing before the first exposure, and of a ramp that is over."""
    if state.status not in LIVE or state.exposed_since_ms is None:
        return Due()
    if plan.threshold is not None:
        return _counted(plan, state, now_ms)
    if state.soaking_since_ms is not None:
        return Due(soak_left_s=max(0.0, plan.soak_s - (now_ms - state.soaking_since_ms) / 1000))
    step = step_at(plan, state.step)
    dwelt_s = (now_ms - state.entered_ms) / 1000
    if plan.baseline is not None and state.step != START:
        return _compared(plan, state, step, now_ms)
    by_hand = is_manual(plan, state)
    counted = plan.guarded and not by_hand and treated_share(plan, state.exposure_ppm) > 0
    return Due(
        dwell_left_s=max(0.0, step.min_dwell_s - dwelt_s),
        trial_left_s=None if step.max_dwell_s is None or not counted else max(0.0, step.max_dwell_s - dwelt_s),
        users_wanted=min_units(plan, state.exposure_ppm, state.users) if counted else None,
        users_seen=state.exposed_units,
        approval=(step.gate is Gate.MANUAL or by_hand) and state.step not in {START, state.approved_step},
    )


def _compared(plan: Plan, state: State, step: Step, now_ms: int) -> Due:
    return Due(
        until_left_s=None if plan.until_ms is None else max(0.0, (plan.until_ms - now_ms) / 1000),
        users_wanted=plan.sample,
        users_seen=smaller_side(state),
        approval=_awaited(state),
    )


def _counted(plan: Plan, state: State, now_ms: int) -> Due:
    """Return what a ramp that counts failed checks waits for: Flagger's rounds have a time, and neither soaks."""
    gated = step_at(plan, state.step).gate is Gate.MANUAL and state.step != state.approved_step
    return Due(round_left_s=next_round_s(plan, state, now_ms), approval=gated or _awaited(state))


def _awaited(state: State) -> bool:
    return state.status is Status.AWAITING_APPROVAL and state.step != state.approved_step
