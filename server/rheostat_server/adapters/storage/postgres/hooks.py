"""Secrets of hooks in PostgreSQL."""

from typing import Any
from uuid import UUID

from rheostat_server.errors import NotFound
from rheostat_server.ports.hooks import HookRow

_SELECT = """
SELECT h.id, p.key AS project, h.environments, h.flags, h.hash, h.hint, h.label, h.created_at_ms, h.expires_at_ms,
       h.last_used_at_ms, h.revoked_at_ms
FROM hook_secrets h JOIN projects p ON p.id = h.project_id
"""


class PostgresHooks:
    """Fulfils ``HookStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def add(self, row: HookRow) -> None:
        """Keep a new one, or raise ``NotFound`` where its project is gone."""
        # Held to the end, so that the project is not deleted meanwhile.
        project_id = await self._connection.fetchval(
            "SELECT id FROM projects WHERE key = $1 FOR KEY SHARE", row.project
        )
        if project_id is None:
            raise NotFound(f"there is no project {row.project!r}")
        await self._connection.execute(
            """
            INSERT INTO hook_secrets (id, project_id, environments, flags, hash, hint, label, created_at_ms,
                                      expires_at_ms)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            """,
            UUID(row.id),
            project_id,
            list(row.environments),
            list(row.flags),
            row.hash,
            row.hint,
            row.label,
            row.created_at_ms,
            row.expires_at_ms,
        )

    async def of_project(self, project: str) -> list[HookRow]:
        """Return a project's, oldest first."""
        rows = await self._connection.fetch(_SELECT + " WHERE p.key = $1 ORDER BY h.created_at_ms, h.id", project)
        return [_row(row) for row in rows]

    async def by_hash(self, digest: bytes) -> HookRow | None:
        """Return the one with this hash."""
        row = await self._connection.fetchrow(_SELECT + " WHERE h.hash = $1", digest)
        return None if row is None else _row(row)

    async def lock(self, project: str, hook_id: str) -> HookRow:
        """Return one of a project, held, or raise ``NotFound``."""
        try:
            wanted = UUID(hook_id)
        except ValueError as error:
            raise NotFound(f"there is no hook {hook_id!r}") from error
        row = await self._connection.fetchrow(
            _SELECT + " WHERE h.id = $1 AND p.key = $2 FOR UPDATE OF h", wanted, project
        )
        if row is None:
            raise NotFound(f"there is no hook {hook_id!r} in project {project!r}")
        return _row(row)

    async def revoke(self, hook_id: str, at_ms: int) -> None:
        """Refuse it from now on."""
        await self._connection.execute(
            "UPDATE hook_secrets SET revoked_at_ms = $2 WHERE id = $1 AND revoked_at_ms IS NULL", UUID(hook_id), at_ms
        )

    async def used(self, hook_id: str, at_ms: int) -> None:
        """Note that it was used."""
        await self._connection.execute(
            "UPDATE hook_secrets SET last_used_at_ms = greatest(last_used_at_ms, $2) WHERE id = $1",
            UUID(hook_id),
            at_ms,
        )


def _row(row: Any) -> HookRow:
    return HookRow(
        **{**row, "id": str(row["id"]), "environments": tuple(row["environments"]), "flags": tuple(row["flags"])}
    )
