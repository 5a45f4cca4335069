"""How evaluations are counted."""

import threading

import pytest

from rheostat.outcomes import evaluations as evaluations_module
from rheostat.outcomes.evaluations import Evaluations


def test_evaluations_are_counted_by_flag_and_variant_since_the_last_drain() -> None:
    """Each drain tells what was counted since the one before, the caller's default under the empty name."""
    counted = Evaluations()
    for variant in ("on", "on", "off", None, ""):
        counted.count("checkout", variant)

    assert counted.drain() == {"checkout": {"on": 2, "off": 1, "": 2}}
    assert counted.drain() == {}
    counted.count("checkout", "on")
    assert counted.drain() == {"checkout": {"on": 1}}


def test_threads_lose_no_evaluation() -> None:
    """Many threads that count, while another drains, come to the exact sum."""
    counted = Evaluations()
    go = threading.Barrier(5)

    def work() -> None:
        go.wait(timeout=10)
        for _ in range(20_000):
            counted.count("checkout", "on")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    go.wait(timeout=10)
    total = 0
    while any(thread.is_alive() for thread in threads):
        total += counted.drain().get("checkout", {}).get("on", 0)
    total += counted.drain().get("checkout", {}).get("on", 0)

    assert total == 80_000


def test_counters_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flag keys that users make up cannot fill the memory: beyond the bound new ones are not counted."""
    monkeypatch.setattr(evaluations_module, "MOST_COUNTERS", 2)
    counted = Evaluations()
    for number in range(5):
        counted.count(f"flag-{number}", None)
        counted.count("flag-0", None)

    assert counted.drain() == {"flag-0": {"": 6}, "flag-1": {"": 1}}


def test_what_cannot_be_a_key_is_not_counted() -> None:
    """A batch never carries a flag key that the server would refuse: that would cost the whole batch."""
    counted = Evaluations()
    for key in ("", "two words", "x" * 129, "naïve", "line\n"):
        counted.count(key, None)
    counted.count("x" * 128, "on")

    assert counted.drain() == {"x" * 128: {"on": 1}}


def test_a_batch_carries_so_many_pairs_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """More pairs than fit are spread over batches in turn, and none is lost or starved."""
    monkeypatch.setattr(evaluations_module, "PAIRS_A_BATCH", 2)
    counted = Evaluations()
    drained: list[str] = []
    for _ in range(5):
        for number in range(5):
            counted.count(f"flag-{number}", "on")
        drained += counted.drain()
    assert sorted(drained) == sorted(f"flag-{number}" for number in range(5) for _ in range(2))

    while counted.drain():
        pass
    assert counted.drain() == {}
