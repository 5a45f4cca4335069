"""Sends what is in the outbox, on the node that holds the lease."""

import asyncio
import random

import structlog

from rheostat.clock import Clock
from rheostat_server.errors import Unavailable
from rheostat_server.notifications.backoff import next_try_ms
from rheostat_server.notifications.fan_out import FanOut
from rheostat_server.notifications.sending import Sending
from rheostat_server.ports.metrics import Metrics
from rheostat_server.ports.notifications import Channel, DeliveryRow, SendFailed
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.ramps.lease import Lease, LeaseLostError
from rheostat_server.repeating import keep_doing

AT_ONCE = 16
"""Channels that are sent to at the same time. Each has one message on its way at most: so they keep their order."""
CONNECTIONS = 2
"""Connections to the database at the same time. Ramps need theirs, however many messages arrive at once."""
A_ROUND = 50
"""Messages that one channel gets before others have their turn."""
KEEP_MS = 30 * 86_400_000
PRUNE_SECONDS = 3600.0
_PRUNED_AT_ONCE = 1000
_LONGEST_ERROR = 500

log = structlog.get_logger()


class NotificationSender:
    """Settles who gets each notification and sends it, at least once, with the same id each time. A component.

    Only the node that leads sends. What it had on its way when it ended is sent again by the next.
    """

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        lease: Lease,
        sending: Sending,
        metrics: Metrics,
        *,
        tick_seconds: float = 1.0,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._lease = lease
        self._sending = sending
        self._metrics = metrics
        self._tick_seconds = tick_seconds
        self._fan_out = FanOut(storage, clock)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._database = asyncio.Semaphore(CONNECTIONS)
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to send, whenever this node leads."""
        self._tasks = [
            asyncio.create_task(
                keep_doing(
                    self.tick, self._tick_seconds, waits="notifications_wait", failed="notifications_tick_failed"
                ),
                name="notifications",
            ),
            asyncio.create_task(self._keep_pruning(), name="notifications-pruning"),
        ]

    async def stop(self) -> None:
        """Stop. What is not known to have arrived is left to the next node."""
        for tasks in (self._tasks, list(self._busy.values())):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = []
        await self._sending.close()

    async def tick(self) -> list[asyncio.Task[None]]:
        """Settle who gets what is new, and begin to send what is due; return the tasks, one a channel.

        A channel that still is being sent to is left to that. Nothing while another node leads.

        Raises:
            StorageUnavailable: nobody knows what is due.
        """
        token = self._lease.token
        if token is None:
            self._metrics.undelivered(None)
            return []
        try:
            await self._fan_out.run(token)
        except LeaseLostError:
            self._lost(token)
            return []
        async with self._storage.transaction() as tx:
            due = await tx.outbox.due_channels(self._clock.wall_ms())
            oldest_ms = await tx.outbox.oldest_pending_ms()
        self._metrics.undelivered(self._clock.wall_ms() if oldest_ms is None else oldest_ms)
        begun = []
        for channel_id in due:
            if channel_id in self._busy:
                continue
            task = asyncio.create_task(self._serve(channel_id, token), name=str(channel_id))
            self._busy[channel_id] = task
            task.add_done_callback(self._served)
            begun.append(task)
        return begun

    def _served(self, task: asyncio.Task[None]) -> None:
        self._busy.pop(int(task.get_name()), None)

    async def _serve(self, channel_id: int, token: int) -> None:
        """Send one channel what is due to it. Whatever goes wrong stops no other channel."""
        try:
            async with self._places:
                async with self._database, self._storage.transaction() as tx:
                    channel = await tx.channels.by_id(channel_id)
                    rows = await tx.outbox.due(channel_id, self._clock.wall_ms(), A_ROUND)
                for row in rows:
                    # Whoever leads no more leaves the rest to whoever does.
                    if channel is None or self._lease.token != token or not await self._send(channel, row, token):
                        break
        except LeaseLostError:
            self._lost(token)
        except Unavailable as error:
            log.warning("notifications_wait", channel=channel_id, error=str(error))
        except Exception:
            # One channel's defect must not keep the others.
            log.exception("notifications_wait", channel=channel_id)

    async def _send(self, channel: Channel, row: DeliveryRow, token: int) -> bool:
        """Send one message and keep what became of it; return whether to go on with the channel's next."""
        failure: SendFailed | None = None
        remark: str | None = None
        try:
            remark = await self._sending.send(channel, self._sending.message(row), self._clock.wall_ms())
        except SendFailed as error:
            failure = error
        attempts = row.attempts + 1
        now_ms = self._clock.wall_ms()
        next_ms = None
        if failure is not None and not failure.final:
            next_ms = next_try_ms(
                attempts, random.random(), since_ms=row.since_ms, now_ms=now_ms, asked_s=failure.after_s
            )

        async def keep(tx: Transaction) -> None:
            if not await tx.lease.hold(token):
                raise LeaseLostError
            if failure is None:
                await tx.outbox.delivered(row.id, attempts=attempts, at_ms=now_ms, remark=remark)
                return
            words = str(failure)[:_LONGEST_ERROR]
            if next_ms is None:
                await tx.outbox.failed(row.id, attempts=attempts, at_ms=now_ms, error=words)
            else:
                await tx.outbox.again(row.id, attempts=attempts, next_at_ms=next_ms, error=words)
            if failure.unreachable and next_ms is not None:
                await tx.outbox.hold_back(channel.id, next_ms)

        async with self._database:
            await self._storage.run(keep)
        self._count(channel, row, failure, given_up=next_ms is None)
        return failure is None or not failure.unreachable

    def _count(self, channel: Channel, row: DeliveryRow, failure: SendFailed | None, *, given_up: bool) -> None:
        outcome = "delivered" if failure is None else "failed" if given_up else "retried"
        self._metrics.notification(channel.kind.value, outcome)
        if failure is not None:
            log.warning(
                "notification_" + outcome,
                channel=channel.name,
                delivery=row.id,
                news=row.event,
                flag=row.flag,
                why=str(failure),
            )

    def _lost(self, token: int) -> None:
        if self._lease.token == token:
            self._lease.lost()

    async def prune(self) -> None:
        """Delete notifications of more than 30 days ago that nobody waits for. Nothing while another node leads.

        Raises:
            StorageUnavailable: the rest waits for the next time.
        """
        if self._lease.token is None:
            return
        before_ms = self._clock.wall_ms() - KEEP_MS
        while True:
            async with self._storage.transaction() as tx:
                if await tx.outbox.prune(before_ms, _PRUNED_AT_ONCE) < _PRUNED_AT_ONCE:
                    return

    async def _keep_pruning(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            # What is left does no harm until the next time.
            try:
                await self.prune()
            except Unavailable:
                pass
            except Exception:
                log.exception("notifications_prune_failed")
