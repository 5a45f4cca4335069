"""Evidence from the batches that SDKs sent: the ramp's inbox, read by cursor."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import structlog
from msgspec.structs import replace

from rheostat.model.evaluation import Arm
from rheostat_server.adapters.evidence.merging import is_traffic, merged, quiet_ms
from rheostat_server.errors import Unavailable
from rheostat_server.outcomes.cover import COVER_MS, coverage_of
from rheostat_server.outcomes.grouping import LATE_MS
from rheostat_server.outcomes.model import InboxRow, SlowCount
from rheostat_server.outcomes.pruning import BATCH_ROWS, in_batches
from rheostat_server.ports.evidence import Crowd, CrowdQuestion, Question
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.ramps.evidence import ArmTotals, Block, Reading, Sight
from rheostat_server.ramps.model import Guardrail, Measure
from rheostat_server.ramps.observe import added

REPORTING_MS = 300_000
"""An instance that sent a batch within this time reports."""
WARMING_MS = LATE_MS
"""So long after the database became another one its memory of units is filled before it is believed: what could still
come as evidence of what it lost has come by then."""
LOOK_AROUND_MS = 5_000
"""How often it is asked who covers a flag and who vanished: both are judged by longer times."""
ROWS_A_READING = 5_000
AT_ONCE = 4
"""Readings at the same time: each needs a connection to the database."""

log = structlog.get_logger()


class _Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    seq: int = 0
    traffic_ms: int | None = None
    generation: int | None = None
    warm_ms: int | None = None
    """Until when the memory of units is not to be believed."""
    vanished: int = 0


class _Around(NamedTuple):
    """What is asked less often than evidence. ``vanished`` counts from the ramp's start."""

    asked_ms: int
    arrivals: tuple[tuple[int, int], ...]
    coverage: float | None
    vanished: int


class ReportedEvidence:
    """Fulfils ``EvidenceSource`` for ``Family.REPORTED``, and ``CrowdSource``."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._places = asyncio.Semaphore(AT_ONCE)
        self._around: dict[str, _Around] = {}

    async def read(self, question: Question) -> Reading:
        """Return what batches added since the cursor."""
        cursor, guardrail = _cursor(question.cursor), question.guardrail
        try:
            async with self._places, self._storage.transaction() as tx:
                rows = await tx.outcomes.inbox_after(question.ramp, cursor.seq, ROWS_A_READING)
                head = cursor.seq if rows else await tx.outcomes.inbox_head(question.ramp)
                since_ms = question.asked_ms - REPORTING_MS
                reporting = await tx.outcomes.anyone_reports(question.environment_id, since_ms)
                generation = await tx.generation()
        except Unavailable as error:
            return Reading(guardrail=guardrail.name, sight=Sight.QUERY_FAILED, detail=str(error))
        # A late row says nothing of now; the totals that people see have it all the same.
        late = merged(_block(row, guardrail) for row in rows if row.increment.late)
        blocks = merged(_block(row, guardrail) for row in rows if not row.increment.late)
        if cursor.generation not in (None, generation) or head < cursor.seq:
            cursor = replace(cursor, warm_ms=question.asked_ms + WARMING_MS)
        warm_ms = None if cursor.warm_ms is None or cursor.warm_ms <= question.asked_ms else cursor.warm_ms
        cursor = replace(cursor, generation=generation, warm_ms=warm_ms, seq=rows[-1].seq if rows else head)
        if any(map(is_traffic, blocks)):
            cursor = replace(cursor, traffic_ms=question.asked_ms)
        sight, detail = _sight(question, cursor, reporting)
        return Reading(
            guardrail=guardrail.name,
            sight=sight,
            blocks=blocks if sight is Sight.SEEN else (),
            late=late,
            cursor=msgspec.json.encode(cursor).decode(),
            detail=detail,
        )

    async def read_all(self, questions: Sequence[Question]) -> tuple[Reading, ...]:
        """Return what batches added for each question."""
        return tuple(await asyncio.gather(*map(self.read, questions)))

    async def crowd(self, question: CrowdQuestion) -> Crowd:
        """Return what batches say of the ramp as a whole since the cursor."""
        cursor, asked_ms = _cursor(question.cursor), question.asked_ms
        around = self._around.get(question.ramp)
        if around is not None and not around.asked_ms < asked_ms < around.asked_ms + LOOK_AROUND_MS:
            around = None
        try:
            async with self._places, self._storage.transaction() as tx:
                rows = await tx.outcomes.inbox_after(question.ramp, cursor.seq, ROWS_A_READING)
                if around is None:
                    around = await _look_around(tx, question)
                    self._around[question.ramp] = around
        except Unavailable as error:
            log.warning("crowd_unknown", ramp=question.ramp, error=str(error))
            return Crowd(cursor=question.cursor)
        after = _Cursor(seq=rows[-1].seq if rows else cursor.seq, vanished=max(cursor.vanished, around.vanished))
        return Crowd(
            blocks=merged(_block(row, None) for row in rows if not row.increment.late),
            cursor=msgspec.json.encode(after).decode(),
            arrivals_by_level=around.arrivals,
            coverage=around.coverage,
            vanished=max(0, around.vanished - cursor.vanished),
        )

    async def forget(self, ramp: str, cursors: Sequence[str]) -> None:
        """Drop the ramp's inbox up to the hindmost of these cursors; all of it where nobody reads it."""
        # Soon looked at again by whoever asks; a ramp that is over is asked for no more.
        self._around.pop(ramp, None)
        behind = min((_cursor(cursor).seq for cursor in cursors), default=None)
        await in_batches(self._storage, lambda tx: tx.outcomes.forget_inbox(ramp, behind, BATCH_ROWS))

    async def close(self) -> None:
        """There is nothing to let go of: the storage is not ours."""


async def _look_around(tx: Transaction, question: CrowdQuestion) -> _Around:
    cover = await tx.outcomes.cover(question.environment_id, question.flag, question.asked_ms - COVER_MS)
    return _Around(
        question.asked_ms,
        await tx.outcomes.arming_arrivals(question.ramp),
        coverage_of(cover),
        await tx.outcomes.count_vanished(question.ramp, question.asked_ms),
    )


def _cursor(text: str) -> _Cursor:
    return msgspec.json.decode(text, type=_Cursor) if text else _Cursor()


def _sight(question: Question, cursor: _Cursor, reporting: bool) -> tuple[Sight, str]:
    if cursor.warm_ms is not None:
        left_s = -(-(cursor.warm_ms - question.asked_ms) // 1000)
        return Sight.WARMING, f"the database was restored or failed over; who failed before is learned for {left_s} s"
    silent_ms = None if cursor.traffic_ms is None else question.asked_ms - cursor.traffic_ms
    if silent_ms is not None and silent_ms <= quiet_ms(question.plan.interval_s):
        return Sight.SEEN, ""
    if not reporting:
        return Sight.SERIES_ABSENT, "no application reports outcomes"
    if silent_ms is None:
        return Sight.NO_TRAFFIC, "no request has met the flag yet"
    return Sight.NO_TRAFFIC, f"no request has met the flag for {silent_ms // 1000} s"


def _block(row: InboxRow, guardrail: Guardrail | None) -> Block:
    increment = row.increment
    treatment, control, holdback = (
        _measured(getattr(increment, arm), increment.slow.get(arm, {}), guardrail)
        for arm in (Arm.TREATMENT, Arm.CONTROL, Arm.HOLDBACK)
    )
    return Block(
        from_ms=increment.from_ms,
        until_ms=increment.until_ms,
        epoch=increment.epoch,
        exposure_ppm=increment.exposure_ppm,
        treatment=treatment,
        control=added(control, holdback),
    )


def _measured(totals: ArmTotals, slow: dict[str, SlowCount], guardrail: Guardrail | None) -> ArmTotals:
    """Return the totals with what is bad to this guardrail. To latency no unit is failing: units fail by errors."""
    if guardrail is None or guardrail.measure is not Measure.LATENCY:
        return totals
    slower = slow.get(str(guardrail.bound_ms), SlowCount())
    return replace(
        totals,
        bad=slower.ended,
        units_bad=slower.units,
        sampled=totals.sampled if slower.sampled is None else slower.sampled,
        sampled_bad=slower.sampled_bad,
        failing=0,
        active_failed=0,
        recounted=0,
        recounted_squares=0,
    )
