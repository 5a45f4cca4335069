"""The read-back of kills in PostgreSQL."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from rheostat_server.adapters.storage.postgres.columns import columns
from rheostat_server.adapters.storage.postgres.kills import COLUMNS, kill_row
from rheostat_server.outcomes.model import Acknowledgement, TreatedRow
from rheostat_server.ports.ramps import KillRow
from rheostat_server.ramps.readback import HEARD_BEFORE_MS, JOINED_MS, Heard


class PostgresReadback:
    """Fulfils ``ReadbackStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def note_applied(self, rows: Collection[Acknowledgement]) -> None:
        """Keep that instances applied kills, each the first time that it says so."""
        if not rows:
            return
        await self._connection.execute(
            """
            INSERT INTO kill_readback AS b (kill_id, instance, service, before, applied_at_ms)
            SELECT k.kill_id, u.instance, u.service, i.since_ms <= k.at_ms, u.at_ms
            FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::bigint[])
                AS u (environment_id, kill_id, instance, service, at_ms)
            JOIN kills k ON k.kill_id = u.kill_id AND k.environment_id = u.environment_id
            JOIN instances i ON i.environment_id = u.environment_id AND i.instance = u.instance
            WHERE i.since_ms <= k.at_ms + $6
              AND NOT EXISTS (SELECT FROM kill_readback o WHERE o.kill_id = u.kill_id AND o.instance = u.instance
                                                            AND o.applied_at_ms IS NOT NULL)
            ORDER BY k.kill_id, u.instance COLLATE "C"
            ON CONFLICT (kill_id, instance) DO UPDATE SET applied_at_ms = excluded.applied_at_ms
            WHERE b.applied_at_ms IS NULL
            """,
            *columns(rows, 5),
            JOINED_MS,
        )

    async def note_treated(self, rows: Collection[TreatedRow]) -> None:
        """Keep that instances showed the variant of a ramp that is killed, after it was."""
        if not rows:
            return
        await self._connection.execute(
            """
            INSERT INTO kill_readback AS b (kill_id, instance, service, before, treated_at_ms)
            SELECT k.kill_id, u.instance, max(u.service), bool_or(i.since_ms <= k.at_ms), max(u.at_ms)
            FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::bigint[])
                AS u (environment_id, ramp_id, instance, service, at_ms)
            JOIN ramps r ON r.id = u.ramp_id AND r.environment_id = u.environment_id
            JOIN kills k ON k.environment_id = r.environment_id AND k.flag = r.flag AND k.revived_at_ms IS NULL
                AND (k.scope = 'flag' OR k.rollout = r.rollout) AND k.at_ms < u.at_ms
            JOIN instances i ON i.environment_id = u.environment_id AND i.instance = u.instance
            GROUP BY k.kill_id, u.instance ORDER BY k.kill_id, u.instance COLLATE "C"
            ON CONFLICT (kill_id, instance) DO UPDATE
            SET treated_at_ms = greatest(b.treated_at_ms, excluded.treated_at_ms)
            """,
            *columns(rows, 5),
        )

    async def heard(self, kill: KillRow) -> list[Heard]:
        """Return the instances that a kill concerns, by name."""
        rows = await self._connection.fetch(
            """
            SELECT coalesce(i.instance, b.instance) AS instance, coalesce(i.service, b.service) AS service,
                   i.seen_at_ms AS seen_ms, coalesce(i.said_ms, 0) AS said_ms,
                   coalesce(i.goodbye, true) AS goodbye, coalesce(i.acknowledges, false) AS acknowledges,
                   coalesce(b.before, i.since_ms <= $3) AS before, b.applied_at_ms AS applied_ms,
                   b.treated_at_ms AS treated_ms
            FROM (SELECT * FROM instances WHERE environment_id = $1 AND seen_at_ms >= $3 - $4::bigint
                                            AND since_ms <= $3 + $5::bigint) i
            FULL JOIN (SELECT * FROM kill_readback WHERE kill_id = $2) b ON b.instance = i.instance
            ORDER BY 1
            """,
            kill.environment_id,
            UUID(kill.kill_id),
            kill.at_ms,
            HEARD_BEFORE_MS,
            JOINED_MS,
        )
        return [Heard(**row) for row in rows]

    async def forget(self, killed_before_ms: int, limit: int) -> int:
        """Forget the read-back of kills before this time."""
        done: str = await self._connection.execute(
            """
            DELETE FROM kill_readback WHERE ctid = ANY(ARRAY(
                SELECT b.ctid FROM kills k JOIN kill_readback b ON b.kill_id = k.kill_id WHERE k.at_ms < $1 LIMIT $2))
            """,
            killed_before_ms,
            limit,
        )
        return int(done.rpartition(" ")[2])

    async def young(self, since_ms: int) -> list[KillRow]:
        """Return the kills in force that were made since then, oldest first."""
        rows = await self._connection.fetch(
            f"SELECT {COLUMNS} FROM kills WHERE at_ms >= $1 AND revived_at_ms IS NULL ORDER BY at_ms, kill_id",  # noqa: S608
            since_ms,
        )
        return [kill_row(row) for row in rows]

    async def escalate(self, kill_id: str, at_ms: int) -> bool:
        """Keep that somebody was told of this kill; return whether nobody had been before."""
        done: str = await self._connection.execute(
            "INSERT INTO unconfirmed_kills (kill_id, at_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            UUID(kill_id),
            at_ms,
        )
        return done == "INSERT 0 1"

    async def escalated(self, kill_ids: Sequence[str]) -> dict[str, int]:
        """Return of which of these kills somebody was told, and when."""
        rows = await self._connection.fetch(
            "SELECT kill_id, at_ms FROM unconfirmed_kills WHERE kill_id = ANY($1::uuid[])",
            [UUID(one) for one in kill_ids],
        )
        return {str(row["kill_id"]): row["at_ms"] for row in rows}
