"""A PostgreSQL that outlived its server and its supervisor."""

import os
import signal
import threading
from pathlib import Path

from rheostat_server.errors import StorageUnavailable

PATIENCE_SECONDS = 10.0
LOOK_EVERY_SECONDS = 0.05


def end_orphan(cluster: Path, wait: threading.Event) -> None:
    """Shut down the postmaster that still runs on ``cluster``, if there is one.

    Raises:
        StorageUnavailable: it is still there after 10 s, or ``wait`` was set.
    """
    signals = {0: signal.SIGINT, int(4 / LOOK_EVERY_SECONDS): signal.SIGQUIT}
    for look in range(int(PATIENCE_SECONDS / LOOK_EVERY_SECONDS)):
        pid = running_postmaster(cluster)
        if pid is None:
            return
        if look in signals:
            try:
                os.kill(pid, signals[look])
            except ProcessLookupError:
                return
            except PermissionError as error:
                raise StorageUnavailable(f"process {pid} runs on {cluster} and is another user's") from error
        if wait.wait(LOOK_EVERY_SECONDS):
            raise StorageUnavailable("the start was cancelled")
    raise StorageUnavailable(f"an earlier PostgreSQL (process {pid}) still runs on {cluster} after 10 s")


def running_postmaster(cluster: Path) -> int | None:
    """Return the process id of the postmaster that runs on ``cluster``, or None."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        if pid <= 0:
            return None
        os.kill(pid, 0)
    except PermissionError:
        pass
    except (OSError, ValueError, OverflowError):
        return None
    try:
        # The number in the file may belong to some other program by now; a postmaster works in its data directory.
        at_home = Path(f"/proc/{pid}/cwd").samefile(cluster)
        zombie = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1] == ["Z"]
    except FileNotFoundError:
        # Gone meanwhile; or a system without /proc, where only the number speaks.
        return None if Path("/proc/self").exists() else pid
    except PermissionError:
        return None
    return pid if at_home and not zombie else None
