"""Reported outcomes in PostgreSQL."""

import uuid
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from rheostat.model.flag import Flag
from rheostat.model.ramp import RampOverlay
from rheostat_server.adapters.storage.postgres.columns import columns
from rheostat_server.adapters.storage.postgres.reporters import MINUTE_MS, PostgresReporters
from rheostat_server.adapters.storage.postgres.units import PostgresUnits
from rheostat_server.outcomes.model import BatchKey, InboxRow, Increment, RampRow
from rheostat_server.outcomes.raw_units import UnitRule, rollout_of
from rheostat_server.outcomes.sampling import Sampling

_OVERLAY = msgspec.json.Decoder(RampOverlay)
_FLAG = msgspec.json.Decoder(Flag)
_INCREMENT = msgspec.json.Decoder(Increment)
_OF_RAMPS = ("sampled_units", "badly_sampled_units", "failing_units", "orphans", "ramp_reporters", "ramp_inbox")
"""Tables of which nothing is needed when a ramp is over."""


class PostgresOutcomes(PostgresUnits, PostgresReporters):
    """Fulfils ``OutcomeStore`` over one connection.

    Rows go in many at a time (unnest), sorted by key: two nodes that insert the same units in another order
    would deadlock.
    """

    async def claim(self, keys: Collection[BatchKey], at_ms: int) -> set[BatchKey]:
        """Keep these batches as counted; return those that were not before."""
        rows = await self._connection.fetch(
            """
            INSERT INTO batches (instance, sequence, received_at_ms)
            SELECT instance, sequence, $3 FROM unnest($1::text[], $2::bigint[]) AS b (instance, sequence)
            ORDER BY instance COLLATE "C", sequence
            ON CONFLICT DO NOTHING RETURNING instance, sequence
            """,
            *columns(keys, 2),
            at_ms,
        )
        return {BatchKey(row["instance"], row["sequence"]) for row in rows}

    async def existing_environments(self, ids: Collection[int]) -> set[int]:
        """Return those that exist, and keep them from being deleted until commit."""
        rows = await self._connection.fetch(
            "SELECT id FROM environments WHERE id = ANY($1::bigint[]) ORDER BY id FOR KEY SHARE", list(ids)
        )
        return {row["id"] for row in rows}

    async def lock_ramps(self, ramps: Collection[str]) -> dict[str, RampRow]:
        """Lock, until commit, those that are live; return them by id."""
        ids = sorted({known for ramp in ramps if (known := _uuid(ramp)) is not None})
        if not ids:
            return {}
        # A lock alone first: what is read with it would be from before the wait for it.
        live = await self._connection.fetch(
            "SELECT id FROM ramps WHERE id = ANY($1::uuid[]) AND live ORDER BY id FOR NO KEY UPDATE", ids
        )
        rows = await self._connection.fetch(
            """
            SELECT r.id, r.environment_id, p.key AS project, e.key AS environment, r.flag, s.body,
                   m.win, m.share, m.counted, m.estimate,
                   ARRAY(SELECT epoch FROM ramp_epochs WHERE ramp_id = r.id ORDER BY epoch) AS epochs,
                   ARRAY(SELECT exposure_ppm FROM ramp_epochs WHERE ramp_id = r.id ORDER BY epoch) AS exposures
            FROM ramps r JOIN environments e ON e.id = r.environment_id JOIN projects p ON p.id = e.project_id
            JOIN served s ON s.environment_id = r.environment_id AND s.kind = 'ramp' AND s.key = r.id::text
            LEFT JOIN sampling m ON m.ramp_id = r.id
            WHERE r.id = ANY($1::uuid[]) AND s.body IS NOT NULL
            """,
            [row["id"] for row in live],
        )
        return {str(row["id"]): _ramp(row) for row in rows}

    async def unit_rules(self, ramps: Collection[str]) -> dict[str, UnitRule]:
        """Return how these ramps name units, by id."""
        if not ramps:
            return {}
        rows = await self._connection.fetch(
            """
            SELECT r.id, r.unit_key, o.body AS overlay, f.body AS flag FROM ramps r
            JOIN served o ON o.environment_id = r.environment_id AND o.kind = 'ramp' AND o.key = r.id::text
            JOIN served f ON f.environment_id = r.environment_id AND f.kind = 'flag' AND f.key = r.flag
            WHERE r.id = ANY($1::uuid[]) AND o.body IS NOT NULL AND f.body IS NOT NULL
            """,
            [uuid.UUID(ramp) for ramp in ramps],
        )
        rules = {}
        for row in rows:
            overlay = _OVERLAY.decode(row["overlay"])
            rollout = rollout_of(_FLAG.decode(row["flag"]), overlay.rollout)
            if rollout is not None:
                rules[str(row["id"])] = UnitRule(key=row["unit_key"], overlay=overlay, rollout=rollout)
        return rules

    async def append(self, ramp: str, increments: Sequence[Increment], at_ms: int) -> None:
        """Append to the ramp's inbox, in commit order."""
        head = await self._connection.fetchval(
            "UPDATE ramps SET inbox_head = inbox_head + $2 WHERE id = $1 RETURNING inbox_head",
            uuid.UUID(ramp),
            len(increments),
        )
        await self._connection.execute(
            """
            INSERT INTO ramp_inbox (ramp_id, seq, at_ms, body)
            SELECT $1, $2 + place, $3, body FROM unnest($4::text[]) WITH ORDINALITY AS i (body, place)
            """,
            uuid.UUID(ramp),
            head - len(increments),
            at_ms,
            [msgspec.json.encode(increment).decode() for increment in increments],
        )

    async def prune(
        self, *, batches_before_ms: int, instances_before_ms: int, minutes_before_ms: int, limit: int
    ) -> int:
        """Forget batches received, instances last heard of, and minutes of evaluations before these times."""
        return max(
            await self._forget("batches", "received_at_ms < $2", limit, batches_before_ms),
            await self._forget("instances", "seen_at_ms < $2", limit, instances_before_ms),
            await self._forget("recent_evaluations", "minute < $2", limit, minutes_before_ms // MINUTE_MS),
        )

    async def forget_inbox(self, ramp_id: str, up_to_seq: int | None, limit: int) -> int:
        """Forget increments up to this one (``None``: all)."""
        where = "ramp_id = $2 AND ($3::bigint IS NULL OR seq <= $3) ORDER BY seq"
        return await self._forget("ramp_inbox", where, limit, uuid.UUID(ramp_id), up_to_seq)

    async def forget_inbox_before(self, ramp_id: str, before_ms: int, limit: int) -> int:
        """Forget increments that were appended before this time."""
        where = "ramp_id = $2 AND at_ms < $3 ORDER BY seq"
        return await self._forget("ramp_inbox", where, limit, uuid.UUID(ramp_id), before_ms)

    async def forget_units(self, ended_before_ms: int, limit: int) -> int:
        """Forget the units and increments of ramps that ended before this time."""
        most = 0
        for table in _OF_RAMPS:
            # The inner limit keeps this a look at each ended ramp, never at all units of those that live.
            rows = f"""
                SELECT u.row FROM ramps r
                CROSS JOIN LATERAL (SELECT ctid AS row FROM {table} WHERE ramp_id = r.id LIMIT $1) u
                WHERE NOT r.live AND r.ended_at_ms < $2 LIMIT $1
                """  # noqa: S608 - constant text
            most = max(most, await self._delete(table, rows, limit, ended_before_ms))
        return most

    async def forget_evaluations(self, before_day: int, limit: int) -> int:
        """Forget the counts of days before this one."""
        return await self._forget("evaluations", "day < $2", limit, before_day)

    async def _forget(self, table: str, where: str, limit: int, *arguments: Any) -> int:
        rows = f"SELECT ctid FROM {table} WHERE {where} LIMIT $1"  # noqa: S608 - constant text
        return await self._delete(table, rows, limit, *arguments)

    async def _delete(self, table: str, rows: str, limit: int, *arguments: Any) -> int:
        statement = f"DELETE FROM {table} WHERE ctid = ANY(ARRAY({rows}))"  # noqa: S608 - constant text
        done: str = await self._connection.execute(statement, limit, *arguments)
        return int(done.rpartition(" ")[2])

    async def inbox_after(self, ramp_id: str, seq: int, limit: int = 1000) -> list[InboxRow]:
        """Return the increments after this one, in commit order."""
        rows = await self._connection.fetch(
            "SELECT seq, at_ms, body FROM ramp_inbox WHERE ramp_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            uuid.UUID(ramp_id),
            seq,
            limit,
        )
        return [InboxRow(row["seq"], row["at_ms"], _INCREMENT.decode(row["body"])) for row in rows]

    async def exposed_requests(self, ramp_id: str, since_ms: int) -> tuple[int, int]:
        """Return how many requests of exposed users ended, and how many badly, in what was reported since then."""
        row = await self._connection.fetchrow(
            """
            SELECT coalesce(sum((row -> 'treatment' ->> 'ended')::bigint), 0)::bigint AS ended,
                   coalesce(sum((row -> 'treatment' ->> 'bad')::bigint), 0)::bigint AS bad
            FROM (SELECT body::jsonb AS row FROM ramp_inbox WHERE ramp_id = $1 AND at_ms > $2) rows
            WHERE (row ->> 'until_ms')::bigint > $2 AND NOT coalesce((row ->> 'late')::boolean, false)
            """,
            uuid.UUID(ramp_id),
            since_ms,
        )
        assert row is not None, "a sum is a row"
        return row["ended"], row["bad"]

    async def inbox_head(self, ramp_id: str) -> int:
        """Return the number of the ramp's newest increment."""
        head: int | None = await self._connection.fetchval(
            "SELECT inbox_head FROM ramps WHERE id = $1", uuid.UUID(ramp_id)
        )
        return head or 0

    async def distinct_exposed_units(self, ramp_id: str, epoch: int, arm: str = "treatment") -> int:
        """Return how many units of this arm finished a request in this epoch; where they are thinned an estimate."""
        count: int = await self._connection.fetchval(
            """
            SELECT coalesce(sum(greatest(units, round(estimate))), 0)::bigint FROM sampled_counts
            WHERE ramp_id = $1 AND epoch = $2 AND arm = $3
            """,
            uuid.UUID(ramp_id),
            epoch,
            arm,
        )
        return count


def _uuid(text: str) -> uuid.UUID | None:
    try:
        known = uuid.UUID(text)
    except ValueError:
        return None
    # A ramp's id has one spelling; others would be counted apart.
    return known if str(known) == text else None


def _ramp(row: Any) -> RampRow:
    overlay = _OVERLAY.decode(row["body"])
    exposures = {overlay.epoch: overlay.arm_ppm}
    exposures.update(zip(row["epochs"], row["exposures"], strict=True))
    return RampRow(
        ramp=str(row["id"]),
        environment_id=row["environment_id"],
        project=row["project"],
        environment=row["environment"],
        flag=row["flag"],
        levels=overlay.levels,
        exposures=exposures,
        slow_bounds_ms=overlay.slow_bounds_ms,
        arming_epoch=overlay.epoch if overlay.arming else None,
        sampling=Sampling()
        if row["win"] is None
        else Sampling(row["win"], row["share"], row["counted"], row["estimate"]),
    )
