"""The audit log in PostgreSQL."""

from typing import Any

import msgspec

from rheostat_server.ports.storage import AuditEntry


class PostgresAudit:
    """Fulfils ``AuditStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def add(self, entry: AuditEntry) -> int:
        """Keep this entry; return its id."""
        added: int = await self._connection.fetchval(
            """
            INSERT INTO audit (at_ms, actor, action, project, environment, subject, summary, detail)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id
            """,
            entry.at_ms,
            entry.actor,
            entry.action,
            entry.project,
            entry.environment,
            entry.subject,
            entry.summary,
            bytes(entry.detail).decode(),
        )
        return added

    async def read(
        self,
        *,
        project: str | None = None,
        environment: str | None = None,
        subject: str | None = None,
        since_ms: int | None = None,
        before_id: int | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Return entries, newest first."""
        rows = await self._connection.fetch(
            """
            SELECT id, at_ms, actor, action, project, environment, subject, summary, detail FROM audit
            WHERE ($1::text IS NULL OR project = $1) AND ($2::text IS NULL OR environment = $2 OR environment IS NULL)
              AND ($3::text IS NULL OR subject = $3) AND ($4::bigint IS NULL OR at_ms >= $4)
              AND ($5::bigint IS NULL OR id < $5)
            ORDER BY id DESC LIMIT $6
            """,
            project,
            environment,
            subject,
            since_ms,
            before_id,
            limit,
        )
        return [AuditEntry(**{**row, "detail": msgspec.Raw(row["detail"].encode())}) for row in rows]
