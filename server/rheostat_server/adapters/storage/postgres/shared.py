"""Segments and layers in PostgreSQL."""

from typing import Any

from rheostat_server.errors import NotFound
from rheostat_server.ports.flags import FlagRow, FlagVersion
from rheostat_server.ports.shared import SharedKind, SharedRow

_COLUMNS = "id, project_id, kind, key, version, document, created_at_ms, updated_at_ms, deleted_at_ms"
_SELECT = f"SELECT {_COLUMNS} FROM shared_documents"  # noqa: S608 - a constant
_VERSION = "SELECT version, document, action, actor, NULL AS note, at_ms FROM shared_versions"


class PostgresShared:
    """Fulfils ``SharedStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def of_project(self, project_id: int, kind: SharedKind) -> list[SharedRow]:
        """Return all that are not deleted, in byte order of their keys."""
        rows = await self._connection.fetch(
            _SELECT + " WHERE project_id = $1 AND kind = $2 AND deleted_at_ms IS NULL ORDER BY key", project_id, kind
        )
        return [_shared(row) for row in rows]

    async def keys(self, project_id: int, kind: SharedKind) -> list[str]:
        """Return the keys of all that are not deleted."""
        rows = await self._connection.fetch(
            "SELECT key FROM shared_documents WHERE project_id = $1 AND kind = $2 AND deleted_at_ms IS NULL",
            project_id,
            kind,
        )
        return [row["key"] for row in rows]

    async def users(self, project_id: int, kind: SharedKind) -> list[FlagRow]:
        """Return all flags in service that may name one of this kind, in byte order of their keys."""
        # A document names it in a field that is called as its kind; inside a text the quotes would be escaped.
        rows = await self._connection.fetch(
            """
            SELECT id, project_id, key, version, document, created_at_ms, updated_at_ms, archived_at_ms FROM flags
            WHERE project_id = $1 AND archived_at_ms IS NULL AND position($2 in document) > 0
            ORDER BY key
            """,
            project_id,
            f'"{kind}":',
        )
        return [FlagRow(**{**row, "document": row["document"].encode()}) for row in rows]

    async def naming_segments(self, project_id: int) -> list[SharedRow]:
        """Return the segments, none deleted, that may name another."""
        rows = await self._connection.fetch(
            _SELECT
            + """
            WHERE project_id = $1 AND kind = 'segment' AND deleted_at_ms IS NULL
            AND position('"segment":' in document) > 0 ORDER BY key
            """,
            project_id,
        )
        return [_shared(row) for row in rows]

    async def find(self, project_id: int, kind: SharedKind, key: str) -> SharedRow | None:
        """Return one, a deleted one too."""
        row = await self._connection.fetchrow(
            _SELECT + " WHERE project_id = $1 AND kind = $2 AND key = $3", project_id, kind, key
        )
        return None if row is None else _shared(row)

    async def write(
        self,
        project_id: int,
        kind: SharedKind,
        key: str,
        document: bytes,
        *,
        deleted_at_ms: int | None,
        action: str,
        actor: str,
        at_ms: int,
    ) -> SharedRow:
        """Keep a next version; the first where there is none."""
        row = await self._connection.fetchrow(
            f"""
            INSERT INTO shared_documents AS s
                (project_id, kind, key, version, document, created_at_ms, updated_at_ms, deleted_at_ms)
            VALUES ($1, $2, $3, 1, $4, $5, $5, $6)
            ON CONFLICT (project_id, kind, key) DO UPDATE
            SET version = s.version + 1, document = $4, updated_at_ms = $5, deleted_at_ms = $6
            RETURNING {_COLUMNS}
            """,  # noqa: S608 - a constant
            project_id,
            kind,
            key,
            document.decode(),
            at_ms,
            deleted_at_ms,
        )
        shared = _shared(row)
        await self._connection.execute(
            """
            INSERT INTO shared_versions (shared_id, version, document, action, actor, at_ms)
            VALUES ($1, $2, $3, $4, $5, $6)
            """,
            shared.id,
            shared.version,
            document.decode(),
            action,
            actor,
            at_ms,
        )
        return shared

    async def versions(self, shared_id: int) -> list[FlagVersion]:
        """Return every version, newest first."""
        rows = await self._connection.fetch(_VERSION + " WHERE shared_id = $1 ORDER BY version DESC", shared_id)
        return [_version(row) for row in rows]

    async def version(self, shared_id: int, version: int) -> FlagVersion:
        """Return one version, or raise ``NotFound``."""
        row = await self._connection.fetchrow(_VERSION + " WHERE shared_id = $1 AND version = $2", shared_id, version)
        if row is None:
            raise NotFound(f"there is no version {version}")
        return _version(row)


def _shared(row: Any) -> SharedRow:
    return SharedRow(**{**row, "document": row["document"].encode()})


def _version(row: Any) -> FlagVersion:
    return FlagVersion(**{**row, "document": row["document"].encode()})
