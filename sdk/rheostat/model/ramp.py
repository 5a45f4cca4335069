"""What a snapshot says of a ramp: the exposure in force and how to attribute outcomes."""

import msgspec

from rheostat.model.flag import DEFAULT_ROLLOUT


class RampOverlay(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The exposure that a ramp puts in force over a rollout's own.

    ``exposure_ppm`` decides what users get. ``arming_ppm`` is set while arming: outcomes are then
    attributed to the arms as the first step will draw them, although nobody new is exposed.
    ``epoch`` goes up by one at each change of exposure or of arming. ``levels`` are the exposure at
    the ramp's start, then the plan's steps, ascending, in ppm. ``live`` says whether outcomes count:
    from arming until the ramp is promoted, killed or aborted. ``unit_key`` (hex) keys the hash of
    units and is in server-scoped snapshots only. ``failing_limit`` and ``sampled_limit`` are the most
    units that a batch carries of this ramp. ``slow_bounds_ms`` are the durations above which a request counts as
    slow: bit i of a sampled unit's ``slow``, and the row's ``slow`` under the bound as text, are the i-th.
    """

    ramp: str
    flag: str
    rollout: str = DEFAULT_ROLLOUT
    exposure_ppm: int
    epoch: int
    levels: tuple[int, ...]
    arming_ppm: int | None = None
    holdback_ppm: int = 0
    live: bool = True
    unit_key: str | None = None
    failing_limit: int = 1_000
    sampled_limit: int = 2_000
    slow_bounds_ms: tuple[int, ...] = ()

    @property
    def arm_ppm(self) -> int:
        """The exposure at which arms are drawn now."""
        return self.exposure_ppm if self.arming_ppm is None else self.arming_ppm
