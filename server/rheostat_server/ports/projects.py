"""Where projects are kept. Adapter: postgres."""

from typing import Protocol

import msgspec


class ProjectRow(msgspec.Struct, frozen=True, kw_only=True):
    """A project as stored. ``created_at_ms`` is ms since the epoch."""

    id: int
    key: str
    name: str
    created_at_ms: int


class ProjectStore(Protocol):
    """Projects, and the making and deleting of environments."""

    async def all(self) -> list[ProjectRow]:
        """Return every project, by key."""
        ...

    async def get(self, key: str) -> ProjectRow:
        """Return one.

        Raises:
            NotFound: there is no such project.
        """
        ...

    async def lock(self, key: str, *, to_delete: bool = False) -> ProjectRow:
        """Return one, held to the end of the transaction: writers of its flags and environments take turns.

        ``to_delete``: nobody may begin to refer to it either. It comes before every other lock. A rule over several
        flags (prerequisites exist, none is circular) could otherwise be broken by two writes that are each right.

        Raises:
            NotFound: there is no such project.
        """
        ...

    async def add(self, key: str, name: str, at_ms: int) -> ProjectRow:
        """Make a project.

        Raises:
            Conflict: there is one with this key.
        """
        ...

    async def rename(self, project_id: int, name: str) -> None:
        """Give it another name; the key is for ever."""
        ...

    async def delete(self, project_id: int) -> None:
        """Delete it with all that is in it."""
        ...

    async def add_environment(self, project_id: int, key: str, name: str, at_ms: int) -> int:
        """Make an environment at revision 0; return its id.

        Raises:
            Conflict: the project has one with this key.
        """
        ...

    async def change_environment(self, environment_id: int, *, name: str, default_template: str | None) -> None:
        """Give an environment another name, and the template that its ramps take by default."""
        ...

    async def delete_environment(self, environment_id: int) -> None:
        """Delete it with its keys, ramps, kills and counts."""
        ...
