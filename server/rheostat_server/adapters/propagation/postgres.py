"""Hints by PostgreSQL's LISTEN and NOTIFY."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import structlog

from rheostat_server.adapters.propagation.backoff import pause
from rheostat_server.adapters.propagation.listeners import Listeners, hint_of, hint_text
from rheostat_server.adapters.storage.postgres.storage import CHANNEL
from rheostat_server.errors import StorageUnavailable
from rheostat_server.ports.propagation import Forget, Heard

log = structlog.get_logger()

PROBE_SECONDS = 15.0
"""How often an idle connection is tried: a dead one without a reset would otherwise be listened to for ever."""

_LOST = (StorageUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class PostgresPropagation:
    """Fulfils ``Propagation`` on one connection of its own, which comes back after an outage.

    ``connect`` opens such a connection, with a time limit for each call (``Database.connect``).
    """

    transactional = True

    def __init__(self, connect: Callable[[], Awaitable[Any]]) -> None:
        self._connect = connect
        self._listeners = Listeners()
        self._connection: Any = None
        self._task: asyncio.Task[None] | None = None
        # asyncpg allows one statement at a time on a connection.
        self._turn = asyncio.Lock()

    async def announce(self, changed: Sequence[int]) -> None:
        """Hint to all nodes; lost while the connection is."""
        connection = self._connection
        if connection is None:
            return
        try:
            async with self._turn:
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, hint_text(tuple(changed)))
        except _LOST as error:
            log.debug("hint_lost", error=str(error))

    def listen(self, heard: Heard) -> Forget:
        """Call ``heard`` at each hint."""
        return self._listeners.add(heard)

    async def start(self) -> None:
        """Begin to listen, in the background."""
        self._task = asyncio.create_task(self._keep_listening())

    async def stop(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _keep_listening(self) -> None:
        failures = 0
        while True:
            try:
                connection = await self._connect()
            except _LOST as error:
                failures += 1
                log.debug("listen_failed", error=str(error))
                await asyncio.sleep(pause(failures))
                continue
            try:
                await connection.add_listener(CHANNEL, self._on_notice)
                failures = 0
                self._connection = connection
                # Whatever was announced while nobody listened is unknown.
                self._listeners.tell(())
                await self._until_lost(connection)
            except _LOST as error:
                failures += 1
                log.info("listen_lost", error=str(error))
            finally:
                self._connection = None
                connection.terminate()
            await asyncio.sleep(pause(failures or 1))

    async def _until_lost(self, connection: Any) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        while not connection.is_closed():
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await lost.wait()
            except TimeoutError:
                async with self._turn:
                    await connection.execute("SELECT 1")

    def _on_notice(self, _connection: Any, _pid: int, _channel: str, payload: Any) -> None:
        self._listeners.tell(hint_of(str(payload)))
