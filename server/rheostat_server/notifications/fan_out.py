"""Who gets each notification: from the outbox to the deliveries of each channel."""

from collections.abc import Collection

import msgspec
import structlog

from rheostat.clock import Clock
from rheostat.model.document import FlagDocument
from rheostat_server.errors import NotFound
from rheostat_server.notifications.choosing import settlement, wants
from rheostat_server.ports.notifications import Channel, Unsettled
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.ramps.lease import LeaseLostError

AT_ONCE = 50
log = structlog.get_logger()
_FLAG = msgspec.json.Decoder(FlagDocument)


class FanOut:
    """Settles who gets what is in the outbox, on the node that leads."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    async def run(self, token: int) -> None:
        """Settle all that can be settled now.

        Raises:
            LeaseLostError: another node leads; nothing was written.
            StorageUnavailable: nothing was written.
        """

        after_seq: int | None = 0
        while after_seq is not None:
            # Page by page, past what waits to see whether it lasts.
            after_seq = await self._page(token, after_seq)

    async def _page(self, token: int, after_seq: int) -> int | None:
        """Settle some; return where to go on, or ``None`` at the end."""

        async def work(tx: Transaction) -> int | None:
            unsettled = await tx.outbox.unsettled(after_seq, AT_ONCE)
            if not unsettled:
                return None
            if not await tx.lease.hold(token):
                raise LeaseLostError
            channels: dict[int, list[Channel]] = {}
            for one in unsettled:
                if one.project_id not in channels:
                    channels[one.project_id] = await tx.channels.of_project(one.project_id)
                await self._settle(tx, one, channels[one.project_id])
            return unsettled[-1].seq if len(unsettled) == AT_ONCE else None

        return await self._storage.run(work)

    async def _settle(self, tx: Transaction, one: Unsettled, channels: list[Channel]) -> None:
        now_ms = self._clock.wall_ms()
        last = await tx.outbox.last_told(one)
        outdated = await tx.outbox.is_outdated(one)
        settled = settlement(one, last, outdated=outdated, now_ms=now_ms)
        if settled.mute:
            await tx.outbox.settle(one.seq, at_ms=now_ms, muted=True)
        elif settled.send:
            repeats = 0 if last is None else await tx.outbox.count_muted(one, last.seq)
            await tx.outbox.settle(one.seq, at_ms=now_ms, repeats=repeats)
            tags = await _tags(tx, one) if any(channel.filters.tags for channel in channels) else ()
            chosen = [
                channel.id for channel in channels if wants(channel.filters, one.environment, one.event, one.flag, tags)
            ]
            if chosen:
                await tx.outbox.enqueue(one.seq, chosen, now_ms)


async def _tags(tx: Transaction, one: Unsettled) -> Collection[str]:
    try:
        row = await tx.flags.get(one.project_id, one.flag)
    except NotFound:
        return ()
    return _FLAG.decode(row.document).tags
