"""Scheduled changes in PostgreSQL."""

from collections.abc import Collection
from typing import Any

import msgspec

from rheostat_server.errors import Fault, NotFound
from rheostat_server.ports.scheduled import Due, ScheduledRow, ScheduledStatus

_FROM = """
s.id, s.project_id, p.key AS project, s.flag, s.environment, s.at_ms, s.at_text, s.timezone, s.summary, s.if_version,
s.note, s.status, s.scheduled_by, s.scheduled_at_ms, s.ended_at_ms, s.ended_by, s.why, s.faults, s.version
FROM scheduled_changes s JOIN projects p ON p.id = s.project_id
"""
_WHOLE = "SELECT s.change," + _FROM
# Lists leave the changes out: a thousand may have a MiB each.
_LISTED = "SELECT NULL AS change," + _FROM
_OF_PROJECT = """
WHERE s.project_id = $1 AND s.status = ANY($2) AND ($3::text IS NULL OR s.flag = $3)
  AND ($4::text IS NULL OR s.environment = $4 OR s.environment IS NULL)
"""
_SOONEST_FIRST = """
AND ($5::bigint IS NULL OR (s.at_ms, s.id) > (SELECT o.at_ms, o.id FROM scheduled_changes o WHERE o.id = $5))
ORDER BY s.at_ms, s.id LIMIT $6
"""
_LATEST_FIRST = """
AND ($5::bigint IS NULL OR (s.at_ms, s.id) < (SELECT o.at_ms, o.id FROM scheduled_changes o WHERE o.id = $5))
ORDER BY s.at_ms DESC, s.id DESC LIMIT $6
"""
_FAULTS = msgspec.json.Decoder(tuple[Fault, ...])
_LARGEST_ID = 2**63 - 1


class PostgresScheduled:
    """Fulfils ``ScheduledStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def add(self, row: ScheduledRow) -> ScheduledRow:
        """Keep a new one; return it with its id."""
        added: int = await self._connection.fetchval(
            """
            INSERT INTO scheduled_changes (project_id, flag, environment, at_ms, at_text, timezone, change, summary,
                if_version, note, status, scheduled_by, scheduled_at_ms)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'pending', $11, $12) RETURNING id
            """,
            row.project_id,
            row.flag,
            row.environment,
            row.at_ms,
            row.at_text,
            row.timezone,
            (row.change or b"{}").decode(),
            row.summary,
            row.if_version,
            row.note,
            row.scheduled_by,
            row.scheduled_at_ms,
        )
        return msgspec.structs.replace(row, id=added)

    async def get(self, project_id: int, scheduled_id: int) -> ScheduledRow:
        """Return one, or raise ``NotFound``."""
        row = None
        if 0 < scheduled_id <= _LARGEST_ID:
            row = await self._connection.fetchrow(
                _WHOLE + " WHERE s.project_id = $1 AND s.id = $2", project_id, scheduled_id
            )
        if row is None:
            raise NotFound(f"there is no scheduled change {scheduled_id}")
        return _row(row)

    async def count_pending(self, project_id: int) -> int:
        """Return how many of a project are pending."""
        count: int = await self._connection.fetchval(
            "SELECT count(*) FROM scheduled_changes WHERE project_id = $1 AND status = 'pending'", project_id
        )
        return count

    async def page(
        self,
        project_id: int,
        *,
        statuses: Collection[ScheduledStatus],
        flag: str | None = None,
        environment: str | None = None,
        after: int | None = None,
        latest_first: bool = False,
        limit: int = 100,
    ) -> list[ScheduledRow]:
        """Return those of these statuses by time and id, beyond that of the id ``after``."""
        rows = await self._connection.fetch(
            _LISTED + _OF_PROJECT + (_LATEST_FIRST if latest_first else _SOONEST_FIRST),
            project_id,
            sorted(status.value for status in statuses),
            flag,
            environment,
            after,
            limit,
        )
        return [_row(row) for row in rows]

    async def due(self, now_ms: int) -> list[Due]:
        """Return pending ones of all projects whose time has come, by time and id."""
        rows = await self._connection.fetch(
            """
            SELECT s.id, s.project_id, p.key AS project, s.flag
            FROM scheduled_changes s JOIN projects p ON p.id = s.project_id
            WHERE s.status = 'pending' AND s.at_ms <= $1 ORDER BY s.at_ms, s.id
            """,
            now_ms,
        )
        return [Due(**row) for row in rows]

    async def end(self, row: ScheduledRow) -> bool:
        """Keep what became of a pending one; return whether it still was pending."""
        done: str = await self._connection.execute(
            """
            UPDATE scheduled_changes
            SET status = $2, ended_at_ms = $3, ended_by = $4, why = $5, faults = $6, version = $7
            WHERE id = $1 AND status = 'pending'
            """,
            row.id,
            row.status.value,
            row.ended_at_ms,
            row.ended_by,
            row.why,
            msgspec.json.encode(row.faults).decode(),
            row.version,
        )
        return done == "UPDATE 1"

    async def pending_of(
        self, project_id: int, *, flag: str | None = None, environment: str | None = None
    ) -> list[ScheduledRow]:
        """Return the pending ones of exactly this flag, or environment, by time and id."""
        rows = await self._connection.fetch(
            _LISTED
            + """
            WHERE s.project_id = $1 AND s.status = 'pending' AND ($2::text IS NULL OR s.flag = $2)
              AND ($3::text IS NULL OR s.environment = $3)
            ORDER BY s.at_ms, s.id
            """,
            project_id,
            flag,
            environment,
        )
        return [_row(row) for row in rows]


def _row(row: Any) -> ScheduledRow:
    return ScheduledRow(
        **{
            **row,
            "change": None if row["change"] is None else row["change"].encode(),
            "status": ScheduledStatus(row["status"]),
            "faults": _FAULTS.decode(row["faults"]),
        }
    )
