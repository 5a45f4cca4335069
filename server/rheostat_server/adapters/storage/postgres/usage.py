"""When flags were last evaluated and ramped, in PostgreSQL."""

from typing import Any

from rheostat_server.ports.usage import VariantUse


class PostgresUsage:
    """Fulfils ``UsageStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def seen(self, project_id: int) -> dict[str, int]:
        """Return when each flag was last evaluated, by key."""
        rows = await self._connection.fetch(
            """
            SELECT v.flag AS key, max(v.last_at_ms) AS at_ms
            FROM evaluations v JOIN environments e ON e.id = v.environment_id
            WHERE e.project_id = $1 GROUP BY v.flag
            """,
            project_id,
        )
        return {row["key"]: row["at_ms"] for row in rows}

    async def ramped(self, project_id: int) -> dict[str, int]:
        """Return when a ramp or a kill last changed what a flag gives, by key."""
        rows = await self._connection.fetch(
            """
            SELECT key, max(at_ms) AS at_ms FROM (
                SELECT r.flag AS key, greatest(r.started_at_ms, r.ended_at_ms, p.at_ms) AS at_ms
                FROM ramps r JOIN environments e ON e.id = r.environment_id LEFT JOIN ramp_epochs p ON p.ramp_id = r.id
                WHERE e.project_id = $1
                UNION ALL
                SELECT k.flag, greatest(k.at_ms, k.revived_at_ms)
                FROM kills k JOIN environments e ON e.id = k.environment_id WHERE e.project_id = $1
            ) AS changed GROUP BY key
            """,
            project_id,
        )
        return {row["key"]: row["at_ms"] for row in rows}

    async def of_flag(self, project_id: int, key: str) -> list[VariantUse]:
        """Return the use of a flag's variants, by environment and variant."""
        rows = await self._connection.fetch(
            """
            SELECT e.key AS environment, v.variant, sum(v.count)::bigint AS count, max(v.last_at_ms) AS last_at_ms
            FROM evaluations v JOIN environments e ON e.id = v.environment_id
            WHERE e.project_id = $1 AND v.flag = $2
            GROUP BY e.key, v.variant ORDER BY e.key, v.variant
            """,
            project_id,
            key,
        )
        return [VariantUse(**row) for row in rows]
