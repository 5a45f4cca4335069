"""How what was counted piecemeal becomes blocks: one an epoch and exposure, in order. Pure."""

from collections.abc import Iterable

from rheostat_server.ramps.evidence import Block
from rheostat_server.ramps.observe import added

RECENT_INTERVALS = 3
"""So many intervals without a newer sample are too many."""
LEAST_QUIET_MS = 15_000
"""So long without a request, at least, before traffic is called absent."""


def merged(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """Return one block for each (epoch, exposure), by epoch. Within one exposure, evidence adds up in any order."""
    found: dict[tuple[int, int], Block] = {}
    for block in blocks:
        key = (block.epoch, block.exposure_ppm)
        before = found.get(key)
        found[key] = block if before is None else _together(before, block)
    return tuple(found[key] for key in sorted(found))


def is_traffic(block: Block) -> bool:
    """Whether the block saw any request end, or any unit fail."""
    return any(arm.ended or arm.bad or arm.failing for arm in (block.treatment, block.control))


def quiet_ms(interval_s: float) -> int:
    """Return after how long without a request traffic is absent (ms)."""
    return max(LEAST_QUIET_MS, round(RECENT_INTERVALS * interval_s * 1000))


def _together(a: Block, b: Block) -> Block:
    return Block(
        from_ms=min(a.from_ms, b.from_ms),
        until_ms=max(a.until_ms, b.until_ms),
        epoch=a.epoch,
        exposure_ppm=a.exposure_ppm,
        treatment=added(a.treatment, b.treatment),
        control=added(a.control, b.control),
    )
