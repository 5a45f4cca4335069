"""The lock on a data directory: one server at a time."""

import errno
import fcntl
import os
import threading
from pathlib import Path
from typing import Self

import msgspec

from rheostat_server.errors import DataDirectoryInUse, StartupRefused

LOCK_FILE = "lock"


class Holder(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who holds the data directory, and where its PostgreSQL listens once it does."""

    pid: int
    socket_dir: str | None = None


class DataDirectoryLock:
    """Held until ``release`` or the process's end, however it ends."""

    def __init__(self, data_dir: Path) -> None:
        """Take the lock, making the directory if need be.

        Raises:
            DataDirectoryInUse: another server holds it; the message names its process.
            StartupRefused: the directory cannot be made or written.
        """
        self.path = data_dir / LOCK_FILE
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartupRefused(f"the data directory {data_dir} cannot be used: {error.strerror}") from error
        try:
            _take(self._file)
        except OSError as error:
            os.close(self._file)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise StartupRefused(f"the data directory {data_dir} cannot be locked: {error.strerror}") from error
            holder = _read(self.path)
            who = f"process {holder.pid}" if holder else "another process"
            raise DataDirectoryInUse(f"the data directory {data_dir} is in use by {who}") from error
        self.previous = _read(self.path)
        """What the last holder wrote, if it was killed before it could release."""
        self.write(Holder(os.getpid()))

    def write(self, holder: Holder) -> None:
        """Record what others may know."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, msgspec.json.encode(holder), 0)

    def release(self) -> None:
        """Let go. Safe to call twice."""
        if self._file >= 0:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def read_holder(data_dir: Path) -> Holder | None:
    """Return who holds the data directory now, or None."""
    path = data_dir / LOCK_FILE
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _read(path)
    finally:
        os.close(file)
    return None


def _take(file: int) -> None:
    for last in (False, False, True):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if last:
                raise
            # `read_holder` holds it for an instant to see whether it is free.
            threading.Event().wait(0.05)
        else:
            return


def _read(path: Path) -> Holder | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None
