"""Where the secrets of hooks are kept, hashed. Adapter: postgres."""

from typing import Protocol

import msgspec


class HookRow(msgspec.Struct, frozen=True, kw_only=True):
    """A hook's secret as stored. Times are ms since the epoch. Empty ``environments`` or ``flags``: any."""

    id: str
    project: str
    environments: tuple[str, ...]
    flags: tuple[str, ...]
    hash: bytes
    hint: str
    label: str
    created_at_ms: int
    expires_at_ms: int | None = None
    last_used_at_ms: int | None = None
    revoked_at_ms: int | None = None


class HookStore(Protocol):
    """Secrets of hooks. Nothing is ever deleted but with its project: revoked ones stay listed."""

    async def add(self, row: HookRow) -> None:
        """Keep a new one.

        Raises:
            NotFound: there is no such project.
        """
        ...

    async def of_project(self, project: str) -> list[HookRow]:
        """Return a project's, oldest first."""
        ...

    async def by_hash(self, digest: bytes) -> HookRow | None:
        """Return the one with this hash."""
        ...

    async def lock(self, project: str, hook_id: str) -> HookRow:
        """Return one of a project, and hold its row to the end of the transaction, or raise ``NotFound``."""
        ...

    async def revoke(self, hook_id: str, at_ms: int) -> None:
        """Refuse it from now on."""
        ...

    async def used(self, hook_id: str, at_ms: int) -> None:
        """Note that it was used; never an earlier time than the one noted."""
        ...
