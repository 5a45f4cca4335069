"""Who reports outcomes, who fell silent, and who evaluates without reporting, in PostgreSQL."""

import uuid
from collections.abc import Collection, Sequence
from typing import Any

from rheostat_server.adapters.storage.postgres.columns import columns
from rheostat_server.outcomes.model import EvaluationCount, RampReport, Reporter, ServiceCover
from rheostat_server.outcomes.silence import HEARING_GAP_MS, RECOVERY_MS, SILENT_MS

MINUTE_MS = 60_000
_NOTED_EVERY_MS = 10_000
_HEARD_EVERY_MS = 1_000


class PostgresReporters:
    """The part of ``OutcomeStore`` that knows instances, services and evaluations, over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def note_reports(self, reports: Sequence[RampReport]) -> None:
        """Note who sent rows of which ramp, whose rows must be locked."""
        if not reports:
            return
        await self._connection.execute(
            """
            INSERT INTO ramp_reporters (ramp_id, instance, service, last_row_ms)
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[])
                AS r (ramp_id, instance, service, at_ms) ORDER BY ramp_id, instance COLLATE "C"
            ON CONFLICT (ramp_id, instance) DO UPDATE
            SET service = excluded.service, last_row_ms = excluded.last_row_ms
            WHERE ramp_reporters.last_row_ms <= excluded.last_row_ms - $5
            """,
            *columns(reports, 4),
            _NOTED_EVERY_MS,
        )

    async def seen(self, reporters: Sequence[Reporter]) -> None:
        """Note that these instances reported."""
        if not reporters:
            return
        await self._connection.execute(
            """
            INSERT INTO instances (environment_id, instance, service, generation, revision, goodbye, seen_at_ms,
                                   said_ms, acknowledges, since_ms)
            SELECT *, seen_at_ms FROM unnest(
                $1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::boolean[], $7::bigint[],
                $8::bigint[], $9::boolean[]
            ) AS u (environment_id, instance, service, generation, revision, goodbye, seen_at_ms, said_ms, acknowledges)
            ORDER BY environment_id, instance COLLATE "C"
            ON CONFLICT (environment_id, instance) DO UPDATE
            SET service = excluded.service, generation = excluded.generation, revision = excluded.revision,
                goodbye = instances.goodbye OR excluded.goodbye,
                seen_at_ms = greatest(instances.seen_at_ms, excluded.seen_at_ms),
                said_ms = greatest(instances.said_ms, excluded.said_ms), acknowledges = excluded.acknowledges
            """,
            *columns(reporters, 9),
        )
        heard: dict[int, int] = {}
        for reporter in reporters:
            heard[reporter.environment_id] = max(heard.get(reporter.environment_id, 0), reporter.seen_ms)
        # Read before it is written: a row that is not to change would be locked all the same.
        await self._connection.execute(
            """
            INSERT INTO hearing AS h (environment_id, since_ms, heard_ms)
            SELECT u.id, u.at_ms, u.at_ms FROM unnest($1::bigint[], $2::bigint[]) AS u (id, at_ms)
            WHERE NOT EXISTS (SELECT FROM hearing k WHERE k.environment_id = u.id AND k.heard_ms > u.at_ms - $3)
            ORDER BY u.id
            ON CONFLICT (environment_id) DO UPDATE
            SET since_ms = CASE WHEN excluded.heard_ms - h.heard_ms > $4 THEN excluded.heard_ms ELSE h.since_ms END,
                heard_ms = greatest(h.heard_ms, excluded.heard_ms)
            """,
            *columns(sorted(heard.items()), 2),
            _HEARD_EVERY_MS,
            HEARING_GAP_MS,
        )

    async def said_goodbye(self, instances: Collection[tuple[int, str]]) -> None:
        """Note that these instances ended in good order."""
        if not instances:
            return
        await self._connection.execute(
            """
            UPDATE instances SET goodbye = true WHERE (environment_id, instance) IN (
                SELECT i.environment_id, i.instance FROM instances i
                JOIN unnest($1::bigint[], $2::text[]) AS u (id, instance)
                  ON i.environment_id = u.id AND i.instance = u.instance
                ORDER BY i.environment_id, i.instance COLLATE "C" FOR UPDATE OF i
            )
            """,
            *columns(instances, 2),
        )

    async def count_evaluations(self, counts: Sequence[EvaluationCount]) -> None:
        """Add to the counts; those of ramping flags by the minute too."""
        if not counts:
            return
        await self._connection.execute(
            """
            INSERT INTO evaluations (environment_id, flag, variant, service, day, count, last_at_ms)
            SELECT * FROM unnest(
                $1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[]
            ) AS u (environment_id, flag, variant, service, day, count, last_at_ms)
            ORDER BY environment_id, flag COLLATE "C", variant COLLATE "C", service COLLATE "C", day
            ON CONFLICT (environment_id, flag, variant, service, day) DO UPDATE
            SET count = evaluations.count + excluded.count,
                last_at_ms = greatest(evaluations.last_at_ms, excluded.last_at_ms)
            """,
            *columns(counts, 7),
        )
        minutes = [(row.environment_id, row.flag, row.service, row.last_ms // MINUTE_MS, row.times) for row in counts]
        await self._connection.execute(
            """
            INSERT INTO recent_evaluations (environment_id, flag, service, minute, times)
            SELECT u.environment_id, u.flag, u.service, u.minute, sum(u.times)
            FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
                AS u (environment_id, flag, service, minute, times)
            WHERE EXISTS (SELECT FROM ramps r WHERE r.environment_id = u.environment_id AND r.flag = u.flag AND r.live)
            GROUP BY u.environment_id, u.flag, u.service, u.minute
            ORDER BY u.environment_id, u.flag COLLATE "C", u.service COLLATE "C", u.minute
            ON CONFLICT (environment_id, flag, service, minute) DO UPDATE
            SET times = recent_evaluations.times + excluded.times
            """,
            *columns(minutes, 5),
        )

    async def reporters(self, environment_id: int, since_ms: int) -> list[Reporter]:
        """Return the instances that reported since then, by service and instance."""
        rows = await self._connection.fetch(
            """
            SELECT environment_id, instance, service, generation, revision, goodbye, seen_at_ms FROM instances
            WHERE environment_id = $1 AND seen_at_ms >= $2 ORDER BY service COLLATE "C", instance COLLATE "C"
            """,
            environment_id,
            since_ms,
        )
        return [Reporter(*row) for row in rows]

    async def anyone_reports(self, environment_id: int, since_ms: int) -> bool:
        """Whether any instance reported since then."""
        found: bool = await self._connection.fetchval(
            "SELECT EXISTS (SELECT FROM instances WHERE environment_id = $1 AND seen_at_ms >= $2)",
            environment_id,
            since_ms,
        )
        return found

    async def evaluated_since(self, project: str, flag: str, since_ms: int) -> list[str]:
        """Return the services that evaluated the flag since then in any environment, by name."""
        rows = await self._connection.fetch(
            """
            SELECT DISTINCT v.service COLLATE "C" AS service FROM evaluations v
            JOIN environments e ON e.id = v.environment_id JOIN projects p ON p.id = e.project_id
            WHERE p.key = $1 AND v.flag = $2 AND v.last_at_ms >= $3 ORDER BY 1
            """,
            project,
            flag,
            since_ms,
        )
        return [row["service"] for row in rows]

    async def cover(self, environment_id: int, flag: str, since_ms: int) -> list[ServiceCover]:
        """Return the services that evaluated the flag since then, by name, and whether they report."""
        rows = await self._connection.fetch(
            """
            SELECT e.service, sum(e.times)::bigint AS times, EXISTS (
                SELECT FROM ramp_reporters r JOIN ramps p ON p.id = r.ramp_id
                WHERE p.environment_id = $1 AND p.flag = $2 AND r.service = e.service AND r.last_row_ms >= $3
            ) AS reports
            FROM recent_evaluations e WHERE e.environment_id = $1 AND e.flag = $2 AND e.minute >= $3 / $4::bigint
            GROUP BY e.service ORDER BY e.service COLLATE "C"
            """,
            environment_id,
            flag,
            since_ms,
            MINUTE_MS,
        )
        return [ServiceCover(row["service"], row["times"], row["reports"]) for row in rows]

    async def count_vanished(self, ramp_id: str, now_ms: int) -> int:
        """Return how many instances that sent rows of the ramp ever fell silent without a goodbye."""
        await self._connection.execute(
            """
            UPDATE ramp_reporters SET vanished_at_ms = $2 WHERE (ramp_id, instance) IN (
                SELECT r.ramp_id, r.instance FROM ramp_reporters r
                JOIN ramps p ON p.id = r.ramp_id
                JOIN hearing h ON h.environment_id = p.environment_id
                JOIN instances i ON i.environment_id = p.environment_id AND i.instance = r.instance
                WHERE r.ramp_id = $1 AND r.vanished_at_ms IS NULL AND NOT i.goodbye
                  AND h.heard_ms >= $2 - $4::bigint
                  AND $2 - $3::bigint >= CASE
                      WHEN h.since_ms > i.seen_at_ms THEN h.since_ms + $5::bigint ELSE i.seen_at_ms END
                ORDER BY r.ramp_id, r.instance COLLATE "C" FOR UPDATE OF r SKIP LOCKED
            )
            """,
            uuid.UUID(ramp_id),
            now_ms,
            SILENT_MS,
            HEARING_GAP_MS,
            RECOVERY_MS,
        )
        count: int = await self._connection.fetchval(
            "SELECT count(*) FROM ramp_reporters WHERE ramp_id = $1 AND vanished_at_ms IS NOT NULL", uuid.UUID(ramp_id)
        )
        return count

    async def vanished(self, ramp_id: str) -> list[str]:
        """Return the services of those instances, one entry an instance, by name."""
        rows = await self._connection.fetch(
            """
            SELECT service FROM ramp_reporters WHERE ramp_id = $1 AND vanished_at_ms IS NOT NULL
            ORDER BY service COLLATE "C"
            """,
            uuid.UUID(ramp_id),
        )
        return [row["service"] for row in rows]
