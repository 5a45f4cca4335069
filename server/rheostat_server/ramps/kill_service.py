"""What people see of kills: which there are, and who has applied them."""

from rheostat.clock import Clock
from rheostat.model.kill import KillScope
from rheostat_server.ports.ramps import KillRow, RampRow
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.ramps.kill_wire import KillList, ReadbackView, kill_view, readback_view
from rheostat_server.ramps.readback import read_back

MOST_KILLS = 500
CONFIRM_MS = 10_000
"""Nobody should be exposed so long after a kill, where no setting says otherwise."""


class KillService:
    """Shows kills and their read-back."""

    def __init__(self, storage: Storage, clock: Clock, *, bound_ms: int = CONFIRM_MS) -> None:
        self._storage = storage
        self._clock = clock
        self._bound_ms = bound_ms

    async def all(self, project: str, environment: str, *, flag: str | None = None, limit: int = 100) -> KillList:
        """Return an environment's kills, revived ones too, newest first, or raise ``NotFound``."""
        async with self._storage.transaction() as tx:
            there = await tx.environments.get(project, environment)
            rows = await tx.kills.newest(there.id, flag=flag, limit=min(limit, MOST_KILLS))
        return KillList(tuple(map(kill_view, rows)))

    async def readback(self, project: str, environment: str, kill_id: str) -> ReadbackView:
        """Return how far a kill has come.

        Raises:
            NotFound: there is no such environment, or no such kill there.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            there = await tx.environments.get(project, environment)
            return await self.view(tx, await tx.kills.get(there.id, kill_id))

    async def of_ramp(self, tx: Transaction, row: RampRow) -> ReadbackView | None:
        """Return the read-back of the kill that ended a ramp; ``None`` where none did that is remembered."""
        for kill in await tx.kills.newest(row.environment_id, flag=row.flag, limit=MOST_KILLS):
            # A kill of the flag names one of the ramps that it ended, and ended all at once.
            if kill.ramp_id == row.id or (kill.scope is KillScope.FLAG and kill.at_ms == row.ended_at_ms):
                return await self.view(tx, kill)
        return None

    async def view(self, tx: Transaction, kill: KillRow) -> ReadbackView:
        """Return how far this kill has come."""
        now_ms = self._clock.wall_ms()
        seen = read_back(kill.at_ms, await tx.readback.heard(kill), now_ms, self._bound_ms)
        told = await tx.readback.escalated([kill.kill_id])
        return readback_view(kill, seen, now_ms, bound_ms=self._bound_ms, escalated_ms=told.get(kill.kill_id))
