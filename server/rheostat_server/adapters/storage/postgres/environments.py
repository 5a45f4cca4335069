"""Environments and their revisions in PostgreSQL."""

from collections.abc import Iterable
from typing import Any

from rheostat_server.errors import NotFound
from rheostat_server.ports.storage import EnvironmentRow

_SELECT = """
SELECT e.id, e.project_id, p.key AS project, e.key, e.name, e.revision, e.created_at_ms
FROM environments e JOIN projects p ON p.id = e.project_id
"""


class PostgresEnvironments:
    """Fulfils ``EnvironmentStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def all(self) -> list[EnvironmentRow]:
        """Return every environment, by id."""
        rows = await self._connection.fetch(_SELECT + " ORDER BY e.id")
        return [EnvironmentRow(**row) for row in rows]

    async def of_project(self, project: str) -> list[EnvironmentRow]:
        """Return a project's environments, by id."""
        rows = await self._connection.fetch(_SELECT + " WHERE p.key = $1 ORDER BY e.id", project)
        return [EnvironmentRow(**row) for row in rows]

    async def get(self, project: str, key: str) -> EnvironmentRow:
        """Return one, or raise ``NotFound``."""
        row = await self._connection.fetchrow(_SELECT + " WHERE p.key = $1 AND e.key = $2", project, key)
        if row is None:
            raise NotFound(f"there is no environment {key!r} in project {project!r}")
        return EnvironmentRow(**row)

    async def bump(self, ids: Iterable[int]) -> dict[int, int]:
        """Raise each revision by one, locking in ascending id."""
        revisions: dict[int, int] = {}
        for environment_id in sorted(set(ids)):
            # One statement each: an UPDATE over several rows locks them in any order.
            revisions[environment_id] = await self._connection.fetchval(
                "UPDATE environments SET revision = revision + 1 WHERE id = $1 RETURNING revision", environment_id
            )
        return revisions
