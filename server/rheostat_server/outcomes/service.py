"""Counting reported outcomes: many batches in one transaction, each batch once."""

import asyncio
import contextlib

import structlog

from rheostat.clock import Clock
from rheostat.model.outcome import Batch, BatchReceipt
from rheostat_server.errors import RheostatServerError, StorageUnavailable, Unavailable
from rheostat_server.outcomes.acknowledging import acknowledged_of, treated_of
from rheostat_server.outcomes.grouping import Arrival, Group
from rheostat_server.outcomes.model import BatchKey, RampRow
from rheostat_server.outcomes.pruning import forget_batches
from rheostat_server.outcomes.raw_units import raw_ramps
from rheostat_server.outcomes.reporting import (
    evaluations_of,
    orphans_of,
    ramps_in,
    ramps_of,
    replaced_of,
    reporters_of,
    reports_of,
)
from rheostat_server.ports.metrics import Metrics, RampLabels
from rheostat_server.ports.storage import Storage, Transaction

log = structlog.get_logger()

GROUP_SECONDS = 0.1
GROUP_BATCHES = 200
GROUP_UNITS = 20_000
"""More than these are counted in the next transaction, so that each statement stays within its time limit."""
WAITING_BATCHES = 5_000
"""More than these are refused: their senders keep and resend them."""
PRUNE_SECONDS = 60.0


class _Waiting:
    """A batch whose sender waits for the commit."""

    __slots__ = ("arrival", "receipt")

    def __init__(self, arrival: Arrival, receipt: "asyncio.Future[BatchReceipt]") -> None:
        self.arrival = arrival
        self.receipt = receipt

    @property
    def key(self) -> BatchKey:
        return BatchKey(self.arrival.batch.instance, self.arrival.batch.sequence)


class OutcomeService:
    """Counts batches in groups of up to 100 ms. A component."""

    def __init__(
        self, storage: Storage, metrics: Metrics, clock: Clock, *, group_seconds: float = GROUP_SECONDS
    ) -> None:
        self._storage = storage
        self._metrics = metrics
        self._clock = clock
        self._group_seconds = group_seconds
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to count."""
        self._tasks = [asyncio.create_task(self._count_groups()), asyncio.create_task(self._prune())]

    async def stop(self) -> None:
        """Count what has arrived, then stop."""
        self._stopping = True
        self._arrived.set()
        if self._tasks:
            counting, pruning = self._tasks
            pruning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pruning
            await counting

    async def ingest(self, environment_id: int, batch: Batch, *, age_ms: int = 0) -> BatchReceipt:
        """Count a batch (checked by ``read_batch``), made ``age_ms`` before it came; return after the commit.

        Raises:
            StorageUnavailable: nothing was counted, or nobody knows; the same batch may be sent again.
            Unavailable: too many are waiting, or the server stops.
        """
        if self._stopping or len(self._waiting) >= WAITING_BATCHES:
            raise Unavailable("outcomes cannot be counted right now; send the batch again")
        receipt: asyncio.Future[BatchReceipt] = asyncio.get_running_loop().create_future()
        # Ages are counted back from here, not from the commit: a slow database must not make requests younger.
        self._waiting.append(_Waiting(Arrival(environment_id, batch, self._clock.wall_ms(), age_ms), receipt))
        self._arrived.set()
        return await receipt

    async def _count_groups(self) -> None:
        while True:
            await self._arrived.wait()
            if not self._stopping:
                await asyncio.sleep(self._group_seconds)
            size = _fitting(self._waiting)
            group, self._waiting = self._waiting[:size], self._waiting[size:]
            if not self._waiting:
                self._arrived.clear()
            if group:
                await self._count(group)
            if self._stopping and not self._waiting:
                return

    async def _count(self, group: list[_Waiting]) -> None:
        try:
            fresh, limits = await self._commit(group)
        except StorageUnavailable as error:
            log.warning("outcomes_not_counted", batches=len(group), error=str(error))
            self._refuse(group, error)
        except Exception as error:  # one batch must not take the others down, nor the loop
            if len(group) > 1:
                for waiting in group:
                    await self._count([waiting])
                return
            log.exception("batch_failed", instance=group[0].key.instance)
            self._refuse(group, error)
        else:
            self._metrics.batches(counted=len(fresh), duplicate=len(group) - len(fresh))
            now_ms = self._clock.wall_ms()
            for waiting in group:
                if not waiting.receipt.done():
                    duplicate = id(waiting) not in fresh
                    named = ramps_in(waiting.arrival.batch) & limits.keys()
                    asked = {ramp: limits[ramp] for ramp in named}
                    waiting.receipt.set_result(BatchReceipt(waiting.key.sequence, duplicate, now_ms, asked))

    def _refuse(self, group: list[_Waiting], error: Exception) -> None:
        self._metrics.batches(failed=len(group))
        if not isinstance(error, RheostatServerError):
            error = Unavailable("the batch could not be counted")
        for waiting in group:
            if not waiting.receipt.done():
                waiting.receipt.set_exception(error)

    async def _commit(self, group: list[_Waiting]) -> tuple[set[int], dict[str, float]]:
        """Count the group; return which of it (by ``id``) had not been counted before, and limits for samples."""
        first: dict[BatchKey, _Waiting] = {}
        for waiting in group:
            first.setdefault(waiting.key, waiting)

        async def work(transaction: Transaction) -> tuple[set[int], Group, dict[str, RampRow]]:
            outcomes = transaction.outcomes
            claimed = await outcomes.claim(first, self._clock.wall_ms())
            fresh = [first[key] for key in claimed]
            arrivals = [waiting.arrival for waiting in fresh]
            ramps = await outcomes.lock_ramps(ramps_of(arrivals))
            # A key's environment may be deleted while its batch waits.
            there = await outcomes.existing_environments({arrival.environment_id for arrival in arrivals})
            arrivals = [arrival for arrival in arrivals if arrival.environment_id in there]
            raw = raw_ramps(arrival.batch for arrival in arrivals) & ramps.keys()
            rules = await outcomes.unit_rules(raw)
            counted = Group(arrivals, ramps, await outcomes.claim_orphans(orphans_of(arrivals, ramps)), rules)
            counted.settle(
                await outcomes.recall_failing(counted.failing_units), await outcomes.recall_sampled(counted.samples)
            )
            await outcomes.remember_failing(counted.failing)
            await outcomes.remember_sampled(counted.sampled)
            await outcomes.remember_badly_sampled(counted.badly_sampled)
            now_ms = self._clock.wall_ms()
            for ramp, increments in counted.increments().items():
                await outcomes.append(ramp, increments, now_ms)
            await outcomes.note_sampling(counted.sampling, counted.arming_arrivals, counted.units)
            await outcomes.note_reports(reports_of(arrivals, ramps))
            await outcomes.seen(reporters_of(arrivals))
            await outcomes.said_goodbye(replaced_of(arrivals))
            await outcomes.count_evaluations(evaluations_of(arrivals))
            await transaction.readback.note_applied(acknowledged_of(arrivals))
            await transaction.readback.note_treated(treated_of(arrivals, ramps.keys()))
            return {id(waiting) for waiting in fresh}, counted, ramps

        fresh, counted, ramps = await self._storage.run(work)
        self._export(counted, ramps)
        sampling = {ramp: row.sampling for ramp, row in ramps.items()} | counted.sampling
        return fresh, {ramp: each.share for ramp, each in sampling.items()}

    def _export(self, counted: Group, ramps: dict[str, RampRow]) -> None:
        self._metrics.batches(late_rows=counted.late_rows)
        for block, tally in counted.tallies():
            if block.late:
                continue
            ramp = ramps[block.ramp]
            labels = RampLabels(
                project=ramp.project,
                environment=ramp.environment,
                flag=ramp.flag,
                ramp=block.ramp,
                exposure_ppm=block.exposure_ppm,
            )
            for arm, arm_tally in tally.arms.items():
                self._metrics.reported(labels, arm, arm_tally.count())

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            try:
                await forget_batches(self._storage, self._clock.wall_ms())
            except RheostatServerError as error:
                log.warning("prune_failed", error=str(error))
            except Exception:
                # Tried again later; the keys of old batches do no harm meanwhile.
                log.exception("prune_failed")


def _fitting(waiting: list[_Waiting]) -> int:
    """Return how many of these go into one transaction: at least one, if there is one."""
    units = 0
    for index, each in enumerate(waiting[:GROUP_BATCHES]):
        batch = each.arrival.batch
        units += sum(len(failing.units) for failing in batch.failing.values())
        units += sum(len(sampled.units) for sampled in batch.sampled.values())
        units += sum(len(dead.requests) for dead in batch.orphans)
        if units > GROUP_UNITS and index:
            return index
    return min(len(waiting), GROUP_BATCHES)
