"""What a snapshot says of a ramp: the exposure in force and how to attribute outcomes."""

from typing import Any, Final

import msgspec

from rheostat.model.flag import DEFAULT_ROLLOUT
from rheostat.model.shares import TOTAL_PPM

KNOWN: Final = frozenset({"cells", "baseline"})
"""What this reader knows of the parts that a ramp may need to be counted rightly."""
NO_PLACE: Final = TOTAL_PPM
"""Stands for the place of a unit that no level exposes: it is beyond the line."""


class Cells(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How far a ramp has come that goes from one value of an attribute to the next.

    A user whose ``attribute`` is one of ``done`` (by the operator ``in``) stands at ``done_ppm``. Of the others, those
    for whom it is one of ``now``, or with ``rest`` all of them, stand at ``exposure_ppm``: of them only is there an
    arm, drawn at ``arming_ppm`` while arming. All others stand at the overlay's own exposure.
    """

    attribute: str
    done: tuple[Any, ...] = ()
    now: tuple[Any, ...] = ()
    rest: bool = False
    done_ppm: int = 0
    exposure_ppm: int = 0
    arming_ppm: int | None = None


class RampOverlay(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The exposure that a ramp puts in force over a rollout's own.

    ``exposure_ppm`` decides what users get; with ``cells`` those whom the ramp has not reached. ``arming_ppm`` is set
    while arming: outcomes are then attributed to the arms as the first step will draw them, although nobody new is
    exposed. With a ``baseline`` the arms are not exposed against not exposed, but among the exposed all other variants
    against this one.
    ``epoch`` goes up by one at each change of exposure or of arming. ``levels`` are the exposure at
    the ramp's start, then the plan's steps, ascending, in ppm. ``live`` says whether outcomes count:
    from arming until the ramp is promoted, killed or aborted. ``unit_key`` (hex) keys the hash of
    units and is in server-scoped snapshots only. ``failing_limit`` and ``sampled_limit`` are the most
    units that a batch carries of this ramp. ``slow_bounds_ms`` are the durations above which a request counts as
    slow: bit i of a sampled unit's ``slow``, and the row's ``slow`` under the bound as text, are the i-th.

    A reader that knows no cells and no baseline would report wrong arms. So ``plain_live``, the ``live`` of the wire,
    is false with them, and such a reader serves the plain exposure and reports nothing; ``live_with`` are what a
    reader must know for outcomes to count.
    """

    ramp: str
    flag: str
    rollout: str = DEFAULT_ROLLOUT
    exposure_ppm: int
    epoch: int
    levels: tuple[int, ...]
    arming_ppm: int | None = None
    holdback_ppm: int = 0
    plain_live: bool = msgspec.field(default=True, name="live")
    unit_key: str | None = None
    failing_limit: int = 1_000
    sampled_limit: int = 2_000
    slow_bounds_ms: tuple[int, ...] = ()
    cells: Cells | None = None
    baseline: str | None = None
    live_with: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether outcomes count, here."""
        return self.plain_live or (bool(self.live_with) and KNOWN.issuperset(self.live_with))

    @property
    def arm_ppm(self) -> int:
        """The exposure at which arms are drawn now."""
        drawn = self if self.cells is None else self.cells
        return drawn.exposure_ppm if drawn.arming_ppm is None else drawn.arming_ppm

    @property
    def arming(self) -> bool:
        """Whether nobody new is exposed yet."""
        return (self if self.cells is None else self.cells).arming_ppm is not None
