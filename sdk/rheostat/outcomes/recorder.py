"""Which ramping flags one request has met, and how the request ended."""

import threading
from contextvars import ContextVar
from typing import Protocol

from rheostat.model.evaluation import Evaluation
from rheostat.model.outcome import Outcome
from rheostat.outcomes.touch import Touch


class Ledger(Protocol):
    """Where starts and ends are counted."""

    @property
    def era(self) -> int:
        """A number that changes in a forked child, whose requests are not the parent's."""
        ...

    def begin(self, evaluation: Evaluation) -> Touch | None:
        """Count a start; ``None`` when the evaluation belongs to no live ramp."""
        ...

    def withdraw(self, touch: Touch) -> None:
        """Take the start back."""
        ...

    def end(self, touch: Touch, outcome: Outcome, duration_s: float) -> None:
        """Count the end, once."""
        ...


class Recorder:
    """One request's meetings with ramping flags.

    Put into ``current_recorder`` when the request starts, and shared by the threads and tasks that work on
    it: each sees the same object through its copy of the context. Safe to use from many threads. What
    happens after ``finish``, or in a process forked during the request, counts nothing.
    """

    __slots__ = ("_era", "_finished", "_ledger", "_lock", "_outer", "_touches")

    def __init__(self, ledger: Ledger, outer: "Recorder | None" = None) -> None:
        self._ledger = ledger
        self._outer = outer
        self._era = ledger.era
        self._lock = threading.Lock()
        self._touches: dict[str, Touch] = {}
        self._finished = False

    def records(self, ledger: Ledger) -> bool:
        """Return whether this request is still being recorded for this ledger, here or in an outer recorder."""
        if self._ledger is ledger:
            return not self._finished and self._era == ledger.era
        return self._outer is not None and self._outer.records(ledger)

    def note(self, evaluation: Evaluation, ledger: Ledger | None = None) -> None:
        """Count a start if this is the request's first meeting with a flag that ramps.

        The first arm stands: a second evaluation in the same arm changes nothing, one in another arm takes
        the flag out of the request's count. ``ledger`` says whose evaluation it is where one process has
        two clients; another's goes to the recorder outside this one, if that is theirs.
        """
        if evaluation.ramp is None:
            return
        if ledger is not None and ledger is not self._ledger:
            if self._outer is not None:
                self._outer.note(evaluation, ledger)
            return
        # The era before the lock: in a forked child the lock may be held by a thread that is not there.
        if self._era != self._ledger.era:
            return
        with self._lock:
            if self._finished:
                return
            met = self._touches.get(evaluation.flag)
            if met is None:
                if (touch := self._ledger.begin(evaluation)) is not None:
                    self._touches[evaluation.flag] = touch
            elif evaluation.arm is not None and met.arm is not evaluation.arm:
                self._ledger.withdraw(met)

    def finish(self, outcome: Outcome, duration_s: float) -> None:
        """Count the request's end in each flag it met. ``duration_s`` is since the request began. Once."""
        if self._era != self._ledger.era:
            return
        with self._lock:
            if self._finished:
                return
            self._finished = True
        for touch in self._touches.values():
            self._ledger.end(touch, outcome, duration_s)


current_recorder: ContextVar[Recorder | None] = ContextVar("rheostat_recorder", default=None)
"""The recorder of the request that runs here, if there is one."""


def note_meeting(evaluation: Evaluation, ledger: Ledger) -> None:
    """Count a start in the request that runs here, if there is one and this is its first meeting with the flag."""
    recorder = current_recorder.get()
    if recorder is not None:
        recorder.note(evaluation, ledger)
