"""Tells who listens when a window opens or closes, for then answers change though nothing arrives."""

import logging
import threading
import weakref
from typing import Protocol

from rheostat.clock import Clock
from rheostat.engine.evaluate import Ruleset
from rheostat.feed.serving import Serving
from rheostat.listeners import Listeners

log = logging.getLogger("rheostat")

LOOK_EVERY = 1.0
"""Seconds within which it is noticed that the clock was set, or that the machine slept: no wait sees that."""

IDLE_SECONDS = 60.0
"""How long the thread sleeps while there is no window to wait for; also how long it outlives its client."""


class Watched(Protocol):
    """The client, as the watch sees it."""

    _serving: Serving
    _listeners: Listeners


class WindowWatch:
    """One daemon thread, begun when there first is a listener and a window. Time is the clock's."""

    def __init__(self, clock: Clock, client: Watched) -> None:
        self._clock = clock
        # Weak, or a client that nobody holds any more would be kept alive by its own thread.
        self._client = weakref.ref(client)
        self._ruleset: Ruleset | None = None
        self._since_ms = clock.wall_ms()
        self._due: frozenset[str] = frozenset()
        self._running = False
        self._without_thread()

    def _without_thread(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Watch from now on. Before this nothing is told, and no thread is made."""
        self._running = True
        self.look()

    def look(self) -> None:
        """Take account of what is served, and of who listens, from now on."""
        client = self._client()
        if client is None or not self._running:
            return
        ruleset = client._serving.ruleset
        with self._lock:
            # What turned until now did so in the ruleset that was served until now.
            self._advance()
            self._ruleset = ruleset
            if not client._listeners:
                self._due = frozenset()
            elif self._thread is None and ruleset is not None and ruleset.reads_now:
                self._start()
        self._wake.set()

    def after_fork(self) -> None:
        """Go on in a child from where the parent was: its thread does not survive a fork, and locks may be held."""
        self._without_thread()
        self.look()

    def stop(self, timeout: float) -> None:
        """End the thread, waiting for it at most ``timeout`` seconds."""
        self._running = False
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="rheostat-windows", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # No more threads to be had, or the interpreter is ending. The application is not to fail for it.
            log.error("windows are not watched: %s", error)
            return
        self._thread = thread

    def _run(self) -> None:
        while self._running:
            self._wake.clear()
            seconds = self._turn()
            if seconds is None:
                return
            self._wake.wait(seconds)

    def _turn(self) -> float | None:
        """Tell of what turned since the last time; return how long to wait. ``None``: the client is gone."""
        client = self._client()
        if client is None:
            return None
        with self._lock:
            now_ms = self._advance()
            due, self._due = self._due, frozenset()
            ruleset = self._ruleset
        if due and self._running:
            client._listeners.turned(due)
        if ruleset is None or not ruleset.reads_now or not client._listeners:
            return IDLE_SECONDS
        boundary = ruleset.next_boundary(now_ms)
        if boundary is None:
            return LOOK_EVERY
        return min(LOOK_EVERY, max(0, boundary - self._clock.wall_ms()) / 1000)

    def _advance(self) -> int:
        """Note what turned until now, and return now."""
        since_ms, now_ms = self._since_ms, self._clock.wall_ms()
        self._since_ms = now_ms
        if self._ruleset is not None and now_ms != since_ms:
            self._due |= self._ruleset.turned(since_ms, now_ms)
        return now_ms
