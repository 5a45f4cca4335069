"""Environments and their revisions in PostgreSQL."""

from collections.abc import Iterable
from typing import Any

from rheostat_server.errors import NotFound
from rheostat_server.ports.storage import EnvironmentRow, Heads

_SELECT = """
SELECT e.id, e.project_id, p.key AS project, e.key, e.name, e.revision, e.created_at_ms, e.default_template
FROM environments e JOIN projects p ON p.id = e.project_id
"""


_HEADS = f"""
SELECT m.generation, x.* FROM meta m LEFT JOIN ({_SELECT}) x ON true ORDER BY x.id
"""  # noqa: S608 - constants only


class PostgresEnvironments:
    """Fulfils ``EnvironmentStore`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def heads(self) -> Heads:
        """Return where every environment stands, in one query."""
        rows = await self._connection.fetch(_HEADS)
        environments = tuple(EnvironmentRow(**values) for row in rows if (values := _without_generation(row)))
        return Heads(rows[0]["generation"], environments)

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
        """Raise each revision by one, locking in ascending id; or raise ``NotFound``."""
        revisions: dict[int, int] = {}
        for environment_id in sorted(set(ids)):
            # One statement each: an UPDATE over several rows locks them in any order.
            revision = await self._connection.fetchval(
                "UPDATE environments SET revision = revision + 1 WHERE id = $1 RETURNING revision", environment_id
            )
            if revision is None:
                raise NotFound("the environment was deleted meanwhile")
            revisions[environment_id] = revision
        return revisions

    async def lock_to_delete(self, ids: Iterable[int]) -> None:
        """Hold these to the end of the transaction, in ascending id: nobody may begin to refer to one."""
        await self._connection.execute(
            "SELECT id FROM environments WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE", sorted(set(ids))
        )


def _without_generation(row: Any) -> dict[str, Any] | None:
    """Return the environment's columns; nothing where there is none (a database without environments)."""
    values = dict(row)
    del values["generation"]
    return values if values["id"] is not None else None
