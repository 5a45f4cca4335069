"""Where changes are kept that wait for their time. Adapter: postgres."""

import enum
from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from rheostat_server.errors import Fault


class ScheduledStatus(enum.StrEnum):
    """What became of a scheduled change. Only a pending one can still become something else."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ScheduledRow(msgspec.Struct, frozen=True, kw_only=True):
    """A scheduled change as stored. ``change`` is JSON; times are ms since the epoch. ``id`` is 0 until it is stored.

    ``environment`` is ``None`` for a change of the whole flag. ``at_text`` and ``timezone`` are the time as its
    author wrote it. ``change`` is ``None`` where it was not asked for: in lists.
    """

    project_id: int
    project: str
    flag: str
    environment: str | None
    at_ms: int
    at_text: str
    timezone: str | None
    change: bytes | None
    summary: str
    if_version: int | None
    note: str | None
    scheduled_by: str
    scheduled_at_ms: int
    id: int = 0
    status: ScheduledStatus = ScheduledStatus.PENDING
    ended_at_ms: int | None = None
    ended_by: str | None = None
    why: str | None = None
    faults: tuple[Fault, ...] = ()
    version: int | None = None


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A pending change whose time has come: enough to find it by."""

    id: int
    project_id: int
    project: str
    flag: str


class ScheduledStore(Protocol):
    """Scheduled changes. Writers of one project take turns by ``ProjectStore.lock``, before anything else."""

    async def add(self, row: ScheduledRow) -> ScheduledRow:
        """Keep a new one; return it with its id."""
        ...

    async def get(self, project_id: int, scheduled_id: int) -> ScheduledRow:
        """Return one.

        Raises:
            NotFound: there is none with this id in the project.
        """
        ...

    async def count_pending(self, project_id: int) -> int:
        """Return how many of a project are pending."""
        ...

    async def page(
        self,
        project_id: int,
        *,
        statuses: Collection[ScheduledStatus],
        flag: str | None = None,
        environment: str | None = None,
        after: int | None = None,
        latest_first: bool = False,
        limit: int = 100,
    ) -> list[ScheduledRow]:
        """Return those of these statuses by time and id, beyond that of the id ``after``.

        Those of a whole flag concern each environment.
        """
        ...

    async def due(self, now_ms: int) -> list[Due]:
        """Return pending ones of all projects whose time has come, by time and id."""
        ...

    async def end(self, row: ScheduledRow) -> bool:
        """Keep what became of a pending one; return whether it still was pending."""
        ...

    async def pending_of(
        self, project_id: int, *, flag: str | None = None, environment: str | None = None
    ) -> Sequence[ScheduledRow]:
        """Return the pending ones of exactly this flag, or environment, by time and id."""
        ...
