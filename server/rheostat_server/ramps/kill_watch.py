"""Notice when exposure does not fall after a kill."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

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
MOST_ASKED = 20
"""So many kills are read back in one round: each asks for all instances of its environment."""
SETTLED_LOOK_MS = 60_000
NAMED = 5
"""So many stragglers are named to whoever is told."""

log = structlog.get_logger()


class _Asked(NamedTuple):
    """When a kill was last asked of, and what came of it."""

    round: int
    at_ms: int
    unconfirmed: int
    settled: bool


_NEVER = _Asked(0, 0, 0, False)


class KillWatch:
    """Reads back the kills of the last hour, on every node, and tells once of one after which exposure stays.

    Once everybody has applied one and its bound is over, it is asked of once a minute, for who joins late or shows it
    again. Of the others a round asks of so many, longest not asked of first. A component.
    """

    def __init__(self, storage: Storage, clock: Clock, watches: Watches, alarm: Alarm, *, bound_ms: int) -> None:
        self._storage = storage
        self._clock = clock
        self._watches = watches
        self._alarm = alarm
        self._bound_ms = bound_ms
        self._task: asyncio.Task[None] | None = None
        self._asked: dict[str, _Asked] = {}
        self._round = 0

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
        """Read back kills of the last hour, so many at most; return all of them.

        Raises:
            StorageUnavailable: the database is away.
        """
        now_ms = self._clock.wall_ms()
        seen: list[tuple[KillName, KillRow, Readback]] = []
        async with self._storage.transaction() as tx:
            kills = await tx.readback.young(now_ms - WATCHED_MS)
            places = {each.id: each for each in await tx.environments.all()} if kills else {}
            names = {
                kill.kill_id: KillName(place.project, place.key, kill.flag, kill.kill_id)
                for kill in kills
                if (place := places.get(kill.environment_id)) is not None
            }
            self._asked = {kill_id: asked for kill_id, asked in self._asked.items() if kill_id in names}
            for kill in self._turn([kill for kill in kills if kill.kill_id in names], now_ms):
                heard = await tx.readback.heard(kill)
                found = read_back(kill.at_ms, heard, now_ms, self._bound_ms)
                seen.append((names[kill.kill_id], kill, found))
            told = await tx.readback.escalated([kill.kill_id for _, kill, _ in seen]) if seen else {}
        self._round += 1
        for _, kill, found in seen:
            settled = found.complete and not found.unconfirmed and now_ms - kill.at_ms > self._bound_ms
            self._asked[kill.kill_id] = _Asked(self._round, now_ms, len(found.unconfirmed), settled)
        self._watches.unconfirmed(
            {name: self._asked[kill_id].unconfirmed for kill_id, name in names.items() if kill_id in self._asked}
        )
        for name, kill, found in seen:
            if found.unconfirmed and kill.kill_id not in told:
                await self._raise(_event(name, kill, found, now_ms))
        return kills

    def _turn(self, kills: Sequence[KillRow], now_ms: int) -> Sequence[KillRow]:
        """Return of which kills to ask now: those never asked of first, the newest of them before all."""
        due = [
            kill
            for kill in reversed(kills)
            if (asked := self._asked.get(kill.kill_id)) is None
            or not asked.settled
            or now_ms - asked.at_ms >= SETTLED_LOOK_MS
        ]
        due.sort(key=lambda kill: self._asked.get(kill.kill_id, _NEVER).round)
        return due[:MOST_ASKED]

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
