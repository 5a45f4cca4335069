"""Which edits of a flag would end a kill, which a revival alone may do. Pure."""

from rheostat.model.flag import DEFAULT_ROLLOUT, Flag, Rollout
from rheostat.model.kill import KillScope
from rheostat.model.serving import rollout_of


def kill_ended_by(before: Flag, after: Flag, scope: KillScope, rollout: str | None) -> str | None:
    """Return how an edit would take a kill's force away, in words; ``None`` where the kill holds as it did.

    Both flags are as one environment serves them. ``rollout`` is what a rollout kill names; ``None``: the default's.
    """
    if scope is KillScope.FLAG:
        if before.off_variant == after.off_variant:
            return None
        return f"changes the off variant, which the kill serves, from {before.off_variant} to {after.off_variant}"
    name = DEFAULT_ROLLOUT if rollout is None else rollout
    was, now = rollout_of(before, name), rollout_of(after, name)
    if was is None:
        return None
    if now is None:
        return f"leaves no rollout {name} for the kill to hold"
    serves = _served(after, now)
    if serves != _served(before, was) and (_gives(was, serves) or _gives(now, serves)):
        return f"makes the killed rollout {name} fall back to {serves}, which it hands out itself"
    return None


def _served(flag: Flag, rollout: Rollout) -> str | None:
    """Return what those get whom the kill of a rollout takes out of it."""
    return flag.off_variant if rollout.fallback is None else rollout.fallback


def _gives(rollout: Rollout, variant: str | None) -> bool:
    return variant is not None and rollout.split.get(variant, 0) > 0
