"""The feed's state machine: what is held, how old it is, and what to do next. No I/O and no clock."""

import enum
import math

import msgspec

from rheostat.engine.evaluate import Ruleset
from rheostat.engine.kills import digest, in_force, union
from rheostat.errors import InvalidSnapshot
from rheostat.feed.commands import Command, Connect, Failure, Fetch, Read, Wait
from rheostat.feed.events import ServerEvent
from rheostat.feed.pace import Draw, Pace, around, full_jitter
from rheostat.model.kill import Kill
from rheostat.model.snapshot import Beat, Identity, Patch, Resync, Snapshot

NEVER = math.inf

_SNAPSHOT = msgspec.json.Decoder(Snapshot)
_PATCH = msgspec.json.Decoder(Patch)
_RESYNC = msgspec.json.Decoder(Resync)
_KILL = msgspec.json.Decoder(Kill)
_BEAT = msgspec.json.Decoder(Beat)


class FeedState(enum.StrEnum):
    """How the feed stands with the server."""

    STARTING = "starting"
    STREAMING = "streaming"
    POLLING = "polling"
    REFUSED = "refused"
    """The key was refused (401, 403); it is tried again once a minute."""


class Confirmation(msgspec.Struct, frozen=True):
    """The server said at monotonic time ``at`` (s) that what is held was confirmed ``age_ms`` before."""

    age_ms: int
    at: float


def decode_snapshot(body: bytes) -> Snapshot:
    """Return the snapshot.

    Raises:
        InvalidSnapshot: the bytes are not a snapshot that this SDK reads.
    """
    try:
        return _SNAPSHOT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidSnapshot(f"not a snapshot: {error}") from error


class FeedProtocol:
    """Follows one environment.

    The driver asks ``next`` what to do, does it, and reports how it went; all times are monotonic seconds.
    Promises: the identity held never goes down; a patch is applied only by a holder exactly at its ``from``;
    a kill once heard stands until a snapshot or a patch names it as revived.
    """

    def __init__(self, draw: Draw, pace: Pace | None = None, ruleset: Ruleset | None = None, etag: str | None = None):
        self.pace = Pace() if pace is None else pace
        self.ruleset = ruleset
        self.confirmation: Confirmation | None = None
        self.state = FeedState.STARTING
        self.streaming = False
        self.last_failure: Failure | None = None
        self.instances = 0
        """How many follow the same node, as far as it has said."""
        self._draw = draw
        self._etag = etag
        self._wanted = Identity()
        self._fetch_at = -NEVER
        self._connect_at = -NEVER
        self._heard_at = 0.0
        self._late = False
        self._fetch_failures = 0
        self._stream_failures = 0

    @property
    def identity(self) -> Identity:
        """What is held; (0, 0) before the first snapshot."""
        return Identity() if self.ruleset is None else self.ruleset.snapshot.identity

    def next(self, now: float) -> Command:
        """Return what to do now. Asking again without a report gives the same answer."""
        if self._fetch_at <= now:
            return Fetch(self._etag)
        if self.streaming:
            if self._late:
                return Connect(str(self.identity))
            silent_at = self._heard_at + self.pace.silence
            return Read(max(0.0, min(silent_at, self._fetch_at) - now))
        if self.ruleset is None:
            return Wait(self._fetch_at - now)
        if self._connect_at <= now:
            return Connect(str(self.identity))
        return Wait(min(self._fetch_at, self._connect_at) - now)

    # --- the snapshot ---

    def snapshot_arrived(self, body: bytes, etag: str | None, asked_at: float, now: float) -> None:
        """Take the answer to a ``Fetch`` that was sent at ``asked_at``."""
        try:
            snapshot = decode_snapshot(body)
        except InvalidSnapshot as error:
            self.fetch_failed(Failure(str(error)), now)
            return
        if snapshot.identity < self.identity and self._same_environment(snapshot):
            # Another node, behind the one before. It is alive, so the pace is that of a success; but its age
            # says nothing of what is held.
            self._fetched(now)
            self.last_failure = Failure(f"the server offers {snapshot.identity}, older than {self.identity}")
            return
        self._adopt(snapshot)
        self._etag = etag
        # Counted from when the question was asked: the answer was true at some moment after that.
        self.confirmation = Confirmation(snapshot.age_ms, asked_at)
        self._fetched(now)

    def not_modified(self, age_ms: int | None, asked_at: float, now: float) -> None:
        """Take a 304: what is held stands. Its age is confirmed only where the answer tells it."""
        if age_ms is not None:
            self.confirmation = Confirmation(age_ms, asked_at)
        self._fetched(now)

    def fetch_failed(self, failure: Failure, now: float) -> None:
        """Take note that a ``Fetch`` gave nothing."""
        self._fetch_failures += 1
        if self._refused(failure, now):
            return
        if not self.streaming:
            self.state = FeedState.POLLING
        # A poll is cheap for a node that lives and costs nothing of one that does not, so it backs off less far.
        wait = full_jitter(self.pace, self._fetch_failures, self._draw, most=self.pace.poll)
        self._fetch_at = now + self._at_least(failure, wait)

    def _adopt(self, snapshot: Snapshot) -> None:
        before = self.ruleset
        if before is None or not self._same_environment(snapshot):
            self.ruleset = Ruleset.of(snapshot)
            return
        # A kill leaves only when a snapshot names it as revived. A node may name one that it has not yet committed, so
        # another node's snapshot may not know it; nor may one of a new generation, from a backup or a standby that
        # is older than the kill.
        held = union(before.extra_kills, in_force(before.snapshot.kills))
        ruleset = before.with_snapshot(snapshot)
        self.ruleset = ruleset.with_kills(held) if held != before.extra_kills else ruleset

    def _same_environment(self, snapshot: Snapshot) -> bool:
        """Return whether identities can be compared: a key that was bound anew starts from nothing."""
        held = self.ruleset
        return held is None or (held.snapshot.project, held.snapshot.environment) == (
            snapshot.project,
            snapshot.environment,
        )

    def _fetched(self, now: float) -> None:
        recovered = self._fetch_failures > 0 or self.state is FeedState.REFUSED
        self._fetch_failures = 0
        self.last_failure = None
        if self.streaming:
            self._fetch_at = NEVER
            if self.identity < self._wanted:
                # The stream told of more than this node had: behind a balancer they are not always the same one.
                self._fetch_failures = 1
                self._fetch_at = now + around(self.pace.backoff_first, self._draw)
            return
        if self.state is not FeedState.STARTING:
            self.state = FeedState.POLLING
        self._fetch_at = now + around(self.pace.poll, self._draw)
        if recovered:
            # The server is back, so the stream need not wait out what it had backed off to.
            self._stream_failures = 0
            self._connect_at = min(self._connect_at, now + full_jitter(self.pace, 2, self._draw))

    # --- the stream ---

    def stream_opened(self, now: float) -> None:
        """Take note that the stream answered. It counts as working from its first beat."""
        self.streaming = True
        self.state = FeedState.STREAMING
        self._heard_at = now
        self._late = False
        self._fetch_at = NEVER
        self._wanted = Identity()

    def stream_failed(self, failure: Failure, now: float) -> None:
        """Take note that the stream could not be opened, ended, or broke."""
        self.streaming = False
        self._stream_failures += 1
        if self._refused(failure, now):
            return
        self.state = FeedState.POLLING
        wait = full_jitter(self.pace, self._stream_failures, self._draw)
        self._connect_at = now + self._at_least(failure, wait)
        self._fetch_at = min(self._fetch_at, now + self._draw() * self.pace.poll)

    def stream_timed_out(self, now: float) -> None:
        """Take note that a ``Read`` heard nothing in its time, and that the stream was closed for it."""
        if now < self._heard_at + self.pace.silence and self._fetch_at < NEVER:
            # Not silence: the moment of a resync came. The stream is opened again right after it.
            self.streaming = False
            self._fetch_at = now
            return
        self.stream_failed(Failure(f"the stream said nothing for {self.pace.silence:g} s"), now)

    def event_arrived(self, event: ServerEvent, now: float) -> None:
        """Take one event of the stream. Unknown ones count as a sign of life and no more."""
        if now > self._heard_at + self.pace.silence:
            # This process stood still, and what comes now was said some time ago. Kills and patches are as good as
            # ever, but a beat's age counts from when it was sent: only a new stream tells that.
            self._late = True
        self._heard_at = now
        try:
            match event.name:
                case "beat":
                    self._beat(_BEAT.decode(event.data), now)
                case "patch":
                    self._patch(_PATCH.decode(event.data), now)
                case "resync":
                    self._resync(_RESYNC.decode(event.data), now)
                case "kill":
                    self._kill(_KILL.decode(event.data))
                case _:
                    pass
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # What cannot be read is asked for whole.
            self.last_failure = Failure(f"the stream sent a {event.name} that cannot be read: {error}")
            self._fetch_by(now)

    def _beat(self, beat: Beat, now: float) -> None:
        self._stream_failures = 0
        self.instances = beat.instances
        if self._fetch_at == NEVER and self._fetch_failures == 0:
            self.last_failure = None
        # A node behind us, or one that is ahead of what we hold, does not speak of what we hold.
        if not beat.behind and not self._late and self._fetch_at == NEVER:
            self.confirmation = Confirmation(beat.age_ms, now)

    def _patch(self, patch: Patch, now: float) -> None:
        if self.ruleset is None or patch.to <= self.identity:
            return
        if patch.from_ != self.identity:
            self._wanted = max(self._wanted, patch.to)
            self._fetch_by(now)
            return
        self.ruleset = self.ruleset.with_patch(patch)
        self._etag = etag_of(self.ruleset.snapshot)

    def _resync(self, resync: Resync, now: float) -> None:
        if resync.to >= self.identity:
            self._wanted = max(self._wanted, resync.to)
            self._fetch_by(now + self._draw() * resync.spread_ms / 1000)

    def _kill(self, kill: Kill) -> None:
        if kill.revived or self.ruleset is None:
            return
        named = (*self.ruleset.snapshot.kills, *self.ruleset.extra_kills)
        if all(other.kill_id != kill.kill_id for other in named):
            self.ruleset = self.ruleset.with_kills((*self.ruleset.extra_kills, kill))

    # --- both ---

    def _fetch_by(self, moment: float) -> None:
        self._fetch_at = min(self._fetch_at, moment)

    def _refused(self, failure: Failure, now: float) -> bool:
        self.last_failure = failure
        if not failure.refused:
            if self.state is FeedState.REFUSED:
                self.state = FeedState.POLLING
            return False
        self.state = FeedState.REFUSED
        self.streaming = False
        self._fetch_at = now + around(self.pace.refused, self._draw)
        self._connect_at = NEVER
        return True

    def _at_least(self, failure: Failure, wait: float) -> float:
        if failure.retry_after is None:
            return wait
        return min(max(0.0, failure.retry_after), self.pace.retry_after_most) + wait


def etag_of(snapshot: Snapshot) -> str:
    """Return the ETag under which a node serves this state (`docs`: the feed)."""
    return f'"{snapshot.identity}-{snapshot.format}-{digest(snapshot.kills)}"'
