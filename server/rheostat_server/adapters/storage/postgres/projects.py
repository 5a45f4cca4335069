"""Projects in PostgreSQL."""

from typing import Any

import asyncpg

from rheostat_server.errors import Conflict, NotFound
from rheostat_server.ports.projects import ProjectRow

_SELECT = "SELECT id, key, name, created_at_ms FROM projects"


class PostgresProjects:
    """Fulfils ``ProjectStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def all(self) -> list[ProjectRow]:
        """Return every project, by key."""
        rows = await self._connection.fetch(_SELECT + ' ORDER BY key COLLATE "C"')
        return [ProjectRow(**row) for row in rows]

    async def get(self, key: str) -> ProjectRow:
        """Return one, or raise ``NotFound``."""
        return self._found(key, await self._connection.fetchrow(_SELECT + " WHERE key = $1", key))

    async def lock(self, key: str, *, to_delete: bool = False) -> ProjectRow:
        """Return one, held to the end of the transaction."""
        # FOR UPDATE also stops everything that only refers to the project. Taken later than here it would deadlock.
        query = _SELECT + (" WHERE key = $1 FOR UPDATE" if to_delete else " WHERE key = $1 FOR NO KEY UPDATE")
        return self._found(key, await self._connection.fetchrow(query, key))

    async def add(self, key: str, name: str, at_ms: int) -> ProjectRow:
        """Make a project, or raise ``Conflict``."""
        row = await self._connection.fetchrow(
            """
            INSERT INTO projects (key, name, created_at_ms) VALUES ($1, $2, $3)
            ON CONFLICT (key) DO NOTHING RETURNING id, key, name, created_at_ms
            """,
            key,
            name,
            at_ms,
        )
        if row is None:
            raise Conflict(f"there is a project {key!r} already")
        return ProjectRow(**row)

    async def rename(self, project_id: int, name: str) -> None:
        """Give it another name."""
        await self._connection.execute("UPDATE projects SET name = $2 WHERE id = $1", project_id, name)

    async def delete(self, project_id: int) -> None:
        """Delete it with all that is in it."""
        await self._connection.execute("DELETE FROM projects WHERE id = $1", project_id)

    async def add_environment(self, project_id: int, key: str, name: str, at_ms: int) -> int:
        """Make an environment, or raise ``Conflict``."""
        added: int | None = await self._connection.fetchval(
            """
            INSERT INTO environments (project_id, key, name, created_at_ms) VALUES ($1, $2, $3, $4)
            ON CONFLICT (project_id, key) DO NOTHING RETURNING id
            """,
            project_id,
            key,
            name,
            at_ms,
        )
        if added is None:
            raise Conflict(f"there is an environment {key!r} already")
        return added

    async def change_environment(self, environment_id: int, *, name: str, default_template: str | None) -> None:
        """Give an environment another name, and the template that its ramps take by default."""
        await self._connection.execute(
            "UPDATE environments SET name = $2, default_template = $3 WHERE id = $1",
            environment_id,
            name,
            default_template,
        )

    async def delete_environment(self, environment_id: int) -> None:
        """Delete it with its keys, ramps, kills and counts."""
        await self._connection.execute("DELETE FROM environments WHERE id = $1", environment_id)

    def _found(self, key: str, row: asyncpg.Record | None) -> ProjectRow:
        if row is None:
            raise NotFound(f"there is no project {key!r}")
        return ProjectRow(**row)
