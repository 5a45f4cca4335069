"""A client's birth, forks and end: what runs behind it, and when."""

import atexit
import logging
import os
import secrets
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from rheostat.clock import Clock
from rheostat.engine.evaluate import Ruleset
from rheostat.engine.kills import in_force
from rheostat.errors import ConfigurationError, InvalidSnapshot
from rheostat.feed.file import Bootstrap, read_bootstrap
from rheostat.feed.serving import Serving, Source
from rheostat.feed.source import FeedSource, disk_serving
from rheostat.feed.store import DiskStore
from rheostat.listeners import Listeners
from rheostat.model.snapshot import Snapshot
from rheostat.outcomes.outcomes import Outcomes
from rheostat.settings import Settings
from rheostat.window_watch import WindowWatch

log = logging.getLogger("rheostat")

SMALL_FILE = 64 * 1024
"""Bytes. What is larger is read in the thread: making a client takes no more than 5 ms."""

EXIT_SECONDS = 0.04
"""How long each of the three threads may take to end when the interpreter does."""


class Answering(Protocol):
    """The client, as its lifecycle sees it."""

    _serving: Serving
    _listeners: Listeners

    def _serve(self, serving: Serving) -> None: ...


class Lifecycle:
    """Runs the feed and the outcomes of one client, anew in each forked child.

    Raises:
        ConfigurationError: the bootstrap is of a type that cannot be one.
    """

    def __init__(self, settings: Settings, clock: Clock, client: Answering, bootstrap: Bootstrap | None) -> None:
        if bootstrap is not None and not isinstance(bootstrap, (str, os.PathLike, bytes, Mapping, Snapshot)):
            raise ConfigurationError(f"bootstrap is a path or a snapshot, not {type(bootstrap).__name__}")
        self._settings = settings
        self._clock = clock
        # Weak, or a client that nobody holds any more would be kept alive by its own thread.
        self._client = weakref.ref(client)
        self._bootstrap = bootstrap
        self._ready = threading.Event()
        self._closed = False
        self._instance = secrets.token_hex(16)
        self._feed: FeedSource | None = None
        self._store: DiskStore | None = None
        self.windows = WindowWatch(clock, client)
        self.outcomes: Outcomes | None = None
        if settings.url is not None and settings.sdk_key is not None:
            self._store = DiskStore(settings.cache_dir, settings.url, settings.sdk_key)
            self.outcomes = Outcomes(
                settings.url,
                settings.sdk_key,
                clock=clock,
                service=settings.service,
                cache=settings.cache_dir,
                name=self._store.path.stem,
            )

    # --- what the client asks ---

    @property
    def stream_state(self) -> str:
        """How the feed stands, in one word."""
        if self._closed:
            return "closed"
        return "offline" if self._feed is None else self._feed.state.value

    @property
    def last_error(self) -> str | None:
        """What the feed last met, while it matters."""
        failure = None if self._feed is None else self._feed.last_failure
        return None if failure is None else failure.message

    @property
    def instance(self) -> str:
        """This process as the server knows it."""
        return self._instance if self.outcomes is None else self.outcomes.instance

    def wait_until_ready(self, timeout: float) -> bool:
        """Wait for the server's first snapshot; without a server, for a bootstrap."""
        return self._ready.wait(timeout)

    # --- start, fork, end ---

    def start(self) -> None:
        """Serve what is at hand at once, and start what runs behind."""
        client = self._client()
        assert client is not None
        held = self._first(client, SMALL_FILE if self._settings.connected else None)
        if held is not None:
            client._serve(held)
        self.windows.begin()
        if self._settings.connected:
            self._follow(client._serving)
        else:
            if held is not None:
                self._ready.set()
            missing = " and ".join(self._settings.missing())
            log.warning("%s not set: flags are answered from %s", missing, client._serving.source)
        _alive.add(self)

    def after_fork(self) -> None:
        """Start again in a child: threads do not survive a fork, and their locks may be held for ever."""
        client = self._client()
        if client is None or self._closed:
            return
        ready = self._ready.is_set()
        self._ready = threading.Event()
        if ready:
            self._ready.set()
        self.windows.after_fork()
        if self._feed is not None:
            self._follow(client._serving)

    def close(self, timeout: float = 1.0) -> None:
        """End the threads; each gets at most ``timeout`` seconds. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self.windows.stop(min(timeout, 0.1))
        if self._feed is not None:
            self._feed.stop(min(timeout, 0.1))
        if self.outcomes is not None:
            self.outcomes.close(timeout)

    def _follow(self, held: Serving) -> None:
        assert self._store is not None
        self._feed = FeedSource(self._settings, self._clock, self, self._store, held=held, load=self._load)
        try:
            self._feed.start()
            if self.outcomes is not None:
                self.outcomes.start()
        except RuntimeError as error:
            # No more threads to be had, or the interpreter is ending. The application is not to fail for its flags.
            log.error("flags are not followed: %s", error)

    # --- what is at hand ---

    def _load(self) -> Serving | None:
        client = self._client()
        return None if client is None else self._first(client, None)

    def _first(self, client: Answering, most_bytes: int | None) -> Serving | None:
        """Return the disk's state, else the bootstrap's, where it is better than what is served and small enough."""
        source = client._serving.source
        store, bootstrap = self._store, self._bootstrap
        if store is not None and source in (Source.BOOTSTRAP, Source.DEFAULTS):
            small = most_bytes is None or store.size() <= most_bytes
            stored = store.load() if small else None
            if stored is not None:
                return disk_serving(stored, self._clock)
        if bootstrap is not None and source is Source.DEFAULTS:
            small = most_bytes is None or _size(bootstrap) <= most_bytes
            return self._bootstrapped(bootstrap) if small else None
        return None

    def _bootstrapped(self, bootstrap: Bootstrap) -> Serving | None:
        try:
            return Serving(Ruleset.of(read_bootstrap(bootstrap)), Source.BOOTSTRAP, None, self._clock.monotonic())
        except InvalidSnapshot as error:
            self._bootstrap = None
            log.warning("the bootstrap is not used: %s", error)
            return None

    # --- what the feed tells ---

    def serve(self, serving: Serving) -> None:
        """Answer from this from now on."""
        client = self._client()
        if client is None:
            self.close(0.0)
            return
        client._serve(serving)
        if serving.source is Source.MEMORY:
            self._ready.set()

    def applied(self, ruleset: Ruleset) -> None:
        """Tell the outcomes which ramps are live, and have the server told what this process evaluates."""
        if self.outcomes is None:
            return
        snapshot = ruleset.snapshot
        overlays = {overlay.ramp: overlay for live in ruleset.overlays.values() for overlay in live}
        found = ((key, ruleset.flag(key)) for key in ruleset.overlays)
        self.outcomes.snapshot_applied(
            snapshot.identity,
            tuple(kill.kill_id for kill in in_force(snapshot.kills, ruleset.extra_kills)),
            overlays,
            project=snapshot.project,
            environment=snapshot.environment,
            flags={key: flag for key, flag in found if flag is not None},
            crowd=0 if self._feed is None else self._feed.instances,
        )


def _size(bootstrap: Bootstrap) -> int:
    if isinstance(bootstrap, bytes):
        return len(bootstrap)
    if isinstance(bootstrap, (str, os.PathLike)):
        try:
            return Path(bootstrap).stat().st_size
        except (OSError, ValueError):
            return 0
    # An object's size is not worth finding out: 40 flags are about as much as a small file holds.
    flags = bootstrap.flags if isinstance(bootstrap, Snapshot) else bootstrap.get("flags", ())
    return len(flags) * SMALL_FILE // 40


_alive: "weakref.WeakSet[Lifecycle]" = weakref.WeakSet()
_asked: "weakref.WeakSet[Lifecycle]" = weakref.WeakSet()
"""Those whose children of multiprocessing will say goodbye."""


def _start_again_all() -> None:
    for lifecycle in list(_alive):
        try:
            lifecycle.after_fork()
        except Exception:  # the fork is the application's: what fails here must not fail it
            log.exception("the flags' feed could not be started after a fork")


def _before_fork() -> None:
    """Have children of multiprocessing say goodbye: they end without running what is registered with ``atexit``."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        for lifecycle in list(_alive - _asked):
            _asked.add(lifecycle)
            util.register_after_fork(lifecycle, _close_at_exit)


def _close_at_exit(lifecycle: Lifecycle) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, lifecycle.close, (EXIT_SECONDS,), exitpriority=0)


def _close_all() -> None:
    for lifecycle in list(_alive):
        lifecycle.close(EXIT_SECONDS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_start_again_all)
atexit.register(_close_all)
