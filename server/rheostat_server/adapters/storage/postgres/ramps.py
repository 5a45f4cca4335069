"""Ramps, their epochs and their decisions in PostgreSQL."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from rheostat_server.errors import Conflict, NotFound, VersionConflict
from rheostat_server.ports.ramps import DecisionRow, EpochMark, Origin, RampRow
from rheostat_server.ramps.model import Plan, State, Status

_COLUMNS = """
id, environment_id, flag, rollout, live, overlaid, version, plan, state, unit_key, declared_ppm, start_ppm,
started_by, started_at_ms, before_ramp, ended_at_ms, origin
"""
_SELECT = f"SELECT {_COLUMNS} FROM ramps"  # noqa: S608 - constant text
# Not FOR UPDATE: that would wait for, and hold up, the batches that add rows which refer to the ramp.
_HELD = " FOR NO KEY UPDATE"
_DECISIONS = """
SELECT seq, at_ms, kind, body FROM decisions
WHERE ramp_id = $1 AND seq > $3 AND ($4::text[] IS NULL OR kind = ANY($4)) AND ($5::bigint IS NULL OR at_ms >= $5)
"""
_PLAN = msgspec.json.Decoder(Plan)
_STATE = msgspec.json.Decoder(State)
_ORIGIN = msgspec.json.Decoder(Origin)


class PostgresRamps:
    """Fulfils ``RampStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def add(self, row: RampRow) -> None:
        """Keep a new ramp, or raise ``Conflict`` when another of its flag is live."""
        try:
            await self._connection.execute(
                """
                INSERT INTO ramps (id, environment_id, flag, rollout, status, live, overlaid, version, plan, state,
                    unit_key, declared_ppm, start_ppm, before_ramp, started_by, started_at_ms, ended_at_ms,
                    origin, digest, start_at_ms)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
                """,
                UUID(row.id),
                row.environment_id,
                row.flag,
                row.rollout,
                row.state.status.value,
                row.live,
                row.overlaid,
                row.version,
                msgspec.json.encode(row.plan).decode(),
                msgspec.json.encode(row.state).decode(),
                row.unit_key,
                row.declared_ppm,
                row.start_ppm,
                UUID(row.before_ramp) if row.before_ramp else None,
                row.started_by,
                row.started_at_ms,
                row.ended_at_ms,
                *_origin_columns(row),
                row.state.starts_ms,
            )
        except asyncpg.UniqueViolationError as error:
            raise _another(row) from error

    async def begin(self, row: RampRow) -> None:
        """Write all of a draft that starts, if the stored version is one below and still a draft."""
        try:
            done: str = await self._connection.execute(
                """
                UPDATE ramps SET status = $3, live = $4, overlaid = $5, version = $2, plan = $6, state = $7,
                    unit_key = $8, declared_ppm = $9, start_ppm = $10, before_ramp = $11, started_at_ms = $12,
                    origin = $13, digest = $14
                WHERE id = $1 AND version = $2 - 1 AND status = 'draft'
                """,
                UUID(row.id),
                row.version,
                row.state.status.value,
                row.live,
                row.overlaid,
                msgspec.json.encode(row.plan).decode(),
                msgspec.json.encode(row.state).decode(),
                row.unit_key,
                row.declared_ppm,
                row.start_ppm,
                UUID(row.before_ramp) if row.before_ramp else None,
                row.started_at_ms,
                *_origin_columns(row),
            )
        except asyncpg.UniqueViolationError as error:
            raise _another(row) from error
        _moved_on(done, row)

    async def get(self, ramp_id: str) -> RampRow:
        """Return a ramp, or raise ``NotFound``."""
        return await self._one(ramp_id, "")

    async def lock(self, ramp_id: str) -> RampRow:
        """Return a ramp and hold its row, or raise ``NotFound``."""
        return await self._one(ramp_id, _HELD)

    async def lock_of_flag(self, environment_id: int, flag: str) -> list[RampRow]:
        """Return, held, a flag's ramps that are live or overlaid, by id."""
        return await self._of_flag(environment_id, flag, _HELD)

    async def of_flag(self, environment_id: int, flag: str) -> list[RampRow]:
        """Return a flag's ramps that are live or overlaid, by id."""
        return await self._of_flag(environment_id, flag, "")

    async def lock_killed(self, environment_id: int, flag: str) -> list[RampRow]:
        """Return, held, a flag's ramps that were killed and not revived, by id."""
        rows = await self._connection.fetch(
            _SELECT + " WHERE environment_id = $1 AND flag = $2 AND status = $3 ORDER BY id" + _HELD,
            environment_id,
            flag,
            Status.KILLED.value,
        )
        return [_row(row) for row in rows]

    async def in_environment(self, environment_id: int, *, flag: str | None = None, limit: int = 100) -> list[RampRow]:
        """Return an environment's ramps, newest first."""
        rows = await self._connection.fetch(
            _SELECT
            + """
            WHERE environment_id = $1 AND ($2::text IS NULL OR flag = $2)
            ORDER BY started_at_ms DESC, id DESC LIMIT $3
            """,
            environment_id,
            flag,
            limit,
        )
        return [_row(row) for row in rows]

    async def of_document(self, environment_id: int, flag: str, rollout: str, digest: str) -> RampRow | None:
        """Return the newest ramp of this rollout that was started from the document with this digest."""
        row = await self._connection.fetchrow(
            _SELECT
            + """
            WHERE environment_id = $1 AND flag = $2 AND rollout = $3 AND digest = $4
            ORDER BY started_at_ms DESC, id DESC LIMIT 1
            """,
            environment_id,
            flag,
            rollout,
            digest,
        )
        return None if row is None else _row(row)

    async def live(self) -> list[RampRow]:
        """Return every live ramp, by id."""
        return [_row(row) for row in await self._connection.fetch(_SELECT + " WHERE live ORDER BY id")]

    async def live_in(self, environment_id: int) -> list[RampRow]:
        """Return an environment's live ramps, by id."""
        rows = await self._connection.fetch(_SELECT + " WHERE live AND environment_id = $1 ORDER BY id", environment_id)
        return [_row(row) for row in rows]

    async def due(self, now_ms: int) -> list[RampRow]:
        """Return the drafts whose time has come, in the order of their times."""
        rows = await self._connection.fetch(
            _SELECT + " WHERE status = 'draft' AND start_at_ms <= $1 ORDER BY start_at_ms, id", now_ms
        )
        return [_row(row) for row in rows]

    async def save(self, row: RampRow) -> None:
        """Write what may change of a ramp, if the stored version is one below."""
        try:
            done: str = await self._connection.execute(
                """
                UPDATE ramps SET status = $3, live = $4, overlaid = $5, version = $2, state = $6, ended_at_ms = $7
                WHERE id = $1 AND version = $2 - 1
                """,
                UUID(row.id),
                row.version,
                row.state.status.value,
                row.live,
                row.overlaid,
                msgspec.json.encode(row.state).decode(),
                row.ended_at_ms,
            )
        except asyncpg.UniqueViolationError as error:
            raise _another(row) from error
        _moved_on(done, row)

    async def add_epoch(self, ramp_id: str, mark: EpochMark) -> None:
        """Keep when an epoch began."""
        await self._connection.execute(
            """
            INSERT INTO ramp_epochs (ramp_id, epoch, exposure_ppm, at_ms) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING
            """,
            UUID(ramp_id),
            mark.epoch,
            mark.exposure_ppm,
            mark.at_ms,
        )

    async def epochs(self, ramp_id: str) -> list[EpochMark]:
        """Return a ramp's epochs in order."""
        rows = await self._connection.fetch(
            "SELECT epoch, exposure_ppm, at_ms FROM ramp_epochs WHERE ramp_id = $1 ORDER BY epoch", UUID(ramp_id)
        )
        return [EpochMark(*row) for row in rows]

    async def add_decision(self, ramp_id: str, row: DecisionRow) -> None:
        """Keep a decision."""
        await self._connection.execute(
            "INSERT INTO decisions (ramp_id, seq, at_ms, kind, body) VALUES ($1, $2, $3, $4, $5)",
            UUID(ramp_id),
            row.seq,
            row.at_ms,
            row.kind,
            bytes(row.body).decode(),
        )

    async def decisions(
        self,
        ramp_id: str,
        *,
        after: int = 0,
        limit: int = 200,
        kinds: Collection[str] = (),
        since_ms: int | None = None,
    ) -> list[DecisionRow]:
        """Return the decisions above ``after``, in order."""
        where = [_uuid(ramp_id), limit, after, list(kinds) or None, since_ms]
        rows = await self._connection.fetch(_DECISIONS + " ORDER BY seq LIMIT $2", *where)
        return [_decision(row) for row in rows]

    async def last_decisions(
        self, ramp_id: str, count: int, *, kinds: Collection[str] = (), since_ms: int | None = None
    ) -> list[DecisionRow]:
        """Return the newest decisions, in order."""
        where = [_uuid(ramp_id), count, 0, list(kinds) or None, since_ms]
        rows = await self._connection.fetch(_DECISIONS + " ORDER BY seq DESC LIMIT $2", *where)
        return [_decision(row) for row in reversed(rows)]

    async def _one(self, ramp_id: str, held: str) -> RampRow:
        row = await self._connection.fetchrow(_SELECT + " WHERE id = $1" + held, _uuid(ramp_id))
        if row is None:
            raise NotFound(f"there is no ramp {ramp_id!r}")
        return _row(row)

    async def _of_flag(self, environment_id: int, flag: str, held: str) -> list[RampRow]:
        rows = await self._connection.fetch(
            _SELECT + " WHERE environment_id = $1 AND flag = $2 AND (live OR overlaid) ORDER BY id" + held,
            environment_id,
            flag,
        )
        return [_row(row) for row in rows]


def _uuid(ramp_id: str) -> UUID:
    try:
        return UUID(ramp_id)
    except ValueError as error:
        raise NotFound(f"there is no ramp {ramp_id!r}") from error


def _origin_columns(row: RampRow) -> tuple[str | None, str | None]:
    if row.origin is None:
        return None, None
    return msgspec.json.encode(row.origin).decode(), row.origin.digest


def _another(row: RampRow) -> Conflict:
    return Conflict(f"another ramp of flag {row.flag!r} is live")


def _moved_on(done: str, row: RampRow) -> None:
    if done != "UPDATE 1":
        raise VersionConflict(f"ramp {row.id} moved on from version {row.version - 1}")


def _decision(row: Any) -> DecisionRow:
    return DecisionRow(seq=row["seq"], at_ms=row["at_ms"], kind=row["kind"], body=msgspec.Raw(row["body"].encode()))


def _row(row: Any) -> RampRow:
    return RampRow(
        id=str(row["id"]),
        environment_id=row["environment_id"],
        flag=row["flag"],
        rollout=row["rollout"],
        live=row["live"],
        overlaid=row["overlaid"],
        version=row["version"],
        plan=_PLAN.decode(row["plan"]),
        state=_STATE.decode(row["state"]),
        unit_key=bytes(row["unit_key"]),
        declared_ppm=row["declared_ppm"],
        start_ppm=row["start_ppm"],
        started_by=row["started_by"],
        started_at_ms=row["started_at_ms"],
        before_ramp=str(row["before_ramp"]) if row["before_ramp"] else None,
        ended_at_ms=row["ended_at_ms"],
        origin=_ORIGIN.decode(row["origin"]) if row["origin"] else None,
    )
