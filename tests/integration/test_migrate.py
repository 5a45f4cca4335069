"""Migrations are applied once, in order, by one server at a time, and refused when they do not add up."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from rheostat_server.adapters.storage.postgres.migrate import migrate, migrations_dir, read_migrations
from rheostat_server.errors import MigrationChanged, SchemaTooNew, StartupRefused, StorageUnavailable
from tests.postgres_fixture import TestServer


@pytest.fixture
def url(postgres_server: TestServer) -> str:
    return postgres_server.empty_database()


def write(directory: Path, *files: tuple[str, int, str]) -> Path:
    directory.mkdir(exist_ok=True)
    for name, compatible_from, sql in files:
        (directory / name).write_text(f"-- compatible_from: {compatible_from}\n{sql}\n")
    return directory


ONE = ("0001_one.sql", 1, "CREATE TABLE one (x int);")
TWO = ("0002_two.sql", 1, "CREATE TABLE two (x int); INSERT INTO two VALUES (2);")


async def tables(url: str) -> set[str]:
    conn = await asyncpg.connect(url)
    try:
        return {
            row["tablename"] for row in await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname='public'")
        }
    finally:
        await conn.close()


async def test_each_migration_is_applied_once(url: str, tmp_path: Path) -> None:
    """What is missing is applied in order; a second run has nothing to do."""
    first = await migrate(url, now_ms=5, directory=write(tmp_path, ONE))
    second = await migrate(url, now_ms=6, directory=write(tmp_path, TWO))
    third = await migrate(url, now_ms=7, directory=tmp_path)

    assert [[one.version for one in ran] for ran in (first, second, third)] == [[1], [2], []]
    conn = await asyncpg.connect(url)
    rows = await conn.fetch("SELECT version, name, applied_at_ms, compatible_from FROM schema_migrations ORDER BY 1")
    await conn.close()
    assert [tuple(row) for row in rows] == [(1, "one", 5, 1), (2, "two", 6, 1)]


async def test_servers_that_start_together_take_turns(url: str, tmp_path: Path) -> None:
    """Of several that migrate at once one applies each migration and the others find it done."""
    directory = write(tmp_path, ONE, TWO)

    ran = await asyncio.gather(*(migrate(url, now_ms=1, directory=directory) for _ in range(6)))

    assert sorted(len(one) for one in ran) == [0, 0, 0, 0, 0, 2]


async def test_a_changed_file_is_refused_by_name(url: str, tmp_path: Path) -> None:
    """A migration that was edited after it was applied is refused, and nothing else is applied."""
    await migrate(url, now_ms=1, directory=write(tmp_path, ONE))
    write(tmp_path, ("0001_one.sql", 1, "CREATE TABLE one (x bigint);"), TWO)

    with pytest.raises(MigrationChanged, match=r"0001_one\.sql"):
        await migrate(url, now_ms=2, directory=tmp_path)

    assert "two" not in await tables(url)


async def test_a_schema_that_needs_newer_code_is_refused(url: str, tmp_path: Path) -> None:
    """A server that knows less than the schema's `compatible_from` does not start."""
    old = write(tmp_path / "old", ONE)
    await migrate(url, now_ms=1, directory=write(tmp_path / "new", ONE, ("0002_two.sql", 2, "DROP TABLE one;")))

    with pytest.raises(SchemaTooNew, match=r"migration 2, .* this one knows 1"):
        await migrate(url, now_ms=2, directory=old)


async def test_an_older_server_runs_on_a_schema_that_allows_it(url: str, tmp_path: Path) -> None:
    """A server may run on a newer schema whose `compatible_from` it knows."""
    old = write(tmp_path / "old", ONE)
    await migrate(url, now_ms=1, directory=write(tmp_path / "new", ONE, TWO))

    assert await migrate(url, now_ms=2, directory=old) == []


async def test_a_failing_migration_leaves_nothing_behind(url: str, tmp_path: Path) -> None:
    """Migrations are applied all or nothing, and the one that failed is named."""
    directory = write(tmp_path, ONE, ("0002_two.sql", 1, "CREATE TABLE two (x nonsense);"))

    with pytest.raises(StartupRefused, match=r"0002_two\.sql failed: type \"nonsense\" does not exist"):
        await migrate(url, now_ms=1, directory=directory)

    assert await tables(url) == set()


async def test_an_unreachable_database_is_said_in_one_line() -> None:
    """A database that does not answer is `StorageUnavailable`."""
    with pytest.raises(StorageUnavailable) as caught:
        await migrate("postgresql://nobody@127.0.0.1:1/x", now_ms=1)

    assert "\n" not in str(caught.value)


async def test_the_repositorys_migrations_apply(url: str) -> None:
    """The migrations that are shipped apply to an empty database."""
    known = read_migrations(migrations_dir())

    assert await migrate(url, now_ms=1) == known
    assert {"meta", "environments", "schema_migrations"} <= await tables(url)
