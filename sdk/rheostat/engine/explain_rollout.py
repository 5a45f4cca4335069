"""Where a unit stands in a rollout, with every figure that its place is compared with."""

from math import log

from rheostat.engine.attributes import unit_reader
from rheostat.engine.cells import Cell, cell_reader
from rheostat.engine.conditions import Segments
from rheostat.engine.hashing import (
    SPLIT_SEED,
    choose,
    exposed_below,
    hash32,
    held_from,
    is_exposed,
    is_held_back,
    place,
    utf8,
)
from rheostat.engine.rollouts import shares_in_force
from rheostat.model.context import Context
from rheostat.model.explanation import RolloutWalk, SplitWalk
from rheostat.model.flag import Rollout
from rheostat.model.ramp import RampOverlay

_CELLS = {
    Cell.DONE.value: "among those whom the ramp is done with",
    Cell.NOW.value: "among those whom the ramp is at now",
    Cell.LATER.value: "not reached by the ramp",
}


def walk_rollout(
    rollout: Rollout, context: Context, overlay: RampOverlay | None, scope: Segments, *, killed: bool
) -> RolloutWalk:
    """Return where the context's unit stands, under the ramp and the kill in force."""
    cells = None if overlay is None or killed else overlay.cells
    cell = None if cells is None else cell_reader(cells)(context, scope)
    exposure_ppm, holdback_ppm = shares_in_force(rollout, overlay, killed=killed, cell=cell)
    low, high = rollout.low, rollout.high
    unit = unit_reader(rollout.bucket_by)(context)
    at = None if unit is None else place(rollout.salt, unit)
    in_range = at is not None and low <= at < high
    held_back = at is not None and is_held_back(at, holdback_ppm, low, high)
    return RolloutWalk(
        bucket_by=rollout.bucket_by,
        salt=rollout.salt,
        unit=None if unit is None else utf8(unit).decode(),
        place=at,
        low=low,
        high=high,
        declared_ppm=rollout.exposure_ppm,
        exposure_ppm=exposure_ppm,
        holdback_ppm=holdback_ppm,
        exposed_below=exposed_below(low, high, exposure_ppm),
        held_from=held_from(low, high, holdback_ppm),
        ramp=None if overlay is None else overlay.ramp,
        ramp_live=overlay is not None and overlay.live,
        by=None if cells is None else cells.attribute,
        cell=None if cell is None else cell.value,
        killed=killed,
        in_range=in_range,
        held_back=held_back,
        exposed=at is not None and in_range and not held_back and is_exposed(at, exposure_ppm, low, high),
        fallback=rollout.fallback,
        split=() if unit is None else _split(rollout, unit),
        chosen=None if unit is None else choose(rollout.split, rollout.salt, unit),
    )


def _split(rollout: Rollout, unit: str) -> tuple[SplitWalk, ...]:
    drawn = []
    for variant, weight in sorted(rollout.split.items(), key=lambda item: utf8(item[0])):
        hashed = hash32(f"{rollout.salt}/{unit}/{variant}", SPLIT_SEED)
        score = -log((hashed + 0.5) / 2**32) / weight if weight > 0 else None
        drawn.append(SplitWalk(variant, weight, hashed, score))
    return tuple(drawn)


def said_of(walk: RolloutWalk, *, stale: bool) -> str:
    """Return in words why the unit is exposed, or why not."""
    if stale and walk.ramp_live and not walk.killed:
        return "the snapshot is too old for a rollout that ramps: everyone gets the fallback"
    if walk.place is None:
        return f"the context has no {walk.bucket_by} to be placed by"
    at = f"place {walk.place}"
    if walk.cell is not None:
        at = f"by {walk.by} {_CELLS[walk.cell]}, {at}"
    if not walk.in_range:
        return f"{at} is outside the range {walk.low} … {walk.high - 1}: not exposed"
    if walk.killed:
        return f"{at}, but the rollout is killed: not exposed"
    if walk.held_back:
        return f"{at} is held back, from {walk.held_from} on: not exposed"
    if not walk.exposed:
        return f"{at} is not below {walk.exposed_below}: not exposed"
    return f"{at} is below {walk.exposed_below}: exposed, and the split gives {walk.chosen}"
