"""Where a unit stands on the line, and what follows from its place."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rheostat.engine.hashing import (
    arm_of,
    choose,
    exposed_below,
    first_hash,
    hash32,
    held_from,
    is_exposed,
    is_held_back,
    level_entry,
    place,
    unit_hash,
    utf8,
)
from rheostat.model.evaluation import Arm
from rheostat.model.outcome import HELD, NEVER
from rheostat.model.shares import TOTAL_PPM
from tests.builders import a_rollout, an_overlay
from tests.strategies import any_units, keys, places, shares, units, weights


@given(salt=keys, unit=any_units)
def test_every_unit_has_a_place(salt: str, unit: str) -> None:
    """A place is a whole number of 0 … 999 999, whatever the text."""
    assert 0 <= place(salt, unit) < TOTAL_PPM


def test_a_lone_surrogate_hashes_as_the_replacement_character() -> None:
    """Text that UTF-8 cannot say hashes as other languages write it."""
    assert utf8("a\ud800b") == "a\ufffdb".encode()
    assert place("s", "a\ud800b") == place("s", "a\ufffdb")
    assert unit_hash(b"k", "a\ud800b") == unit_hash(b"k", "a\ufffdb")


@given(at=st.integers(min_value=0, max_value=TOTAL_PPM), unit=units)
def test_comparing_hashes_is_comparing_places(at: int, unit: str) -> None:
    """A hash is below ``first_hash(p)`` exactly when its place is below p."""
    hashed = hash32(unit, 1)

    assert (hashed < first_hash(at)) == (hashed * TOTAL_PPM >> 32 < at)


@given(at=places)
def test_the_first_hash_of_a_place_has_that_place(at: int) -> None:
    """``first_hash`` is the least hash of a place, not merely one of them."""
    assert first_hash(at) * TOTAL_PPM >> 32 == at
    assert at == 0 or (first_hash(at) - 1) * TOTAL_PPM >> 32 == at - 1


@given(at=places, one=shares, other=shares)
def test_raising_exposure_removes_nobody(at: int, one: int, other: int) -> None:
    """Whoever is exposed at a lower share is exposed at a higher one."""
    low, high = sorted((one, other))

    assert not is_exposed(at, low) or is_exposed(at, high)


@given(one=shares, other=shares, exposure=shares, holdback=shares, at=places)
def test_a_range_holds_its_own_units_only(one: int, other: int, exposure: int, holdback: int, at: int) -> None:
    """Outside its range a rollout exposes nobody and holds nobody back."""
    low, high = sorted((one, other))
    assume(not low <= at < high)

    assert not is_exposed(at, exposure, low, high)
    assert not is_held_back(at, holdback, low, high)


def test_shares_are_rounded_down_within_the_range() -> None:
    """A share of a range is the whole part of width times share."""
    assert exposed_below(0, 333_333, 500_000) == 166_666
    assert held_from(0, 333_333, 500_000) == 333_333 - 166_666
    assert is_exposed(166_665, 500_000, 0, 333_333)
    assert not is_exposed(166_666, 500_000, 0, 333_333)
    assert is_held_back(166_667, 500_000, 0, 333_333)
    assert not is_held_back(166_666, 500_000, 0, 333_333)


def test_an_arm_is_drawn_holdback_first() -> None:
    """Held back, then exposed, then control; outside the range no arm."""
    overlay = an_overlay(900_000, holdback_ppm=200_000)
    rollout = a_rollout(low=0, high=500_000)

    assert arm_of(overlay, rollout, 399_999) is Arm.TREATMENT
    assert arm_of(overlay, rollout, 400_000) is Arm.HOLDBACK
    assert arm_of(overlay, rollout, 500_000) is None
    assert arm_of(an_overlay(100_000), rollout, 50_000) is Arm.CONTROL
    assert arm_of(an_overlay(0, arming_ppm=100_000), rollout, 49_999) is Arm.TREATMENT


@pytest.mark.parametrize(
    ("at", "entry"), [(0, 1), (9_999, 1), (10_000, 2), (499_999, 2), (500_000, NEVER), (990_000, HELD)]
)
def test_the_entry_is_the_smallest_level_that_exposes(at: int, entry: int) -> None:
    """A unit enters at the first level that reaches it; the held back and the unreached have entries of their own."""
    overlay = an_overlay(levels=(0, 10_000, 500_000), holdback_ppm=10_000)

    assert level_entry(overlay, a_rollout(), at) == entry


def test_an_entry_does_not_depend_on_the_order_of_levels() -> None:
    """A ramp that started above its first steps still has the smallest exposing level as entry."""
    assert level_entry(an_overlay(levels=(500_000, 10_000)), a_rollout(), 5_000) == 1


@given(at=places, exposure=shares, holdback=st.integers(min_value=0, max_value=500_000))
def test_entry_and_epoch_give_the_arm(at: int, exposure: int, holdback: int) -> None:
    """A unit is in treatment at a level exactly when it entered at that level or a smaller one."""
    levels = (0, exposure)
    overlay = an_overlay(exposure, levels=levels, holdback_ppm=holdback)
    entry = level_entry(overlay, a_rollout(), at)

    arm = arm_of(overlay, a_rollout(), at)

    assert arm is {HELD: Arm.HOLDBACK, NEVER: Arm.CONTROL}.get(entry, Arm.TREATMENT)


@given(unit=units, salt=keys, names=st.lists(keys, min_size=1, max_size=4, unique=True), data=st.data())
def test_a_split_gives_a_variant_of_positive_weight(
    unit: str, salt: str, names: list[str], data: st.DataObject
) -> None:
    """A variant of weight 0 is never chosen; without any weight there is no variant."""
    split = {name: data.draw(st.one_of(st.just(0.0), weights)) for name in names}

    chosen = choose(split, salt, unit)

    assert (chosen is None) == (sum(split.values()) == 0)
    assert chosen is None or split[chosen] > 0


@given(unit=units, salt=keys, weight=weights, other=weights, factor=weights)
def test_a_split_depends_on_proportions_alone(unit: str, salt: str, weight: float, other: float, factor: float) -> None:
    """Multiplying every weight by the same figure (a power of two, exact in binary) moves nobody."""
    scale = 2.0 ** round(factor % 8)

    assert choose({"a": weight, "b": other}, salt, unit) == choose(
        {"a": weight * scale, "b": other * scale}, salt, unit
    )


@given(unit=units, salt=keys, before=weights, after=weights, other=weights)
def test_raising_one_weight_moves_units_to_that_variant_only(
    unit: str, salt: str, before: float, after: float, other: float
) -> None:
    """When one weight rises, whoever changes variant changes to that one."""
    before, after = sorted((before, after))
    old = choose({"a": before, "b": other, "c": 1}, salt, unit)
    new = choose({"a": after, "b": other, "c": 1}, salt, unit)

    assert new in {old, "a"}


def test_reweighting_two_variants_moves_the_least_share() -> None:
    """From 1:1 to 3:1 a quarter of the units move, which is the least possible, and nobody the other way."""
    moved = [(choose({"a": 1, "b": 1}, "s", f"u{i}"), choose({"a": 3, "b": 1}, "s", f"u{i}")) for i in range(20_000)]

    assert ("a", "b") not in moved
    assert moved.count(("b", "a")) / len(moved) == pytest.approx(0.25, abs=0.01)


def test_reweighting_three_variants_moves_the_stated_share() -> None:
    """The share moved is 1 − Σ_v 1/Σ_u max(w_u/w_v, w'_u/w'_v)."""
    old, new = {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 3.0, "b": 1.0, "c": 2.0}
    stay = sum(1 / sum(max(old[u] / old[v], new[u] / new[v]) for u in old) for v in old)

    moved = sum(choose(old, "s", f"u{i}") != choose(new, "s", f"u{i}") for i in range(20_000))

    assert moved / 20_000 == pytest.approx(1 - stay, abs=0.012)


def test_shares_come_out_as_asked() -> None:
    """Exposure and split are each as wide as they say, and independent of one another."""
    units_ = [f"user-{i}" for i in range(50_000)]
    exposed = [unit for unit in units_ if is_exposed(place("s", unit), 200_000)]

    def share(of: list[str]) -> float:
        return sum(choose({"a": 1, "b": 3}, "s", unit) == "a" for unit in of) / len(of)

    assert len(exposed) / len(units_) == pytest.approx(0.2, abs=0.008)
    assert share(units_) == pytest.approx(0.25, abs=0.008)
    assert share(exposed) == pytest.approx(0.25, abs=0.02)


def test_salts_are_independent() -> None:
    """Being exposed to one flag says nothing about another."""
    units_ = [f"user-{i}" for i in range(40_000)]
    first = [unit for unit in units_ if place("one", unit) < 500_000]

    assert sum(place("two", unit) < 500_000 for unit in first) / len(first) == pytest.approx(0.5, abs=0.015)


def test_a_unit_hash_is_keyed() -> None:
    """The name of a unit is 16 hex digits, another one under each key."""
    one, other = unit_hash(b"a" * 32, "user-1"), unit_hash(b"b" * 32, "user-1")

    assert len(one) == 16
    assert int(one, 16) >= 0
    assert one != other


def test_of_equal_scores_the_first_in_byte_order_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tie goes to the name that is first in byte order, which is not that of case-folding."""
    monkeypatch.setattr("rheostat.engine.hashing.mmh3_32_uintdigest", lambda data, seed: 7)

    assert choose({"b": 1, "é": 1, "a": 1, "B": 1}, "s", "u") == "B"


def test_levels_are_nested() -> None:
    """Each step of a ramp exposes whom the step before did."""
    exposed = [{at for at in range(0, TOTAL_PPM, 997) if is_exposed(at, level)} for level in (0, 10_000, 500_000)]

    assert all(before <= after for before, after in pairwise(exposed))
    assert len(exposed[0]) < len(exposed[1]) < len(exposed[2])
