"""Units of applications that cannot hash: sent as they are, hashed on arrival. Pure."""

from collections.abc import Iterable

import msgspec

from rheostat.engine.hashing import choose, level_entry, place, unit_hash
from rheostat.model.flag import DEFAULT_ROLLOUT, Flag, Rollout
from rheostat.model.outcome import RAW, Batch
from rheostat.model.ramp import NO_PLACE, RampOverlay


class UnitRule(msgspec.Struct, frozen=True, kw_only=True):
    """How a ramp names a unit, and where that stands: the secret of its hashes, its levels, its rollout's line."""

    key: bytes
    overlay: RampOverlay
    rollout: Rollout

    def named(self, text: str) -> tuple[bytes, int] | None:
        """Return the unit's hash and entry; ``None`` where the rollout does not reach it.

        Whose stage it is cannot be told from a unit: who reports it was told its arm.
        """
        at = place(self.rollout.salt, text)
        if not self.rollout.low <= at < self.rollout.high:
            return None
        baseline = self.overlay.baseline
        if baseline is not None and choose(self.rollout.split, self.rollout.salt, text) == baseline:
            at = NO_PLACE
        return bytes.fromhex(unit_hash(self.key, text)), level_entry(self.overlay, self.rollout, at)


def raw_ramps(batches: Iterable[Batch]) -> set[str]:
    """Return the ramps of which these batches have units that are not hashed."""
    return {
        ramp
        for batch in batches
        for by_ramp in (batch.failing, batch.sampled)
        for ramp, part in by_ramp.items()
        if any(unit.unit.startswith(RAW) for unit in part.units)
    }


def rollout_of(flag: Flag, name: str) -> Rollout | None:
    """Return a flag's rollout by its name: the default's, or a rule's."""
    if name == DEFAULT_ROLLOUT:
        return flag.default.rollout
    return next((rule.answer.rollout for rule in flag.rules if rule.name == name), None)
