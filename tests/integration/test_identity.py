"""The generation tells readers that the database is another one."""

import asyncpg
import pytest

from rheostat_server.adapters.storage.postgres.identity import (
    ClusterWatch,
    ensure_generation,
    raise_generation,
    read_identity,
)
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import StartupRefused


async def test_the_same_cluster_keeps_its_generation(database: Database) -> None:
    """A second start on the same cluster keeps the generation of the first, whatever the clock says."""
    async with database.connection() as conn:
        first = await ensure_generation(conn, 1_000)

        assert first == 1_000
        assert await ensure_generation(conn, 5_000) == first


@pytest.mark.parametrize("other", ["system_identifier = 'another'", "timeline = timeline + 1"])
@pytest.mark.parametrize(("now_ms", "expected"), [(9_000, 9_000), (500, 1_001)])
async def test_another_cluster_or_timeline_raises_it(
    database: Database, other: str, now_ms: int, expected: int
) -> None:
    """On another cluster or timeline the generation becomes max(stored + 1, now)."""
    async with database.connection() as conn:
        await ensure_generation(conn, 1_000)
        await conn.execute(f"UPDATE meta SET {other}")

        assert await ensure_generation(conn, now_ms) == expected
        assert await ensure_generation(conn, 99_000) == expected


async def test_a_restore_raises_it_on_the_same_cluster(database: Database) -> None:
    """`raise_generation` raises it even where cluster and timeline are the stored ones."""
    async with database.connection() as conn:
        await ensure_generation(conn, 1_000)

        assert await raise_generation(conn, 700) == 1_001
        assert await ensure_generation(conn, 5_000) == 1_001


async def test_the_identity_is_postgresqls_own(database: Database) -> None:
    """The stored pair is the one in PostgreSQL's control file."""
    async with database.connection() as conn:
        system, timeline = await read_identity(conn)

        expected = await conn.fetchval("SELECT system_identifier::text FROM pg_control_system()")
        assert (system, timeline) == (expected, 1)


async def test_a_user_without_the_right_is_told_what_to_grant(database: Database, database_url: str) -> None:
    """Where the functions are closed to the user, the error is the GRANT that opens them."""
    async with database.connection() as conn:
        await conn.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        await conn.execute("CREATE ROLE plain LOGIN PASSWORD 'p'")
        try:
            head, _, tail = database_url.rpartition("@")
            plain = await asyncpg.connect(f"{head.split('://', maxsplit=1)[0]}://plain:p@{tail}")
            try:
                with pytest.raises(StartupRefused, match=r'GRANT EXECUTE ON FUNCTION pg_control_system.* TO "plain"'):
                    await ensure_generation(plain, 1)
            finally:
                await plain.close()
        finally:
            await conn.execute("DROP ROLE plain")


async def test_a_running_server_notices_another_cluster_once(database: Database) -> None:
    """The watch raises the generation when the stored pair is another one, and is silent before and after."""
    watch = ClusterWatch()
    async with database.connection() as conn:
        assert await watch.check(conn, 500) is None
        await ensure_generation(conn, 1_000)
        assert await watch.check(conn, 2_000) is None
        await conn.execute("UPDATE meta SET timeline = timeline + 1")

        assert await watch.check(conn, 3_000) == 3_000
        assert await watch.check(conn, 4_000) is None


@pytest.mark.parametrize(("closed", "notices"), [("pg_walfile_name(pg_lsn)", True), ("pg_control_system()", False)])
async def test_a_watch_that_may_not_ask_stands_back(
    database: Database, database_url: str, closed: str, notices: bool
) -> None:
    """Without the log's file name the control file answers; without either the watch says nothing and fails nobody."""
    async with database.connection() as conn:
        await ensure_generation(conn, 1_000)
        await conn.execute("UPDATE meta SET system_identifier = 'another'")
        await conn.execute(f"REVOKE EXECUTE ON FUNCTION {closed} FROM PUBLIC")
        await conn.execute("CREATE ROLE plain LOGIN PASSWORD 'p'")
        await conn.execute("GRANT SELECT, UPDATE ON meta TO plain")
        try:
            head, _, tail = database_url.rpartition("@")
            plain = await asyncpg.connect(f"{head.split('://', maxsplit=1)[0]}://plain:p@{tail}")
            try:
                assert await ClusterWatch().check(plain, 9_000) == (9_000 if notices else None)
            finally:
                await plain.close()
        finally:
            await conn.execute("DROP OWNED BY plain; DROP ROLE plain")
