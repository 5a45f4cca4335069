"""Keys and tokens in PostgreSQL."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rheostat_server.access.model import Scope, TokenKind
from rheostat_server.errors import Conflict, NotFound
from rheostat_server.ports.access import TokenRow

_SELECT = """
SELECT t.id, t.kind, t.scope, t.hash, t.hint, t.label, p.key AS project, t.environment_id, e.key AS environment,
       t.created_at_ms, t.expires_at_ms, t.last_used_at_ms, t.revoked_at_ms
FROM tokens t LEFT JOIN projects p ON p.id = t.project_id LEFT JOIN environments e ON e.id = t.environment_id
"""


class PostgresTokens:
    """Fulfils ``TokenStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def all(self) -> list[TokenRow]:
        """Return every one, oldest first."""
        return [_row(row) for row in await self._connection.fetch(_SELECT + " ORDER BY t.created_at_ms, t.id")]

    async def get(self, token_id: str) -> TokenRow:
        """Return one, locked, or raise ``NotFound``."""
        try:
            wanted = UUID(token_id)
        except ValueError as error:
            raise NotFound(f"there is no key or token {token_id!r}") from error
        row = await self._connection.fetchrow(_SELECT + " WHERE t.id = $1 FOR UPDATE OF t", wanted)
        if row is None:
            raise NotFound(f"there is no key or token {token_id!r}")
        return _row(row)

    async def by_hash(self, digest: bytes) -> TokenRow | None:
        """Return the one with this hash."""
        row = await self._connection.fetchrow(_SELECT + " WHERE t.hash = $1", digest)
        return None if row is None else _row(row)

    async def add(self, row: TokenRow) -> None:
        """Keep a new one, or raise ``Conflict``; ``NotFound`` where its project or environment is gone."""
        project_id = None if row.project is None else await self._project(row.project)
        added = await self._connection.fetchval(
            """
            INSERT INTO tokens (id, kind, scope, hash, hint, label, project_id, environment_id, created_at_ms,
                                expires_at_ms)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (hash) DO NOTHING RETURNING id
            """,
            UUID(row.id),
            row.kind.value,
            row.scope.value,
            row.hash,
            row.hint,
            row.label,
            project_id,
            row.environment_id,
            row.created_at_ms,
            row.expires_at_ms,
        )
        if added is None:
            raise Conflict("this secret is in use already")

    async def _project(self, key: str) -> int:
        # Held to the end: were it deleted meanwhile, the token would be of no project, and so of every one.
        found: int | None = await self._connection.fetchval("SELECT id FROM projects WHERE key = $1 FOR KEY SHARE", key)
        if found is None:
            raise NotFound(f"there is no project {key!r}")
        return found

    async def change(self, token_id: str, *, label: str, expires_at_ms: int | None, revoked_at_ms: int | None) -> None:
        """Write what can change about one."""
        await self._connection.execute(
            "UPDATE tokens SET label = $2, expires_at_ms = $3, revoked_at_ms = $4 WHERE id = $1",
            UUID(token_id),
            label,
            expires_at_ms,
            revoked_at_ms,
        )

    async def used(self, at_ms: Mapping[str, int]) -> None:
        """Note when each was last used, by id."""
        ids = sorted(at_ms)
        # The rows are locked in the order of their ids, or two nodes that note the same ones could deadlock.
        await self._connection.execute(
            """
            WITH seen AS (SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS s (id, at_ms)),
                 held AS (SELECT t.id FROM tokens t JOIN seen s ON s.id = t.id ORDER BY t.id FOR UPDATE OF t)
            UPDATE tokens t SET last_used_at_ms = greatest(t.last_used_at_ms, s.at_ms)
            FROM seen s JOIN held h ON h.id = s.id WHERE t.id = s.id
            """,
            [UUID(token_id) for token_id in ids],
            [at_ms[token_id] for token_id in ids],
        )

    async def raise_access_revision(self) -> int:
        """Raise the number that tells every node to read the keys again."""
        value: int = await self._connection.fetchval(
            "UPDATE meta SET access_revision = access_revision + 1 RETURNING access_revision"
        )
        return value


def _row(row: Any) -> TokenRow:
    return TokenRow(
        **{**row, "id": str(row["id"]), "kind": TokenKind(row["kind"]), "scope": Scope(row["scope"])},
    )
