"""A real PostgreSQL for tests: one server a session, a migrated database of its own for each test that asks."""

import asyncio
import itertools
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from rheostat_server.adapters.storage.postgres.embedded.launcher import EmbeddedPostgres, start_embedded_now
from rheostat_server.adapters.storage.postgres.migrate import migrate
from rheostat_server.adapters.storage.postgres.pool import Database

T = TypeVar("T")
TEMPLATE = "template_rheostat"
MIGRATED_AT_MS = 1_767_225_600_000


class TestServer:
    """The session's PostgreSQL. Its databases are copies of a migrated template, made in some 30 ms."""

    __test__ = False

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self.postgres = postgres
        self._numbers = itertools.count(1)
        # A loop of its own, so that the server outlives each test's loop and may be asked from inside one.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._admin: asyncpg.Connection[Any] | None = None

    def url(self, database: str) -> str:
        """Return the URL of a database of this server."""
        return self.postgres.url.replace("@/postgres?", f"@/{database}?")

    def empty_database(self) -> str:
        """Return the URL of a new database without any table."""
        return self._wait(self._create("template1"))

    def fresh_database(self) -> str:
        """Return the URL of a new migrated database."""
        return self._wait(self._create(TEMPLATE))

    def close(self) -> None:
        """Stop the server."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        if self._admin is not None:
            self._admin.terminate()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()
        self.postgres.stop_now()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _create(self, template: str) -> str:
        if self._admin is None:
            self._admin = await asyncpg.connect(self.postgres.url)
            await self._admin.execute(f"CREATE DATABASE {TEMPLATE}")
            await migrate(self.url(TEMPLATE), now_ms=MIGRATED_AT_MS)
        name = f"test_{next(self._numbers)}"
        await self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[TestServer]:
    """The session's PostgreSQL, in memory where there is room: `fsync` is then free."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30
    directory = Path(tempfile.mkdtemp(prefix="rheostat-test-", dir=memory if roomy else None))
    server = TestServer(start_embedded_now(directory, say=print))
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def fresh_database(postgres_server: TestServer) -> Callable[[], str]:
    """A function that gives the URL of a new migrated database each time."""
    return postgres_server.fresh_database


@pytest.fixture
def database_url(postgres_server: TestServer) -> str:
    """The URL of a new migrated database."""
    return postgres_server.fresh_database()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool on a new migrated database."""
    async with await Database.open(database_url) as opened:
        yield opened
