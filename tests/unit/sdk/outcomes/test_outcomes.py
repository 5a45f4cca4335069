"""The whole of outcomes in one process: counted, reported by its thread, renewed after a fork."""

import os
import socket
import threading
from collections.abc import Iterator

import msgspec
import pytest

from rheostat.clock import ManualClock, SystemClock
from rheostat.engine.hashing import place
from rheostat.model.evaluation import Arm, Evaluation, Reason
from rheostat.model.flag import Answer
from rheostat.model.outcome import Applied, Outcome
from rheostat.model.ramp import RampOverlay
from rheostat.model.snapshot import Identity
from rheostat.outcomes import Outcomes, current_recorder
from rheostat.outcomes.outcomes import WINDOW_MS
from rheostat.outcomes.standing import LiveRamp, answers_at_once
from rheostat.outcomes.touch import Touch
from tests.builders import a_flag, a_rollout, a_rule, an_overlay
from tests.unit.sdk.outcomes.collector import Collector, a_collector

KEY = "0f" * 16


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A server that takes batches."""
    with a_collector() as collector:
        yield collector


@pytest.fixture
def outcomes(collector: Collector) -> Iterator[Outcomes]:
    """Started outcomes on the machine's clock."""
    outcomes = Outcomes(collector.url, "sdk-key", clock=SystemClock(), service="shop")
    outcomes.start()
    yield outcomes
    outcomes.close()


def apply(outcomes: Outcomes, overlay: RampOverlay, *, revision: int = 7) -> None:
    """Apply a state with one ramp."""
    flag = a_flag("checkout", rollout=a_rollout(overlay.exposure_ppm))
    outcomes.snapshot_applied(
        Identity(3, revision),
        ("kill-b", "kill-a"),
        {"checkout": overlay},
        project="default",
        environment="production",
        flags={"checkout": flag},
    )


def an_evaluation(overlay: RampOverlay, unit: str = "user-1", arm: Arm = Arm.TREATMENT) -> Evaluation:
    """Return an evaluation in the ramp."""
    return Evaluation(
        overlay.flag,
        value=True,
        variant="on",
        reason=Reason.SPLIT,
        ramp=overlay,
        arm=arm,
        unit=unit,
        place=place("checkout", unit),
    )


def test_a_request_is_in_a_batch_within_a_second_while_its_flag_ramps(collector: Collector, outcomes: Outcomes) -> None:
    """A failed request of a ramping flag reaches the server with its row, its unit and the evaluations."""
    overlay = an_overlay(unit_key=KEY)
    apply(outcomes, overlay)
    collector.wait_for(1)
    outcomes.evaluated("checkout", "on")
    recorder = outcomes.recorder()
    recorder.note(an_evaluation(overlay), outcomes)
    recorder.finish(Outcome.ERROR, 0.1)
    outcomes.close(5.0)

    first, *rest = [received.batch for received in collector.received]
    assert (first.service, first.identity) == ("shop", Identity(3, 7))
    assert first.applied == Applied(3, 7, ("kill-a", "kill-b"), first.applied.ages)
    rows = [row for batch in rest for row in batch.rows]
    assert sum(row.started for row in rows) == sum(row.ended for row in rows) == sum(row.bad for row in rows) == 1
    assert [len(batch.failing["ramp-of-checkout"].units) for batch in rest if batch.failing] == [1]
    assert [len(batch.sampled["ramp-of-checkout"].units) for batch in rest if batch.sampled] == [1]
    assert [batch.evaluations for batch in rest if batch.evaluations] == [{"checkout": {"on": 1}}]
    assert [batch.goodbye for batch in rest] == [False] * (len(rest) - 1) + [True]
    assert {batch.instance for batch in rest} == {outcomes.instance}


def test_the_receipts_limit_is_kept_to(collector: Collector, outcomes: Outcomes) -> None:
    """Units above the limit that the server asked for last are sampled no more; what they fail at is reported."""
    collector.limits = {"ramp-of-checkout": 0.0}
    overlay = an_overlay(unit_key=KEY)
    apply(outcomes, overlay)
    # The second batch is made after the first was acknowledged.
    collector.wait_for(2)
    recorder = outcomes.recorder()
    recorder.note(an_evaluation(overlay), outcomes)
    recorder.finish(Outcome.ERROR, 0.1)
    outcomes.close(5.0)

    batches = [received.batch for received in collector.received]
    assert sum(row.bad for batch in batches for row in batch.rows) == 1
    assert [len(batch.failing["ramp-of-checkout"].units) for batch in batches if batch.failing] == [1]
    assert not any(batch.sampled for batch in batches)


def test_only_changes_of_ramps_and_kills_are_acknowledged(collector: Collector) -> None:
    """A newer identity alone waits for the next batch; a ramp's new epoch or a kill is acknowledged at once."""
    outcomes = Outcomes(collector.url, "sdk-key", clock=ManualClock())
    sender = outcomes._sender

    def is_prompted(revision: int, epoch: int) -> bool:
        sender._prompt_at = None
        apply(outcomes, an_overlay(live=False, epoch=epoch), revision=revision)
        return sender._prompt_at is not None

    assert [is_prompted(1, 1), is_prompted(2, 1), is_prompted(3, 2)] == [True, False, True]
    sender._prompt_at = None
    outcomes.snapshot_applied(Identity(3, 3), ("kill-a",), {"checkout": an_overlay(live=False, epoch=2)})
    assert sender._prompt_at is not None


def test_the_first_state_is_acknowledged(collector: Collector) -> None:
    """The server is to know of a process before anything is killed in it."""
    outcomes = Outcomes(collector.url, "sdk-key", clock=ManualClock())

    outcomes.snapshot_applied(Identity(3, 7), (), {})

    assert outcomes._sender._prompt_at is not None


def test_a_batch_says_how_long_ago_each_kill_was_applied(collector: Collector) -> None:
    """The age of a kill counts from when this process first applied it, whatever is applied after that."""
    clock = ManualClock()
    outcomes = Outcomes(collector.url, "sdk-key", clock=clock)

    outcomes.snapshot_applied(Identity(3, 1), ("kill-b",), {})
    clock.advance(2)
    outcomes.snapshot_applied(Identity(3, 2), ("kill-a", "kill-b"), {})
    clock.advance(0.25)

    assert outcomes._make(1, False).applied == Applied(3, 2, ("kill-a", "kill-b"), (250, 2_250))

    outcomes.snapshot_applied(Identity(3, 3), ("kill-a",), {})
    assert outcomes._make(2, False).applied == Applied(3, 3, ("kill-a",), (250,))


@pytest.mark.parametrize(("crowd", "share"), [(0, 1), (10_000, 1), (10_001, 2), (40_000, 4), (40_001, 8)])
def test_of_a_large_crowd_some_answer_at_once(crowd: int, share: int) -> None:
    """Of more than 10 000 instances 1 in 2^k answers, and always the same."""
    assert [number for number in range(64) if answers_at_once(f"{number:032x}", crowd)] == list(range(0, 64, share))


def test_closing_before_the_start_or_twice_is_harmless(collector: Collector) -> None:
    """Nothing is sent by outcomes that were never started, and one goodbye by those that were."""
    idle = Outcomes(collector.url, "sdk-key", clock=SystemClock())
    idle.evaluated("checkout", "on")
    idle.close()
    started = Outcomes(collector.url, "sdk-key", clock=SystemClock())
    started.start()
    started.start()
    started.close(5.0)
    started.close(5.0)
    started.evaluated("checkout", "on")

    assert [received.batch.instance for received in collector.wait_for(1)] == [started.instance]


def test_closing_gives_up_when_the_server_does_not_answer() -> None:
    """A server that takes the connection and says nothing cannot keep the application from ending."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outcomes = Outcomes(f"http://127.0.0.1:{silent.getsockname()[1]}", "sdk-key", clock=SystemClock())
        outcomes.start()
        closing = threading.Thread(target=outcomes.close, args=(0.2,), daemon=True)
        closing.start()
        closing.join(4.0)  # below the read timeout of an ordinary try

        assert not closing.is_alive()


def test_entries_are_drawn_in_the_ramping_rollouts_range(collector: Collector) -> None:
    """The rollout that a ramp turns, here a rule's in a layer, gives a unit's entry."""
    outcomes = Outcomes(collector.url, "sdk-key", clock=ManualClock())
    overlay = an_overlay(rollout="sale", levels=(0, 500_000))
    rollout = a_rollout(0, low=200_000, high=400_000)
    flag = a_flag("checkout", rules=(a_rule("staff"), a_rule("sale", answer=Answer(rollout=rollout))))
    outcomes.snapshot_applied(Identity(), (), {"x": overlay}, flags={"checkout": flag})

    touch = outcomes.begin(an_evaluation(overlay))
    assert touch is not None
    assert touch.rollout == rollout
    assert outcomes.begin(Evaluation("other", value=1, variant="on", reason=Reason.STATIC)) is None


def test_a_services_name_is_sent_as_the_server_takes_it(collector: Collector) -> None:
    """A name that is too long or unprintable is cut, and costs no batch."""
    outcomes = Outcomes(collector.url, "sdk-key", clock=ManualClock(), service=" shop\n" + "x" * 200)

    assert outcomes._make(1, False).service == ("shop" + "x" * 123)


class Watcher:
    """An observer that keeps what it is told, and can fail."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.live: list[LiveRamp] = []
        self.ended: list[tuple[str, Arm, Outcome]] = []

    def ramp_live(self, project: str, environment: str, ramp: LiveRamp) -> None:
        """Note a live ramp."""
        self.live.append(ramp)
        if self.fails:
            raise RuntimeError("observer")

    def request_ended(self, project: str, environment: str, touch: Touch, outcome: Outcome, duration_s: float) -> None:
        """Note an end."""
        self.ended.append((touch.flag, touch.arm, outcome))
        if self.fails:
            raise RuntimeError("observer")


def test_observers_hear_of_live_ramps_and_ends_whatever_another_does(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """An observer is told at once of ramps that are live already; a failing one is logged once and harms nobody."""
    outcomes = Outcomes(collector.url, "sdk-key", clock=ManualClock())
    overlay = an_overlay()
    apply(outcomes, overlay)
    failing, watcher = Watcher(fails=True), Watcher()
    for observer in (failing, watcher, watcher):
        outcomes.observe(observer)
    recorder = outcomes.recorder()
    recorder.note(an_evaluation(overlay), outcomes)
    recorder.finish(Outcome.CANCELLED, 0.1)

    assert [ramp.variants for ramp in watcher.live] == [("off", "on")]
    assert watcher.ended == failing.ended == [("checkout", Arm.TREATMENT, Outcome.CANCELLED)]
    assert len([record for record in caplog.records if "observer" in record.getMessage()]) == 1


def test_a_request_that_never_ends_is_a_timeout_in_batches_and_for_observers(collector: Collector) -> None:
    """30 s after its first touch an open request is counted, and its end is no longer heard."""
    clock = ManualClock()
    outcomes = Outcomes(collector.url, "sdk-key", clock=clock)
    overlay = an_overlay(unit_key=KEY)
    apply(outcomes, overlay)
    watcher = Watcher()
    outcomes.observe(watcher)
    recorder = outcomes.recorder()
    recorder.note(an_evaluation(overlay))
    clock.advance(30)
    batch = outcomes._make(1, False)
    recorder.finish(Outcome.OK, 31)

    assert [(row.ended, row.bad, row.timeouts) for row in batch.rows] == [(1, 1, 1)]
    assert watcher.ended == [("checkout", Arm.TREATMENT, Outcome.TIMEOUT)]


def test_windows_are_numbered_on_the_servers_clock(collector: Collector) -> None:
    """A process whose clock is wrong numbers its windows by the time in the receipts."""
    clock = ManualClock()
    collector.at_ms = clock.wall_ms() + 3 * WINDOW_MS
    outcomes = Outcomes(collector.url, "sdk-key", clock=clock)
    overlay = an_overlay(unit_key=KEY)
    apply(outcomes, overlay)

    def window(unit: str) -> int:
        recorder = outcomes.recorder()
        recorder.note(an_evaluation(overlay, unit))
        recorder.finish(Outcome.OK, 0.1)
        return outcomes._make(1, False).sampled["ramp-of-checkout"].units[0].window

    assert window("user-1") == clock.wall_ms() // WINDOW_MS
    clock.advance(10)
    outcomes._sender.step()
    collector.wait_for(1)
    assert window("user-2") == collector.at_ms // WINDOW_MS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_is_another_instance(collector: Collector, outcomes: Outcomes) -> None:
    """A child counts from nothing under its own name, by a thread of its own; the parent's counts go once."""
    overlay = an_overlay(unit_key=KEY)
    apply(outcomes, overlay)
    outcomes.evaluated("checkout", "parent")
    recorder = outcomes.recorder()
    current_recorder.set(recorder)
    recorder.note(an_evaluation(overlay))
    child = os.fork()
    if child == 0:
        try:
            recorder.finish(Outcome.ERROR, 0.1)
            outcomes.evaluated("checkout", "child")
            outcomes.close(5.0)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    recorder.finish(Outcome.OK, 0.1)
    outcomes.close(5.0)
    current_recorder.set(None)

    batches = [received.batch for received in collector.received]
    parents = [batch for batch in batches if batch.instance == outcomes.instance]
    childs = [batch for batch in batches if batch.instance != outcomes.instance]
    assert len({batch.instance for batch in childs}) == 1
    assert [batch.sequence for batch in childs] == list(range(1, len(childs) + 1))
    assert [batch.evaluations for batch in childs if batch.evaluations] == [{"checkout": {"child": 1}}]
    assert not [row for batch in childs for row in batch.rows]
    assert [batch.evaluations for batch in parents if batch.evaluations] == [{"checkout": {"parent": 1}}]
    rows = [row for batch in parents for row in batch.rows]
    assert (sum(row.ended for row in rows), sum(row.bad for row in rows)) == (1, 0)
    assert childs[-1].goodbye
    assert parents[-1].goodbye


def test_who_has_no_arm_says_that_the_service_reports() -> None:
    """A request that meets a ramp which compares others now is counted nowhere, and yet tells of its service."""
    outcomes = Outcomes("http://127.0.0.1:9", "sdk-key", clock=ManualClock(), service="shop")
    overlay = an_overlay(unit_key=KEY, epoch=3)
    apply(outcomes, overlay)
    unseen = msgspec.structs.replace(an_evaluation(overlay), arm=None)

    for evaluation in (unseen, msgspec.structs.replace(unseen, ramp=an_overlay(ramp="gone"))):
        recorder = outcomes.recorder()
        recorder.note(evaluation, outcomes)
        recorder.finish(Outcome.ERROR, 0.1)

    batch = outcomes._make(1, False)
    (row,) = batch.rows
    assert (row.ramp, row.epoch, row.started, row.ended) == (overlay.ramp, 3, 0, 0)
    assert not batch.failing
    assert not batch.sampled
