"""An order to take a variant back, which stands beside revisions and outlives them."""

import enum

import msgspec


class KillScope(enum.StrEnum):
    """What a kill takes back."""

    ROLLOUT = "rollout"
    """The ramping rollout's exposure is 0: its users get that rollout's fallback."""
    FLAG = "flag"
    """Everyone gets the off variant; without one, the caller's default."""


class Kill(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One entry of an environment's kill set.

    A holder merges entries by ``kill_id``. A snapshot that names an id decides it: in force, or
    ``revived``. An entry that no snapshot has named yet is in force.
    """

    kill_id: str
    project: str
    environment: str
    flag: str
    scope: KillScope
    source: str
    at_ms: int
    rollout: str | None = None
    ramp: str | None = None
    revived: bool = False
