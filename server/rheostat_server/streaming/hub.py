"""Every environment on this node, kept at what PostgreSQL says."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import structlog

from rheostat.clock import Clock
from rheostat.model.snapshot import Identity
from rheostat_server.errors import NotFound, RheostatServerError, Unavailable
from rheostat_server.ports.metrics import Metrics
from rheostat_server.ports.propagation import Forget, Propagation
from rheostat_server.ports.storage import EnvironmentRow, ServedRow, Storage
from rheostat_server.streaming.events import retry_event
from rheostat_server.streaming.feed import EnvironmentFeed

log = structlog.get_logger()

BEAT_SECONDS = 5.0
PERMIT_SECONDS = 1.0
TURN_SECONDS = 1.0
"""How soon it is noticed that the clock was set: no wait sees that."""
RETRY_MS = (500, 5_000)
"""Readers of a node that stops come back at a random moment in this span."""


class Hub:
    """Follows the database by polling, sooner after a hint. A component.

    With PostgreSQL away it serves on from memory, with a growing age. ``node`` is this node's id.
    """

    def __init__(
        self,
        storage: Storage,
        propagation: Propagation,
        metrics: Metrics,
        clock: Clock,
        *,
        node: str,
        poll_seconds: float = 1.0,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        self._storage = storage
        self._propagation = propagation
        self._metrics = metrics
        self._clock = clock
        self._node = node
        self._poll_seconds = poll_seconds
        self._beat_seconds = beat_seconds
        self._feeds: dict[int, EnvironmentFeed] = {}
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._forget: Forget | None = None
        self._loaded = False
        self._stuck: set[int] = set()
        self._away = False
        self.closing = False

    @property
    def ready(self) -> bool:
        """Whether there is something to serve: false only until the database was read once."""
        return self._loaded

    async def start(self) -> None:
        """Read everything once, if the database is there, and follow it from then on."""
        self._forget = self._propagation.listen(lambda _: self._wake.set())
        await self._try_poll()
        self._spawn(self._follow())
        self._spawn(self._every(self._beat_seconds, self._beat))
        self._spawn(self._every(PERMIT_SECONDS, self.check_permits))
        self._spawn(self._turn())

    async def stop(self) -> None:
        """End the streams and follow no longer."""
        self.close_streams()
        if self._forget is not None:
            self._forget()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    def feed(self, environment_id: int) -> EnvironmentFeed:
        """Return the feed of an environment.

        Raises:
            NotFound: there is no such environment, or it is so new that this node has not heard of it.
            Unavailable: nothing was read yet.
        """
        feed = self._feeds.get(environment_id)
        if feed is not None:
            return feed
        if not self._loaded or environment_id in self._stuck:
            raise Unavailable("this node has not read its first snapshot yet")
        raise NotFound("this key's environment does not exist")

    def feeds(self) -> tuple[EnvironmentFeed, ...]:
        """Return the feeds of all environments, by id."""
        return tuple(self._feeds[key] for key in sorted(self._feeds))

    def serves(self, environment_id: int) -> bool:
        """Return whether this node serves an environment: one that was deleted it does not."""
        return environment_id in self._feeds

    def nudge(self, environment_ids: Sequence[int]) -> None:
        """Look now, for these changed here; and tell the other nodes, where the commit itself did not. Never waits."""
        self._wake.set()
        if not self._propagation.transactional:
            self._spawn(self._propagation.announce(tuple(environment_ids)))

    async def wait_for(self, environment_id: int, revision: int, timeout: float) -> bool:
        """Wait until this node serves at least this revision; return false if that takes longer than so many s."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while True:
                    feed = self._feeds.get(environment_id)
                    if feed is not None and feed.identity.revision >= revision:
                        return True
                    self._wake.set()
                    if feed is None:
                        await asyncio.sleep(0.01)
                    else:
                        await feed.changed.wait()
        return False

    def close_streams(self) -> None:
        """End every stream at once, for the node stops; readers are told to come back spread over time."""
        self.closing = True
        for feed in self.feeds():
            for subscriber in feed.streams():
                subscriber.push(retry_event(random.randint(*RETRY_MS)))
                subscriber.close()

    def check_permits(self) -> None:
        """End the streams whose key is no longer good."""
        for feed in self.feeds():
            for subscriber in feed.streams():
                if not subscriber.permitted():
                    subscriber.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _every(self, seconds: float, work: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            work()

    def _beat(self) -> None:
        for feed in self.feeds():
            feed.beat()

    async def _turn(self) -> None:
        """Have each feed notice when a window opens or closes: a boundary is a change that nobody writes."""
        while True:
            seconds = TURN_SECONDS
            for feed in self.feeds():
                try:
                    boundary = feed.turn()
                except Exception:
                    # The feed must outlive a mistake in it, and one environment those of the others.
                    log.exception("windows_not_looked_at", environment=f"{feed.project}/{feed.environment}")
                    continue
                if boundary is not None:
                    seconds = min(seconds, max(0, boundary - self._clock.wall_ms()) / 1000)
            await asyncio.sleep(seconds)

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                # Jitter, so that the nodes of a fleet do not ask in one instant.
                async with asyncio.timeout(self._poll_seconds * random.uniform(0.8, 1.2)):
                    await self._wake.wait()
            self._wake.clear()
            if not await self._try_poll():
                # Hints may come quickly; a database in trouble is not asked more often than usual.
                await asyncio.sleep(self._poll_seconds)

    async def _try_poll(self) -> bool:
        try:
            await self._poll()
        except RheostatServerError as error:
            if not self._away:
                log.warning("database_away", error=str(error))
            self._away = True
            return False
        except Exception:
            # The feed must outlive a mistake in it; the age shows that it stands still.
            log.exception("poll_failed")
            return False
        if self._away:
            log.info("database_back")
        self._away = False
        # What cannot be read now is not asked for more often than usual either.
        return not self._stuck

    async def _poll(self) -> None:
        # Taken before the question: the answer is true at least since then.
        asked = self._clock.monotonic()
        raised = await self._storage.check_generation(self._clock.wall_ms())
        if raised is not None:
            log.warning("another_database", generation=raised, says="all is read, and sent to readers, anew")
        whole: list[tuple[EnvironmentRow, list[ServedRow]]] = []
        changed: list[tuple[EnvironmentRow, list[ServedRow]]] = []
        async with self._storage.transaction(snapshot=True) as transaction:
            heads = await transaction.environments.heads()
            for row in heads.environments:
                feed = self._feeds.get(row.id)
                if feed is None or feed.identity.generation < heads.generation:
                    whole.append((row, await transaction.served.since(row.id, 0)))
                elif feed.identity < Identity(heads.generation, row.revision):
                    changed.append((row, await transaction.served.since(row.id, feed.identity.revision)))
        self._stuck = set()
        for row, rows in whole:
            with self._alone(row):
                feed = self._feeds.get(row.id) or EnvironmentFeed(row, self._node, self._clock, self._metrics)
                feed.load(Identity(heads.generation, row.revision), rows)
                self._feeds[row.id] = feed
        for row, rows in changed:
            with self._alone(row):
                self._feeds[row.id].advance(Identity(heads.generation, row.revision), rows)
        for row in heads.environments:
            if row.id in self._stuck:
                continue
            feed = self._feeds[row.id]
            if feed.identity == Identity(heads.generation, row.revision):
                feed.confirm(asked)
            else:
                # An older state than the one served: a standby that lags, or a backup restored by hand.
                log.error("database_behind", environment=row.key, holds=str(feed.identity), says=row.revision)
        self._drop({row.id for row in heads.environments})
        self._loaded = True

    @contextlib.contextmanager
    def _alone(self, row: EnvironmentRow) -> Iterator[None]:
        """Keep a mistake in reading one environment from stopping the others, and their kills."""
        try:
            yield
        except Exception:
            # It is tried again at the next poll; the age shows that it stands still.
            log.exception("environment_not_taken_over", environment=f"{row.project}/{row.key}", revision=row.revision)
            self._stuck.add(row.id)

    def _drop(self, existing: set[int]) -> None:
        for environment_id in [known for known in self._feeds if known not in existing]:
            self._feeds.pop(environment_id).close()
