"""Which node moves ramps: this one, while the lease is its own (PROTOCOLS.md, Leadership)."""

import structlog

from rheostat.clock import Clock
from rheostat_server.ports.ramps import LeaseRow
from rheostat_server.ports.storage import Storage

BEAT_SECONDS = 2.0
"""How often the leader shows that it lives, and how often a contender looks."""
UNCHANGED_SECONDS = 6.0
"""A contender that saw no beat for so long, by its own monotonic time, takes over."""
SHORTEST_PAUSE_SECONDS = 0.05

log = structlog.get_logger()


class LeaseLostError(Exception):
    """Another node leads by now; nothing was written."""


class Lease:
    """This node's side of the one lease. ``token`` is set while the node leads, as far as it knows.

    That it still leads is only ever proved inside a transaction: ``tx.lease.hold(token)``.
    """

    def __init__(self, storage: Storage, clock: Clock, holder: str) -> None:
        self._storage = storage
        self._clock = clock
        self._holder = holder
        self._seen: LeaseRow | None = None
        self._seen_at = 0.0
        self.token: int | None = None

    @property
    def pause_seconds(self) -> float:
        """How long to wait before the next ``step``: a contender looks again at the moment when it may take over."""
        if self.token is not None or self._seen is None:
            return BEAT_SECONDS
        left = UNCHANGED_SECONDS - (self._clock.monotonic() - self._seen_at)
        return min(BEAT_SECONDS, max(SHORTEST_PAUSE_SECONDS, left))

    async def step(self) -> None:
        """Beat, or contend. To be called again after ``pause_seconds``.

        Raises:
            StorageUnavailable: nobody can lead now; what was seen before does not count afterwards.
        """
        try:
            if self.token is not None:
                await self._beat(self.token)
            else:
                await self._contend()
        except BaseException:
            # The leader could not beat either while the database was away.
            self._seen = None
            raise

    async def give_up(self) -> None:
        """Leave the lease to whoever asks first."""
        token, self.token = self.token, None
        if token is not None:
            async with self._storage.transaction() as tx:
                await tx.lease.give_up(token)

    def lost(self) -> None:
        """Note that a transaction found the lease to be another's."""
        if self.token is not None:
            log.warning("lease_lost", token=self.token)
        self.token = None
        self._seen = None

    async def _beat(self, token: int) -> None:
        async with self._storage.transaction() as tx:
            held = await tx.lease.beat(token)
        if not held:
            self.lost()

    async def _contend(self) -> None:
        async with self._storage.transaction() as tx:
            found = await tx.lease.read()
            now = self._clock.monotonic()
            if self._seen != found:
                self._seen, self._seen_at = found, now
            # A holder's name is taken out when it gives the lease up, and there is none before the first.
            if found.holder and now - self._seen_at < UNCHANGED_SECONDS:
                return
            token = await tx.lease.take(self._holder, found)
        if token is not None:
            self.token = token
            self._seen = None
            log.info("lease_taken", token=token, holder=self._holder)
