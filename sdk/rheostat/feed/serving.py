"""What a client answers from at this moment."""

import enum

import msgspec

from rheostat.engine.evaluate import Ruleset
from rheostat.model.snapshot import Identity


class Source(enum.StrEnum):
    """Where the answers come from."""

    MEMORY = "memory"
    """The server gave it to this process."""
    DISK = "disk"
    BOOTSTRAP = "bootstrap"
    DEFAULTS = "defaults"
    """Nothing is known yet: every answer is the default given in code."""


class Serving(msgspec.Struct, frozen=True):
    """A ruleset, where it came from, and its age: ``age_ms`` at monotonic time ``at`` (s).

    ``fresh_until`` (monotonic, s) is when answers begin to say that they are stale.
    """

    ruleset: Ruleset | None = None
    source: Source = Source.DEFAULTS
    age_ms: int | None = None
    at: float = 0.0
    fresh_until: float = float("-inf")
    identity: Identity = Identity()
    """Which state this is; (0, 0) for nothing."""

    def __post_init__(self) -> None:
        # Kept and not computed, for each evaluation with details reads it.
        if self.ruleset is not None:
            msgspec.structs.force_setattr(self, "identity", self.ruleset.snapshot.identity)

    def age_at(self, now: float) -> int | None:
        """Return ms since control last confirmed this, as of monotonic ``now``; ``None`` where nobody knows."""
        return None if self.age_ms is None else self.age_ms + max(0, int((now - self.at) * 1000))
