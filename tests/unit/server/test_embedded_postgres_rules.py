"""The rules of the embedded PostgreSQL that need no PostgreSQL."""

import os
import signal
from pathlib import Path

import pytest

from rheostat_server.adapters.storage.postgres.embedded.account import Account
from rheostat_server.adapters.storage.postgres.embedded.binaries import Installation, fits, refusal
from rheostat_server.adapters.storage.postgres.embedded.keeper import last_complaint
from rheostat_server.adapters.storage.postgres.embedded.launcher import attach
from rheostat_server.adapters.storage.postgres.embedded.lock import DataDirectoryLock, Holder, read_holder
from rheostat_server.adapters.storage.postgres.embedded.orphan import running_postmaster
from rheostat_server.adapters.storage.postgres.embedded.plan import connection_url, plan_creation, plan_running
from rheostat_server.adapters.storage.postgres.embedded.socket_place import SOCKET_NAME
from rheostat_server.adapters.storage.postgres.embedded.socket_place import fits as socket_fits
from rheostat_server.adapters.storage.postgres.embedded.supervisor import describe, is_ready
from rheostat_server.errors import DataDirectoryInUse, StartupRefused, StorageUnavailable

ME = Account("self", 1000, 1000)


def installed(major: int) -> Installation:
    return Installation(Path(f"/usr/lib/postgresql/{major}/bin"), major, f"{major}.1")


@pytest.mark.parametrize(
    ("major", "wanted", "expected"),
    [(18, None, True), (14, None, True), (13, None, False), (18, 18, True), (18, 15, False)],
)
def test_which_programs_fit(major: int, wanted: int | None, expected: bool) -> None:
    """A new directory takes any major from 14, an existing one its own alone."""
    assert fits(installed(major), wanted) is expected


def test_a_refusal_names_what_is_there_and_the_way_out() -> None:
    """Each refusal is one line that says what is needed, what was found and what to do."""
    other = refusal([installed(18), installed(15), installed(15)], [], 16)
    assert other == (
        "the data is of PostgreSQL 16, but only PostgreSQL 15, 18 is installed: "
        "install PostgreSQL 16, or run `rheostat db upgrade`"
    )
    assert "PostgreSQL 14 or newer is needed (found: 13)" in refusal([installed(13)], [], None)
    assert "cannot be run by the user" in refusal([], [Path("/p/bin")], None)


@pytest.mark.parametrize(("length", "expected"), [(100, True), (101, False)])
def test_a_socket_path_of_100_bytes_fits(length: int, expected: bool) -> None:
    """The limit counts the bytes of the whole path, not its characters."""
    rest = length - len(f"/é/{SOCKET_NAME}".encode())
    directory = Path("/é" + "d" * rest)
    assert len(os.fsencode(directory / SOCKET_NAME)) == length

    assert socket_fits(directory) is expected


def test_a_socket_path_is_quoted_for_postgresql() -> None:
    """A path with a comma or a quote is one directory to PostgreSQL."""
    plan = plan_running(installed(18), ME, Path("/d/postgres"), Path('/run/a,b"c'), Path("/d/log"))

    assert 'unix_socket_directories="/run/a,b""c"' in plan.argv


def test_the_settings_keep_what_is_committed() -> None:
    """Durability and privacy are set where no file can change them."""
    plan = plan_running(installed(18), ME, Path("/d/postgres"), Path("/d/postgres"), Path("/d/log"))

    assert {"fsync=on", "full_page_writes=on", "synchronous_commit=on", "listen_addresses="} <= set(plan.argv)
    assert "--auth-local=scram-sha-256" in plan_creation(installed(15), ME, Path("/d"), Path("/l")).argv


def test_the_builtin_locale_is_asked_for_where_there_is_one() -> None:
    """From PostgreSQL 17 on the locale is its own, before that plain C."""
    new = plan_creation(installed(17), ME, Path("/d"), Path("/l")).argv
    old = plan_creation(installed(16), ME, Path("/d"), Path("/l")).argv

    assert "--locale-provider=builtin" in new
    assert not [part for part in old if "builtin" in part]


def test_the_url_is_quoted() -> None:
    """Whatever is in path and password, the URL says exactly that."""
    url = connection_url(Path("/a b/c&d"), "p@ss/word")

    assert url == "postgresql://rheostat:p%40ss%2Fword@/postgres?host=/a%20b/c%26d&port=5432"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7\n/d\n1\n5432\n/s\n\n 1 2\nready   \n", True),
        ("7\n/d\n1\n5432\n/s\n\n 1 2\nstarting\n", False),
        ("8\n/d\n1\n5432\n/s\n\n 1 2\nready   \n", False),
        ("7\n/d\n", False),
        ("", False),
    ],
)
def test_readiness_is_read_from_the_pid_file(tmp_path: Path, text: str, expected: bool) -> None:
    """Only a whole file of this very process that says so means ready."""
    file = tmp_path / "postmaster.pid"
    file.write_text(text)

    assert is_ready(str(file), 7) is expected


def test_an_end_is_described_in_words() -> None:
    """A signal is named, a code is given."""
    assert describe(-signal.SIGKILL) == "killed by SIGKILL"
    assert describe(3) == "exit code 3"
    assert describe(-64) == "killed by SIGRTMAX"
    assert describe(-99) == "killed by signal 99"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LOG: x\n2026 UTC [1] FATAL:  no room\nLOG: down\n", "no room"),
        ("initdb: error: could not look up\n", "could not look up"),
        (
            "postgres: could not find it\nExpected it in /d,\nbut no\n",
            "postgres: could not find it Expected it in /d, but no",
        ),
        ("", ""),
    ],
)
def test_the_last_complaint_is_found_in_the_log(tmp_path: Path, text: str, expected: str) -> None:
    """Of what was logged since the start, the complaint is told in one line."""
    log = tmp_path / "log"
    log.write_text("FATAL: an old one\n" + text)

    assert last_complaint(log, len("FATAL: an old one\n")) == expected


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    """A held directory is refused with the holder's process id, and free after release."""
    with DataDirectoryLock(tmp_path / "data") as lock:
        lock.write(Holder(os.getpid(), "/run/x"))
        assert read_holder(tmp_path / "data") == Holder(os.getpid(), "/run/x")
        with pytest.raises(DataDirectoryInUse, match=f"in use by process {os.getpid()}"):
            DataDirectoryLock(tmp_path / "data")

    assert read_holder(tmp_path / "data") is None
    DataDirectoryLock(tmp_path / "data").release()


def test_what_a_killed_holder_left_is_known_to_the_next(tmp_path: Path) -> None:
    """The next holder learns where the last one's socket was, so that it can clean up."""
    (tmp_path / "lock").write_bytes(b'{"pid":1,"socket_dir":"/run/old"}')

    with DataDirectoryLock(tmp_path) as lock:
        assert lock.previous == Holder(1, "/run/old")


def test_a_data_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """Where a file is in the way, the refusal is one line that names the path."""
    (tmp_path / "file").touch()

    with pytest.raises(StartupRefused, match="file/data cannot be used: Not a directory"):
        DataDirectoryLock(tmp_path / "file" / "data")


def test_attaching_waits_for_nobody(tmp_path: Path) -> None:
    """A held directory whose PostgreSQL is not up is refused by name."""
    with DataDirectoryLock(tmp_path), pytest.raises(StorageUnavailable, match=f"process {os.getpid()} holds"):
        attach(tmp_path)


def test_a_reused_process_id_is_no_postmaster(tmp_path: Path) -> None:
    """A pid file whose process works elsewhere, is gone, or is nonsense means that none runs."""
    for text in (f"{os.getpid()}\n", "999999999\n", "-1\n", "text\n", ""):
        (tmp_path / "postmaster.pid").write_text(text)
        assert running_postmaster(tmp_path) is None
