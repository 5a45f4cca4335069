"""One request's first meeting with one ramping flag."""

from hashlib import blake2b

import msgspec

from rheostat.engine.hashing import level_entry, utf8
from rheostat.model.evaluation import Arm, Evaluation
from rheostat.model.flag import Rollout
from rheostat.model.outcome import NEVER
from rheostat.model.ramp import NO_PLACE, RampOverlay

_MOST_KEYS = 64
_MOST_UNITS = 4_096

# For each ramp's key the state of the hash that has taken it in, which is half of the work, and hashes of late: users
# come back.
_keyed: dict[str, tuple[blake2b, dict[str, bytes]]] = {}
WHOLE_LINE = Rollout(exposure_ppm=0, split={}, salt="")


class Touch(msgspec.Struct, eq=False, kw_only=True):
    """What is counted when the request ends: ramp, epoch and exposure as evaluated, arm, variant, unit.

    ``at`` is the monotonic time of the touch in seconds. ``closed`` says that nothing more is to be counted:
    the request ended, met the deadline, or met the flag's other arm. ``slot`` is where it is noted, −1: nowhere.
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
    slot: int = -1
    digest: bytes | None = None
    """The unit's keyed hash, once it was asked for."""

    @property
    def entry(self) -> int:
        """The index of the ramp's smallest level that exposes the unit, ``HELD`` or ``NEVER``."""
        return NEVER if self.place is None else level_entry(self.overlay, self.rollout, self.place)

    @property
    def unit_name(self) -> str | None:
        """The unit's keyed hash, 16 hex digits; ``None`` when there is no unit or no usable key."""
        digest = self.unit_digest
        return None if digest is None else digest.hex()

    @property
    def unit_digest(self) -> bytes | None:
        """The unit's keyed hash: BLAKE2b-64 (``rheostat.engine.hashing.unit_hash``)."""
        digest = self.digest
        if digest is None and self.unit is not None and self.overlay.unit_key is not None:
            digest = self.digest = _digest(self.overlay.unit_key, self.unit)
        return digest


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
        rollout=WHOLE_LINE if rollout is None else rollout,
        arm=arm,
        variant=evaluation.variant or "",
        unit=evaluation.unit,
        # Nothing but the baseline is ever given to its units: no level exposes them.
        place=NO_PLACE if overlay.baseline is not None and arm is Arm.CONTROL else evaluation.place,
        at=at,
    )


def _digest(unit_key: str, unit: str) -> bytes | None:
    keyed = _keyed.get(unit_key)
    if keyed is None:
        try:
            keyed = (blake2b(digest_size=8, key=bytes.fromhex(unit_key)), {})
        except ValueError:  # a key that is not hex or too long: the rows still count, units cannot
            return None
        if len(_keyed) >= _MOST_KEYS:
            _keyed.clear()
        _keyed[unit_key] = keyed
    state, known = keyed
    digest = known.get(unit)
    if digest is None:
        hashed = state.copy()
        hashed.update(utf8(unit))
        if len(known) >= _MOST_UNITS:
            known.clear()
        digest = known[unit] = hashed.digest()
    return digest
