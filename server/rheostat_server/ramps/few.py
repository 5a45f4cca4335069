"""What holds for a ramp with few users: GUARD.md, "Few users"."""

from rheostat_server.ramps.model import Plan, State

FEW_USERS = 500
"""Below it the ladder begins higher and the evidence is called low."""
BY_HAND_BELOW = 50
"""Below it a person moves each step and the guard only kills."""
TELLING_PREFLIGHT_S = 300.0
"""A shorter pre-flight does not tell how many users there are: it is not even one window of the samples."""


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
