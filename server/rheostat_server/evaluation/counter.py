"""How often each service evaluated each flag over OFREP."""

import asyncio
import contextlib

import structlog

from rheostat.clock import Clock
from rheostat_server.errors import RheostatServerError
from rheostat_server.outcomes.model import EvaluationCount
from rheostat_server.outcomes.reporting import DAY_MS
from rheostat_server.outcomes.validate import service_text
from rheostat_server.ports.storage import Storage, Transaction

log = structlog.get_logger()

FLUSH_SECONDS = 10.0
MOST_KEYS = 20_000
"""More (environment, flag, variant, service) than these between two flushes are counted under no service."""

_Key = tuple[int, str, str, str]


class EvaluationCounter:
    """Counts in memory, written every 10 s and at the end. A component. A crash loses up to 10 s of counts."""

    def __init__(self, storage: Storage, clock: Clock, *, flush_seconds: float = FLUSH_SECONDS) -> None:
        self._storage = storage
        self._clock = clock
        self._flush_seconds = flush_seconds
        self._counts: dict[_Key, int] = {}
        self._task: asyncio.Task[None] | None = None

    def count(self, environment_id: int, flag: str, variant: str, service: str) -> None:
        """Count one evaluation. The service's name comes from outside, so it is bounded here."""
        key = (environment_id, flag, variant, service)
        if key not in self._counts:
            # Looked at once a flush and name, not once a request.
            plain = service_text(service) if len(self._counts) < MOST_KEYS else ""
            key = (environment_id, flag, variant, plain)
        self._counts[key] = self._counts.get(key, 0) + 1

    async def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._keep_writing())

    async def stop(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.flush()

    async def flush(self) -> None:
        """Write the counts; with the database away they are kept for the next time."""
        counts, self._counts = self._counts, {}
        if not counts:
            return
        now_ms = self._clock.wall_ms()

        async def work(transaction: Transaction) -> None:
            there = await transaction.outcomes.existing_environments({key[0] for key in counts})
            rows = [
                EvaluationCount(*key, now_ms // DAY_MS, times, now_ms)
                for key, times in counts.items()
                if key[0] in there
            ]
            await transaction.outcomes.count_evaluations(rows)

        try:
            await self._storage.run(work)
        except Exception as error:
            if isinstance(error, RheostatServerError):
                log.warning("evaluations_not_written", error=str(error))
            else:
                # The counts, and the loop that writes them, outlive a mistake.
                log.exception("evaluations_not_written")
            for key, times in counts.items():
                self._counts[key] = self._counts.get(key, 0) + times

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(self._flush_seconds)
            await self.flush()
