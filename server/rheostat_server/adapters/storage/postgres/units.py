"""The memory of a ramp's units in PostgreSQL: who failed, who was sampled, what the dead left open."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rheostat_server.adapters.storage.postgres.columns import columns
from rheostat_server.outcomes.model import (
    BadlySampled,
    FailingMemory,
    FailingRow,
    OrphanKey,
    SampledMemory,
    SampledRow,
    UnitCount,
    UnitKey,
)
from rheostat_server.outcomes.sampling import Sampling

# Each look at a unit is one descent of an index: LIMIT keeps the planner from reading a whole table instead, which it
# would for many units at once.
_OF_UNIT = "s.ramp_id = n.ramp_id AND s.unit = n.unit"
_RECALL_SAMPLED = f"""
SELECT n.place, x.known, x.failed, w.win,
    x.known AND (
        SELECT true FROM sampled_units s WHERE {_OF_UNIT} AND s.epoch = n.epoch ORDER BY s.win DESC LIMIT 1
    ) IS NOT NULL AS epoch,
    x.known AND (SELECT true FROM sampled_units s WHERE {_OF_UNIT} AND s.win = n.win - 1 LIMIT 1) IS NOT NULL AS before,
    w.win AND (
        SELECT true FROM sampled_units s WHERE {_OF_UNIT} AND s.win = n.win AND s.epoch = n.epoch LIMIT 1
    ) IS NOT NULL AS same,
    CASE WHEN x.known AND NOT w.win
        THEN (SELECT s.measures FROM badly_sampled_units s WHERE {_OF_UNIT} LIMIT 1)
    END AS bad
FROM unnest($1::uuid[], $2::bytea[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS n (ramp_id, unit, win, epoch, place)
CROSS JOIN LATERAL (
    SELECT (SELECT true FROM sampled_units s WHERE {_OF_UNIT} LIMIT 1) IS NOT NULL AS known,
           (SELECT true FROM failing_units s WHERE {_OF_UNIT} LIMIT 1) IS NOT NULL AS failed
    OFFSET 0
) x
CROSS JOIN LATERAL (
    SELECT x.known AND (
        SELECT true FROM sampled_units s WHERE {_OF_UNIT} AND s.win = n.win LIMIT 1
    ) IS NOT NULL AS win
    OFFSET 0
) w
WHERE x.known OR x.failed
"""  # noqa: S608 - constant text
_RECALL_FAILING = f"""
SELECT n.place, f.last_at_ms, f.k,
    (SELECT true FROM sampled_units s WHERE {_OF_UNIT} LIMIT 1) IS NOT NULL AS sampled
FROM unnest($1::uuid[], $2::bytea[]) WITH ORDINALITY AS n (ramp_id, unit, place)
LEFT JOIN LATERAL (
    SELECT s.last_at_ms, s.k FROM failing_units s WHERE {_OF_UNIT} LIMIT 1
) f ON true
"""  # noqa: S608 - constant text


class PostgresUnits:
    """The part of ``OutcomeStore`` that remembers units, over one connection.

    The ramps of all rows must be locked: what was recalled of a unit is then still so when it is remembered.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def claim_orphans(self, keys: Collection[OrphanKey]) -> set[OrphanKey]:
        """Keep these orphaned requests as counted; return those that were not before."""
        if not keys:
            return set()
        rows = await self._connection.fetch(
            """
            INSERT INTO orphans (ramp_id, instance, note)
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS o (ramp_id, instance, note)
            ORDER BY ramp_id, instance COLLATE "C", note
            ON CONFLICT DO NOTHING RETURNING ramp_id, instance, note
            """,
            *columns(keys, 3),
        )
        return {OrphanKey(str(row["ramp_id"]), row["instance"], row["note"]) for row in rows}

    async def recall_failing(self, units: Collection[UnitKey]) -> dict[UnitKey, FailingMemory]:
        """Return what is known of these units that fail."""
        if not units:
            return {}
        asked = list(units)
        rows = await self._connection.fetch(_RECALL_FAILING, *columns(asked, 2))
        return {
            asked[row["place"] - 1]: FailingMemory(row["last_at_ms"], row["k"] or 0, row["sampled"])
            for row in rows
            if row["k"] is not None or row["sampled"]
        }

    async def recall_sampled(self, rows: Sequence[SampledRow]) -> dict[SampledRow, SampledMemory]:
        """Return what is known of the units of these samples."""
        if not rows:
            return {}
        known = await self._connection.fetch(_RECALL_SAMPLED, *columns(rows, 9)[:4])
        return {
            rows[row["place"] - 1]: SampledMemory(
                ramp=row["known"],
                epoch=row["epoch"],
                before=row["before"],
                window=row["win"],
                row=row["same"],
                failed=row["failed"],
                bad=row["bad"] or 0,
            )
            for row in known
        }

    async def remember_failing(self, rows: Sequence[FailingRow]) -> None:
        """Remember failing units; the first failure that was ever remembered stands."""
        if not rows:
            return
        await self._connection.execute(
            """
            INSERT INTO failing_units (ramp_id, unit, first_arm, first_epoch, first_at_ms, last_at_ms, k)
            SELECT * FROM unnest(
                $1::uuid[], $2::bytea[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]
            ) AS u (ramp_id, unit, arm, epoch, first_ms, last_ms, k) ORDER BY ramp_id, unit
            ON CONFLICT (ramp_id, unit) DO UPDATE SET last_at_ms = excluded.last_at_ms, k = excluded.k
            """,
            *columns(rows, 7),
        )

    async def remember_sampled(self, rows: Sequence[SampledRow]) -> None:
        """Remember samples."""
        if not rows:
            return
        await self._connection.execute(
            """
            INSERT INTO sampled_units (ramp_id, unit, win, epoch, arm, bad)
            SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::bigint[], $4::bigint[], $5::text[], $6::boolean[])
                AS u (ramp_id, unit, win, epoch, arm, bad) ORDER BY ramp_id, unit, win, epoch
            ON CONFLICT DO NOTHING
            """,
            *columns(rows, 9)[:6],
        )

    async def remember_badly_sampled(self, rows: Sequence[BadlySampled]) -> None:
        """Remember what these units were bad to, beside what is remembered."""
        if not rows:
            return
        await self._connection.execute(
            """
            INSERT INTO badly_sampled_units (ramp_id, unit, measures)
            SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::bigint[]) AS u (ramp_id, unit, measures)
            ORDER BY ramp_id, unit
            ON CONFLICT (ramp_id, unit) DO UPDATE SET measures = badly_sampled_units.measures | excluded.measures
            """,
            *columns(rows, 3),
        )

    async def note_sampling(
        self,
        sampling: Mapping[str, Sampling],
        arming_arrivals: Mapping[tuple[str, int], int],
        units: Sequence[UnitCount],
    ) -> None:
        """Keep how ramps are sampled; add arrivals while arming, and units of epochs."""
        if units:
            await self._connection.execute(
                """
                INSERT INTO sampled_counts (ramp_id, epoch, arm, units, estimate)
                SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::float8[])
                ON CONFLICT (ramp_id, epoch, arm) DO UPDATE
                SET units = sampled_counts.units + excluded.units,
                    estimate = sampled_counts.estimate + excluded.estimate
                """,
                *columns(units, 5),
            )
        if sampling:
            states = [
                (ramp, each.window, each.share, each.counted, each.estimate) for ramp, each in sorted(sampling.items())
            ]
            await self._connection.execute(
                """
                INSERT INTO sampling (ramp_id, win, share, counted, estimate)
                SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::float8[], $4::bigint[], $5::float8[])
                ON CONFLICT (ramp_id) DO UPDATE
                SET win = excluded.win, share = excluded.share, counted = excluded.counted,
                    estimate = excluded.estimate
                """,
                *columns(states, 5),
            )
        if arming_arrivals:
            counts = [(ramp, level, units) for (ramp, level), units in sorted(arming_arrivals.items())]
            await self._connection.execute(
                """
                INSERT INTO arming_arrivals (ramp_id, level_ppm, arrivals)
                SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[])
                ON CONFLICT (ramp_id, level_ppm) DO UPDATE SET arrivals = arming_arrivals.arrivals + excluded.arrivals
                """,
                *columns(counts, 3),
            )

    async def arming_arrivals(self, ramp_id: str) -> tuple[tuple[int, int], ...]:
        """Return, by level, how many units that arrived while arming it exposes first."""
        rows = await self._connection.fetch(
            "SELECT level_ppm, arrivals FROM arming_arrivals WHERE ramp_id = $1 ORDER BY level_ppm", uuid.UUID(ramp_id)
        )
        return tuple((row["level_ppm"], row["arrivals"]) for row in rows)
