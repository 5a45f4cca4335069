"""What a ramp at a step still waits for, besides proof."""

import msgspec

from rheostat_server.ramps.few import is_manual
from rheostat_server.ramps.ladder import START, min_units, step_at, treated_share
from rheostat_server.ramps.model import LIVE, Gate, Plan, State


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What is still due. Times are in s; ``None``: it is not waited for now.

    ``dwell_left_s`` is the rest of the least time on the step, 0 once that is over; ``trial_left_s`` the rest of the
    time in which a proof is waited for. ``users_wanted`` are the distinct exposed users who must have been seen,
    ``users_seen`` those who were. ``approval`` says that a person still has to let the ramp through this step.
    """

    dwell_left_s: float | None = None
    trial_left_s: float | None = None
    soak_left_s: float | None = None
    users_wanted: int | None = None
    users_seen: int = 0
    approval: bool = False


def due(plan: Plan, state: State, now_ms: int) -> Due:
    """Return what the ramp waits for at ``now_ms``; nothing before the first exposure, and of a ramp that is over."""
    if state.status not in LIVE or state.exposed_since_ms is None:
        return Due()
    if state.soaking_since_ms is not None:
        return Due(soak_left_s=max(0.0, plan.soak_s - (now_ms - state.soaking_since_ms) / 1000))
    step = step_at(plan, state.step)
    dwelt_s = (now_ms - state.entered_ms) / 1000
    by_hand = is_manual(plan, state)
    counted = plan.guarded and not by_hand and treated_share(plan, state.exposure_ppm) > 0
    return Due(
        dwell_left_s=max(0.0, step.min_dwell_s - dwelt_s),
        trial_left_s=None if step.max_dwell_s is None or not counted else max(0.0, step.max_dwell_s - dwelt_s),
        users_wanted=min_units(plan, state.exposure_ppm, state.users) if counted else None,
        users_seen=state.exposed_units,
        approval=(step.gate is Gate.MANUAL or by_hand) and state.step not in {START, state.approved_step},
    )
