"""What holds for a ramp with few users: GUARD.md, "Few users"."""

import math

from rheostat_server.ramps.model import Plan, State
from rheostat_server.ramps.stats import KILL_GRID, log_kill_bar

FEW_USERS = 500
"""Below it the ladder begins higher and the evidence is called low."""
BY_HAND_BELOW = 50
"""Below it a person moves each step and the guard only kills."""
TELLING_PREFLIGHT_S = 300.0
"""A shorter pre-flight does not tell how many users there are: it is not even one window of the samples."""

USUAL = 0.005
HARM = 0.02
"""What people are told beforehand is told of a change that brings the failing requests from ``USUAL`` to this."""
_HAZARDS = tuple(i / 50 for i in range(1, 51))


def users_seen(plan: Plan, state: State) -> int | None:
    """Return U: what the plan knows, else who was seen by the end of a pre-flight that could tell."""
    if plan.users is not None or plan.preflight_s < TELLING_PREFLIGHT_S:
        return plan.users
    return state.crowd.users or None


def is_few(plan: Plan, state: State) -> bool:
    """Whether the evidence is called low: few users, or nobody knows how many."""
    return plan.low_evidence or (state.users is not None and state.users < FEW_USERS)


def is_manual(plan: Plan, state: State) -> bool:
    """Whether a person moves each step, for nothing could ever be proved."""
    return plan.guarded and (plan.manual or (state.users is not None and state.users < BY_HAND_BELOW))


def can_tell_harm(users: int, x: float, alpha: float, parts: int, rho0: float = 1.1) -> bool:
    """Whether a step that exposes so many users would rather kill than hold ``HARM`` instead of ``USUAL``.

    Each user counts once. When the others have failed with a chance of 1 - e^-h, the exposed have with 1 - e^-(h·HARM /
    USUAL): later nearly all have, in both arms, and no traffic tells them apart any more. It is asked whether at the
    best such time the best g of the grid, with its share of the prior, is at the kill line, one standard deviation of
    chance below its mean. An estimate, of users of equal activity; ``x`` is the treated share, above 0 and below 1.
    """
    return _reached(users, x, rho0) >= log_kill_bar(alpha, parts)


def _reached(users: int, x: float, rho0: float) -> float:
    prior = math.log(2 * len(KILL_GRID))
    best = -math.inf
    for h in _HAZARDS:
        treated = users * -math.expm1(-h * HARM / USUAL)
        others = users * (1 - x) / x * -math.expm1(-h)
        for g in KILL_GRID:
            falls = math.log((1 - x + x * rho0) / (1 - x + x * g * rho0))
            rises = math.log(g) + falls
            chance = math.sqrt(treated * rises**2 + others * falls**2)
            best = max(best, treated * rises + others * falls - prior - chance)
    return best
