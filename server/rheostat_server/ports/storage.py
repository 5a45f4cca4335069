"""One transaction over everything that is stored. Adapter: postgres.

Rows are locked in one order everywhere, or two writers deadlock: the project, flags, ramps, environments (ascending
id), then all else. An environment's row is held to commit, which makes its revisions gapless and in
commit order.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, TypeVar

import msgspec

from rheostat_server.ports.access import TokenStore
from rheostat_server.ports.beats import BeatStore
from rheostat_server.ports.flags import FlagStore
from rheostat_server.ports.hooks import HookStore
from rheostat_server.ports.notifications import ChannelStore, OutboxStore
from rheostat_server.ports.outcomes import OutcomeStore
from rheostat_server.ports.projects import ProjectStore
from rheostat_server.ports.ramps import KillStore, LeaseStore, RampStore
from rheostat_server.ports.readback import ReadbackStore
from rheostat_server.ports.scheduled import ScheduledStore
from rheostat_server.ports.shared import SharedStore
from rheostat_server.ports.usage import UsageStore

T = TypeVar("T")
ServedKind = Literal["flag", "segment", "ramp", "kill"]


class EnvironmentRow(msgspec.Struct, frozen=True, kw_only=True):
    """An environment and its project, as stored. ``default_template`` is what ramps take that name no template."""

    id: int
    project_id: int
    project: str
    key: str
    name: str
    revision: int
    created_at_ms: int
    default_template: str | None = None


class ServedRow(msgspec.Struct, frozen=True):
    """What one environment serves under a key, since ``revision``. ``body`` is JSON; ``None`` is a removal."""

    kind: ServedKind
    key: str
    revision: int
    body: bytes | None


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody did. ``detail`` is JSON. ``id`` is 0 until it is stored."""

    at_ms: int
    actor: str
    action: str
    subject: str
    summary: str
    project: str | None = None
    environment: str | None = None
    detail: msgspec.Raw = msgspec.Raw(b"{}")
    id: int = 0


class Heads(msgspec.Struct, frozen=True):
    """Where every environment stands: the database's generation, and the environments by id."""

    generation: int
    environments: tuple[EnvironmentRow, ...]


class EnvironmentStore(Protocol):
    """Environments and their revisions."""

    async def heads(self) -> Heads:
        """Return where every environment stands, in one query: nodes ask this every second."""
        ...

    async def all(self) -> list[EnvironmentRow]:
        """Return every environment, by id."""
        ...

    async def of_project(self, project: str) -> list[EnvironmentRow]:
        """Return a project's environments, by id; empty where there is no such project."""
        ...

    async def get(self, project: str, key: str) -> EnvironmentRow:
        """Return one.

        Raises:
            NotFound: there is no such project or environment.
        """
        ...

    async def bump(self, ids: Iterable[int]) -> dict[int, int]:
        """Raise the revision of each by one, locking in ascending id; return the new revisions.

        Raises:
            NotFound: one was deleted meanwhile.
        """
        ...

    async def lock_to_delete(self, ids: Iterable[int]) -> None:
        """Hold these to the end of the transaction, in ascending id: nobody may begin to refer to one."""
        ...


class ServedStore(Protocol):
    """What environments serve, row by row, each at the revision of its last change."""

    async def put(self, environment_id: int, revision: int, kind: ServedKind, key: str, body: bytes | None) -> None:
        """Serve this body from this revision on; ``None`` removes."""
        ...

    async def since(self, environment_id: int, revision: int) -> list[ServedRow]:
        """Return the rows above this revision, by revision, kind and key; removals too unless it is 0."""
        ...

    async def of_flags(self, environment_ids: Sequence[int], keys: Sequence[str]) -> list[tuple[int, ServedRow]]:
        """Return what these environments serve of these flags, with the environment's id."""
        ...

    async def of_segments(self, environment_ids: Sequence[int], keys: Sequence[str]) -> list[tuple[int, ServedRow]]:
        """Return what these environments serve of these segments, with the environment's id."""
        ...

    async def over_flags(self, environment_ids: Sequence[int]) -> list[tuple[int, ServedRow]]:
        """Return what stands over flags in these environments, with the environment's id: ramps and kills."""
        ...


class AuditStore(Protocol):
    """Who did what."""

    async def add(self, entry: AuditEntry) -> int:
        """Keep this entry; return its id."""
        ...

    async def read(
        self,
        *,
        project: str | None = None,
        environment: str | None = None,
        subject: str | None = None,
        since_ms: int | None = None,
        before_id: int | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Return entries, newest first. Those of a whole project concern each of its environments."""
        ...


class Transaction(Protocol):
    """Everything stored, within one transaction."""

    @property
    def projects(self) -> ProjectStore: ...
    @property
    def environments(self) -> EnvironmentStore: ...
    @property
    def flags(self) -> FlagStore: ...
    @property
    def scheduled(self) -> ScheduledStore: ...
    @property
    def shared(self) -> SharedStore: ...
    @property
    def usage(self) -> UsageStore: ...
    @property
    def served(self) -> ServedStore: ...
    @property
    def audit(self) -> AuditStore: ...
    @property
    def tokens(self) -> TokenStore: ...
    @property
    def ramps(self) -> RampStore: ...
    @property
    def kills(self) -> KillStore: ...
    @property
    def readback(self) -> ReadbackStore: ...
    @property
    def beats(self) -> BeatStore: ...
    @property
    def hooks(self) -> HookStore: ...
    @property
    def lease(self) -> LeaseStore: ...
    @property
    def outcomes(self) -> OutcomeStore: ...
    @property
    def outbox(self) -> OutboxStore: ...
    @property
    def channels(self) -> ChannelStore: ...

    async def generation(self) -> int:
        """Return the database's generation."""
        ...

    async def access_revision(self) -> int:
        """Return the number that goes up with each change of a key or token."""
        ...

    async def notify(self, changed: Sequence[int]) -> None:
        """Hint, on commit, that these environments changed (empty: access changed)."""
        ...


class Storage(Protocol):
    """The database. Promises are tested in tests/integration."""

    def transaction(self, *, snapshot: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction: commit on leaving, nothing at all on an exception.

        ``snapshot``: read-only, and every read sees the same moment (REPEATABLE READ).

        Raises:
            StorageUnavailable: nothing was written; it is safe to try again.
        """
        ...

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` in a transaction; again, from the start, when PostgreSQL asks to (deadlock, serialisation)."""
        ...

    async def check_generation(self, now_ms: int) -> int | None:
        """Raise the generation if the database has become another one since it was last asked (a failover).

        Cheap enough for every poll. Returns the generation where it was raised just now, else ``None``.
        """
        ...
