"""One PostgreSQL transaction over everything that is stored."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, TypeVar

from rheostat_server.adapters.storage.postgres.audit import PostgresAudit
from rheostat_server.adapters.storage.postgres.beats import PostgresBeats
from rheostat_server.adapters.storage.postgres.channels import PostgresChannels
from rheostat_server.adapters.storage.postgres.environments import PostgresEnvironments
from rheostat_server.adapters.storage.postgres.flags import PostgresFlags
from rheostat_server.adapters.storage.postgres.hooks import PostgresHooks
from rheostat_server.adapters.storage.postgres.identity import ClusterWatch
from rheostat_server.adapters.storage.postgres.kills import PostgresKills
from rheostat_server.adapters.storage.postgres.lease import PostgresLease
from rheostat_server.adapters.storage.postgres.outbox import PostgresOutbox
from rheostat_server.adapters.storage.postgres.outcomes import PostgresOutcomes
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.projects import PostgresProjects
from rheostat_server.adapters.storage.postgres.ramps import PostgresRamps
from rheostat_server.adapters.storage.postgres.readback import PostgresReadback
from rheostat_server.adapters.storage.postgres.scheduled import PostgresScheduled
from rheostat_server.adapters.storage.postgres.served import PostgresServed
from rheostat_server.adapters.storage.postgres.shared import PostgresShared
from rheostat_server.adapters.storage.postgres.tokens import PostgresTokens
from rheostat_server.adapters.storage.postgres.usage import PostgresUsage
from rheostat_server.ports.storage import Transaction

T = TypeVar("T")

CHANNEL = "rheostat_changed"
"""NOTIFY channel; the payload lists environment ids, separated by commas, and is empty for access."""


class PostgresTransaction:
    """Fulfils ``Transaction`` over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @cached_property
    def environments(self) -> PostgresEnvironments:
        """Environments and their revisions."""
        return PostgresEnvironments(self._connection)

    @cached_property
    def served(self) -> PostgresServed:
        """What environments serve."""
        return PostgresServed(self._connection)

    @cached_property
    def audit(self) -> PostgresAudit:
        """Who did what."""
        return PostgresAudit(self._connection)

    @cached_property
    def ramps(self) -> PostgresRamps:
        """Ramps, their epochs and their decisions."""
        return PostgresRamps(self._connection)

    @cached_property
    def kills(self) -> PostgresKills:
        """Latched kills."""
        return PostgresKills(self._connection)

    @cached_property
    def readback(self) -> PostgresReadback:
        """Which instances applied kills."""
        return PostgresReadback(self._connection)

    @cached_property
    def beats(self) -> PostgresBeats:
        """That controllers look at ramps."""
        return PostgresBeats(self._connection)

    @cached_property
    def hooks(self) -> PostgresHooks:
        """Secrets of hooks."""
        return PostgresHooks(self._connection)

    @cached_property
    def lease(self) -> PostgresLease:
        """The controller's lease."""
        return PostgresLease(self._connection)

    @cached_property
    def flags(self) -> PostgresFlags:
        """Flag documents."""
        return PostgresFlags(self._connection)

    @cached_property
    def usage(self) -> PostgresUsage:
        """When flags were last evaluated and ramped."""
        return PostgresUsage(self._connection)

    @cached_property
    def scheduled(self) -> PostgresScheduled:
        """Scheduled changes."""
        return PostgresScheduled(self._connection)

    @cached_property
    def shared(self) -> PostgresShared:
        """Segments and layers."""
        return PostgresShared(self._connection)

    @cached_property
    def projects(self) -> PostgresProjects:
        """Projects."""
        return PostgresProjects(self._connection)

    @cached_property
    def tokens(self) -> PostgresTokens:
        """Keys and tokens."""
        return PostgresTokens(self._connection)

    @cached_property
    def outcomes(self) -> PostgresOutcomes:
        """Batches, units, increments, evaluations."""
        return PostgresOutcomes(self._connection)

    @cached_property
    def outbox(self) -> PostgresOutbox:
        """Notifications and their deliveries."""
        return PostgresOutbox(self._connection)

    @cached_property
    def channels(self) -> PostgresChannels:
        """Notification channels."""
        return PostgresChannels(self._connection)

    async def generation(self) -> int:
        """Return the database's generation."""
        value: int = await self._connection.fetchval("SELECT generation FROM meta")
        return value

    async def access_revision(self) -> int:
        """Return the number that goes up with each change of a key or token."""
        value: int = await self._connection.fetchval("SELECT access_revision FROM meta")
        return value

    async def notify(self, changed: Sequence[int]) -> None:
        """Hint, on commit, that these environments changed."""
        await self._connection.execute("SELECT pg_notify($1, $2)", CHANNEL, ",".join(map(str, changed)))


class PostgresStorage:
    """Fulfils ``Storage`` over a pool."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watch = ClusterWatch()

    @asynccontextmanager
    async def transaction(self, *, snapshot: bool = False) -> AsyncIterator[Transaction]:
        """Open a transaction."""
        isolation = "repeatable_read" if snapshot else None
        async with self._database.transaction(isolation=isolation, readonly=snapshot) as connection:
            yield PostgresTransaction(connection)

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` in a transaction, again when PostgreSQL asks to."""

        async def over(connection: Any) -> T:
            return await work(PostgresTransaction(connection))

        return await self._database.run(over)

    async def check_generation(self, now_ms: int) -> int | None:
        """Raise the generation if the database has become another one; return it where it was raised."""
        async with self._database.connection() as connection:
            return await self._watch.check(connection, now_ms)
