"""The last known snapshot and kill set on disk, so that a process can answer before it has heard from anyone."""

import contextlib
import hashlib
import logging
import os
import secrets
from pathlib import Path

import msgspec

from rheostat.engine.kills import digest, in_force, unabsorbed, union
from rheostat.errors import InvalidSnapshot
from rheostat.feed.lock import exclusive
from rheostat.model.kill import Kill
from rheostat.model.snapshot import Identity, Snapshot

log = logging.getLogger("rheostat.feed")

VERSION = 1
LEFT_BEHIND_SECONDS = 3_600
"""No write takes so long: a file that was begun before is nobody's."""

_MAGIC = b"rheostat-cache"


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What one process knew when it wrote. ``saved_at_ms`` is wall time; ``age_ms`` is the snapshot's age then."""

    saved_at_ms: int
    age_ms: int | None = None
    snapshot: Snapshot
    extra_kills: tuple[Kill, ...] = ()

    @property
    def kills(self) -> tuple[Kill, ...]:
        """Every kill known, the snapshot's first."""
        return (*self.snapshot.kills, *self.extra_kills)

    def age_at(self, wall_ms: int) -> int | None:
        """Return the snapshot's age as of now; a wall clock that ran back adds nothing."""
        return None if self.age_ms is None else self.age_ms + max(0, wall_ms - self.saved_at_ms)


class _Head(msgspec.Struct, frozen=True):
    """The first line: enough to see whether the file is whole, and newer or other than what is held."""

    version: int
    identity: Identity
    kills: str
    size: int
    checksum: str


def encode(stored: Stored) -> bytes:
    """Return the file's bytes: a magic word and a head on the first line, then the body."""
    body = msgspec.json.encode(stored)
    head = _Head(VERSION, stored.snapshot.identity, digest(stored.kills), len(body), _checksum(body))
    return b"%s %s\n%s" % (_MAGIC, msgspec.json.encode(head), body)


def decode(data: bytes) -> Stored:
    """Return what ``encode`` wrote.

    Raises:
        InvalidSnapshot: the bytes are cut off, changed, or of another version.
    """
    line, _, body = data.partition(b"\n")
    head = _head(line)
    if len(body) != head.size or _checksum(body) != head.checksum:
        raise InvalidSnapshot("the cache file is damaged")
    try:
        return msgspec.json.decode(body, type=Stored)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidSnapshot(f"the cache file cannot be read: {error}") from error


def _head(line: bytes) -> _Head:
    magic, _, text = line.partition(b" ")
    try:
        head = msgspec.json.decode(text, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidSnapshot("not a cache file") from error
    if magic != _MAGIC or head.version != VERSION:
        raise InvalidSnapshot(f"not a cache file of version {VERSION}")
    return head


def _checksum(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=16).hexdigest()


class DiskStore:
    """One file for one server and SDK key. Never raises: a directory that cannot be used is said once and left alone.

    Many processes may share the file: each write replaces it whole, by rename, while it holds a lock beside it.
    """

    def __init__(self, directory: Path, url: str, sdk_key: str) -> None:
        # The key is 128 random bits or more, so its hash in a file name tells nobody anything.
        name = hashlib.sha256(f"{url}\0{sdk_key}".encode()).hexdigest()[:32]
        self.path = directory / f"{name}.rheostat"
        self._lock = directory / f"{name}.lock"
        self._complained = False
        self._swept = False

    def size(self) -> int:
        """Return the file's size in bytes; 0 where there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def load(self) -> Stored | None:
        """Return what was last written; ``None`` where nothing usable is there."""
        try:
            return decode(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, InvalidSnapshot) as error:
            self._complain(f"the cache {self.path} is not used: {error}")
            return None

    def save(self, stored: Stored) -> bool:
        """Write, and return whether what is on disk now holds at least this.

        A file with a higher identity of the same environment is kept, and kills that only the file knows are
        carried over: another process heard more than this one. Waits up to 2 s for others that write.
        """
        try:
            # Nothing that another process writes may fall between reading the file and replacing it.
            with exclusive(self._lock):
                stored, write = self._beside_others(stored)
                if write:
                    self._replace(encode(stored))
        except OSError as error:
            self._complain(f"the cache {self.path} cannot be written: {error}")
            return False
        return True

    def _beside_others(self, stored: Stored) -> tuple[Stored, bool]:
        try:
            with self.path.open("rb") as file:
                head = _head(file.readline(4096).rstrip(b"\n"))
            same = head.kills == digest(stored.kills)
            if same and head.identity <= stored.snapshot.identity:
                return stored, True
            other = decode(self.path.read_bytes())
        except (FileNotFoundError, InvalidSnapshot):
            return stored, True
        theirs, ours = other.snapshot, stored.snapshot
        if (theirs.project, theirs.environment) != (ours.project, ours.environment):
            return stored, True
        if theirs.identity > ours.identity:
            missing = unabsorbed(in_force(ours.kills, stored.extra_kills), other.kills)
            kept = msgspec.structs.replace(other, extra_kills=union(other.extra_kills, missing))
            return kept, bool(missing)
        missing = unabsorbed(in_force(theirs.kills, other.extra_kills), stored.kills)
        return msgspec.structs.replace(stored, extra_kills=union(stored.extra_kills, missing)), True

    def _replace(self, data: bytes) -> None:
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._sweep(fresh)
            fresh.replace(self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise

    def _sweep(self, fresh: Path) -> None:
        """Remove, once, what processes that were killed in the middle of a write left behind."""
        if self._swept:
            return
        self._swept = True
        now = fresh.stat().st_mtime
        for left in self.path.parent.glob(f"{self.path.name}.*"):
            with contextlib.suppress(FileNotFoundError):
                if left.stat().st_mtime < now - LEFT_BEHIND_SECONDS:
                    left.unlink()

    def _complain(self, message: str) -> None:
        if not self._complained:
            self._complained = True
            log.warning(message)
