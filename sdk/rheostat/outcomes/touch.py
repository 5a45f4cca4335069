"""One request's first meeting with one ramping flag."""

import msgspec

from rheostat.engine.hashing import level_entry, unit_hash
from rheostat.model.evaluation import Arm, Evaluation
from rheostat.model.flag import Rollout
from rheostat.model.outcome import NEVER
from rheostat.model.ramp import RampOverlay

_WHOLE_LINE = Rollout(exposure_ppm=0, split={}, salt="")


class Touch(msgspec.Struct, eq=False, kw_only=True):
    """What is counted when the request ends: ramp, epoch and exposure as evaluated, arm, variant, unit.

    ``at`` is the monotonic time of the touch in seconds. ``closed`` says that nothing more is to be counted:
    the request ended, met the deadline, or met the flag's other arm.
    """

    flag: str
    overlay: RampOverlay
    rollout: Rollout
    arm: Arm
    variant: str
    unit: str | None
    place: int | None
    at: float
    closed: bool = False

    @property
    def entry(self) -> int:
        """The index of the ramp's smallest level that exposes the unit, ``HELD`` or ``NEVER``."""
        return NEVER if self.place is None else level_entry(self.overlay, self.rollout, self.place)

    @property
    def unit_name(self) -> str | None:
        """The unit's keyed hash, 16 hex digits; ``None`` when there is no unit or no usable key."""
        if self.unit is None or self.overlay.unit_key is None:
            return None
        try:
            return unit_hash(bytes.fromhex(self.overlay.unit_key), self.unit)
        except ValueError:  # a key that is not hex or too long: the rows still count, units cannot
            return None


def touch_of(evaluation: Evaluation, rollout: Rollout | None, at: float) -> Touch | None:
    """Return what to count for this evaluation; ``None`` when it has no arm in a live ramp.

    ``rollout`` is the ramping one (for its range); ``None`` stands for one over the whole line.
    """
    overlay, arm = evaluation.ramp, evaluation.arm
    if overlay is None or arm is None or not overlay.live:
        return None
    return Touch(
        flag=evaluation.flag,
        overlay=overlay,
        rollout=_WHOLE_LINE if rollout is None else rollout,
        arm=arm,
        variant=evaluation.variant or "",
        unit=evaluation.unit,
        place=evaluation.place,
        at=at,
    )
