"""The generation: whether the database is still the one whose revisions the readers hold."""

from typing import Any

import asyncpg

from rheostat_server.adapters.storage.postgres.pool import Connection
from rheostat_server.errors import StartupRefused

# The write-ahead log's file name opens with the timeline in hexadecimal. The control file's own figure lags after a
# promotion until the next checkpoint, so it comes second.
_TIMELINES = (
    "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint",
    "SELECT timeline_id::bigint FROM pg_control_checkpoint()",
)
_SYSTEM = "SELECT system_identifier::text FROM pg_control_system()"
# A standby answers for the primary that it follows, which raises the generation itself; and it cannot be asked for the
# log's file. An empty identifier is that of a database that no server has started on yet.
_MOVED = """
SELECT m.system_identifier <> '' AND CASE WHEN pg_is_in_recovery() THEN false
    ELSE (m.system_identifier, m.timeline) <> (c.system_identifier::text, ({timeline})) END
FROM meta m, pg_control_system() c
"""
_NOT_SAID = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.FeatureNotSupportedError,
    asyncpg.UndefinedFunctionError,
    asyncpg.ObjectNotInPrerequisiteStateError,
)


async def ensure_generation(conn: Connection, now_ms: int) -> int:
    """Return the database's generation, raised to max(stored + 1, ``now_ms``) if this is another cluster or timeline.

    A restored or promoted copy may reuse revisions that readers have seen with other contents; the higher generation
    makes them take its snapshots all the same (PROTOCOLS.md, Revisions). ``now_ms`` is in ms since the epoch.

    Raises:
        StartupRefused: the database does not let this user see which cluster it is.
    """
    system, timeline = await read_identity(conn)
    async with conn.transaction():
        row = await conn.fetchrow("SELECT generation, system_identifier, timeline FROM meta FOR UPDATE")
        if row is None:
            raise StartupRefused("the table meta is empty: the database was not migrated by Rheostat")
        stored = int(row["generation"])
        if (row["system_identifier"], row["timeline"]) == (system, timeline):
            return stored
        return await _raise(conn, stored, now_ms, system, timeline)


class ClusterWatch:
    """Notices in one query that the database has become another cluster or timeline under a running server."""

    def __init__(self) -> None:
        self._timelines = list(_TIMELINES)

    async def check(self, conn: Connection, now_ms: int) -> int | None:
        """Return the generation where it had to be raised just now; ``None`` where all is as it was.

        Where this user may not ask any more, nothing is noticed: the next start says what to grant.
        """
        while self._timelines:
            try:
                moved = await conn.fetchval(_MOVED.format(timeline=self._timelines[0]))
            except _NOT_SAID:
                # For good, or every poll would leave an error in the database's log.
                del self._timelines[0]
                continue
            return await ensure_generation(conn, now_ms) if moved else None
        return None


async def raise_generation(conn: Connection, now_ms: int) -> int:
    """Raise the generation whatever the cluster (after a backup is restored into it), and return it.

    Raises:
        StartupRefused: the database does not let this user see which cluster it is.
    """
    system, timeline = await read_identity(conn)
    async with conn.transaction():
        stored = int(await conn.fetchval("SELECT generation FROM meta FOR UPDATE"))
        return await _raise(conn, stored, now_ms, system, timeline)


async def read_identity(conn: Connection) -> tuple[str, int]:
    """Return PostgreSQL's (system identifier, timeline).

    Raises:
        StartupRefused: the database does not let this user see them.
    """
    system = await _ask(conn, _SYSTEM)
    timeline = None
    for question in _TIMELINES:
        timeline = await _ask(conn, question)
        if timeline is not None:
            break
    if system is None or timeline is None:
        user = await conn.fetchval("SELECT current_user::text")
        raise StartupRefused(
            "the database does not say which cluster it is; as its administrator run: "
            f'GRANT EXECUTE ON FUNCTION pg_control_system(), pg_control_checkpoint() TO "{user}"'
        )
    return str(system), int(timeline)


async def _raise(conn: Connection, stored: int, now_ms: int, system: str, timeline: int) -> int:
    generation = max(stored + 1, now_ms)
    await conn.execute(
        "UPDATE meta SET generation = $1, system_identifier = $2, timeline = $3", generation, system, timeline
    )
    return generation


async def _ask(conn: Connection, question: str) -> Any:
    """Return the answer, or None where this user may not ask or the server cannot say."""
    try:
        # A savepoint where there is a transaction already, so that a refusal does not spoil it.
        async with conn.transaction():
            return await conn.fetchval(question)
    except _NOT_SAID:
        return None
