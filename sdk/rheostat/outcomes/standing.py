"""What this process evaluates by: identity, kills and ramps, as last applied."""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from rheostat.model.flag import DEFAULT_ROLLOUT, Flag, Rollout
from rheostat.model.outcome import Applied
from rheostat.model.ramp import RampOverlay
from rheostat.model.snapshot import Identity

CROWD: Final = 10_000
"""So many instances at most answer a change at once."""


class LiveRamp(msgspec.Struct, frozen=True):
    """A ramp whose outcomes count, with its rollout (if known) and the variants that its users may get."""

    overlay: RampOverlay
    rollout: Rollout | None = None
    variants: tuple[str, ...] = ()


class Standing(msgspec.Struct, frozen=True):
    """One applied state. ``live`` is by ramp id; ``overlays`` are all, in the order of their ids."""

    identity: Identity = Identity()
    kills: tuple[str, ...] = ()
    overlays: tuple[RampOverlay, ...] = ()
    live: dict[str, LiveRamp] = {}
    project: str = ""
    environment: str = ""

    @property
    def is_first(self) -> bool:
        """Whether nothing was applied yet."""
        return self.identity == Identity()

    def applied(self, since: Mapping[str, float], now: float) -> Applied:
        """Return the read-back that batches carry. ``since`` is when kills were applied (monotonic seconds)."""
        ages = tuple(max(0, round((now - since.get(kill, now)) * 1000)) for kill in self.kills)
        return Applied(self.identity.generation, self.identity.revision, self.kills, ages)

    def moves(self, before: "Standing") -> bool:
        """Return whether a ramp or a kill changed between the two, or this is the first that was applied."""
        began = before.is_first and not self.is_first
        return began or self.kills != before.kills or self.overlays != before.overlays


def standing_of(
    identity: Identity,
    kills: Collection[str],
    overlays: Collection[RampOverlay],
    *,
    flags: Mapping[str, Flag],
    project: str,
    environment: str,
) -> Standing:
    """Return the state, with what the flags say of each live ramp's rollout."""
    return Standing(
        identity=identity,
        kills=tuple(sorted(kills)),
        overlays=tuple(sorted(overlays, key=lambda overlay: overlay.ramp)),
        live={overlay.ramp: _live(overlay, flags.get(overlay.flag)) for overlay in overlays if overlay.live},
        project=project,
        environment=environment,
    )


def answers_at_once(instance: str, crowd: int) -> bool:
    """Return whether this instance (hex digits) answers a change at once: of a large crowd always the same 1 in 2^k."""
    share = 1
    while crowd > CROWD * share:
        share *= 2
    return int(instance, 16) % share == 0


def _live(overlay: RampOverlay, flag: Flag | None) -> LiveRamp:
    rollout = None if flag is None else _rollout(flag, overlay.rollout)
    if flag is None or rollout is None:
        return LiveRamp(overlay)
    exposed = [variant for variant, weight in rollout.split.items() if weight > 0]
    # Without a fallback and an off variant the unexposed get the caller's default, which reports as "".
    unexposed = rollout.fallback or flag.off_variant or ""
    return LiveRamp(overlay, rollout, tuple(sorted({*exposed, unexposed})))


def _rollout(flag: Flag, name: str) -> Rollout | None:
    if name == DEFAULT_ROLLOUT:
        return flag.default.rollout
    return next((rule.answer.rollout for rule in flag.rules if rule.name == name), None)
