"""What one request is counted as."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rheostat.bound import carry
from rheostat.model.evaluation import Arm, Evaluation, Reason
from rheostat.model.outcome import Outcome
from rheostat.outcomes.recorder import Recorder, current_recorder
from rheostat.outcomes.summary import Summary
from rheostat.outcomes.touch import Touch, touch_of
from tests.builders import an_overlay


class Book:
    """A ledger over a real summary, at time 0."""

    def __init__(self) -> None:
        self.era = 0
        self.summary = Summary()
        self.durations: list[float] = []

    def begin(self, evaluation: Evaluation) -> Touch | None:
        """Count a start."""
        touch = touch_of(evaluation, None, 0.0)
        if touch is not None:
            self.summary.begin(touch)
        return touch

    def withdraw(self, touch: Touch) -> None:
        """Take a start back."""
        self.summary.withdraw(touch)

    def end(self, touch: Touch, outcome: Outcome, duration_s: float) -> None:
        """Count an end."""
        self.summary.end(touch, outcome, 0.0, 1)
        self.durations.append(duration_s)

    def counts(self) -> dict[tuple[str, Arm], tuple[int, int, int]]:
        """Return started, ended, bad by ramp and arm since the last call."""
        rows = self.summary.drain(0.0).rows
        return {(row.ramp, row.arm): (row.started, row.ended, row.bad) for row in rows}


def an_evaluation(flag: str = "checkout", arm: Arm | None = Arm.TREATMENT, **changes: Any) -> Evaluation:
    """Return an evaluation in a live ramp of the flag."""
    fields: dict[str, Any] = {"ramp": an_overlay(flag=flag), "unit": "user-1", "place": 5, **changes}
    return Evaluation(flag, value=True, variant="on", reason=Reason.SPLIT, arm=arm, **fields)


def test_a_request_counts_once_in_each_flag_that_ramps() -> None:
    """A flag read many times in a request is one start and one end; the start is counted at once."""
    book = Book()
    recorder = Recorder(book)

    recorder.note(an_evaluation("checkout"))
    recorder.note(an_evaluation("checkout"))
    recorder.note(an_evaluation("search", Arm.CONTROL))
    recorder.note(an_evaluation("plain", ramp=None))
    assert book.counts() == {
        ("ramp-of-checkout", Arm.TREATMENT): (1, 0, 0),
        ("ramp-of-search", Arm.CONTROL): (1, 0, 0),
    }

    recorder.finish(Outcome.ERROR, 0.25)
    recorder.finish(Outcome.OK, 0.5)
    assert book.counts() == {
        ("ramp-of-checkout", Arm.TREATMENT): (0, 1, 1),
        ("ramp-of-search", Arm.CONTROL): (0, 1, 1),
    }
    assert book.durations == [0.25, 0.25]


def test_a_request_that_met_both_arms_of_a_flag_counts_in_neither() -> None:
    """Two users in one request, one in each arm: the flag is not counted, other flags are."""
    book = Book()
    recorder = Recorder(book)
    recorder.note(an_evaluation("checkout", Arm.TREATMENT))
    recorder.note(an_evaluation("search"))
    recorder.note(an_evaluation("checkout", Arm.CONTROL))
    recorder.note(an_evaluation("checkout", Arm.TREATMENT))
    recorder.finish(Outcome.ERROR, 0.1)

    assert book.counts() == {("ramp-of-search", Arm.TREATMENT): (1, 1, 1)}


def test_an_evaluation_without_an_arm_changes_nothing() -> None:
    """A user decided before the ramping rollout has no arm, and does not mix with one who has."""
    book = Book()
    recorder = Recorder(book)
    recorder.note(an_evaluation(arm=None))
    recorder.note(an_evaluation(arm=Arm.CONTROL))
    recorder.note(an_evaluation(arm=None))
    recorder.finish(Outcome.OK, 0.1)

    assert book.counts() == {("ramp-of-checkout", Arm.CONTROL): (1, 1, 0)}


def test_what_runs_after_the_end_does_not_count() -> None:
    """A flag first read by a background task after the response counts nowhere."""
    book = Book()
    recorder = Recorder(book)
    recorder.finish(Outcome.OK, 0.1)
    recorder.note(an_evaluation())

    assert book.counts() == {}
    assert not recorder.records(book)


def test_a_forked_child_does_not_count_its_parents_request() -> None:
    """In a process forked during a request neither its reads nor its end count: the parent ends it."""
    book = Book()
    recorder = Recorder(book)
    recorder.note(an_evaluation())
    book.counts()

    book.era = 1
    recorder.note(an_evaluation("search"))
    recorder.finish(Outcome.ERROR, 0.1)

    assert book.counts() == {}
    assert not recorder.records(book)


def test_threads_started_through_carry_share_the_request() -> None:
    """Threads that work on a request note into its one recorder: one start however many read the flag."""
    book = Book()
    recorder = Recorder(book)
    token = current_recorder.set(recorder)
    together = threading.Barrier(4)

    def work() -> None:
        together.wait(timeout=10)
        found = current_recorder.get()
        assert found is not None
        for _ in range(50):
            found.note(an_evaluation())

    with ThreadPoolExecutor(4) as pool:
        carried = carry(work)
        for future in [pool.submit(carried) for _ in range(4)]:
            future.result(timeout=10)
    current_recorder.reset(token)
    recorder.finish(Outcome.OK, 0.1)

    assert book.counts() == {("ramp-of-checkout", Arm.TREATMENT): (1, 1, 0)}


def test_two_clients_in_one_request_keep_apart() -> None:
    """An evaluation goes to the recorder of its own client, which may be the outer one; a stranger's to none."""
    outer_book, inner_book, stranger = Book(), Book(), Book()
    outer = Recorder(outer_book)
    inner = Recorder(inner_book, outer)
    inner.note(an_evaluation("checkout"), inner_book)
    inner.note(an_evaluation("search"), outer_book)
    inner.note(an_evaluation("payments"), stranger)

    assert inner_book.counts() == {("ramp-of-checkout", Arm.TREATMENT): (1, 0, 0)}
    assert outer_book.counts() == {("ramp-of-search", Arm.TREATMENT): (1, 0, 0)}
    assert stranger.counts() == {}
    assert inner.records(inner_book)
    assert inner.records(outer_book)
    assert not inner.records(stranger)
