"""When batches are made and sent."""

import logging
import random
import threading
from collections.abc import Callable
from typing import Final

from rheostat.clock import Clock
from rheostat.model.outcome import Batch, BatchReceipt
from rheostat.outcomes.delivery import Courier, Delivery, Verdict
from rheostat.outcomes.pending import PendingBatches, encode

QUIET_INTERVAL_S: Final = 10.0
LIVE_INTERVAL_S: Final = 1.0
ACKNOWLEDGE_WITHIN_S: Final = 0.5
"""A changed ramp or kill is acknowledged after a random part of this: many processes hear of it at once."""
FIRST_BACKOFF_S: Final = 0.5
LONGEST_BACKOFF_S: Final = 30.0
DENIED_INTERVAL_S: Final = 60.0

log = logging.getLogger("rheostat.outcomes")


class Sender:
    """Makes a batch every 10 s, every 1 s while a flag ramps, and sends them in order, each until acknowledged.

    ``make`` gives the next batch from its sequence and whether it is the last; ``is_live`` says whether
    any flag ramps; ``settled`` is told the sequence of each batch that need not be sent again, with the receipt where
    there is one. A retry sends the same bytes after a random wait of up to 0.5 s · 2^failures, at most 30 s. While the
    server cannot be reached, batches are made every 10 s, and not at all when there is nothing to tell.
    """

    def __init__(
        self,
        make: Callable[[int, bool], Batch],
        is_live: Callable[[], bool],
        settled: Callable[[int, BatchReceipt | None], None],
        courier: Courier,
        clock: Clock,
    ) -> None:
        self._make = make
        self._is_live = is_live
        self._settled = settled
        self._courier = courier
        self._clock = clock
        self._pending = PendingBatches()
        self._sequence = 0
        self._made_at = clock.monotonic()
        self._retry_at = 0.0
        self._failures = 0
        self._troubled = False
        self._overflowed = False
        self._prompt_at: float | None = None
        self._closing_by: float | None = None
        self._woken = threading.Event()
        self._farewells: list[threading.Event] = []
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rheostat-outcomes", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Let the thread look anew at what is due: a flag may have begun to ramp."""
        self._woken.set()

    def acknowledge_soon(self) -> None:
        """Have a batch made within half a second, with or without anything to tell."""
        self._prompt_at = self._clock.monotonic() + random.uniform(0, ACKNOWLEDGE_WITHIN_S)
        self._woken.set()

    def close(self, timeout: float) -> None:
        """Send what there is and say goodbye; give up after ``timeout`` seconds."""
        self._closing_by = self._clock.monotonic() + timeout
        if self._thread is None:
            self._say_goodbye()
        else:
            self._woken.set()
            self._thread.join(timeout)

    def farewell(self, timeout: float) -> None:
        """Send what there is with a goodbye, within ``timeout`` seconds, and go on: a later batch takes it back."""
        said = threading.Event()
        self._farewells.append(said)
        self._woken.set()
        if self._thread is not None:
            said.wait(timeout)

    def step(self) -> float:
        """Do what is due now and return the seconds until something is due again."""
        if self._farewells:
            self._bid_farewell()
        now = self._clock.monotonic()
        due = self._due()
        if now >= due:
            prompted = self._prompt_at is not None
            self._prompt_at = None
            self._made_at = now
            self._add(goodbye=False, even_if_empty=prompted or not self._pending)
        if now >= self._retry_at:
            self._send()
        now = self._clock.monotonic()
        due = self._due()
        return max(0.0, (min(due, self._retry_at) if self._pending else due) - now)

    def _due(self) -> float:
        # A backlog grows slowly, so that the bound of the queue is hours and not minutes of an outage.
        live = self._is_live() and len(self._pending) < 2
        due = self._made_at + (LIVE_INTERVAL_S if live else QUIET_INTERVAL_S)
        prompt = self._prompt_at
        return due if prompt is None else min(due, prompt)

    def _add(self, *, goodbye: bool, even_if_empty: bool) -> None:
        batch = self._make(self._sequence + 1, goodbye)
        if not even_if_empty and not _tells(batch):
            return
        self._sequence += 1
        dropped = self._pending.add(encode(batch, self._clock.monotonic()))
        if dropped and not self._overflowed:
            self._overflowed = True
            log.warning("outcomes_dropped: the server has been away for long; the oldest outcomes are being dropped")

    def _send(self, by: float | None = None) -> None:
        """Send in order until all is acknowledged or a try fails."""
        while (batch := self._pending.oldest) is not None:
            now = self._clock.monotonic()
            if by is not None and now >= by:
                return
            delivery = self._courier.deliver(batch, now, None if by is None else by - now)
            match delivery.verdict:
                case Verdict.ACKNOWLEDGED:
                    self._pending.drop_oldest()
                    self._recover()
                    self._settled(batch.sequence, delivery.receipt)
                case Verdict.REFUSED:
                    self._pending.drop_oldest()
                    self._settled(batch.sequence, None)
                    log.error("outcomes_refused: batch %d is dropped: %s", batch.sequence, delivery.detail)
                case Verdict.DENIED | Verdict.UNAVAILABLE:
                    self._back_off(delivery)
                    return

    def _recover(self) -> None:
        if self._troubled:
            log.info("outcomes_delivered: the server takes outcomes again")
        self._failures, self._troubled, self._overflowed = 0, False, False

    def _back_off(self, delivery: Delivery) -> None:
        if delivery.verdict is Verdict.DENIED:
            wait = random.uniform(DENIED_INTERVAL_S / 2, DENIED_INTERVAL_S)
        else:
            longest = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(self._failures, 16))
            wait = max(delivery.retry_after_s, random.uniform(0, longest))
        self._failures += 1
        self._retry_at = self._clock.monotonic() + wait
        if not self._troubled:
            self._troubled = True
            log.warning("outcomes_undelivered: kept, and sent again later: %s", delivery.detail)

    def _bid_farewell(self) -> None:
        asked, self._farewells = self._farewells, []
        try:
            self._add(goodbye=True, even_if_empty=True)
            self._send()
        finally:
            for said in asked:
                said.set()

    def _say_goodbye(self) -> None:
        self._add(goodbye=True, even_if_empty=True)
        self._send(by=self._closing_by)

    def _run(self) -> None:
        failed = False
        while self._closing_by is None:
            try:
                wait = self.step()
            except Exception:  # the thread must outlive any fault of ours, or outcomes stop without a word
                wait = QUIET_INTERVAL_S
                if not failed:
                    failed = True
                    log.exception("outcomes_failed: a fault in the SDK; going on")
            self._woken.wait(wait)
            self._woken.clear()
        try:
            self._say_goodbye()
        except Exception:  # the application is going down: a traceback of a thread helps nobody there
            log.exception("outcomes_failed: a fault in the SDK at the end")


def _tells(batch: Batch) -> bool:
    return bool(batch.rows or batch.failing or batch.sampled or batch.evaluations or batch.orphans)
