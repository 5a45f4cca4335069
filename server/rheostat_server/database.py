"""The database as the server opens it: the machine's own PostgreSQL, or the one that the settings name."""

from contextlib import AsyncExitStack
from typing import Self

import structlog

from rheostat.clock import Clock
from rheostat_server.adapters.storage.postgres.embedded.launcher import attach, start_embedded
from rheostat_server.adapters.storage.postgres.embedded.lock import DataDirectoryLock
from rheostat_server.adapters.storage.postgres.identity import ensure_generation
from rheostat_server.adapters.storage.postgres.migrate import migrate
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import StartupRefused, StorageUnavailable
from rheostat_server.settings import Settings

log = structlog.get_logger("rheostat.database")


class OpenDatabase:
    """An open pool on a migrated database, the data directory held by this process."""

    def __init__(self, pool: Database, where: str, exits: AsyncExitStack) -> None:
        self.pool = pool
        self.where = where
        """Where the data is, for people; without credentials."""
        self._exits = exits

    @classmethod
    async def open(cls, settings: Settings, clock: Clock) -> Self:
        """Take the data directory, start or reach PostgreSQL, and bring the schema up to date.

        Raises:
            StartupRefused: it cannot be; the message is one line and nothing was changed.
        """
        async with AsyncExitStack() as exits:
            if settings.database_url is None:
                embedded = await start_embedded(
                    settings.data_path, say=lambda line: log.warning("postgresql", says=line)
                )
                exits.push_async_callback(embedded.stop)
                url, where = embedded.url, f"{settings.data_path} (PostgreSQL {embedded.version}, our own)"
            else:
                exits.enter_context(DataDirectoryLock(settings.data_path))
                url, where = settings.database_url, "the database of RHEOSTAT_DATABASE_URL"
            pool = await _reach(url, clock, of_ours=settings.database_url is None)
            exits.push_async_callback(pool.close)
            return cls(pool, where, exits.pop_all())
        raise AssertionError("the stack returns or raises")

    async def close(self) -> None:
        """Close the connections, stop our own PostgreSQL, let go of the data directory."""
        await self._exits.aclose()


async def open_beside(settings: Settings, clock: Clock) -> tuple[Database, AsyncExitStack]:
    """Return the database of a server that runs on this machine, or of one that does not run just now.

    Closing the stack closes what was opened for it.

    Raises:
        StartupRefused: there is no data yet, or PostgreSQL cannot run here.
        StorageUnavailable: it cannot be reached.
    """
    async with AsyncExitStack() as exits:
        if settings.database_url is not None:
            pool = await _reach(settings.database_url, clock, of_ours=False)
        else:
            if not settings.data_path.is_dir():
                raise StartupRefused(f"there is no data in {settings.data_path} (RHEOSTAT_DATA_DIR)")
            try:
                pool = await Database.open(attach(settings.data_path))
            except StorageUnavailable:
                embedded = await start_embedded(settings.data_path, say=lambda _: None)
                exits.push_async_callback(embedded.stop)
                pool = await _reach(embedded.url, clock, of_ours=True)
        exits.push_async_callback(pool.close)
        return pool, exits.pop_all()
    raise AssertionError("the stack returns or raises")


def _tell(line: str) -> None:
    log.warning("postgresql", says=line)


async def _reach(url: str, clock: Clock, *, of_ours: bool) -> Database:
    try:
        applied = await migrate(url, now_ms=clock.wall_ms())
        pool = await Database.open(url)
    except StorageUnavailable as error:
        raise StartupRefused(str(error) if of_ours else f"RHEOSTAT_DATABASE_URL: {error}") from error
    except ValueError as error:
        # The driver's words may repeat parts of the URL, and so of the password.
        raise StartupRefused("RHEOSTAT_DATABASE_URL is not a PostgreSQL URL (postgresql://user@host/name)") from error
    if applied:
        log.info("migrated", migrations=[migration.file_name for migration in applied])
    try:
        async with pool.connection() as connection:
            await ensure_generation(connection, clock.wall_ms())
    except BaseException:
        await pool.close()
        raise
    return pool
