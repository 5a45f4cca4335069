"""Which contexts are kept of those that were evaluated."""

from collections import Counter
from random import Random
from typing import Any

from rheostat_server.evaluation.sample import MOST_CONTEXT_BYTES, ContextSample


def a_sample(size: int, seed: int = 1, **changes: Any) -> ContextSample:
    return ContextSample(size, **{"serves": lambda _: True, "draw": Random(seed).random, **changes})


def keys(sample: ContextSample, environment_id: int = 1) -> list[str | None]:
    return [context.targeting_key for context in sample.contexts(environment_id)]


def test_all_are_kept_while_there_is_room() -> None:
    """Up to its size a sample holds everything, with its attributes, each environment's apart."""
    sample = a_sample(3)
    sample.see(1, {"targetingKey": "ann", "plan": "pro"})
    sample.see(1, {"plan": "free"})
    sample.see(2, {"targetingKey": 7})

    assert [(one.targeting_key, one.attributes) for one in sample.contexts(1)] == [
        ("ann", {"plan": "pro"}),
        (None, {"plan": "free"}),
    ]
    assert keys(sample, 2) == ["7"]
    assert keys(sample, 3) == []


def test_each_has_the_same_chance() -> None:
    """Of 50 contexts 5 are kept, and early and late ones equally often: 10 % of the runs each, within 4 sigma."""
    runs, kept = 3_000, Counter[str | None]()
    draw = Random(7).random
    for _ in range(runs):
        sample = a_sample(5, draw=draw)
        for number in range(50):
            sample.see(1, {"targetingKey": f"u{number}"})
        found = keys(sample)
        assert len(found) == 5
        kept.update(found)

    sigma = (runs * 0.1 * 0.9) ** 0.5
    assert all(abs(kept[f"u{number}"] - runs / 10) < 4.5 * sigma for number in range(50))


def test_memory_is_bounded() -> None:
    """A context above the limit is not kept, and never more than the size are, of ever so many."""
    sample = a_sample(2)
    sample.see(1, {"targetingKey": "long", "text": "x" * MOST_CONTEXT_BYTES})
    for number in range(10_000):
        sample.see(1, {"targetingKey": f"u{number}"})

    assert len(keys(sample)) == 2
    assert "long" not in keys(sample)


def test_a_key_is_there_once() -> None:
    """Who was seen twice counts once."""
    sample = a_sample(5)
    sample.see(1, {"targetingKey": "ann", "plan": "free"})
    sample.see(1, {"targetingKey": "ann", "plan": "pro"})

    [context] = sample.contexts(1)
    assert context.attributes == {"plan": "pro"}


def test_an_environment_that_is_gone_is_forgotten() -> None:
    """Of an environment that is no longer served nothing is kept."""
    there = {1, 2}
    sample = a_sample(5, serves=lambda environment_id: environment_id in there)
    sample.see(1, {"targetingKey": "ann"})
    there.remove(1)
    sample.see(2, {"targetingKey": "bob"})
    there.add(1)

    assert keys(sample, 1) == []
    assert keys(sample, 2) == ["bob"]


def test_extreme_draws_do_no_harm() -> None:
    """The least and the greatest numbers that can be drawn end in no error."""
    for drawn in (0.0, 1 - 2**-53):
        sample = a_sample(1, draw=lambda drawn=drawn: drawn)
        for number in range(100):
            sample.see(1, {"targetingKey": f"u{number}"})
        assert len(keys(sample)) == 1
