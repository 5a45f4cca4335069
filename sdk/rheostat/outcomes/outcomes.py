"""The client's side of outcomes: counts what requests came to, and has it sent."""

import logging
import os
import secrets
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from rheostat.clock import Clock
from rheostat.model.evaluation import Evaluation
from rheostat.model.flag import Flag
from rheostat.model.outcome import Batch, BatchReceipt, Outcome
from rheostat.model.ramp import RampOverlay
from rheostat.model.snapshot import Identity
from rheostat.outcomes.delivery import Courier
from rheostat.outcomes.evaluations import Evaluations
from rheostat.outcomes.open_requests import OpenRequests
from rheostat.outcomes.recorder import Recorder, current_recorder
from rheostat.outcomes.sender import Sender
from rheostat.outcomes.standing import LiveRamp, Standing, answers_at_once, standing_of
from rheostat.outcomes.summary import DEADLINE_S, Summary
from rheostat.outcomes.touch import Touch, touch_of

if TYPE_CHECKING:
    # Half of what importing the SDK would cost: only the thread that sends needs it.
    import urllib3

WINDOW_MS: Final = 300_000
"""The length of the windows of sampled units."""
SERVICE_LENGTH: Final = 128
"""The most characters of a service's name."""

log = logging.getLogger("rheostat.outcomes")

_NO_FLAGS: Final[Mapping[str, Flag]] = MappingProxyType({})


class Observer(Protocol):
    """Is told of ramps and of ended requests, in the thread where they happen. A fault of it is logged."""

    def ramp_live(self, project: str, environment: str, ramp: LiveRamp) -> None:
        """A ramp's outcomes count from now on. Told again whenever a state is applied."""
        ...

    def request_ended(self, project: str, environment: str, touch: Touch, outcome: Outcome, duration_s: float) -> None:
        """A request that had met a ramping flag has been counted."""
        ...


class Outcomes:
    """Counts outcomes of ramping flags and evaluations of all, and reports them to the server.

    ``pool`` makes the HTTP connections, if not urllib3 with its defaults; it is called anew after a fork. A
    forked child is another instance: it starts with nothing counted, and its thread starts with its first
    evaluation or applied state. ``cache`` is a folder beside which open requests are noted, ``None`` for nowhere;
    ``name`` is what processes of one server and key share there. While nothing ramps an evaluation costs
    ``evaluated`` alone: two dict lookups and one C counter (about 100 ns), no lock.
    """

    def __init__(
        self,
        url: str,
        sdk_key: str,
        *,
        clock: Clock,
        service: str = "",
        cache: Path | None = None,
        name: str = "",
        pool: "Callable[[], urllib3.PoolManager] | None" = None,
    ) -> None:
        self._clock = clock
        # As the server takes it: a name with a line break must not cost every batch.
        self._service = "".join(filter(str.isprintable, service))[:SERVICE_LENGTH].strip()
        self._courier = Courier(url, sdk_key, pool)
        self._cache = cache
        self._name = name
        self._observers: list[Observer] = []
        self._observer_failed = False
        self._standing = Standing()
        self._kills_since: dict[str, float] = {}
        self._server_ahead_ms = 0
        self._started = False
        self._closed = False
        self._era = 0
        self._begin_instance()
        _alive.add(self)

    @property
    def era(self) -> int:
        """A number that is another in a forked child."""
        return self._era

    @property
    def instance(self) -> str:
        """This process as the server knows it: 32 hex digits, anew after a fork."""
        return self._instance

    @property
    def clock(self) -> Clock:
        """The clock by which all this is timed."""
        return self._clock

    def start(self) -> None:
        """Begin to report, in a daemon thread. Returns at once; a second call changes nothing."""
        self._started = True
        self._ensure_thread()

    def close(self, timeout: float = 1.0) -> None:
        """Send what was counted with a goodbye; give up after ``timeout`` seconds. Later calls do nothing."""
        if self._started and not self._closed:
            self._closed = True
            self._sender.close(timeout)
            # Requests that are open when a process ends in good order are no orphans.
            self._noted.end()

    def farewell(self, timeout: float = 1.0) -> None:
        """Send what was counted with a goodbye, within ``timeout`` seconds, and go on.

        For who knows that the process is about to end, and may be wrong: what is counted afterwards takes it back.
        """
        if self._started and not self._closed:
            self._sender.farewell(timeout)

    def recorder(self) -> Recorder:
        """Return the recorder of a request that starts here; put it into ``current_recorder``."""
        return Recorder(self, current_recorder.get())

    def evaluated(self, flag: str, variant: str | None) -> None:
        """Count one evaluation by the application. ``variant`` is ``None`` for the caller's default."""
        try:
            next(self.counters[flag][variant])
        except KeyError:
            self._evaluations.count(flag, variant)
            self._ensure_thread()

    def snapshot_applied(
        self,
        identity: Identity,
        kills: tuple[str, ...],
        overlays: Mapping[str, RampOverlay],
        *,
        project: str = "",
        environment: str = "",
        flags: Mapping[str, Flag] = _NO_FLAGS,
        crowd: int = 0,
    ) -> None:
        """Say what the process evaluates by now: to be called whenever that changes.

        ``kills`` are the ids of the kills in force. Of ``overlays`` the values count; ``flags`` may hold
        all flags by key, and those that ramp are read. The first state, and a changed ramp or kill, is acknowledged to
        the server within a second; in a ``crowd`` of more than 10 000 instances by some of them, and with the next
        batch by the others.
        """
        after = standing_of(identity, kills, overlays.values(), flags=flags, project=project, environment=environment)
        before = self._standing
        now = self._clock.monotonic()
        # A new dict, before the standing: a batch may be made in the thread that sends at any time.
        self._kills_since = {kill: self._kills_since.get(kill, now) for kill in after.kills}
        self._standing = after
        self._summary.forget(set(after.live))
        for observer in self._observers:
            self._tell_live(observer)
        if after.live:
            self._begin_notes()
        if after.moves(before) and answers_at_once(self._instance, crowd):
            self._sender.acknowledge_soon()
        self._ensure_thread()

    def observe(self, observer: Observer) -> None:
        """Tell this observer from now on, and at once of the ramps that are live. A second time is ignored."""
        if observer not in self._observers:
            self._observers.append(observer)
            self._tell_live(observer)

    def begin(self, evaluation: Evaluation) -> Touch | None:
        """Count the start of a request in this evaluation's arm; ``None`` when it has none.

        Where it has none because the ramp compares others now, the next batch says that this service reports.
        """
        if evaluation.ramp is None:
            return None
        live = self._standing.live.get(evaluation.ramp.ramp)
        touch = touch_of(evaluation, None if live is None else live.rollout, self._clock.monotonic())
        if touch is None:
            if evaluation.arm is None and live is not None:
                # The ramp compares others now. That requests are watched here is told all the same.
                self._summary.meet(live.overlay)
                self._ensure_thread()
        else:
            self._begin_notes()
            self._noted.note(touch)
            self._summary.begin(touch)
            self._ensure_thread()
        return touch

    def withdraw(self, touch: Touch) -> None:
        """Take a start back: the request met both arms."""
        if self._summary.withdraw(touch):
            self._noted.clear(touch)

    def end(self, touch: Touch, outcome: Outcome, duration_s: float) -> None:
        """Count how the request ended, unless the deadline has already."""
        counted = self._summary.end(touch, outcome, self._clock.monotonic(), self._window(), duration_s)
        if counted is not None:
            self._noted.clear(touch)
            self._tell_ended(touch, counted, duration_s)

    def _make(self, sequence: int, goodbye: bool) -> Batch:
        for touch in self._summary.expire(self._clock.monotonic(), self._window()):
            self._noted.clear(touch)
            self._tell_ended(touch, Outcome.TIMEOUT, DEADLINE_S)
        parts = self._summary.drain(self._clock.monotonic())
        standing = self._standing
        return Batch(
            instance=self._instance,
            sequence=sequence,
            service=self._service,
            identity=standing.identity,
            goodbye=goodbye,
            rows=parts.rows,
            failing=parts.failing,
            sampled=parts.sampled,
            evaluations=self._evaluations.drain(),
            applied=standing.applied(self._kills_since, self._clock.monotonic()),
            orphans=self._noted.orphans(standing.live, sequence),
        )

    def _window(self) -> int:
        return (self._clock.wall_ms() + self._server_ahead_ms) // WINDOW_MS

    def _settled(self, sequence: int, receipt: BatchReceipt | None) -> None:
        self._noted.settled(sequence)
        if receipt is not None:
            self._summary.limit_samples(receipt.sampled_limits)
            if receipt.at_ms:
                self._heard(receipt.at_ms)

    def _heard(self, server_ms: int) -> None:
        ahead = server_ms - self._clock.wall_ms()
        # Small differences are the way of the answer: following them would only make windows overlap.
        self._server_ahead_ms = ahead if abs(ahead) > 2_000 else 0

    def _tell_live(self, observer: Observer) -> None:
        standing = self._standing
        for ramp in standing.live.values():
            try:
                observer.ramp_live(standing.project, standing.environment, ramp)
            except Exception:  # noqa: BLE001 - it is another's code, inside the application's request
                self._observer_fault()

    def _tell_ended(self, touch: Touch, outcome: Outcome, duration_s: float) -> None:
        standing = self._standing
        for observer in self._observers:
            try:
                observer.request_ended(standing.project, standing.environment, touch, outcome, duration_s)
            except Exception:  # noqa: BLE001 - it is another's code, inside the application's request
                self._observer_fault()

    def _observer_fault(self) -> None:
        if not self._observer_failed:
            self._observer_failed = True
            log.exception("outcomes_observer_failed: reports go on without it; said once")

    def _begin_instance(self) -> None:
        self._instance = secrets.token_hex(16)
        self._summary = Summary()
        self._evaluations = Evaluations()
        self.counters = self._evaluations.counters
        """Counters by flag and variant, for who counts with ``next`` and has ``evaluated`` make those that lack."""
        self._thread_lock = threading.Lock()
        self._threaded = False
        self._sender = Sender(self._make, lambda: bool(self._standing.live), self._settled, self._courier, self._clock)
        self._noted = OpenRequests(self._cache, self._name, self._instance, self._clock)

    def _begin_notes(self) -> None:
        # What is never started says nothing to anybody, the dead included.
        if self._started and not self._closed:
            self._noted.begin()

    def _ensure_thread(self) -> None:
        if self._threaded or not self._started or self._closed:
            return
        with self._thread_lock:
            if not self._threaded:
                self._sender.start()
                self._threaded = True

    def _after_fork(self) -> None:
        # The parent reports what it counted. Its locks may be held by threads that do not exist here.
        self._era += 1
        self._courier.renew()
        self._noted.abandon()
        self._begin_instance()


_alive: "weakref.WeakSet[Outcomes]" = weakref.WeakSet()


def _renew_all() -> None:
    for outcomes in list(_alive):
        outcomes._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
