"""Raising a share only adds units, and nobody changes variant while a ramp moves."""

from collections.abc import Callable
from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from rheostat.engine import Ruleset
from rheostat.engine.hashing import choose, held_from, is_exposed, place
from rheostat.model.context import Context
from rheostat.model.shares import TOTAL_PPM
from tests.builders import a_flag, a_rollout, a_snapshot, an_overlay
from tests.proofs.populations import FAMILIES
from tests.strategies import any_units, keys, shares, weights

STEPS_PPM = [0, 1, 100, 10_000, 50_000, 49_999, 250_000, 500_000, 250_000, 0, 500_000, 999_999, TOTAL_PPM]
SPLIT = {"a": 1.0, "b": 2.0, "c": 1.0}
Given = Callable[[str, int], str | None]
"""From a unit and an exposure in ppm to the variant; ``None`` when not exposed."""


def moves(given_to: Given, units: list[str], steps: list[int]) -> int:
    """Return how many units a walk over these exposures takes from a variant while raising, or to another one."""
    count = 0
    first: dict[str, str] = {}
    for before, after in pairwise(steps):
        for unit in units:
            was, now = given_to(unit, before), given_to(unit, after)
            count += was is not None and now is None and after >= before
            count += was is None and now is not None and after <= before
            count += now is not None and first.setdefault(unit, now) != now
    return count


def by_slices(unit: str, exposure_ppm: int) -> str | None:
    """The way of systems that cut the exposed part of one line into slices, one a variant."""
    at, edges = place("ramp", unit), accumulate(SPLIT.values())
    return next((name for name, edge in zip(SPLIT, edges, strict=True) if at < exposure_ppm * edge / 4), None)


def test_a_ramp_up_and_down_moves_nobody_it_need_not() -> None:
    """Over a whole ramp, up, down and up again, each unit has no variant or its one variant."""
    rulesets = {}
    for step in set(STEPS_PPM):
        rollout = a_rollout(7, split=SPLIT, fallback="off", salt="ramp", low=0, high=TOTAL_PPM)
        flag = a_flag("ramp", variants={"off": 0, "a": 1, "b": 2, "c": 3}, rollout=rollout)
        rulesets[step] = Ruleset.of(a_snapshot(flag, ramps=(an_overlay(step, "ramp", holdback_ppm=10_000),)))

    def given_to(unit: str, exposure_ppm: int) -> str | None:
        variant = rulesets[exposure_ppm].evaluate("ramp", Context(unit)).variant
        return None if variant == "off" else variant

    units = [unit for family in FAMILIES.values() for unit in family(1_000)]
    assert moves(given_to, units, STEPS_PPM) == 0
    assert sum(given_to(unit, TOTAL_PPM) is not None for unit in units) > 3_900


def test_moves_would_be_seen() -> None:
    """The same measure refuses variants cut as slices from the exposed part."""
    units = [str(number) for number in range(2_000)]
    assert moves(by_slices, units, STEPS_PPM) > 500


@given(keys, any_units, shares, shares, shares, shares)
def test_more_exposure_never_takes_a_unit_away(salt: str, unit: str, one: int, other: int, low: int, high: int) -> None:
    """In any range, whoever a smaller share exposes, a greater one exposes."""
    low, high, less, more = *sorted((low, high)), *sorted((one, other))
    at = place(salt, unit)

    assert is_exposed(at, less, low, high) <= is_exposed(at, more, low, high)
    assert held_from(low, high, more) <= held_from(low, high, less)


@given(
    keys,
    any_units,
    st.dictionaries(st.sampled_from(["a", "b", "c", "ñ"]), weights, min_size=1),
    st.floats(min_value=0.01, max_value=100),
)
def test_the_variant_depends_on_proportions_alone(salt: str, unit: str, split: dict[str, float], factor: float) -> None:
    """Only salt, unit and the proportions of the weights are in the choice: not their order, and no exposure."""
    # Powers of two keep every digit, so that not even a near-tie can turn.
    doubled = {name: weight * 2.0 ** round(factor) for name, weight in reversed(split.items())}

    assert choose(doubled, salt, unit) == choose(split, salt, unit)
