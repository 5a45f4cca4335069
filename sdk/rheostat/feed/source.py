"""The feed's one thread: it does what the protocol asks, with HTTP, the disk and the clock."""

import logging
import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from rheostat.clock import Clock
from rheostat.engine.evaluate import Ruleset
from rheostat.feed.commands import Connect, Failure, Fetch, Read, Wait
from rheostat.feed.events import EventOverflow, EventParser
from rheostat.feed.pace import Pace
from rheostat.feed.protocol import Confirmation, FeedProtocol, FeedState, etag_of
from rheostat.feed.serving import Serving, Source
from rheostat.feed.store import DiskStore, Stored
from rheostat.settings import Settings

if TYPE_CHECKING:
    # urllib3 takes longer to import than all else together, so only the thread imports it.
    import urllib3

    from rheostat.feed.stream import EventStream

log = logging.getLogger("rheostat.feed")

SAVE_EVERY = 5.0
"""Seconds between writes of changes that are neither kills nor ramps: a busy environment is not to wear out a disk."""

RENEW_EVERY = 300.0
"""Seconds after which an unchanged state is written again, so that a restart does not take it for older than it is."""


class Follower(Protocol):
    """Who hears of what the feed brings. Called in the feed's thread; must not block for long."""

    def serve(self, serving: Serving) -> None:
        """Answer from this from now on."""
        ...

    def applied(self, ruleset: Ruleset) -> None:
        """This is being served, and is on disk where there is a disk to be had."""
        ...


class FeedSource:
    """Follows one environment in a daemon thread until stopped.

    ``held`` is what is served already: from memory after a fork, or from disk. ``load`` is asked once, in the
    thread, for something better; it may take its time.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        follower: Follower,
        store: DiskStore,
        *,
        held: Serving,
        load: Callable[[], Serving | None],
        pace: Pace | None = None,
        random_source: Callable[[], float] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._follower = follower
        self._store = store
        self._serving = held
        self._load = load
        # After a fork the children of one parent must not draw alike, so the draws are the system's.
        self._draw = random.SystemRandom().random if random_source is None else random_source
        self._pace = Pace() if pace is None else pace
        self._protocol = self._protocol_from(held)
        self._told = FeedState.STARTING
        self._saved = held
        self._saved_at = clock.monotonic()
        self._stopping = False
        self._wake = threading.Event()
        self._pool: urllib3.PoolManager | None = None
        self._stream: EventStream | None = None
        self._parser = EventParser()
        self._thread = threading.Thread(target=self._run, name="rheostat-feed", daemon=True)

    @property
    def state(self) -> FeedState:
        """How the feed stands with the server."""
        return self._protocol.state

    @property
    def last_failure(self) -> Failure | None:
        """What went wrong since all was last well."""
        return self._protocol.last_failure

    @property
    def instances(self) -> int:
        """How many instances follow the same node, as far as it has said."""
        return self._protocol.instances

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End the thread, waiting for it at most ``timeout`` seconds. What was not yet on disk is written."""
        self._stopping = True
        self._wake.set()
        stream = self._stream
        if stream is not None:
            stream.interrupt()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._turn(self._begin)
            self._connect_pool()
            while not self._stopping:
                self._turn(self._step)
        finally:
            self._drop_stream()
            self._save(urgent=True)

    def _turn(self, act: Callable[[], None]) -> None:
        try:
            act()
            if self._stream is not None and not self._protocol.streaming:
                self._drop_stream()
            self._hand_over()
            if not self._stopping:
                # What breaks because the client closes is no news.
                self._tell()
        except Exception:
            # A fault of ours must not end the feed: what is held is served on, and the next turn may do better.
            if self._stopping:
                return
            log.exception("the feed met a fault")
            self._drop_stream()
            now = self._clock.monotonic()
            self._protocol.stream_failed(Failure("a fault in the feed; see the log"), now)
            self._wake.wait(1.0)

    def _protocol_from(self, held: Serving) -> FeedProtocol:
        # A bootstrap's identity may be another installation's, so the server is not measured by it.
        known = held.ruleset if held.source in (Source.MEMORY, Source.DISK) else None
        return FeedProtocol(self._draw, self._pace, known, None if known is None else etag_of(known.snapshot))

    def _begin(self) -> None:
        loaded = self._load()
        if loaded is not None:
            self._protocol = self._protocol_from(loaded)
            self._saved = self._serving = loaded
            self._follower.serve(loaded)
        if self._serving.ruleset is not None:
            self._follower.applied(self._serving.ruleset)

    def _connect_pool(self) -> None:
        import urllib3

        self._pool = urllib3.PoolManager(num_pools=2, maxsize=2)

    def _headers(self) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._settings.sdk_key}", "User-Agent": "rheostat-python"}
        if self._settings.service:
            headers["Rheostat-Service"] = self._settings.service
        return headers

    def _step(self) -> None:
        now = self._clock.monotonic()
        command = self._protocol.next(now)
        match command:
            case Fetch(etag):
                self._fetch(etag, now)
            case Connect(last_event_id):
                self._open_stream(last_event_id)
            case Read(seconds):
                self._read(seconds)
            case Wait(seconds):
                # Bounded, so that changes not yet saved are saved, and a clock that is moved is noticed.
                self._wake.wait(min(seconds, SAVE_EVERY))

    def _fetch(self, etag: str | None, asked_at: float) -> None:
        from rheostat.feed.poll import Fetched, NotModified, fetch_snapshot

        assert self._pool is not None
        answer = fetch_snapshot(self._pool, f"{self._settings.url}/sdk/v1/snapshot", self._headers(), etag)
        now = self._clock.monotonic()
        match answer:
            case Fetched(body, new_etag):
                self._protocol.snapshot_arrived(body, new_etag, asked_at, now)
            case NotModified(age_ms):
                self._protocol.not_modified(age_ms, asked_at, now)
            case Failure():
                self._protocol.fetch_failed(answer, now)

    def _open_stream(self, last_event_id: str) -> None:
        from rheostat.feed.stream import EventStream, StreamBroken

        assert self._pool is not None
        self._drop_stream()
        url, silence = f"{self._settings.url}/sdk/v1/stream", self._pace.silence
        try:
            self._stream = EventStream(self._pool, url, self._headers(), last_event_id, silence)
        except StreamBroken as broken:
            self._protocol.stream_failed(broken.failure, self._clock.monotonic())
            return
        self._parser = EventParser()
        self._protocol.stream_opened(self._clock.monotonic())

    def _read(self, seconds: float) -> None:
        from rheostat.feed.stream import StreamBroken, StreamTimedOut

        assert self._stream is not None
        try:
            data = self._stream.read(seconds)
            events = self._parser.feed(data)
        except StreamTimedOut:
            self._protocol.stream_timed_out(self._clock.monotonic())
        except StreamBroken as broken:
            failure, wait_ms = broken.failure, self._parser.retry_ms
            if wait_ms is not None:
                failure = Failure(failure.message, failure.status, wait_ms / 1000)
            self._protocol.stream_failed(failure, self._clock.monotonic())
        except EventOverflow as error:
            self._protocol.stream_failed(Failure(str(error)), self._clock.monotonic())
        else:
            now = self._clock.monotonic()
            for event in events:
                self._protocol.event_arrived(event, now)

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _hand_over(self) -> None:
        """Serve what changed, then store it, then say that it is applied: in this order."""
        ruleset, confirmation = self._protocol.ruleset, self._protocol.confirmation
        if ruleset is None or (ruleset is self._serving.ruleset and confirmation is None):
            self._save()
            return
        before = self._serving
        self._serving = self._as_served(ruleset, confirmation)
        if self._serving != before:
            self._follower.serve(self._serving)
        changed = ruleset is not before.ruleset
        self._save(urgent=changed and _weighs(before.ruleset, ruleset))
        if changed:
            self._follower.applied(ruleset)

    def _as_served(self, ruleset: Ruleset, confirmation: Confirmation | None) -> Serving:
        if confirmation is None:
            # A kill over a snapshot from disk: newer than the disk, but as unconfirmed.
            held = self._serving
            return Serving(ruleset, held.source, held.age_ms, held.at, held.fresh_until)
        stale_after = self._settings.stale_after
        fresh_until = confirmation.at + stale_after - confirmation.age_ms / 1000
        return Serving(ruleset, Source.MEMORY, confirmation.age_ms, confirmation.at, fresh_until)

    def _save(self, *, urgent: bool = False) -> None:
        serving, now = self._serving, self._clock.monotonic()
        if serving.ruleset is None or serving.source is Source.BOOTSTRAP or serving is self._saved:
            return
        changed = serving.ruleset is not self._saved.ruleset
        if now < self._saved_at + (SAVE_EVERY if changed else RENEW_EVERY) and not (urgent and changed):
            return
        self._saved, self._saved_at = serving, now
        snapshot = serving.ruleset.snapshot
        self._store.save(
            Stored(
                saved_at_ms=self._clock.wall_ms(),
                age_ms=serving.age_at(now),
                snapshot=snapshot,
                extra_kills=serving.ruleset.extra_kills,
            )
        )

    def _tell(self) -> None:
        """Log when the feed's standing changes, once for each change."""
        state, failure = self._protocol.state, self._protocol.last_failure
        if state is self._told:
            return
        self._told = state
        url = self._settings.url
        match state:
            case FeedState.STREAMING:
                log.info("following %s at %s", url, self._protocol.identity)
            case FeedState.POLLING:
                log.warning("%s cannot be followed, polling: %s", url, failure.message if failure else "no stream")
            case FeedState.REFUSED:
                log.error(
                    "%s refuses the SDK key (%s): flags are served from what is known; the key is tried again "
                    "once a minute",
                    url,
                    failure.message if failure else "refused",
                )
            case FeedState.STARTING:
                pass


def disk_serving(stored: Stored, clock: Clock) -> Serving:
    """Return what the disk gives: stale until the server has confirmed it."""
    age = stored.age_at(clock.wall_ms())
    ruleset = Ruleset.of(stored.snapshot, stored.extra_kills)
    return Serving(ruleset, Source.DISK, age, clock.monotonic())


def _weighs(before: Ruleset | None, after: Ruleset) -> bool:
    """Return whether the change is one that must not be lost: of kills or ramps, or the first of all."""
    return (
        before is None
        or before.extra_kills != after.extra_kills
        or before.snapshot.kills != after.snapshot.kills
        or before.snapshot.ramps != after.snapshot.ramps
    )
