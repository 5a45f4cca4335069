"""Flag documents in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from rheostat_server.errors import NotFound
from rheostat_server.ports.flags import FlagRow, FlagUse, FlagVersion

_COLUMNS = "id, project_id, key, version, document, created_at_ms, updated_at_ms, archived_at_ms"
_SELECT = f"SELECT {_COLUMNS} FROM flags"  # noqa: S608 - a constant
_VERSION = "SELECT version, document, action, actor, note, at_ms FROM flag_versions"


class PostgresFlags:
    """Fulfils ``FlagStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def of_project(self, project_id: int) -> list[FlagRow]:
        """Return all, archived ones too, in byte order of their keys."""
        rows = await self._connection.fetch(_SELECT + " WHERE project_id = $1 ORDER BY key", project_id)
        return [_flag(row) for row in rows]

    async def several(self, project_id: int, keys: Sequence[str]) -> list[FlagRow]:
        """Return those that exist, in byte order of their keys."""
        rows = await self._connection.fetch(
            _SELECT + " WHERE project_id = $1 AND key = ANY($2) ORDER BY key", project_id, sorted(set(keys))
        )
        return [_flag(row) for row in rows]

    async def with_prerequisites(self, project_id: int) -> list[FlagRow]:
        """Return all that are in service and may have a prerequisite, in byte order of their keys."""
        # Documents are stored without what they leave at its default, and inside a text the quotes would be escaped.
        rows = await self._connection.fetch(
            _SELECT
            + """
            WHERE project_id = $1 AND archived_at_ms IS NULL AND position('"prerequisites":' in document) > 0
            ORDER BY key
            """,
            project_id,
        )
        return [_flag(row) for row in rows]

    async def find(self, project_id: int, key: str) -> FlagRow | None:
        """Return one."""
        row = await self._connection.fetchrow(_SELECT + " WHERE project_id = $1 AND key = $2", project_id, key)
        return None if row is None else _flag(row)

    async def get(self, project_id: int, key: str) -> FlagRow:
        """Return one, or raise ``NotFound``."""
        row = await self.find(project_id, key)
        if row is None:
            raise NotFound(f"there is no flag {key!r}")
        return row

    async def lock(self, project_id: int, keys: Sequence[str]) -> dict[str, FlagRow]:
        """Return those that exist, by key, locked to the end of the transaction."""
        rows = await self._connection.fetch(
            _SELECT + " WHERE project_id = $1 AND key = ANY($2) ORDER BY key FOR UPDATE", project_id, sorted(set(keys))
        )
        return {row["key"]: _flag(row) for row in rows}

    async def create(
        self, project_id: int, key: str, document: bytes, *, action: str, actor: str, at_ms: int
    ) -> FlagRow:
        """Keep a new flag at version 1."""
        row = await self._connection.fetchrow(
            f"""
            INSERT INTO flags (project_id, key, version, document, created_at_ms, updated_at_ms)
            VALUES ($1, $2, 1, $3, $4, $4) RETURNING {_COLUMNS}
            """,  # noqa: S608 - a constant
            project_id,
            key,
            document.decode(),
            at_ms,
        )
        flag = _flag(row)
        await self._keep(flag, action, actor, at_ms, None)
        return flag

    async def write(
        self,
        flag_id: int,
        document: bytes,
        *,
        archived_at_ms: int | None,
        action: str,
        actor: str,
        at_ms: int,
        note: str | None = None,
    ) -> FlagRow:
        """Keep a next version of a flag."""
        row = await self._connection.fetchrow(
            f"""
            UPDATE flags SET version = version + 1, document = $2, archived_at_ms = $3, updated_at_ms = $4
            WHERE id = $1 RETURNING {_COLUMNS}
            """,  # noqa: S608 - a constant
            flag_id,
            document.decode(),
            archived_at_ms,
            at_ms,
        )
        flag = _flag(row)
        await self._keep(flag, action, actor, at_ms, note)
        return flag

    async def versions(self, flag_id: int) -> list[FlagVersion]:
        """Return every version, newest first."""
        rows = await self._connection.fetch(_VERSION + " WHERE flag_id = $1 ORDER BY version DESC", flag_id)
        return [_version(row) for row in rows]

    async def version(self, flag_id: int, version: int) -> FlagVersion:
        """Return one version, or raise ``NotFound``."""
        row = await self._connection.fetchrow(_VERSION + " WHERE flag_id = $1 AND version = $2", flag_id, version)
        if row is None:
            raise NotFound(f"there is no version {version}")
        return _version(row)

    async def uses(self, project_id: int, key: str, since_ms: int) -> list[FlagUse]:
        """Return who evaluated the flag since then, the latest first."""
        rows = await self._connection.fetch(
            """
            SELECT e.key AS environment, v.service, max(v.last_at_ms) AS last_at_ms
            FROM evaluations v JOIN environments e ON e.id = v.environment_id
            WHERE e.project_id = $1 AND v.flag = $2 AND v.last_at_ms >= $3
            GROUP BY e.key, v.service ORDER BY 3 DESC, 1, 2
            """,
            project_id,
            key,
            since_ms,
        )
        return [FlagUse(**row) for row in rows]

    async def _keep(self, flag: FlagRow, action: str, actor: str, at_ms: int, note: str | None) -> None:
        await self._connection.execute(
            """
            INSERT INTO flag_versions (flag_id, version, document, action, actor, note, at_ms)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """,
            flag.id,
            flag.version,
            flag.document.decode(),
            action,
            actor,
            note,
            at_ms,
        )


def _flag(row: Any) -> FlagRow:
    return FlagRow(**{**row, "document": row["document"].encode()})


def _version(row: Any) -> FlagVersion:
    return FlagVersion(**{**row, "document": row["document"].encode()})
