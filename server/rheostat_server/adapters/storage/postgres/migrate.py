"""Bring the schema up to what this code knows."""

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

import rheostat_server
from rheostat_server.adapters.storage.postgres.pool import CALL_SECONDS, outages
from rheostat_server.errors import MigrationChanged, SchemaTooNew, StartupRefused

ADVISORY_LOCK = 0x72_68_65_6F_73_74_61_74  # "rheostat"
LOCK_SECONDS = 60
"""How long to wait for another server that is migrating."""

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version         integer PRIMARY KEY,
    name            text    NOT NULL,
    checksum        text    NOT NULL,
    applied_at_ms   bigint  NOT NULL,
    compatible_from integer NOT NULL
)
"""
_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_COMPATIBLE = re.compile(r"-- compatible_from: (\d+)\s*")


class Migration(msgspec.Struct, frozen=True):
    """One file of ``migrations/``.

    ``compatible_from`` is the oldest migration whose code can still run on the schema that this one leaves.
    """

    version: int
    name: str
    sql: str
    checksum: str
    compatible_from: int

    @property
    def file_name(self) -> str:
        """The file it was read from."""
        return f"{self.version:04}_{self.name}.sql"


class Applied(msgspec.Struct, frozen=True):
    """One row of ``schema_migrations``."""

    version: int
    name: str
    checksum: str
    compatible_from: int


def migrations_dir() -> Path:
    """Return the directory of migrations: packaged with an installed wheel, else the repository's.

    Raises:
        StartupRefused: there is neither.
    """
    package = Path(rheostat_server.__file__).resolve().parent
    for directory in (package / "_migrations", package.parent.parent / "migrations"):
        if directory.is_dir():
            return directory
    raise StartupRefused("the migrations are not installed with rheostat-server")


def read_migrations(directory: Path) -> list[Migration]:
    """Return the directory's migrations in order; they are numbered 0001, 0002, … without a gap.

    Raises:
        StartupRefused: a file is misnamed, out of sequence, or lacks its first line ``-- compatible_from: N``.
    """
    migrations: list[Migration] = []
    for path in sorted(directory.glob("*.sql")):
        named = _FILE.fullmatch(path.name)
        if named is None or int(named[1]) != len(migrations) + 1:
            raise StartupRefused(f"migration {path.name} should be {len(migrations) + 1:04}_name.sql")
        content = path.read_bytes()
        sql = content.decode()
        compatible = _COMPATIBLE.fullmatch(sql.split("\n", 1)[0])
        version = int(named[1])
        if compatible is None or not 1 <= int(compatible[1]) <= version:
            raise StartupRefused(f"migration {path.name} should open with `-- compatible_from: N`, N ≤ {version}")
        checksum = hashlib.sha256(content).hexdigest()
        migrations.append(Migration(version, named[2], sql, checksum, int(compatible[1])))
    return migrations


def pending(known: Sequence[Migration], applied: Mapping[int, Applied]) -> list[Migration]:
    """Return the migrations to apply, in order. Pure.

    Raises:
        MigrationChanged: a file differs from what was applied; the message names it.
        SchemaTooNew: a newer server migrated the database, and this one cannot run beside it.
    """
    newest = known[-1].version if known else 0
    for migration in known:
        row = applied.get(migration.version)
        if row is not None and row.checksum != migration.checksum:
            raise MigrationChanged(
                f"migration {migration.file_name} is not the one that was applied to this database "
                f"({row.version:04}_{row.name}.sql): a migration is never edited, add a new one"
            )
    beyond = [row for row in applied.values() if row.version > newest]
    needed = max((row.compatible_from for row in beyond), default=0)
    if needed > newest:
        raise SchemaTooNew(
            f"the database's schema is at migration {max(applied)}, which needs a server that knows migration "
            f"{needed}; this one knows {newest}: upgrade rheostat-server"
        )
    return [migration for migration in known if migration.version not in applied]


async def migrate(url: str, *, now_ms: int, directory: Path | None = None) -> list[Migration]:
    """Apply what is missing, all or nothing, and return it. Servers that start together take turns.

    Raises:
        MigrationChanged, SchemaTooNew: see `pending`. Nothing was changed.
        StartupRefused: a migration failed, or the user lacks a right. Nothing was changed.
        StorageUnavailable: the database cannot be reached, or another server migrates for more than 60 s.
    """
    known = await asyncio.to_thread(read_migrations, directory or migrations_dir())
    with outages(connecting=True):
        conn: asyncpg.Connection[Any] = await asyncpg.connect(url, timeout=CALL_SECONDS)
    try:
        with outages():
            async with conn.transaction():
                return await _migrate(conn, known, now_ms)
    except asyncpg.InsufficientPrivilegeError as error:
        raise StartupRefused(f"the database user may not migrate the schema: {error}") from error
    finally:
        try:
            await conn.close(timeout=CALL_SECONDS)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            conn.terminate()


async def read_applied(conn: "asyncpg.Connection[Any]") -> dict[int, Applied]:
    """Return the rows of ``schema_migrations`` by version; none if there is no such table."""
    if await conn.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return {}
    rows = await conn.fetch("SELECT version, name, checksum, compatible_from FROM schema_migrations")
    return {row["version"]: Applied(**row) for row in rows}


async def _migrate(conn: "asyncpg.Connection[Any]", known: Sequence[Migration], now_ms: int) -> list[Migration]:
    # A transaction's lock, not a session's, so that it holds through PgBouncer as well.
    await conn.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; SET LOCAL statement_timeout = 0")
    await conn.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
    missing = pending(known, await read_applied(conn))
    if not missing:
        return missing
    await conn.execute(_TABLE)
    for migration in missing:
        try:
            await conn.execute(migration.sql)
        except asyncpg.InsufficientPrivilegeError:
            raise
        except asyncpg.PostgresError as error:
            raise StartupRefused(f"migration {migration.file_name} failed: {error}") from error
        await conn.execute(
            "INSERT INTO schema_migrations (version, name, checksum, applied_at_ms, compatible_from)"
            " VALUES ($1, $2, $3, $4, $5)",
            migration.version,
            migration.name,
            migration.checksum,
            now_ms,
            migration.compatible_from,
        )
    return missing
