"""Starts ramps whose time has come, on the node that holds the lease."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from rheostat.clock import Clock
from rheostat_server.errors import Invalid, NotFound, RheostatServerError, Unavailable, VersionConflict
from rheostat_server.ports.ramps import RampRow
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.ramps.drafts import fail_draft
from rheostat_server.ramps.lease import Lease, LeaseLostError
from rheostat_server.repeating import keep_doing

Start = Callable[[RampRow, int], Awaitable[None]]
"""Starts a draft under a lease's token, all or nothing."""

log = structlog.get_logger()


class DraftRunner:
    """Starts each draft once, by time; those whose time passed while no node led come first. A component."""

    def __init__(
        self, storage: Storage, clock: Clock, start: Start, lease: Lease, *, tick_seconds: float = 1.0
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._start = start
        self._lease = lease
        self._tick_seconds = tick_seconds
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look for what is due, whenever this node leads."""
        self._task = asyncio.create_task(
            keep_doing(
                self.tick, self._tick_seconds, waits="ramp_drafts_stand_still", failed="ramp_drafts_tick_failed"
            ),
            name="ramp-drafts",
        )

    async def stop(self) -> None:
        """Stop. A draft that is being started is started or not, and in the latter case still a draft."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def tick(self) -> None:
        """Start every draft whose time has come; one that cannot start is aborted. Nothing while another node leads.

        Raises:
            StorageUnavailable: nobody knows what is due.
        """
        token = self._lease.token
        if token is None:
            return
        async with self._storage.transaction() as tx:
            due = await tx.ramps.due(self._clock.wall_ms())
        for row in due:
            try:
                await self._carry_out(row, token)
            except LeaseLostError:
                if self._lease.token == token:
                    self._lease.lost()
                return
            except (Unavailable, VersionConflict) as error:
                log.warning("ramp_draft_waits", ramp=row.id, flag=row.flag, error=str(error))

    async def _carry_out(self, row: RampRow, token: int) -> None:
        try:
            await self._start(row, token)
        except (Unavailable, LeaseLostError, VersionConflict):
            # Tried again in a moment, by whoever leads then.
            raise
        except Invalid as error:
            await self._fail(row, token, "; ".join(map(str, error.faults)))
        except RheostatServerError as error:
            await self._fail(row, token, str(error))
        except Exception:
            # Tried again it would fail again.
            log.exception("ramp_draft_failed", ramp=row.id, flag=row.flag)
            await self._fail(row, token, "the server made a mistake; its log says more")
        else:
            log.info("ramp_draft_started", ramp=row.id, flag=row.flag)

    async def _fail(self, row: RampRow, token: int, why: str) -> None:
        async def work(tx: Transaction) -> None:
            if not await tx.lease.hold(token):
                raise LeaseLostError
            await fail_draft(tx, row.id, why=why, at_ms=self._clock.wall_ms())

        try:
            await self._storage.run(work)
        except NotFound:
            # Its project was deleted, and the draft with it.
            return
        log.warning("ramp_draft_aborted", ramp=row.id, flag=row.flag, why=why)
