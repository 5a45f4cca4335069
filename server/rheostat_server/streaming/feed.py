"""One environment on this node: what it serves now, and who follows it."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from rheostat.clock import Clock
from rheostat.engine import Ruleset
from rheostat.engine.kills import digest
from rheostat.model.snapshot import FORMAT, Beat, Identity
from rheostat_server.ports.metrics import Metrics
from rheostat_server.ports.storage import EnvironmentRow, ServedRow
from rheostat_server.streaming.compression import deflate, gzip_joined
from rheostat_server.streaming.contents import Contents, snapshot_head, snapshot_tail
from rheostat_server.streaming.decoding import in_force, one_line, patch_of, snapshot_of
from rheostat_server.streaming.events import beat_event, kill_event, resync_event
from rheostat_server.streaming.patches import Patches
from rheostat_server.streaming.subscriber import Subscriber
from rheostat_server.streaming.watchers import Watchers

RING_REVISIONS = 1_000
"""A reader that is further behind fetches the snapshot; what was removed before is forgotten."""
SPREAD_MS = 2
"""A resync gives each reader this much of the time over which all of them fetch."""
LONGEST_SPREAD_MS = 30_000


class SnapshotAnswer(msgspec.Struct, frozen=True):
    """A snapshot as it is sent. ``gzipped`` says whether ``body`` is."""

    etag: str
    age_ms: int
    body: bytes
    gzipped: bool


class EnvironmentFeed:
    """What one environment serves at the newest identity that this node has seen, which never goes back."""

    def __init__(self, row: EnvironmentRow, node: str, clock: Clock, metrics: Metrics) -> None:
        self.id = row.id
        self.project = row.project
        self.environment = row.key
        self.identity = Identity(-1, -1)
        self.ruleset: Ruleset
        self.etag = ""
        self.changed = asyncio.Event()
        self.watchers = Watchers()
        self._node = node
        self._clock = clock
        self._metrics = metrics
        self._contents = Contents(0, ())
        self._confirmed = 0.0
        self._gone = False
        self._subscribers: set[Subscriber] = set()
        self._tail: bytes | None = None
        self._deflated: asyncio.Task[bytes] | None = None
        self._patches = Patches(self.identity)
        # The kills in force as events, each with the revision of its row; made once, sent to many.
        self._kills: list[tuple[int, bytes]] = []

    def age_ms(self) -> int:
        """Return the time since PostgreSQL last confirmed the identity, in ms."""
        return max(0, round((self._clock.monotonic() - self._confirmed) * 1000))

    async def snapshot(self, *, gzip: bool) -> SnapshotAnswer:
        """Return the whole snapshot, compressed in a thread the first time that it is asked for so."""
        if self._tail is None:
            self._tail = snapshot_tail(
                self._contents.present(),
                snapshot_format=FORMAT,
                identity=self.identity,
                project=msgspec.json.encode(self.project),
                environment=msgspec.json.encode(self.environment),
            )
        # The identity may move on while this waits; the answer stays of one piece.
        etag, tail = self.etag, self._tail
        if not gzip:
            age_ms = self.age_ms()
            return SnapshotAnswer(etag, age_ms, snapshot_head(age_ms) + tail, False)
        if self._deflated is None:
            self._deflated = asyncio.create_task(asyncio.to_thread(deflate, tail))
        # Shielded: one reader that goes away must not take it from the others.
        deflated = await asyncio.shield(self._deflated)
        age_ms = self.age_ms()
        return SnapshotAnswer(etag, age_ms, gzip_joined(snapshot_head(age_ms), tail, deflated), True)

    def subscribe(self, held: Identity | None, permitted: Callable[[], bool]) -> Subscriber:
        """Begin a stream for a reader that holds this identity (``None``: nothing).

        It gets a beat, and then what it lacks: a patch, or the kills in force and the order to fetch the snapshot.
        """
        subscriber = Subscriber(permitted)
        self._subscribers.add(subscriber)
        self._metrics.streams(self.project, self.environment, len(self._subscribers))
        if held is not None and held > self.identity:
            subscriber.ahead = held
        subscriber.push(self._beat(behind=subscriber.ahead is not None))
        if subscriber.ahead is None and held != self.identity:
            patch = self._patch_from(held) if held is not None else None
            if patch is not None and held is not None:
                self._push_kills(subscriber, held.revision)
                subscriber.push(patch)
            else:
                self._resync(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """End a stream."""
        subscriber.close()
        self._subscribers.discard(subscriber)
        if not self._gone:
            self._metrics.streams(self.project, self.environment, len(self._subscribers))

    def close(self) -> None:
        """End every stream: the environment was deleted."""
        self._gone = True
        for subscriber in self.streams():
            subscriber.close()
        self._metrics.forget_environment(self.project, self.environment)

    def subscribers(self) -> tuple[Subscriber, ...]:
        """Return the open streams of SDKs."""
        return tuple(self._subscribers)

    def streams(self) -> tuple[Subscriber, ...]:
        """Return all open streams."""
        return (*self._subscribers, *self.watchers.all())

    def turn(self) -> int | None:
        """Tell the watchers if windows turned; return the next moment to look (ms since the epoch), if any."""
        now_ms = self._clock.wall_ms()
        windows = self.ruleset.active_windows(now_ms)
        self.watchers.moved(self.etag.strip('"') + (f"-{windows}" if windows else ""))
        return self.ruleset.next_boundary(now_ms)

    def beat(self) -> None:
        """Tell every reader how old this node's knowledge is."""
        self.watchers.beat()
        beat, behind = self._beat(behind=False), self._beat(behind=True)
        for subscriber in self._subscribers:
            subscriber.push(beat if subscriber.ahead is None else behind)

    def confirm(self, at_monotonic: float) -> None:
        """Note that PostgreSQL confirmed the identity at this moment (s, monotonic)."""
        self._confirmed = at_monotonic
        self._metrics.confirmed(self.project, self.environment, self.identity.revision, at_monotonic)

    def load(self, identity: Identity, rows: Sequence[ServedRow]) -> None:
        """Take over a whole state: the first, or one of a higher generation."""
        rows = [one_line(row) for row in rows]
        first = self.identity.generation < 0
        snapshot = snapshot_of(rows, identity, self.project, self.environment)
        self.ruleset = Ruleset.of(snapshot) if first else self.ruleset.with_snapshot(snapshot)
        self._contents = Contents(identity.revision, rows)
        self._moved(identity)
        for subscriber in self.subscribers():
            if self._may_hear(subscriber):
                self._resync(subscriber)

    def advance(self, identity: Identity, rows: Sequence[ServedRow]) -> None:
        """Take over the rows that changed since this feed's identity, in the same generation."""
        rows = [one_line(row) for row in rows]
        before = self.identity
        self._contents.merge(rows)
        self._contents.forget(identity.revision - RING_REVISIONS)
        if any(row.kind == "kill" and row.body is None for row in rows):
            # A patch only ever adds kills.
            present = self._contents.present()
            self.ruleset = self.ruleset.with_snapshot(snapshot_of(present, identity, self.project, self.environment))
        else:
            self.ruleset = self.ruleset.with_patch(patch_of(rows, before, identity))
        self._moved(identity)
        self._publish(before)

    def _publish(self, before: Identity) -> None:
        for subscriber in self.subscribers():
            held = before if subscriber.ahead is None else subscriber.ahead
            if not self._may_hear(subscriber) or held == self.identity:
                continue
            patch = self._patch_from(held)
            if patch is None:
                self._resync(subscriber)
            else:
                # Before the patch: whoever looks at kills alone need not read a large one first.
                self._push_kills(subscriber, held.revision)
                subscriber.push(patch)

    def _may_hear(self, subscriber: Subscriber) -> bool:
        """Return whether this node has caught up with the reader, which then follows it as others do."""
        if subscriber.ahead is not None and subscriber.ahead > self.identity:
            return False
        subscriber.ahead = None
        return True

    def _moved(self, identity: Identity) -> None:
        self.identity = identity
        self.etag = f'"{identity}-{FORMAT}-{digest(self.ruleset.snapshot.kills)}"'
        self._tail = self._deflated = None
        self._patches = Patches(identity)
        self._kills = [
            (row.revision, kill_event(row.body)) for row in self._contents.kills() if row.body and in_force(row)
        ]
        self.changed.set()
        self.changed = asyncio.Event()
        self.turn()

    def _patch_from(self, held: Identity) -> bytes | None:
        """Return the patch from there to here, made once for all who need it; ``None`` where only a resync will do."""
        if held.generation != self.identity.generation or held.revision < self._contents.known_from:
            return None
        return self._patches.since(held, self._contents)

    def _resync(self, subscriber: Subscriber) -> None:
        self._push_kills(subscriber, -1)
        spread_ms = min(LONGEST_SPREAD_MS, SPREAD_MS * (len(self._subscribers) - 1))
        subscriber.push(resync_event(self.identity, spread_ms))

    def _push_kills(self, subscriber: Subscriber, revision: int) -> None:
        """Send the kills in force that came after this revision."""
        for at, event in self._kills:
            if at > revision:
                subscriber.push(event)

    def _beat(self, *, behind: bool) -> bytes:
        return beat_event(
            Beat(age_ms=self.age_ms(), path=(self._node,), instances=len(self._subscribers), behind=behind)
        )
