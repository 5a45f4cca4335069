"""What is wrong with the shop: told by anybody, seen by all of its processes."""

from pathlib import Path

import msgspec

from rheostat.clock import Clock

LOOK_EVERY_S = 0.05
"""How old what a process knows may be."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Shares are 0 … 1, of the requests that the new checkout answers; ``outage`` of all requests, old and new.

    ``rate`` fail; ``slow_rate`` take ``slow_ms`` longer; ``die_rate`` end their process as a crash would.
    """

    rate: float = 0.0
    slow_ms: float = 0.0
    slow_rate: float = 1.0
    die_rate: float = 0.0
    outage: float = 0.0


class FaultFile:
    """The fault in a file, read again when what is known of it is old."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._known = Fault()
        self._read_at = float("-inf")

    def write(self, fault: Fault) -> None:
        """Say what is wrong from now on."""
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(fault))
        fresh.replace(self._path)
        self._read_at = float("-inf")

    def read(self) -> Fault:
        """Return what is wrong; nothing is before somebody said so."""
        now = self._clock.monotonic()
        if now >= self._read_at + LOOK_EVERY_S:
            self._read_at = now
            if self._path.exists():
                self._known = msgspec.json.decode(self._path.read_bytes(), type=Fault)
        return self._known
