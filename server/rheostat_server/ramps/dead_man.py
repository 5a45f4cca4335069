"""Notice when nobody looks at a ramp any more: what a controller that is gone, or hangs, cannot say itself."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import structlog

from rheostat.clock import Clock
from rheostat_server.errors import NotFound, Unavailable
from rheostat_server.ports.alarms import Alarm, AlarmEvent
from rheostat_server.ports.beats import BeatRow
from rheostat_server.ports.metrics import RampName, Watches
from rheostat_server.ports.ramps import RampRow
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.ramps.words import duration
from rheostat_server.repeating import keep_doing

INTERVALS = 3
LEAST_ALARM_SECONDS = 15.0
"""Nobody is told earlier: another node that takes over in order has begun by then."""

log = structlog.get_logger()


class Attendance(msgspec.Struct, frozen=True):
    """Whether a controller looks at a ramp, and for how long none has, as far as this node saw."""

    attended: bool
    silent_s: float


@dataclass(slots=True)
class _Watched:
    """A live ramp, the beat that was last seen, and when it was first seen (monotonic)."""

    name: RampName
    interval_s: float
    beat: int
    changed_at: float
    alarm_from: float


class DeadMan:
    """Watches, on every node, that the beat of each live ramp goes on. A component.

    Time is this node's own monotonic one: that of no other node is trusted. While the database is away nobody moves
    ramps either, so they count as unattended; who is told of it has a fresh start when it is back.
    """

    def __init__(
        self, storage: Storage, clock: Clock, watches: Watches, alarm: Alarm, *, tick_seconds: float = 1.0
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._watches = watches
        self._alarm = alarm
        self._tick_seconds = tick_seconds
        self._watched: dict[str, _Watched] = {}
        self._away = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(
            keep_doing(self.look, self._tick_seconds, waits="ramps_not_watched", failed="ramps_not_watched"),
            name="dead-man",
        )

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def attendance(self, ramp_id: str) -> Attendance | None:
        """Return how a live ramp is attended; ``None`` where this node has not looked yet, or it is over."""
        watched = self._watched.get(ramp_id)
        if watched is None:
            return None
        silent_s = self._clock.monotonic() - watched.changed_at
        return Attendance(silent_s < self._patience(watched), silent_s)

    async def look(self) -> None:
        """Look at the beats of all live ramps, and tell of those that stand still.

        Raises:
            StorageUnavailable: the database is away.
        """
        try:
            async with self._storage.transaction() as tx:
                beats = await tx.beats.of_live()
                fresh = [await _ramp(tx, row.ramp_id) for row in beats if row.ramp_id not in self._watched]
            self._take(beats, [row for row in fresh if row is not None])
        except Unavailable:
            self._away = True
            raise
        finally:
            self._show()
        await self._tell()

    def _take(self, beats: Sequence[BeatRow], fresh: Sequence[RampRow]) -> None:
        now = self._clock.monotonic()
        rows = {row.id: row for row in fresh}
        watched: dict[str, _Watched] = {}
        for seen in beats:
            one = self._watched.get(seen.ramp_id)
            if one is None:
                row = rows.get(seen.ramp_id)
                if row is None:
                    continue
                name = RampName(row.plan.project, row.plan.environment, row.flag, row.id)
                one = _Watched(name, row.plan.interval_s, seen.beat, now, now)
            elif one.beat != seen.beat:
                one.beat, one.changed_at, one.alarm_from = seen.beat, now, now
            elif self._away:
                # Nobody could beat while the database was away.
                one.alarm_from = now
            watched[seen.ramp_id] = one
        self._watched, self._away = watched, False

    def _show(self) -> None:
        now = self._clock.monotonic()
        self._watches.unattended(
            {one.name: now - one.changed_at >= self._patience(one) for one in self._watched.values()}
        )

    async def _tell(self) -> None:
        now = self._clock.monotonic()
        for ramp_id, one in self._watched.items():
            if now - one.alarm_from >= max(self._patience(one), LEAST_ALARM_SECONDS):
                await self._raise(BeatRow(ramp_id, one.beat), one, now - one.changed_at)

    async def _raise(self, seen: BeatRow, one: _Watched, silent_s: float) -> None:
        name = one.name
        event = AlarmEvent(
            kind="ramp-unattended",
            project=name.project,
            environment=name.environment,
            flag=name.flag,
            ramp=name.ramp,
            at_ms=self._clock.wall_ms(),
            summary=f"{name.flag}: no controller has looked at its ramp in {name.environment} for {duration(silent_s)}",
        )

        async def write(tx: Transaction) -> None:
            if await tx.beats.alarm(seen):
                await self._alarm.raised(tx, event)

        await self._storage.run(write)

    def _patience(self, one: _Watched) -> float:
        # A beat is written with the controller's next tick, and seen with our own.
        return INTERVALS * one.interval_s + self._tick_seconds


async def _ramp(tx: Transaction, ramp_id: str) -> RampRow | None:
    try:
        return await tx.ramps.get(ramp_id)
    except NotFound:
        return None
