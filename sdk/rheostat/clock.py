"""The one place where time is read, by SDK and server alike."""

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Protocol

OFFSET_FILE = "RHEOSTAT_CLOCK_OFFSET_FILE"
_OFFSETS = struct.Struct("<qd")
_STOPPED_AT = _OFFSETS.size


class Clock(Protocol):
    """Wall and monotonic time."""

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch (UTC). May jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards; the zero is arbitrary."""
        ...


class SystemClock:
    """The machine's clock, moved by an offset that another process may write.

    ``RHEOSTAT_CLOCK_OFFSET_FILE`` names a file of 16 bytes: the wall offset in ms (int64) and the
    monotonic offset in s (float64), little endian. A 17th byte that is not 0 stops the clock: the two are then the
    times themselves. Tests steer a running process with it; without the variable there is no offset.
    """

    def __init__(self, offset_file: str | None = None) -> None:
        self._map: mmap.mmap | None = None
        if offset_file:
            with Path(offset_file).open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch (UTC), with the offset."""
        if self._map is None:
            return time.time_ns() // 1_000_000
        now = 0 if self._stopped(self._map) else time.time_ns() // 1_000_000
        return now + int(_OFFSETS.unpack_from(self._map)[0])

    def monotonic(self) -> float:
        """Return monotonic seconds, with the offset."""
        if self._map is None:
            return time.monotonic()  # noqa: TID251 - this is the one clock
        now = 0.0 if self._stopped(self._map) else time.monotonic()  # noqa: TID251
        return now + float(_OFFSETS.unpack_from(self._map)[1])

    @staticmethod
    def _stopped(steered: mmap.mmap) -> bool:
        return len(steered) > _STOPPED_AT and steered[_STOPPED_AT] != 0


class ManualClock:
    """A clock that moves only when told to: for tests, simulations and replays."""

    def __init__(self, wall_ms: int = 1_767_225_600_000) -> None:
        self._wall_ms = wall_ms
        self._monotonic = 0.0

    def wall_ms(self) -> int:
        """Return the set wall time in ms."""
        return self._wall_ms

    def monotonic(self) -> float:
        """Return the seconds advanced so far."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both times forward."""
        self._monotonic += seconds
        self._wall_ms += round(seconds * 1000)


def write_offset(path: Path, *, wall_ms: int = 0, monotonic: float = 0.0, stopped: bool = False) -> None:
    """Set the offsets that processes with this file see from now on; ``stopped``: the times themselves."""
    data = _OFFSETS.pack(wall_ms, monotonic) + bytes([stopped])
    mode = "r+b" if path.exists() else "w+b"
    with path.open(mode) as file:
        file.write(data)


def system_clock() -> SystemClock:
    """Return the clock that the environment asks for."""
    return SystemClock(os.environ.get(OFFSET_FILE))
