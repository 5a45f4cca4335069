"""The open requests of this process, noted in case it is killed; and those that other processes left when they were."""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rheostat.clock import Clock
from rheostat.engine.hashing import level_entry
from rheostat.model.outcome import Orphan, Orphans
from rheostat.outcomes.orphans import Note, Remains, Ring, drop_oldest, find_remains, ring_directory
from rheostat.outcomes.standing import LiveRamp
from rheostat.outcomes.touch import WHOLE_LINE, Touch

log = logging.getLogger("rheostat.outcomes")

UNNOTED: Final = -1


class OpenRequests:
    """Notes touches in a ring that is made with the first; reports the rings of the dead, one at a time.

    ``cache`` is the folder beside which rings go, ``name`` what they share: processes of one server and key. Without
    ``cache`` nothing is noted and nothing reported. Where no ring can be made this is said once, and nothing is noted.
    """

    def __init__(self, cache: Path | None, name: str, instance: str, clock: Clock) -> None:
        self._cache = cache
        self._name = name
        self._instance = instance
        self._clock = clock
        self._lock = threading.Lock()
        self._ring: Ring | None = None
        self._directory: Path | None = None
        self._tried = cache is None
        self._remains: list[tuple[int, Remains]] = []

    def begin(self) -> None:
        """Make the ring, if it was not tried yet: a flag ramps."""
        if self._tried:
            return
        with self._lock:
            if self._tried or self._cache is None:
                return
            try:
                self._directory = ring_directory(self._cache, self._name)
                drop_oldest(self._directory)
                ahead_s = self._clock.wall_ms() / 1000 - self._clock.monotonic()
                self._ring = Ring(self._directory, self._instance, ahead_s)
            except OSError as error:
                log.warning("open_requests_unnoted: requests that a killed process leaves are not reported: %s", error)
            finally:
                self._tried = True

    def note(self, touch: Touch) -> None:
        """Note the touch, whose request goes on from here."""
        ring, place = self._ring, touch.place
        if ring is not None and place is not None and (unit := touch.unit_digest) is not None:
            overlay = touch.overlay
            touch.slot = ring.note(overlay.ramp, unit, place, overlay.epoch, touch.at)

    def clear(self, touch: Touch) -> None:
        """Clear the touch: it is counted, or not to be counted. Once for each."""
        ring, slot = self._ring, touch.slot
        if ring is not None and slot != UNNOTED:
            touch.slot = UNNOTED
            ring.clear(slot)

    def orphans(self, live: Mapping[str, LiveRamp], sequence: int) -> tuple[Orphans, ...]:
        """Return what a dead process left of these ramps, to go into the batch of this sequence."""
        directory = self._directory
        if directory is None or not live:
            return ()
        found = find_remains(directory, None if self._ring is None else self._ring.path)
        if found is None:
            return ()
        self._remains.append((sequence, found))
        now_ms = self._clock.wall_ms()
        requests = tuple(
            _orphan(note, ramp, now_ms) for note in found.notes if (ramp := live.get(note.ramp)) is not None
        )
        return (Orphans(instance=found.instance, replaced=found.replaced, requests=requests),)

    def settled(self, sequence: int) -> None:
        """Remove what the batches up to this one carried: the server has it, or will never take it."""
        for carried, remains in self._remains:
            if carried <= sequence:
                remains.remove()
        self._remains = [(carried, remains) for carried, remains in self._remains if carried > sequence]

    def end(self) -> None:
        """Leave nothing of this process: it ends in good order. What is not settled of others is for others."""
        self._let_go(remove=True)

    def abandon(self) -> None:
        """Let go of all files without a change: they belong to the process from which this one was forked."""
        self._let_go(remove=False)

    def _let_go(self, *, remove: bool) -> None:
        ring, self._ring, self._tried, self._directory = self._ring, None, True, None
        remains, self._remains = self._remains, []
        try:
            if ring is not None:
                if remove:
                    ring.remove()
                else:
                    ring.abandon()
            for _, each in remains:
                each.abandon()
        except OSError as error:
            log.debug("a ring of open requests could not be closed: %s", error)


def _orphan(note: Note, ramp: LiveRamp, now_ms: int) -> Orphan:
    entry = level_entry(ramp.overlay, ramp.rollout or WHOLE_LINE, note.place)
    return Orphan(note.ramp, note.unit, entry, note.epoch, max(0, now_ms - note.at_ms), note.number)
