"""Start, find and stop the embedded PostgreSQL of a data directory.

DIR/lock               who holds the directory (see `lock`)
DIR/supervisor.lock    held by the supervisor while it works
DIR/postgres.log       what PostgreSQL says
DIR/postgres/          PostgreSQL's own: cluster/, password, and the socket where its path is short enough
"""

import asyncio
import os
import secrets
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from rheostat_server.adapters.storage.postgres.embedded import socket_place
from rheostat_server.adapters.storage.postgres.embedded.account import Account, choose_account
from rheostat_server.adapters.storage.postgres.embedded.binaries import Installation, choose_installation
from rheostat_server.adapters.storage.postgres.embedded.keeper import (
    Keeper,
    last_complaint,
    lock_supervision,
    log_size,
    run_once,
)
from rheostat_server.adapters.storage.postgres.embedded.lock import DataDirectoryLock, Holder, read_holder
from rheostat_server.adapters.storage.postgres.embedded.orphan import end_orphan
from rheostat_server.adapters.storage.postgres.embedded.plan import connection_url, plan_creation, plan_running
from rheostat_server.errors import StartupRefused, StorageUnavailable

HOME = "postgres"
LOG = "postgres.log"


class EmbeddedPostgres:
    """A running PostgreSQL; it ends with this process, whatever happens."""

    def __init__(self, lock: DataDirectoryLock, keeper: Keeper, socket_dir: Path, url: str, version: str) -> None:
        self.url = url
        self.version = version
        self._lock = lock
        self._keeper = keeper
        self._socket_dir = socket_dir

    @property
    def pid(self) -> int:
        """The postmaster's process id. It changes when PostgreSQL dies and is started again."""
        return self._keeper.postmaster

    @property
    def supervisor_pid(self) -> int:
        """The supervisor's process id."""
        return self._keeper.supervisor

    @property
    def socket_dir(self) -> Path:
        """The directory of its socket."""
        return self._socket_dir

    async def stop(self) -> None:
        """Shut it down, in order if that takes at most 4 s, and let go of the data directory. Safe to call twice."""
        await asyncio.to_thread(self.stop_now)

    def stop_now(self) -> None:
        """Do as ``stop``, blocking."""
        self._keeper.stop()
        socket_place.remove(self._socket_dir)
        self._lock.release()


async def start_embedded(data_dir: Path, *, say: Callable[[str], None]) -> EmbeddedPostgres:
    """Start the PostgreSQL of ``data_dir``, made now if there is none, and hold the directory's lock.

    ``say`` is called in the event loop with one line when PostgreSQL dies, is running again, or cannot be started.

    Raises:
        DataDirectoryInUse: another server runs on it; the message names its process.
        StartupRefused: PostgreSQL cannot run here; the message is one line.
        StorageUnavailable: an earlier PostgreSQL of this directory does not go away, or this one does not get ready.
    """
    loop = asyncio.get_running_loop()
    cancel = threading.Event()

    def tell(line: str) -> None:
        try:
            loop.call_soon_threadsafe(say, line)
        except RuntimeError:
            pass  # The loop is closed: nobody is left to hear it.

    start = loop.run_in_executor(None, lambda: start_embedded_now(data_dir, say=tell, cancel=cancel))
    try:
        return await asyncio.shield(start)
    except asyncio.CancelledError:
        cancel.set()
        await asyncio.wait([start])
        if start.exception() is None:
            await start.result().stop()
        raise


def start_embedded_now(
    data_dir: Path, *, say: Callable[[str], None], cancel: threading.Event | None = None
) -> EmbeddedPostgres:
    """Do as `start_embedded`, blocking; ``say`` is called in another thread, and setting ``cancel`` gives up."""
    cancel = cancel or threading.Event()
    lock = DataDirectoryLock(data_dir)
    try:
        return _start(data_dir.resolve(), lock, say, cancel)
    except BaseException:
        lock.release()
        raise


def attach(data_dir: Path) -> str:
    """Return the URL of the PostgreSQL that a server, in another process, runs on ``data_dir`` now.

    Raises:
        StorageUnavailable: none runs on it, or it is not ready yet.
    """
    holder = read_holder(data_dir)
    if holder is None:
        raise StorageUnavailable(f"no server runs on {data_dir}")
    if holder.socket_dir is None:
        raise StorageUnavailable(f"process {holder.pid} holds {data_dir}, but its PostgreSQL is not up")
    return _url(data_dir.resolve() / HOME, Path(holder.socket_dir))


def _start(
    data_dir: Path, lock: DataDirectoryLock, say: Callable[[str], None], cancel: threading.Event
) -> EmbeddedPostgres:
    home, log = data_dir / HOME, data_dir / LOG
    if lock.previous is not None and lock.previous.socket_dir is not None:
        socket_place.remove(Path(lock.previous.socket_dir))
    # An earlier supervisor may still be at work; then no one else may touch the directory.
    os.close(lock_supervision(data_dir, cancel))
    end_orphan(home / "cluster", cancel)
    account = choose_account(data_dir, home)
    installation = choose_installation(account, major_of(home / "cluster"))
    if not home.exists():
        _create(data_dir, installation, account, cancel)
    socket_dir = home if socket_place.fits(home) else socket_place.make_short_directory(account)
    try:
        url = _url(home, socket_dir)
        plan = plan_running(installation, account, home, socket_dir, log)
        keeper = Keeper(plan, home / "cluster", say, cancel)
        keeper.wait_until_ready()
    except BaseException:
        socket_place.remove(socket_dir)
        raise
    lock.write(Holder(os.getpid(), str(socket_dir)))
    return EmbeddedPostgres(lock, keeper, socket_dir, url, installation.version)


def _create(data_dir: Path, installation: Installation, account: Account, cancel: threading.Event) -> None:
    """Make the directory of PostgreSQL, whole or not at all."""
    work, log = data_dir / f"{HOME}.new", data_dir / LOG
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(mode=0o700)
    password = work / "password"
    with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(32))
        file.flush()
        os.fsync(file.fileno())
    account.give(password)
    account.give(work)
    log_begins = log_size(log)
    if run_once(plan_creation(installation, account, work, log), cancel) != 0:
        complaint = last_complaint(log, log_begins)
        raise StartupRefused(f"PostgreSQL's data could not be made: {complaint} (log: {log})")
    work.rename(data_dir / HOME)
    for directory in (data_dir / HOME, data_dir):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(descriptor)
        os.close(descriptor)


def major_of(cluster: Path) -> int | None:
    """Return the PostgreSQL major that a data directory is of, None if there is none yet.

    Raises:
        StartupRefused: there is a directory, but it does not say.
    """
    if not cluster.parent.exists():
        return None
    try:
        return int((cluster / "PG_VERSION").read_text().strip())
    except (OSError, ValueError) as error:
        raise StartupRefused(f"{cluster} is not a PostgreSQL data directory: its PG_VERSION cannot be read") from error


def _url(home: Path, socket_dir: Path) -> str:
    try:
        password = (home / "password").read_text().strip()
    except OSError as error:
        raise StartupRefused(f"the password of PostgreSQL in {home} cannot be read: {error.strerror}") from error
    return connection_url(socket_dir, password)
