"""A small process of its own that keeps one PostgreSQL running exactly as long as the server lives.

It is run by path with the standard library alone (``python -I -S supervisor.py``), has one thread, and imports nothing
of ours: it must start fast, and go on whatever happens to the server. Its standard input is the life line: one line
with the plan, then nothing until the server's death, or its stop, closes it. Each event is a line of JSON on its
standard output.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

FAST_SHUTDOWN_SECONDS = 4.0
"""How long a fast shutdown (SIGINT) may take before an immediate one (SIGQUIT)."""
IMMEDIATE_SHUTDOWN_SECONDS = 2.0
"""How long an immediate shutdown may take before SIGKILL."""
LONGEST_PAUSE_SECONDS = 5.0
LOG_LIMIT_BYTES = 8 * 1024 * 1024
LOOK_AT_LOG_SECONDS = 60.0
NAMESPACE_REFUSED = 71

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1


class Supervisor:
    """Carries out one plan."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._descriptor: int | None = None
        home = str(plan["home"])
        if plan["by_descriptor"]:
            # The user that PostgreSQL runs as may be unable to walk to its own directory (a data directory in root's
            # private home). A descriptor that root opened leads there without the walk, and fork hands it on.
            self._descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
            home = f"/proc/self/fd/{self._descriptor}"
        self._argv = [part.replace("{home}", home) for part in plan["argv"]]
        self._log = os.open(plan["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._me = os.getpid()
        self._woken, wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        # A handler and not SIG_IGN, which PostgreSQL would inherit. The terminal and the service manager signal the
        # whole group; the server decides when PostgreSQL stops, by closing the life line.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def once(self) -> None:
        """Run the command to its end and report its exit code; end it if the server dies."""
        child = self._launch()
        while child.poll() is None:
            if self._wait(LOOK_AT_LOG_SECONDS):
                child.kill()
                child.wait()
                return
        self._report(event="finished", code=child.returncode)

    def keep(self) -> None:
        """Keep the command running until the life line closes, then shut it down."""
        pause = 0.0
        while True:
            child = self._launch()
            self._report(event="started", pid=child.pid)
            ready = False
            while child.poll() is None:
                if self._wait(LOOK_AT_LOG_SECONDS if ready else 0.01):
                    stop(child)
                    self._report(event="stopped")
                    return
                if not ready and is_ready(self._plan["pid_file"], child.pid):
                    ready = True
                    self._report(event="ready", pid=child.pid)
                if ready:
                    self._bound_log()
            self._report(event="died", how=describe(child.returncode), ready=ready)
            pause = 0.05 if ready else min(max(2 * pause, 0.05), LONGEST_PAUSE_SECONDS)
            if self._wait(pause):
                return

    def _launch(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._argv,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd="/",
            env=self._plan["environment"],
            pass_fds=() if self._descriptor is None else (self._descriptor,),
            preexec_fn=self._become,  # noqa: PLW1509 - safe here: this process has one thread
        )

    def _become(self) -> None:
        account = self._plan["account"]
        if account["kind"] == "user":
            os.setgroups([])
            os.setgid(account["gid"])
            os.setuid(account["uid"])
        elif account["kind"] == "namespace":
            enter_namespace(self._libc, account["uid"], account["gid"])
        os.umask(0o077)
        if self._libc is not None:
            # After the change of user, which clears it. If this process is killed, PostgreSQL still stops.
            self._libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT))
            if os.getppid() != self._me:
                os._exit(1)

    def _wait(self, seconds: float) -> bool:
        """Wait for a child's end, the life line's end, or the time; say whether the life line has ended."""
        readable, _, _ = select.select([0, self._woken], [], [], seconds)
        if self._woken in readable:
            os.read(self._woken, 4096)
        return 0 in readable and os.read(0, 4096) == b""

    def _report(self, **event: object) -> None:
        try:
            os.write(1, json.dumps(event).encode() + b"\n")
        except OSError:
            pass  # The server is gone; the life line says so too.

    def _bound_log(self) -> None:
        """Start the log anew when it has grown too long, keeping the old one; PostgreSQL keeps it open to append."""
        if os.fstat(self._log).st_size > LOG_LIMIT_BYTES:
            shutil.copyfile(self._plan["log"], self._plan["log"] + ".1")
            os.ftruncate(self._log, 0)


def stop(child: subprocess.Popen[bytes]) -> None:
    """Shut PostgreSQL down: fast, then immediately, then by force."""
    for number, seconds in (
        (signal.SIGINT, FAST_SHUTDOWN_SECONDS),
        (signal.SIGQUIT, IMMEDIATE_SHUTDOWN_SECONDS),
        (signal.SIGKILL, None),
    ):
        child.send_signal(number)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        return


def is_ready(pid_file: str, pid: int) -> bool:
    """Say whether postmaster.pid reports that this process accepts connections (its eighth line)."""
    try:
        lines = Path(pid_file).read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def describe(code: int) -> str:
    """Say in words how a process ended, from a ``returncode``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def enter_namespace(libc: Any, uid: int, gid: int) -> None:
    """Move this process into a user namespace where it is ``uid`` and not root; outside nothing changes.

    Raises:
        OSError: the kernel or a container's policy does not allow it.
    """
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    if libc is None or libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "no user namespace")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outside_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {outside_gid} 1")


def try_namespace(uid: int, gid: int) -> int:
    """Return 0 if a user namespace can be entered here, else NAMESPACE_REFUSED."""
    try:
        enter_namespace(ctypes.CDLL(None, use_errno=True), uid, gid)
    except (OSError, AttributeError):
        return NAMESPACE_REFUSED
    return 0


def run_in_namespace(uid: int, gid: int, argv: list[str]) -> None:
    """Replace this process by a command in a user namespace; exit with NAMESPACE_REFUSED where that is impossible."""
    if try_namespace(uid, gid) != 0:
        sys.exit(NAMESPACE_REFUSED)
    os.execv(argv[0], argv)  # noqa: S606 - the launcher gives an absolute path


def main(arguments: list[str]) -> None:
    """``supervisor.py``: a plan on standard input. ``supervisor.py namespace UID GID COMMAND…``: one command."""
    if arguments[:1] == ["namespace"]:
        run_in_namespace(int(arguments[1]), int(arguments[2]), arguments[3:])
    # Unbuffered: what follows the first line is the life line, and must stay in the pipe.
    with open(0, "rb", buffering=0, closefd=False) as life_line:
        plan = json.loads(life_line.readline())
    supervisor = Supervisor(plan)
    if plan["keep"]:
        supervisor.keep()
    else:
        supervisor.once()


if __name__ == "__main__":
    main(sys.argv[1:])
