"""How a server runs from its start to its end."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from rheostat.clock import Clock, SystemClock
from rheostat_server.access.seed import Seeded, reset_admin, seed
from rheostat_server.adapters.storage.postgres.storage import PostgresStorage
from rheostat_server.bootstrap.node import Node
from rheostat_server.bootstrap.stopping import Stopping
from rheostat_server.database import OpenDatabase, open_beside
from rheostat_server.http_server import HttpServer
from rheostat_server.listening import listen, url_of
from rheostat_server.logs import set_up_logs
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.server_file import ServerFile, remove_server_file, write_server_file
from rheostat_server.settings import Settings
from rheostat_server.welcome import welcome


def run(settings: Settings, *, say: Callable[[str], None]) -> None:
    """Run a server until it is told to stop (SIGINT, SIGTERM); a second signal ends it at once.

    ``say`` prints for people.

    Raises:
        StartupRefused: it cannot start; the message is one line and nothing was changed.
    """
    set_up_logs(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, say))


async def reset_admin_token(settings: Settings) -> str:
    """Make a new admin token, revoke the former, and return the new one's secret.

    Raises:
        StartupRefused, StorageUnavailable: the database cannot be opened.
    """
    set_up_logs("warning")
    clock = SystemClock(settings.clock_offset_file)
    pool, exits = await open_beside(settings, clock)
    async with exits:

        async def work(tx: Transaction) -> str:
            return await reset_admin(tx, now_ms=clock.wall_ms())

        return await PostgresStorage(pool).run(work)


async def _serve(settings: Settings, say: Callable[[str], None]) -> None:
    stopping = Stopping()
    clock = SystemClock(settings.clock_offset_file)
    async with AsyncExitStack() as exits:
        exits.callback(stopping.forget)
        sock = exits.enter_context(listen(settings.host, settings.port))
        url = url_of(sock)
        try:
            database = await OpenDatabase.open(settings, clock)
            exits.push_async_callback(database.close)
            node = Node(settings, database.pool, clock, url=url)
            seeded = await _seed(node.storage, settings, clock)
            exits.push_async_callback(node.stop)
            await node.start()
        except asyncio.CancelledError:
            if not stopping.asked:
                raise
            # Told to stop before it was up: what was begun is undone on the way out.
            return
        server = HttpServer(node.app)
        write_server_file(settings.data_path, ServerFile(url, os.getpid()))
        exits.callback(remove_server_file, settings.data_path)
        say(welcome(url=url, where=database.where, seeded=seeded, command=_command()))
        stopping.then(node.hub.close_streams, server.finish)
        await server.run_on(sock)
        say("Stopping …")


async def _seed(storage: Storage, settings: Settings, clock: Clock) -> Seeded:
    async def work(tx: Transaction) -> Seeded:
        return await seed(tx, now_ms=clock.wall_ms(), admin_token=settings.admin_token, sdk_key=settings.sdk_key)

    return await storage.run(work)


def _command() -> str:
    """Return how people here call ``rheostat``: by its path, where the shell would not find it."""
    beside = Path(sys.executable).with_name("rheostat")
    on_path = {Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part}
    if beside.parent in on_path or not beside.exists():
        return "rheostat"
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)
