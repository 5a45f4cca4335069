"""Notice when exposure does not fall after a kill."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog

from rheostat.clock import Clock
from rheostat_server.errors import Unavailable
from rheostat_server.ports.alarms import Alarm, AlarmEvent
from rheostat_server.ports.metrics import KillName, Watches
from rheostat_server.ports.ramps import KillRow
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.ramps.readback import Readback, line_of, read_back, straggler_line

WATCHED_MS = 3_600_000
"""A kill is watched for so long."""
YOUNG_MS = 60_000
LOOK_SECONDS = 2.0
LATER_LOOK_SECONDS = 10.0
"""Once the newest kill is older than a minute."""
NAMED = 5
"""So many stragglers are named to whoever is told."""

log = structlog.get_logger()


class KillWatch:
    """Reads back every kill of the last hour, on every node, and tells once of one after which exposure stays.

    A component.
    """

    def __init__(self, storage: Storage, clock: Clock, watches: Watches, alarm: Alarm, *, bound_ms: int) -> None:
        self._storage = storage
        self._clock = clock
        self._watches = watches
        self._alarm = alarm
        self._bound_ms = bound_ms
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._keep_looking(), name="kill-watch")

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def look(self) -> Sequence[KillRow]:
        """Read back the kills of the last hour; return them.

        Raises:
            StorageUnavailable: the database is away.
        """
        now_ms = self._clock.wall_ms()
        seen: list[tuple[KillName, KillRow, Readback]] = []
        async with self._storage.transaction() as tx:
            kills = await tx.readback.young(now_ms - WATCHED_MS)
            places = {each.id: each for each in await tx.environments.all()} if kills else {}
            for kill in kills:
                if (place := places.get(kill.environment_id)) is not None:
                    name = KillName(place.project, place.key, kill.flag, kill.kill_id)
                    heard = await tx.readback.heard(kill)
                    seen.append((name, kill, read_back(kill.at_ms, heard, now_ms, self._bound_ms)))
            told = await tx.readback.escalated([kill.kill_id for kill in kills]) if kills else {}
        self._watches.unconfirmed({name: len(found.unconfirmed) for name, _, found in seen})
        for name, kill, found in seen:
            if found.unconfirmed and kill.kill_id not in told:
                await self._raise(_event(name, kill, found, now_ms))
        return kills

    async def _raise(self, event: AlarmEvent) -> None:
        async def write(tx: Transaction) -> None:
            if event.kill_id is not None and await tx.readback.escalate(event.kill_id, event.at_ms):
                await self._alarm.raised(tx, event)

        await self._storage.run(write)

    async def _keep_looking(self) -> None:
        while True:
            pause = LOOK_SECONDS
            try:
                kills = await self.look()
                if kills and self._clock.wall_ms() - kills[-1].at_ms > YOUNG_MS:
                    pause = LATER_LOOK_SECONDS
            except Unavailable as error:
                log.warning("kills_not_watched", error=str(error))
            except Exception:
                # Or nobody would be told of anything again.
                log.exception("kills_not_watched")
            await asyncio.sleep(pause)


def _event(name: KillName, kill: KillRow, seen: Readback, now_ms: int) -> AlarmEvent:
    who = len(seen.unconfirmed)
    instances = "1 instance still exposes users, or has" if who == 1 else f"{who} instances still expose users, or have"
    named = [straggler_line(straggler, now_ms) for straggler in seen.stragglers[:NAMED]]
    if len(seen.stragglers) > NAMED:
        named.append(f"and {len(seen.stragglers) - NAMED} more")
    return AlarmEvent(
        kind="kill-unconfirmed",
        project=name.project,
        environment=name.environment,
        flag=name.flag,
        kill_id=name.kill_id,
        ramp=kill.ramp_id,
        at_ms=now_ms,
        summary=f"{name.flag} was killed in {name.environment}, but {instances} not applied it",
        lines=(line_of(seen), *named),
    )
