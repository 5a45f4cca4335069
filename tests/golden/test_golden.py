"""Answers that never change, in JSON that an SDK in any language can use.

The engine and an oracle written apart from it must both give them.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rheostat.engine import Ruleset
from rheostat.engine.hashing import (
    PLACE_SEED,
    SPLIT_SEED,
    choose,
    is_exposed,
    is_held_back,
    level_entry,
    place,
    unit_hash,
)
from rheostat.model.context import Context
from rheostat.model.evaluation import CODE_DEFAULT
from rheostat.model.snapshot import Snapshot
from tests.builders import a_rollout, an_overlay
from tests.golden import oracle

HERE = Path(__file__).parent


def golden(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_bytes())


EVALUATIONS = golden("evaluations")


def test_the_seeds_are_the_published_ones() -> None:
    """Changing a seed moves every user."""
    seeds = golden("places")["seeds"]

    assert seeds == {"place": PLACE_SEED, "split": SPLIT_SEED}
    assert seeds == {"place": oracle.PLACE_SEED, "split": oracle.SPLIT_SEED}


def test_places() -> None:
    """Salt and unit give the place."""
    for salt, unit, expected in golden("places")["vectors"]:
        assert place(salt, unit) == expected
        assert oracle.place(salt, unit) == expected


def test_splits() -> None:
    """Salt, unit and weights give the variant."""
    for case in golden("splits"):
        for unit, expected in case["variants"].items():
            assert choose(case["split"], case["salt"], unit) == expected
            assert oracle.variant_of(case["split"], case["salt"], unit) == expected


def test_exposures() -> None:
    """A place, a range and shares say who is exposed and who is held back."""
    for case in golden("exposures"):
        at, low, high = case["place"], case["low"], case["high"]
        expected = (case["exposed"], case["held"])
        exposure, holdback = case["exposure_ppm"], case["holdback_ppm"]
        assert (is_exposed(at, exposure, low, high), is_held_back(at, holdback, low, high)) == expected
        assert (oracle.exposed(at, exposure, low, high), oracle.held_back(at, holdback, low, high)) == expected


def test_entries() -> None:
    """A place and a ramp's levels give the entry: an index, −1 for the holdback, −2 for never."""
    for case in golden("entries"):
        levels, holdback, low, high = case["levels"], case["holdback_ppm"], case["low"], case["high"]
        overlay = an_overlay(levels=tuple(levels), holdback_ppm=holdback)
        for at, expected in case["entries"]:
            assert level_entry(overlay, a_rollout(low=low, high=high), at) == expected
            assert oracle.entry(levels, holdback, at, low, high) == expected


def test_unit_hashes() -> None:
    """A ramp's key and a unit give the name under which it is reported."""
    for key, unit, expected in golden("units"):
        assert unit_hash(bytes.fromhex(key), unit) == expected
        assert oracle.unit_hash(bytes.fromhex(key), unit) == expected


@pytest.mark.parametrize("flag", sorted({case["flag"] for case in EVALUATIONS["cases"]}))
def test_evaluations(flag: str) -> None:
    """A snapshot and a context give variant, value, reason, error, rule and arm."""
    raw = EVALUATIONS["snapshot"]
    snapshot = msgspec.convert(raw, Snapshot)
    ruleset, plain = Ruleset.of(snapshot), oracle.Oracle(raw)
    for case in (case for case in EVALUATIONS["cases"] if case["flag"] == flag):
        context, expected = dict(case["context"]), case["expected"]
        found = ruleset.evaluate(flag, Context.of(context.pop("targetingKey", None), context))
        answer = {
            "variant": found.variant,
            "reason": found.reason,
            "error_code": found.error_code,
            "rule": found.rule,
            "arm": found.arm,
            "unit": found.unit,
            "place": found.place,
        }
        assert {name: value for name, value in answer.items() if value is not None or name == "variant"} == expected
        assert plain.evaluate(flag, case["context"]) == expected
        known = ruleset.flag(flag)
        assert found.value == (
            CODE_DEFAULT if known is None or found.variant is None else known.variants[found.variant]
        )


def test_the_snapshot_is_read_back_as_it_was() -> None:
    """A released snapshot is decoded strictly and encoded to the same JSON."""
    raw = EVALUATIONS["snapshot"]

    assert json.loads(msgspec.json.encode(msgspec.convert(raw, Snapshot, strict=True))) == raw
