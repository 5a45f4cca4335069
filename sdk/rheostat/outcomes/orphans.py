"""What a process that is killed leaves open: noted in a small file that others read when it is dead.

Each process has a ring of notes in a file, mapped into its memory, whose lock it holds as long as it lives. A note is
written before a request first meets a ramping flag, and cleared at its end: neither is a system call. When the process
is killed its lock falls, whatever the signal; who then takes the lock reads what was left, reports it, and removes the
file once the report is acknowledged. A report that is lost with its sender is made again by the next.
"""

import contextlib
import itertools
import mmap
import os
import secrets
import struct
from pathlib import Path
from typing import Final

import msgspec

try:
    import fcntl
except ImportError:  # pragma: no cover - a system without it
    fcntl = None  # type: ignore[assignment]

SLOTS: Final = 1_024
"""Requests of one process that can be open and noted at a time; more go unnoted."""
MOST_RINGS: Final = 64
"""More files than these, and the oldest of dead processes go."""
LEFT_FOR_S: Final = 3_600
"""No file is being made for so long: one that was begun before is nobody's."""

_HEAD: Final = struct.Struct("<8s16sQQd")
"""Magic, instance, pid, the process's start, and wall time less monotonic time (s)."""
_NOTE: Final = struct.Struct("<36s8siqdq")
"""Ramp, unit, place, epoch, monotonic time of the touch, number."""
_write: Final = _NOTE.pack_into
_HEAD_BYTES: Final = 64
_SLOT_BYTES: Final = 80
_BYTES: Final = _HEAD_BYTES + SLOTS * _SLOT_BYTES
_MAGIC: Final = b"rheonot1"
_SUFFIX: Final = ".ring"


class Note(msgspec.Struct, frozen=True):
    """An open request: who met which ramp's flag, where on the line, when (wall ms), and its number."""

    ramp: str
    unit: str
    place: int
    epoch: int
    at_ms: int
    number: int


class Ring:
    """This process's notes. Safe to use from many threads; ``note`` and ``clear`` take well under 1 µs.

    Raises:
        OSError: the file cannot be made, or locked, or there is no room for it.
    """

    def __init__(self, directory: Path, instance: str, wall_less_monotonic_s: float) -> None:
        if fcntl is None:  # pragma: no cover - a system without it
            raise OSError("there are no file locks here")
        self.path = directory / f"{instance}{_SUFFIX}"
        fresh = directory / f"{instance}.{secrets.token_hex(4)}"
        self._descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Locked before it has its name: nobody may see it without an owner.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # With all its blocks: writing into a hole of a full disk would kill the application.
            if os.pwrite(self._descriptor, bytes(_BYTES), 0) != _BYTES:
                raise OSError("there is no room for it")
            self._map = mmap.mmap(self._descriptor, _BYTES)
            head = _HEAD.pack(_MAGIC, bytes.fromhex(instance), os.getpid(), _process_start(), wall_less_monotonic_s)
            self._map[: len(head)] = head
            fresh.rename(self.path)
        except BaseException:
            os.close(self._descriptor)
            fresh.unlink(missing_ok=True)
            raise
        self._free = [_HEAD_BYTES + slot * _SLOT_BYTES for slot in range(SLOTS)]
        self._numbers = itertools.count(1)
        self._ramps: dict[str, bytes] = {}

    def note(self, ramp: str, unit: bytes, place: int, epoch: int, at: float) -> int:
        """Note a request (``at`` is monotonic, in seconds); return what clears it, or −1 where there is no room."""
        try:
            slot = self._free.pop()
        except IndexError:
            return -1
        name = self._ramps.get(ramp)
        if name is None:
            name = self._ramps[ramp] = ramp.encode()[:36]
        _write(self._map, slot + 1, name, unit, place, epoch, at, next(self._numbers))
        # Last: a note that was cut short is none.
        self._map[slot] = 1
        return slot

    def clear(self, slot: int) -> None:
        """Clear a note: its request ended, or is not counted."""
        self._map[slot] = 0
        self._free.append(slot)

    def remove(self) -> None:
        """Remove the file: this process ends in good order."""
        self.path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Let go of the file without a change: it is another's, the process from which this one was forked."""
        self._free = []
        self._map.close()
        os.close(self._descriptor)


class Remains:
    """What a dead process left. Held until ``remove`` or ``abandon``, so that nobody else reports it meanwhile."""

    def __init__(self, path: Path, descriptor: int, data: bytes) -> None:
        self._path = path
        self._descriptor = descriptor
        _, instance, pid, start, ahead_s = _HEAD.unpack_from(data)
        self.instance: str = instance.hex()
        # The lock of a process falls at exec too. Then it is still there: it is this one.
        self.replaced: bool = pid == os.getpid() and start == _process_start() != 0
        self.notes = [
            Note(
                ramp=ramp.rstrip(b"\0").decode("utf-8", "replace"),
                unit=unit.hex(),
                place=place,
                epoch=epoch,
                at_ms=round((at + ahead_s) * 1000),
                number=number,
            )
            for slot in range(_HEAD_BYTES, _BYTES, _SLOT_BYTES)
            if data[slot] == 1
            for ramp, unit, place, epoch, at, number in [_NOTE.unpack_from(data, slot + 1)]
        ]

    def remove(self) -> None:
        """Remove the file: what was in it is counted."""
        self._path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Let go of it: somebody else may report it. A second call does nothing."""
        # Whoever ends the process does not wait for the thread that sends for ever: both may come here.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def find_remains(directory: Path, own: Path | None) -> Remains | None:
    """Return what one dead process left, if there is any with something to tell. Not from ``own`` file.

    Files with nothing in them, and those that nobody could want any more, are removed on the way.
    """
    try:
        entries = [entry for entry in os.scandir(directory) if own is None or entry.name != own.name]
    except OSError:
        return None
    for entry in entries:
        try:
            found = _claim(Path(entry.path))
        except OSError:
            # Another was faster, or it is no file of ours.
            continue
        if found is not None:
            if found.notes or found.replaced:
                return found
            found.remove()
    return None


def drop_oldest(directory: Path, most: int = MOST_RINGS) -> None:
    """Remove, of more files than these, the oldest of the dead: where each process dies before it can report."""
    try:
        entries = sorted((entry.stat().st_mtime, entry.path) for entry in os.scandir(directory))
    except OSError:
        # Somebody else tidies up.
        return
    for _, path in entries[: max(0, len(entries) - most)]:
        with contextlib.suppress(OSError):
            if (found := _claim(Path(path))) is not None:
                found.remove()


def ring_directory(cache: Path, name: str) -> Path:
    """Return a folder for rings that can be written, made if need be: beside the cache, else a temporary one.

    Raises:
        OSError: neither can be made, or be written by this user.
    """
    for parent in (cache, Path(os.environ.get("TMPDIR") or "/tmp") / f"rheostat-{_user()}"):  # noqa: S108 - checked below
        directory = parent / f"{name}.rings"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            ours = directory.lstat().st_uid == _user()
        except OSError:
            continue
        if ours and os.access(directory, os.W_OK | os.X_OK):
            return directory
    raise OSError(f"neither {cache} nor the temporary folder can be written")


def _claim(path: Path) -> Remains | None:
    """Return the file's content with its lock; ``None`` where its process lives, or it was removed."""
    if fcntl is None:  # pragma: no cover - a system without it
        return None
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stat = os.fstat(descriptor)
        # Not where another had the lock before, and has removed the file.
        if path.stat().st_ino == stat.st_ino:
            data = os.pread(descriptor, _BYTES, 0)
            if path.suffix == _SUFFIX and len(data) == _BYTES and data.startswith(_MAGIC):
                return Remains(path, descriptor, data)
            if path.suffix == _SUFFIX or stat.st_mtime < path.parent.stat().st_mtime - LEFT_FOR_S:
                path.unlink(missing_ok=True)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _process_start() -> int:
    """Return when this process started (ticks since the boot); 0 where that is not to be had. It outlives exec."""
    try:
        return int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
