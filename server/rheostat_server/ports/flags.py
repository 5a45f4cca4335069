"""Where flag documents are kept, every version of them. Adapter: postgres."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class FlagRow(msgspec.Struct, frozen=True, kw_only=True):
    """A flag as stored. ``document`` is the JSON of a ``FlagDocument``; times are ms since the epoch."""

    id: int
    project_id: int
    key: str
    version: int
    document: bytes
    created_at_ms: int
    updated_at_ms: int
    archived_at_ms: int | None = None


class FlagVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a flag's document, and who wrote it."""

    version: int
    document: bytes
    action: str
    actor: str
    note: str | None
    at_ms: int


class FlagUse(msgspec.Struct, frozen=True, kw_only=True):
    """That a service evaluated a flag, and when it last did."""

    environment: str
    service: str
    last_at_ms: int


class FlagStore(Protocol):
    """Flag documents. Writers of one project take turns by ``ProjectStore.lock``, before anything else."""

    async def of_project(self, project_id: int) -> list[FlagRow]:
        """Return all, archived ones too, in byte order of their keys."""
        ...

    async def several(self, project_id: int, keys: Sequence[str]) -> list[FlagRow]:
        """Return those that exist, archived ones too, in byte order of their keys."""
        ...

    async def with_prerequisites(self, project_id: int) -> list[FlagRow]:
        """Return all that are in service and may have a prerequisite, in byte order of their keys."""
        ...

    async def find(self, project_id: int, key: str) -> FlagRow | None:
        """Return one."""
        ...

    async def get(self, project_id: int, key: str) -> FlagRow:
        """Return one.

        Raises:
            NotFound: there is no such flag.
        """
        ...

    async def lock(self, project_id: int, keys: Sequence[str]) -> dict[str, FlagRow]:
        """Return those that exist, by key, locked to the end of the transaction in byte order of their keys."""
        ...

    async def create(
        self, project_id: int, key: str, document: bytes, *, action: str, actor: str, at_ms: int
    ) -> FlagRow:
        """Keep a new flag at version 1."""
        ...

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
        ...

    async def versions(self, flag_id: int) -> list[FlagVersion]:
        """Return every version, newest first."""
        ...

    async def version(self, flag_id: int, version: int) -> FlagVersion:
        """Return one version.

        Raises:
            NotFound: there is no such version.
        """
        ...

    async def uses(self, project_id: int, key: str, since_ms: int) -> list[FlagUse]:
        """Return who evaluated the flag since then, the latest first: one row an environment and service."""
        ...
