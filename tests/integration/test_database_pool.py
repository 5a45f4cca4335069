"""The pool is bounded in time, tells an outage from a mistake, and gives each connection its limits."""

import asyncio
import os
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import asyncpg
import pytest

from rheostat_server.adapters.storage.postgres.embedded.launcher import start_embedded
from rheostat_server.adapters.storage.postgres.pool import Connection, Database
from rheostat_server.errors import StorageUnavailable


async def test_every_connection_keeps_its_limits(database: Database) -> None:
    """The server-side limits hold on the first use of a connection and on later ones."""
    for _ in range(3):
        async with database.connection() as conn:
            assert await conn.fetchval("SHOW statement_timeout") == "3s"
            assert await conn.fetchval("SHOW idle_in_transaction_session_timeout") == "3s"


async def test_a_statement_that_takes_too_long_is_an_outage(database: Database) -> None:
    """A call that outlasts the client's limit raises `StorageUnavailable`, and the pool serves on."""
    with pytest.raises(StorageUnavailable, match="no answer within 2 s"):
        async with database.connection() as conn:
            await conn.execute("SELECT pg_sleep(30)")

    async with database.connection() as conn:
        assert await conn.fetchval("SELECT 1") == 1


async def test_an_error_rolls_the_transaction_back(database: Database) -> None:
    """What was written in a transaction that ends in an error is not there, and the error comes through."""

    class OurOwnError(Exception):
        pass

    with pytest.raises(OurOwnError):
        async with database.transaction() as conn:
            await conn.execute("UPDATE meta SET generation = 77")
            raise OurOwnError

    async with database.connection() as conn:
        assert await conn.fetchval("SELECT generation FROM meta") == 0


async def test_a_mistake_is_not_an_outage(database: Database) -> None:
    """A wrong statement or argument shows as what it is."""
    with pytest.raises(asyncpg.UndefinedTableError):
        async with database.connection() as conn:
            await conn.execute("SELECT * FROM nowhere")
    with pytest.raises(asyncpg.DataError):
        async with database.connection() as conn:
            await conn.fetchval("SELECT $1::int", "text")
    with pytest.raises(asyncpg.InterfaceError):
        async with database.connection() as conn:
            await conn.fetchval("SELECT $1::int", 1, 2)


async def test_a_clash_is_run_again(database: Database) -> None:
    """Serialisable increments that clash are all run to success, each counted once."""
    runs = 0

    async def increment(conn: Connection) -> None:
        nonlocal runs
        runs += 1
        value = await conn.fetchval("SELECT access_revision FROM meta")
        await asyncio.sleep(0.01)
        await conn.execute("UPDATE meta SET access_revision = $1", value + 1)

    await asyncio.gather(*(database.run(increment, isolation="serializable") for _ in range(3)))

    async with database.connection() as conn:
        assert await conn.fetchval("SELECT access_revision FROM meta") == 3
    assert runs > 3


async def test_a_snapshot_sees_one_state(database: Database) -> None:
    """A repeatable-read transaction does not see what is committed after its first read."""
    async with database.transaction(isolation="repeatable_read", readonly=True) as reader:
        before = await reader.fetchval("SELECT generation FROM meta")
        async with database.transaction() as writer:
            await writer.execute("UPDATE meta SET generation = generation + 1")

        assert await reader.fetchval("SELECT generation FROM meta") == before


async def test_waiting_for_a_connection_is_bounded(database_url: str) -> None:
    """With all connections lent out, another borrower is refused after 2 s."""
    async with await Database.open(database_url, max_size=1) as database, database.connection():
        with pytest.raises(StorageUnavailable):
            async with database.connection():
                pass


async def test_a_connection_cut_by_the_server_is_replaced(database: Database, database_url: str) -> None:
    """A borrower whose connection is cut gets `StorageUnavailable`; the next one gets a new connection."""
    killer = await asyncpg.connect(database_url)
    try:
        with pytest.raises(StorageUnavailable):
            async with database.transaction() as conn:
                pid = await conn.fetchval("SELECT pg_backend_pid()")
                await killer.execute("SELECT pg_terminate_backend($1)", pid)
                await conn.execute("SELECT 1")
    finally:
        await killer.close()

    async with database.connection() as conn:
        assert await conn.fetchval("SELECT pg_backend_pid()") != pid


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a:b@127.0.0.1:1/x",
        "postgresql://a:b@/x?host=/nonexistent",
        "postgresql://a:b@no-such-host.invalid/x",
    ],
)
async def test_an_unreachable_database_is_refused_at_once(url: str) -> None:
    """Opening a pool on a database that is not there raises `StorageUnavailable` with one line."""
    with pytest.raises(StorageUnavailable) as caught:
        await Database.open(url)

    assert "\n" not in str(caught.value)


async def test_wrong_credentials_are_refused(database_url: str) -> None:
    """A wrong password is `StorageUnavailable` too: nothing the caller asked for is wrong."""
    scheme, _, rest = database_url.partition("://")
    user, _, tail = rest.partition(":")

    with pytest.raises(StorageUnavailable, match="password"):
        await Database.open(f"{scheme}://{user}:wrong@{tail.partition('@')[2]}")


async def test_a_connection_of_ones_own_has_the_limits(database: Database) -> None:
    """`connect` gives a connection outside of the pool, for LISTEN, with the same limits."""
    conn = await database.connect()
    try:
        assert await conn.fetchval("SHOW statement_timeout") == "3s"
    finally:
        await conn.close()


async def test_closing_does_not_wait_for_borrowers(database_url: str) -> None:
    """Closing the pool ends in bounded time with a connection lent out, which is then cut."""
    database = await Database.open(database_url)
    async with asyncio.timeout(10):
        with pytest.raises(StorageUnavailable):
            async with database.connection() as conn:
                await database.close()
                await conn.fetchval("SELECT 1")


async def test_a_frozen_database_costs_no_more_than_its_limit(tmp_path: Path) -> None:
    """While PostgreSQL stands still a call ends in `StorageUnavailable` after 2 s; when it moves again all is well."""
    postgres = await start_embedded(tmp_path, say=print)
    try:
        async with await Database.open(postgres.url) as database:

            async def ask(lent: AbstractAsyncContextManager[Connection]) -> object:
                async with asyncio.timeout(3.5), lent as conn:
                    return await conn.fetchval("SELECT pg_backend_pid()")

            frozen = (postgres.pid, await ask(database.connection()))
            for pid in frozen:
                os.kill(int(str(pid)), signal.SIGSTOP)
            # At first the pool has a connection, then it has to make one.
            for _ in range(2):
                with pytest.raises(StorageUnavailable, match="no answer within 2 s"):
                    await ask(database.transaction())
            for pid in frozen:
                os.kill(int(str(pid)), signal.SIGCONT)

            assert await ask(database.transaction()) not in (None, frozen[1])
    finally:
        await postgres.stop()
