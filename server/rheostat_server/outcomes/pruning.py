"""What was counted is forgotten in time, in batches that each stay within a statement's time limit."""

from collections.abc import Awaitable, Callable

from rheostat_server.outcomes.reporting import DAY_MS
from rheostat_server.ports.storage import Storage, Transaction

BATCH_ROWS = 5_000
MOST_BATCHES = 20
"""More than these wait for the next time: clearing away must not keep others from the database."""
BATCH_MEMORY_MS = 24 * 3_600_000
"""How long a batch's key is kept: longer than any queue holds the batch."""
INSTANCE_MEMORY_MS = 7 * DAY_MS
MINUTE_MEMORY_MS = 600_000
"""How long evaluations of ramping flags are kept by the minute: longer than coverage looks back."""
UNIT_MEMORY_MS = 24 * 3_600_000
"""How long the units of a ramp are kept after its end."""
EVALUATION_MEMORY_DAYS = 90
READBACK_MEMORY_MS = 30 * DAY_MS
"""How long is known which instances applied a kill."""


async def in_batches(storage: Storage, forget: Callable[[Transaction], Awaitable[int]]) -> None:
    """Run ``forget``, which drops up to ``BATCH_ROWS`` rows and says how many, until little is left to drop.

    Raises:
        StorageUnavailable: the database is away; what was dropped is dropped.
    """
    for _ in range(MOST_BATCHES):
        if await storage.run(forget) < BATCH_ROWS:
            return


async def forget_batches(storage: Storage, now_ms: int) -> None:
    """Forget the keys of old batches, instances long silent, and minutes that coverage looks back at no more."""
    batches_before_ms, instances_before_ms = now_ms - BATCH_MEMORY_MS, now_ms - INSTANCE_MEMORY_MS
    await in_batches(
        storage,
        lambda tx: tx.outcomes.prune(
            batches_before_ms=batches_before_ms,
            instances_before_ms=instances_before_ms,
            minutes_before_ms=now_ms - MINUTE_MEMORY_MS,
            limit=BATCH_ROWS,
        ),
    )


async def forget_units(storage: Storage, now_ms: int) -> None:
    """Forget the units, and what is left in the inbox, of ramps that ended a day ago."""
    await in_batches(storage, lambda tx: tx.outcomes.forget_units(now_ms - UNIT_MEMORY_MS, BATCH_ROWS))


async def forget_evaluations(storage: Storage, now_ms: int) -> None:
    """Forget the counts of evaluations of more than 90 days ago."""
    day = now_ms // DAY_MS - EVALUATION_MEMORY_DAYS
    await in_batches(storage, lambda tx: tx.outcomes.forget_evaluations(day, BATCH_ROWS))


async def forget_readback(storage: Storage, now_ms: int) -> None:
    """Forget which instances applied the kills of more than 30 days ago."""
    await in_batches(storage, lambda tx: tx.readback.forget(now_ms - READBACK_MEMORY_MS, BATCH_ROWS))
