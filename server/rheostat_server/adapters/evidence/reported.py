"""Evidence from the batches that SDKs sent: the ramp's inbox, read by cursor."""

import asyncio
from collections.abc import Sequence

import msgspec

from rheostat_server.adapters.evidence.merging import is_traffic, merged, quiet_ms
from rheostat_server.errors import Unavailable
from rheostat_server.outcomes.model import InboxRow
from rheostat_server.outcomes.pruning import BATCH_ROWS, in_batches
from rheostat_server.ports.evidence import Question
from rheostat_server.ports.storage import Storage
from rheostat_server.ramps.model import Block, Reading, Sight
from rheostat_server.ramps.observe import added

REPORTING_MS = 300_000
"""An instance that sent a batch within this time reports."""
ROWS_A_READING = 5_000
AT_ONCE = 4
"""Readings at the same time: each needs a connection to the database."""


class _Cursor(msgspec.Struct, frozen=True):
    seq: int = 0
    traffic_ms: int | None = None


class ReportedEvidence:
    """Fulfils ``EvidenceSource`` for ``Family.REPORTED``."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._places = asyncio.Semaphore(AT_ONCE)

    async def read(self, question: Question) -> Reading:
        """Return what batches added since the cursor."""
        cursor = msgspec.json.decode(question.cursor, type=_Cursor) if question.cursor else _Cursor()
        try:
            async with self._places, self._storage.transaction() as tx:
                rows = await tx.outcomes.inbox_after(question.ramp, cursor.seq, ROWS_A_READING)
                since_ms = question.asked_ms - REPORTING_MS
                reporting = await tx.outcomes.anyone_reports(question.environment_id, since_ms)
        except Unavailable as error:
            return Reading(guardrail=question.guardrail.name, sight=Sight.QUERY_FAILED, detail=str(error))
        # A late row says nothing of now; the totals that people see have it all the same.
        late = merged(_block(row) for row in rows if row.increment.late)
        blocks = merged(_block(row) for row in rows if not row.increment.late)
        if any(map(is_traffic, blocks)):
            cursor = _Cursor(cursor.seq, question.asked_ms)
        if rows:
            cursor = _Cursor(rows[-1].seq, cursor.traffic_ms)
        sight, detail = _sight(question, cursor, reporting)
        return Reading(
            guardrail=question.guardrail.name,
            sight=sight,
            blocks=blocks if sight is Sight.SEEN else (),
            late=late,
            cursor=msgspec.json.encode(cursor).decode(),
            detail=detail,
        )

    async def read_all(self, questions: Sequence[Question]) -> tuple[Reading, ...]:
        """Return what batches added for each question."""
        return tuple(await asyncio.gather(*map(self.read, questions)))

    async def forget(self, ramp: str, cursors: Sequence[str]) -> None:
        """Drop the ramp's inbox up to the hindmost of these cursors; all of it where nobody reads it."""
        marks = [msgspec.json.decode(cursor, type=_Cursor) if cursor else _Cursor() for cursor in cursors]
        behind = min((mark.seq for mark in marks), default=None)
        await in_batches(self._storage, lambda tx: tx.outcomes.forget_inbox(ramp, behind, BATCH_ROWS))

    async def close(self) -> None:
        """There is nothing to let go of: the storage is not ours."""


def _sight(question: Question, cursor: _Cursor, reporting: bool) -> tuple[Sight, str]:
    silent_ms = None if cursor.traffic_ms is None else question.asked_ms - cursor.traffic_ms
    if silent_ms is not None and silent_ms <= quiet_ms(question.plan.interval_s):
        return Sight.SEEN, ""
    if not reporting:
        return Sight.SERIES_ABSENT, "no application reports outcomes"
    if silent_ms is None:
        return Sight.NO_TRAFFIC, "no request has met the flag yet"
    return Sight.NO_TRAFFIC, f"no request has met the flag for {silent_ms // 1000} s"


def _block(row: InboxRow) -> Block:
    increment = row.increment
    return Block(
        from_ms=increment.from_ms,
        until_ms=increment.until_ms,
        epoch=increment.epoch,
        exposure_ppm=increment.exposure_ppm,
        treatment=increment.treatment,
        control=added(increment.control, increment.holdback),
    )
