"""Latched kills in PostgreSQL."""

from typing import Any
from uuid import UUID

from rheostat.model.kill import KillScope
from rheostat_server.errors import NotFound
from rheostat_server.ports.ramps import KillRow

COLUMNS = """
kill_id, environment_id, flag, scope, rollout, ramp_id, source, actor, reason, at_ms, revived_at_ms, revived_by,
revive_reason
"""


class PostgresKills:
    """Fulfils ``KillStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def add(self, row: KillRow) -> bool:
        """Keep a kill; return whether it was new."""
        done: str = await self._connection.execute(
            """
            INSERT INTO kills (kill_id, environment_id, flag, scope, rollout, ramp_id, source, actor, reason, at_ms)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (kill_id) DO NOTHING
            """,
            UUID(row.kill_id),
            row.environment_id,
            row.flag,
            row.scope.value,
            row.rollout,
            UUID(row.ramp_id) if row.ramp_id else None,
            row.source,
            row.actor,
            row.reason,
            row.at_ms,
        )
        return done == "INSERT 0 1"

    async def in_force(self, environment_id: int, flag: str | None = None) -> list[KillRow]:
        """Return the kills that nobody revived, oldest first."""
        rows = await self._connection.fetch(
            f"""
            SELECT {COLUMNS} FROM kills
            WHERE environment_id = $1 AND ($2::text IS NULL OR flag = $2) AND revived_at_ms IS NULL
            ORDER BY at_ms, kill_id
            """,  # noqa: S608 - constant text
            environment_id,
            flag,
        )
        return [kill_row(row) for row in rows]

    async def get(self, environment_id: int, kill_id: str) -> KillRow:
        """Return a kill of an environment, or raise ``NotFound``."""
        try:
            wanted = UUID(kill_id)
        except ValueError as error:
            raise NotFound(f"there is no kill {kill_id!r}") from error
        row = await self._connection.fetchrow(
            f"SELECT {COLUMNS} FROM kills WHERE kill_id = $1 AND environment_id = $2",  # noqa: S608 - constant text
            wanted,
            environment_id,
        )
        if row is None:
            raise NotFound(f"there is no kill {kill_id!r}")
        return kill_row(row)

    async def newest(self, environment_id: int, *, flag: str | None, limit: int) -> list[KillRow]:
        """Return an environment's kills, revived ones too, newest first."""
        rows = await self._connection.fetch(
            f"""
            SELECT {COLUMNS} FROM kills WHERE environment_id = $1 AND ($2::text IS NULL OR flag = $2)
            ORDER BY at_ms DESC, kill_id DESC LIMIT $3
            """,  # noqa: S608 - constant text
            environment_id,
            flag,
            limit,
        )
        return [kill_row(row) for row in rows]

    async def revive(self, kill_id: str, *, at_ms: int, by: str, reason: str) -> bool:
        """Mark a kill revived; return whether it was in force."""
        done: str = await self._connection.execute(
            """
            UPDATE kills SET revived_at_ms = $2, revived_by = $3, revive_reason = $4
            WHERE kill_id = $1 AND revived_at_ms IS NULL
            """,
            UUID(kill_id),
            at_ms,
            by,
            reason,
        )
        return done == "UPDATE 1"


def kill_row(row: Any) -> KillRow:
    """Return a kill from its columns."""
    return KillRow(
        **{
            **row,
            "kill_id": str(row["kill_id"]),
            "scope": KillScope(row["scope"]),
            "ramp_id": str(row["ramp_id"]) if row["ramp_id"] else None,
        }
    )
