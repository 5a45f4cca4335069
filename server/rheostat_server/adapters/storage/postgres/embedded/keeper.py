"""The server's end of the line to its supervisor."""

import fcntl
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from rheostat_server.adapters.storage.postgres.embedded.account import supervisor_command
from rheostat_server.adapters.storage.postgres.embedded.orphan import (
    LOOK_EVERY_SECONDS,
    PATIENCE_SECONDS,
    end_orphan,
)
from rheostat_server.adapters.storage.postgres.embedded.plan import Plan
from rheostat_server.errors import RheostatServerError, StartupRefused, StorageUnavailable

START_SECONDS = 60.0
"""A crash's log is replayed before the first connection is let in."""
STOP_SECONDS = 12.0
TRANSIENT = ("pre-existing shared memory block", "lock file", "the database system is shutting down")
"""What a start may stumble on while the children of a killed PostgreSQL are still going away."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line from the supervisor."""

    event: Literal["started", "ready", "died", "stopped", "finished"]
    pid: int = 0
    how: str = ""
    ready: bool = False
    code: int = 0


class Keeper:
    """Has a supervisor keep PostgreSQL running, tells of its deaths, and replaces a supervisor that dies."""

    def __init__(self, plan: Plan, cluster: Path, say: Callable[[str], None], cancel: threading.Event) -> None:
        self.postmaster = 0
        self.supervisor = 0
        self._plan = plan
        self._cluster = cluster
        self._say = say
        self._cancel = cancel
        self._stopping = threading.Event()
        self._settled = threading.Event()
        self._failure: str | None = None
        self._told_failing = False
        self._log_begins = log_size(Path(plan.log))
        self._process = self._spawn()
        self._thread = threading.Thread(target=self._follow, name="postgres-keeper", daemon=True)
        self._thread.start()

    def wait_until_ready(self) -> None:
        """Wait for the first connection to be possible.

        Raises:
            StartupRefused: PostgreSQL does not start; the message is its last complaint.
            StorageUnavailable: it takes more than 60 s, or the start was cancelled.
        """
        for _ in range(int(START_SECONDS / LOOK_EVERY_SECONDS)):
            if self._settled.wait(LOOK_EVERY_SECONDS) or self._cancel.is_set():
                break
        if self._failure is not None:
            self.stop()
            raise StartupRefused(f"PostgreSQL does not start: {self._failure} (log: {self._plan.log})")
        if not self._settled.is_set() or self._cancel.is_set():
            self.stop()
            raise StorageUnavailable("PostgreSQL did not become ready in time")

    def stop(self) -> None:
        """Shut PostgreSQL down and wait for it. Safe to call twice."""
        self._stopping.set()
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._thread.join(STOP_SECONDS)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        # It goes to the supervisor, so that a start after the server's death waits for the supervisor's work too.
        lock = lock_supervision(self._cluster.parent.parent, self._stopping)
        try:
            process = start_supervisor(self._plan, (lock,))
        finally:
            os.close(lock)
        self.supervisor = process.pid
        return process

    def _follow(self) -> None:
        while True:
            stdout = self._process.stdout
            for line in stdout or ():
                self._hear(msgspec.json.decode(line, type=Event))
            self._process.wait()
            if stdout is not None:
                stdout.close()
            if self._stopping.is_set():
                return
            if not self._settled.is_set():
                self._fail(last_complaint(Path(self._plan.log), self._log_begins) or "its supervisor died")
                return
            self._say("the process that watches PostgreSQL died; another is started")
            if not self._replace():
                return

    def _replace(self) -> bool:
        while not self._stopping.wait(LOOK_EVERY_SECONDS):
            try:
                end_orphan(self._cluster, self._stopping)
                self._process = self._spawn()
            except (OSError, RheostatServerError) as error:
                self._say(f"PostgreSQL is not watched: {error}")
                continue
            if self._stopping.is_set() and self._process.stdin is not None:
                self._process.stdin.close()
            return True
        return False

    def _hear(self, event: Event) -> None:
        if event.event == "started":
            self.postmaster = event.pid
        elif event.event == "ready":
            if self._settled.is_set():
                self._say(f"PostgreSQL is running again (process {event.pid})")
            self._told_failing = False
            self._settled.set()
        elif event.event == "died":
            self._hear_death(event)

    def _hear_death(self, event: Event) -> None:
        if event.ready:
            self._say(f"PostgreSQL died ({event.how}); it is started again")
            return
        complaint = last_complaint(Path(self._plan.log), self._log_begins) or event.how
        if any(words in complaint for words in TRANSIENT):
            return
        if not self._settled.is_set():
            self._fail(complaint)
        elif not self._told_failing:
            self._told_failing = True
            self._say(f"PostgreSQL does not start: {complaint}")

    def _fail(self, why: str) -> None:
        self._failure = why
        self._settled.set()


def start_supervisor(plan: Plan, pass_fds: tuple[int, ...] = ()) -> "subprocess.Popen[bytes]":
    """Start a supervisor with this plan; its standard input is its life line."""
    with os.fdopen(os.open(plan.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        process = subprocess.Popen(
            supervisor_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            cwd="/",
            pass_fds=pass_fds,
            # A session of its own: the terminal's Ctrl-C is for the server, which then stops it in order.
            start_new_session=True,
        )
    assert process.stdin is not None
    try:
        process.stdin.write(msgspec.json.encode(plan) + b"\n")
    except BrokenPipeError:
        pass  # It died at once; its log and its exit say why.
    return process


def run_once(plan: Plan, cancel: threading.Event) -> int:
    """Run the plan's command to its end and return its exit code.

    Raises:
        StorageUnavailable: ``cancel`` was set meanwhile; the command was ended.
    """
    process = start_supervisor(plan)
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        while process.poll() is None:
            if cancel.wait(0.01):
                process.stdin.close()
                process.wait()
                raise StorageUnavailable("the start was cancelled")
        said = process.stdout.readline()
    return msgspec.json.decode(said, type=Event).code if said else 1


def lock_supervision(data_dir: Path, cancel: threading.Event) -> int:
    """Take the lock that one supervisor of this directory holds for life; return its descriptor.

    Raises:
        StorageUnavailable: an earlier one still holds it after 10 s.
    """
    file = os.open(data_dir / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(int(PATIENCE_SECONDS / LOOK_EVERY_SECONDS)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if cancel.wait(LOOK_EVERY_SECONDS):
                break
        else:
            return file
    os.close(file)
    raise StorageUnavailable(f"an earlier PostgreSQL of {data_dir} is still shutting down after 10 s")


def log_size(log: Path) -> int:
    """Return the log's length in bytes, 0 if there is none: where what is said from now on begins."""
    return log.stat().st_size if log.exists() else 0


def last_complaint(log: Path, since: int) -> str:
    """Return in one line what PostgreSQL, or what starts it, last said was wrong after byte ``since`` of its log."""
    try:
        with log.open("rb") as file:
            file.seek(max(since, log_size(log) - 8192))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    for mark in ("FATAL:", "PANIC:", "error:"):
        for line in reversed(lines):
            if mark in line:
                return line.partition(mark)[2].strip()
    return " ".join([line for line in lines if "LOG:" not in line][-3:])
