"""The beats of ramps in PostgreSQL."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from rheostat_server.ports.beats import BeatRow


class PostgresBeats:
    """Fulfils ``BeatStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def beat(self, ramp_ids: Collection[str]) -> None:
        """Raise the beats of these ramps, in one statement."""
        if not ramp_ids:
            return
        # In the order of their ids, or two nodes could deadlock; a ramp that was deleted meanwhile is left out.
        await self._connection.execute(
            """
            INSERT INTO ramp_beats AS b (ramp_id, beat)
            SELECT r.id, 1 FROM ramps r WHERE r.id = ANY($1::uuid[]) ORDER BY r.id
            ON CONFLICT (ramp_id) DO UPDATE SET beat = b.beat + 1
            """,
            [UUID(ramp_id) for ramp_id in ramp_ids],
        )

    async def of_live(self) -> list[BeatRow]:
        """Return the beats of all live ramps, by id."""
        rows = await self._connection.fetch(
            """
            SELECT r.id, coalesce(b.beat, 0) AS beat FROM ramps r LEFT JOIN ramp_beats b ON b.ramp_id = r.id
            WHERE r.live ORDER BY r.id
            """
        )
        return [BeatRow(str(row["id"]), row["beat"]) for row in rows]

    async def forget(self) -> None:
        """Forget the beats of ramps that are over, or were deleted."""
        await self._connection.execute(
            "DELETE FROM ramp_beats b WHERE NOT EXISTS (SELECT FROM ramps r WHERE r.id = b.ramp_id AND r.live)"
        )

    async def alarm(self, seen: BeatRow) -> bool:
        """Keep that somebody was told that this ramp stands still at this beat."""
        done: str = await self._connection.execute(
            """
            INSERT INTO ramp_beats AS b (ramp_id, beat, alarmed)
            SELECT r.id, $2::bigint, $2::bigint FROM ramps r WHERE r.id = $1 AND r.live
            ON CONFLICT (ramp_id) DO UPDATE SET alarmed = excluded.alarmed
            WHERE b.beat = excluded.beat AND b.alarmed IS DISTINCT FROM excluded.alarmed
            """,
            UUID(seen.ramp_id),
            seen.beat,
        )
        return done == "INSERT 0 1"
