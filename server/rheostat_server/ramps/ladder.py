"""The exposures that a plan goes through."""

import math

from rheostat.model.shares import TOTAL_PPM
from rheostat_server.ramps.evidence import UNSAID, Block
from rheostat_server.ramps.model import Plan, State, Step

START = -1
"""The step of a ramp that stands at the exposure it started from."""
HELD_MS = 300_000
"""How long an SDK or an unsent report may still hold an exposure that was left."""


def step_at(plan: Plan, index: int) -> Step:
    """Return the step; for ``START`` one at the exposure that was in force when the ramp started."""
    return Step(exposure_ppm=plan.start_ppm) if index == START else plan.steps[index]


def levels(plan: Plan) -> tuple[int, ...]:
    """Return the exposure at the start, then those of the steps: distinct, ascending, in ppm."""
    return tuple(sorted({plan.start_ppm, *(step.exposure_ppm for step in plan.steps)}))


def is_last(plan: Plan, state: State) -> bool:
    """Whether there is no step above the present one."""
    return state.step == len(plan.steps) - 1


def has_lower_level(plan: Plan, state: State) -> bool:
    """Whether there is an exposure to step back to: not at the start, nor where what is compared was served before."""
    return step_at(plan, state.step).exposure_ppm > plan.start_ppm


def has_next_stage(plan: Plan, state: State) -> bool:
    """Whether a rolling ramp has a stage after the present one."""
    return state.stage + 1 < len(plan.stages)


def treated_share(plan: Plan, exposure_ppm: int) -> float:
    """Return x, 0 … 1: the treated share of the rollout's range, held-back units taken out first.

    Of a rolling ramp that is of the stage's users; of a comparison the other variants' share of those compared.
    """
    width = plan.width_ppm
    held_back = width * plan.holdback_ppm // TOTAL_PPM
    exposed = min(width * exposure_ppm // TOTAL_PPM, width - held_back) / width
    return exposed if plan.baseline is None else plan.compared_share if exposed else 0.0


def compares(plan: Plan) -> bool:
    """Whether users of both arms are compared at any of the steps, so that α holds."""
    return plan.guarded and any(0 < treated_share(plan, step.exposure_ppm) < 1 for step in plan.steps)


def reached_ppm(plan: Plan, exposure_ppm: int) -> int:
    """Return the exposure that exposes the same users as a promoted ramp of this plan, whose holdback may have stayed.

    From there another ramp goes on: at the exposure itself it would expose at once those who are held back.
    """
    if not plan.keep_holdback:
        return exposure_ppm
    width = plan.width_ppm
    free = width - width * plan.holdback_ppm // TOTAL_PPM
    return min(exposure_ppm, -(-free * TOTAL_PPM // width))


def drawn_ppm(plan: Plan, state: State) -> int:
    """Return the exposure at which arms are drawn now: while arming the first step's."""
    return plan.steps[0].exposure_ppm if state.exposed_since_ms is None else state.exposure_ppm


def stated_ppm(plan: Plan, state: State, block: Block) -> int:
    """Return the exposure of a block: as evaluated, else the largest that any SDK may still have held.

    After a step down, rows counted at the lower exposure would blame the change for users who still had it.
    """
    if block.exposure_ppm != UNSAID:
        return block.exposure_ppm
    former = (ppm for ppm, until_ms in state.left if block.from_ms - until_ms < HELD_MS)
    return max(drawn_ppm(plan, state), *former, 0)


def leaving(state: State, now_ms: int) -> tuple[tuple[int, int], ...]:
    """Return the exposures that some SDK may still hold when the present one is left."""
    kept = tuple(one for one in state.left if now_ms - one[1] < 2 * HELD_MS)
    return (*kept, (state.exposure_ppm, now_ms))


def min_units(plan: Plan, exposure_ppm: int, users: int | None = None) -> int:
    """Return how many distinct exposed units must have finished a request before a step at this exposure is left.

    Where U, the number of users, is known it is at most half of those that the step exposes: GUARD.md, "Few users".
    """
    users = plan.users if users is None else users
    if users is None:
        return plan.min_units
    return min(plan.min_units, math.ceil(treated_share(plan, exposure_ppm) * users / 2))
