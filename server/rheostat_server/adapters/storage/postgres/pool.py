"""The connections to PostgreSQL: bounded in number and in time, and back by themselves after an outage."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal, Self, TypeAlias, TypeVar, cast

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from rheostat_server.errors import StorageUnavailable

# The drivers' records are looked at by the adapters' own code alone, which gives them their types.
Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"
Isolation: TypeAlias = Literal["read_committed", "repeatable_read", "serializable"]
T = TypeVar("T")

CALL_SECONDS = 2.0
"""The client's own limit for one call, connecting included (PROTOCOLS.md, Leadership)."""
SERVER_LIMITS = "SET statement_timeout = '3s'; SET idle_in_transaction_session_timeout = '3s'"
"""Sent after connecting, for PgBouncer refuses start-up parameters. A frozen node's locks fall before the takeover."""
CLOSE_SECONDS = 2.0
ATTEMPTS = 8
"""How often `Database.run` tries before a conflict is reported."""

# Each says that the server, not the statement, is the trouble.
_OUTAGES = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, crashed, not yet up; a statement over its time limit
    asyncpg.InsufficientResourcesError,  # too many connections, disk full, out of memory
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # a failed-over standby
    asyncpg.InternalClientError,
    TimeoutError,
    ConnectionError,
)
_CANNOT_CONNECT = (
    OSError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # the database was closed to connections
)
_CUT = ("closed", "closing", "released")
_CLASHES = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ForeignKeyViolationError,  # what was read a moment ago is deleted; who looks again finds it gone
)


class Database:
    """A pool of connections to one database."""

    def __init__(self, pool: "asyncpg.Pool[Any]", url: str) -> None:
        self._pool = pool
        self._url = url

    @classmethod
    async def open(cls, url: str, *, max_size: int = 10) -> Self:
        """Return a pool for ``url`` after trying one connection.

        Raises:
            StorageUnavailable: the database cannot be reached.
        """
        with outages(connecting=True):
            pool = await asyncpg.create_pool(
                url,
                # No floor: the driver would log a traceback a second for as long as the database is away.
                min_size=0,
                max_size=max_size,
                init=_limit,
                # The driver's own reset undoes the limits.
                reset=_keep_as_it_is,
                timeout=CALL_SECONDS,
                command_timeout=CALL_SECONDS,
            )
            database = cls(pool, url)
            try:
                async with database.connection() as conn:
                    await conn.execute("SELECT 1")
            except BaseException:
                pool.terminate()
                raise
        return database

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection outside of any transaction.

        Raises:
            StorageUnavailable: the database cannot be reached, or did not answer in time.
        """
        with outages(connecting=True):
            conn = await self._pool.acquire(timeout=CALL_SECONDS)
        try:
            with outages():
                yield conn
        except StorageUnavailable:
            # Not given back in order, which would wait for the database once more.
            _drop(conn)
            raise
        except BaseException:
            await self._give_back(conn)
            raise
        await self._give_back(conn)

    @asynccontextmanager
    async def transaction(self, *, isolation: str | None = None, readonly: bool = False) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction, which commits at the end and rolls back on an error.

        ``isolation`` is ``read_committed``, ``repeatable_read`` or ``serializable``; None: as the server is set.

        Raises:
            StorageUnavailable: the database cannot be reached, or did not answer in time. Nothing was written, unless
                the commit itself went unanswered: then nobody knows, so a write must be safe to repeat.
        """
        level = cast(Isolation | None, isolation)
        async with self.connection() as conn:
            transaction = conn.transaction(isolation=level, readonly=readonly)
            await transaction.start()
            try:
                with outages():
                    yield conn
            except StorageUnavailable:
                # No rollback: the connection is dropped, and with it the transaction.
                raise
            except BaseException:
                await transaction.rollback()
                raise
            await transaction.commit()

    async def run(
        self,
        work: Callable[[Connection], Awaitable[T]],
        *,
        isolation: str | None = None,
        readonly: bool = False,
    ) -> T:
        """Run ``work`` in a transaction, again when it clashes with another (deadlock, serialisation failure,
        a row that it refers to deleted meanwhile).

        So ``work`` may run several times; all its effects must be in the transaction.

        Raises:
            StorageUnavailable: as for `transaction`; also when it clashes 8 times.
        """
        for attempt in range(ATTEMPTS):
            try:
                async with self.transaction(isolation=isolation, readonly=readonly) as conn:
                    return await work(conn)
            except _CLASHES as clash:
                if attempt == ATTEMPTS - 1:
                    raise StorageUnavailable(f"the change clashed {ATTEMPTS} times with others: {clash}") from clash
            # At random, or the two that clashed would meet again.
            await asyncio.sleep(random.uniform(0, 0.005 * 2**attempt))
        raise AssertionError("the loop returns or raises")

    async def connect(self) -> "asyncpg.Connection[Any]":
        """Return a connection of one's own, with the same limits, for LISTEN. The caller closes it.

        Raises:
            StorageUnavailable: the database cannot be reached.
        """
        with outages(connecting=True):
            conn: asyncpg.Connection[Any] = await asyncpg.connect(
                self._url, timeout=CALL_SECONDS, command_timeout=CALL_SECONDS
            )
            try:
                await _limit(conn)
            except BaseException:
                conn.terminate()
                raise
        return conn

    async def close(self) -> None:
        """Close all connections, by force after 2 s."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._pool.close()
        except (TimeoutError, *_OUTAGES):
            self._pool.terminate()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _give_back(self, conn: "PoolConnectionProxy[Any]") -> None:
        try:
            await self._pool.release(conn, timeout=CALL_SECONDS)
        except _OUTAGES:
            # The pool has dropped it already; what the borrower did with it stands.
            return


def _drop(conn: "PoolConnectionProxy[Any]") -> None:
    try:
        conn.terminate()
    except asyncpg.InterfaceError:
        return  # It was cut already, and the pool has it back.


@contextmanager
def outages(*, connecting: bool = False) -> Iterator[None]:
    """Turn the driver's ways of saying "the database is away" into `StorageUnavailable`."""
    try:
        yield
    except _CLASHES:
        raise
    except _OUTAGES as error:
        raise StorageUnavailable(_explain(error)) from error
    except asyncpg.InterfaceError as error:
        # Most are mistakes in our calls and must show as such; these are not.
        if not isinstance(error, asyncpg.DataError) and any(word in str(error) for word in _CUT):
            raise StorageUnavailable(_explain(error)) from error
        if connecting and isinstance(error, _CANNOT_CONNECT):
            raise StorageUnavailable(_explain(error)) from error
        raise
    except _CANNOT_CONNECT as error:
        if connecting:
            raise StorageUnavailable(_explain(error)) from error
        raise


def _explain(error: BaseException) -> str:
    said = str(error).strip().split("\n", 1)[0]
    if isinstance(error, TimeoutError):
        said = f"no answer within {CALL_SECONDS:.0f} s"
    return f"the database cannot be reached: {said or type(error).__name__}"


async def _limit(conn: Connection) -> None:
    await conn.execute(SERVER_LIMITS)


async def _keep_as_it_is(_: Connection) -> None:
    """Our code changes settings only within a transaction, so there is nothing to undo."""
