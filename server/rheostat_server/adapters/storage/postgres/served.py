"""What environments serve, in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from rheostat_server.ports.storage import ServedKind, ServedRow


class PostgresServed:
    """Fulfils ``ServedStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def put(self, environment_id: int, revision: int, kind: ServedKind, key: str, body: bytes | None) -> None:
        """Serve this body from this revision on; ``None`` removes."""
        await self._connection.execute(
            """
            INSERT INTO served (environment_id, kind, key, revision, body) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (environment_id, kind, key) DO UPDATE SET revision = excluded.revision, body = excluded.body
            """,
            environment_id,
            kind,
            key,
            revision,
            None if body is None else body.decode(),
        )

    async def since(self, environment_id: int, revision: int) -> list[ServedRow]:
        """Return the rows above this revision; from 0, only what is there."""
        rows = await self._connection.fetch(
            """
            SELECT kind, key, revision, body FROM served
            WHERE environment_id = $1 AND revision > $2 AND (body IS NOT NULL OR $2 > 0)
            ORDER BY revision, kind, key
            """,
            environment_id,
            revision,
        )
        return [
            ServedRow(row["kind"], row["key"], row["revision"], None if row["body"] is None else row["body"].encode())
            for row in rows
        ]

    async def of_flags(self, environment_ids: Sequence[int], keys: Sequence[str]) -> list[tuple[int, ServedRow]]:
        """Return what these environments serve of these flags, with the environment's id."""
        return await self._of(environment_ids, "flag", keys)

    async def of_segments(self, environment_ids: Sequence[int], keys: Sequence[str]) -> list[tuple[int, ServedRow]]:
        """Return what these environments serve of these segments, with the environment's id."""
        return await self._of(environment_ids, "segment", keys)

    async def _of(
        self, environment_ids: Sequence[int], kind: ServedKind, keys: Sequence[str]
    ) -> list[tuple[int, ServedRow]]:
        rows = await self._connection.fetch(
            """
            SELECT environment_id, kind, key, revision, body FROM served
            WHERE environment_id = ANY($1) AND kind = $2 AND key = ANY($3) AND body IS NOT NULL
            """,
            list(environment_ids),
            kind,
            list(keys),
        )
        return [_row(row) for row in rows]

    async def over_flags(self, environment_ids: Sequence[int]) -> list[tuple[int, ServedRow]]:
        """Return what stands over flags in these environments, with the environment's id: ramps and kills."""
        rows = await self._connection.fetch(
            """
            SELECT environment_id, kind, key, revision, body FROM served
            WHERE environment_id = ANY($1) AND kind IN ('ramp', 'kill') AND body IS NOT NULL
            ORDER BY environment_id, kind, key
            """,
            list(environment_ids),
        )
        return [_row(row) for row in rows]


def _row(row: Any) -> tuple[int, ServedRow]:
    return row["environment_id"], ServedRow(row["kind"], row["key"], row["revision"], row["body"].encode())
