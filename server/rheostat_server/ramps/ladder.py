"""The exposures that a plan goes through."""

import math

from rheostat.model.shares import TOTAL_PPM
from rheostat_server.ramps.model import Plan, State, Step

START = -1
"""The step of a ramp that stands at the exposure it started from."""


def step_at(plan: Plan, index: int) -> Step:
    """Return the step; for ``START`` one at the exposure that was in force when the ramp started."""
    return Step(exposure_ppm=plan.start_ppm) if index == START else plan.steps[index]


def levels(plan: Plan) -> tuple[int, ...]:
    """Return the exposure at the start, then those of the steps: distinct, ascending, in ppm."""
    return tuple(sorted({plan.start_ppm, *(step.exposure_ppm for step in plan.steps)}))


def is_last(plan: Plan, state: State) -> bool:
    """Whether there is no step above the present one."""
    return state.step == len(plan.steps) - 1


def treated_share(plan: Plan, exposure_ppm: int) -> float:
    """Return x, 0 … 1: the treated share of the rollout's range, held-back units taken out first."""
    width = plan.width_ppm
    held_back = width * plan.holdback_ppm // TOTAL_PPM
    return min(width * exposure_ppm // TOTAL_PPM, width - held_back) / width


def min_units(plan: Plan, exposure_ppm: int) -> int:
    """Return how many distinct exposed units must have finished a request before a step at this exposure is left.

    Where the users U are known it is at most half of those that the step exposes: GUARD.md, "Few users".
    """
    if plan.users is None:
        return plan.min_units
    return min(plan.min_units, math.ceil(treated_share(plan, exposure_ppm) * plan.users / 2))
