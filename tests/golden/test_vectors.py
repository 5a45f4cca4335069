"""The made vectors: still what the engine says, and still what the script writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from rheostat.engine.hashing import choose, hash32, is_exposed, is_held_back, level_entry, place
from tests.builders import a_rollout, an_overlay
from tests.golden import oracle
from tests.golden.answers import evaluations, truth_of, truths
from tests.golden.make_vectors import FILES, written
from tests.golden.staged import staged_answers

HERE = Path(__file__).parent


def golden(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def test_hashes() -> None:
    """Text and seed give the hash."""
    for text, seed, expected in golden("murmur"):
        assert hash32(text, seed) == expected
        assert oracle.murmur3_32(text.encode(), seed) == expected


def test_bucketing() -> None:
    """Salt and unit give the place."""
    for salt, unit, expected in golden("bucketing"):
        assert place(salt, unit) == expected
        assert oracle.place(salt, unit) == expected


def test_rendezvous() -> None:
    """Salt, weights and unit give the variant, whatever order the weights stand in."""
    for case in golden("rendezvous"):
        backwards = dict(reversed(case["split"].items()))
        for unit, expected in case["variants"]:
            assert choose(case["split"], case["salt"], unit) == expected
            assert choose(backwards, case["salt"], unit) == expected
            assert oracle.variant_of(case["split"], case["salt"], unit) == expected


def test_levels() -> None:
    """A place and shares of a range say who is exposed, held back, and by which level."""
    for case in golden("levels"):
        levels, holdback, low, high = case["levels"], case["holdback_ppm"], case["low"], case["high"]
        overlay, rollout = an_overlay(levels=tuple(levels), holdback_ppm=holdback), a_rollout(low=low, high=high)
        for at, exposed, held, entry in case["places"]:
            assert [is_exposed(at, level, low, high) for level in levels] == exposed
            assert is_held_back(at, holdback, low, high) is held
            assert level_entry(overlay, rollout, at) == entry
            assert oracle.entry(levels, holdback, at, low, high) == entry


def test_operators() -> None:
    """Operator, values and an attribute's value give true, false or unknown."""
    for operator, values, x, expected in golden("operators"):
        assert truth_of(operator, values, x) is expected, (operator, values, x)


def test_conditions() -> None:
    """A condition has the truth of Kleene's tables in each context."""
    vectors = golden("conditions")
    found = truths(vectors["segments"], vectors["contexts"], [case["condition"] for case in vectors["cases"]])
    for case, row in zip(vectors["cases"], found, strict=True):
        assert row == case["truths"], case["condition"]


@pytest.mark.parametrize("number", range(len(golden("snapshots"))))
def test_snapshots(number: int) -> None:
    """A snapshot, kills beside it, a context, an age and a time give the whole answer."""
    world = golden("snapshots")[number]
    for case, found in zip(world["cases"], evaluations(world), strict=True):
        # As JSON, because 1 equals true in Python.
        assert json.dumps(found) == json.dumps(case["expected"]), case


def test_staged_ramps() -> None:
    """A ramp with cells or a baseline gives the answer, and the entry of who has an arm."""
    for world in golden("staged"):
        for case, found in zip(world["cases"], staged_answers(world), strict=True):
            assert json.dumps(found) == json.dumps(case["expected"]), case


@pytest.mark.parametrize("name", FILES)
def test_the_script_makes_the_files(name: str) -> None:
    """A second run of the script gives the same bytes, so that a change of a vector is always on purpose."""
    assert written(FILES[name]()) == (HERE / f"{name}.json").read_text(encoding="utf-8")


def test_there_are_over_two_thousand_vectors_in_under_two_megabytes() -> None:
    """Enough to trust, and small enough to carry in every SDK's repository."""
    counts = {
        "murmur": len(golden("murmur")),
        "bucketing": len(golden("bucketing")),
        "rendezvous": sum(len(case["variants"]) for case in golden("rendezvous")),
        "levels": sum(len(case["places"]) for case in golden("levels")),
        "operators": len(golden("operators")),
        "conditions": sum(len(case["truths"]) for case in golden("conditions")["cases"]),
        "snapshots": sum(len(world["cases"]) for world in golden("snapshots")),
        "staged": sum(len(world["cases"]) for world in golden("staged")),
    }
    assert all(count > 100 for count in counts.values()), counts
    assert sum(counts.values()) > 2_000
    assert sum(path.stat().st_size for path in HERE.glob("*.json")) < 2_000_000
