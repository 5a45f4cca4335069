"""A change of weights moves as many as the formula of docs/reference/hashing.md says, and only whom it must."""

from collections.abc import Callable, Mapping
from math import inf, log

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rheostat.engine.hashing import SPLIT_SEED, compile_split, hash32, place, utf8
from tests.proofs.bounds import binomial_bounds
from tests.strategies import any_units, keys, weights

UNITS, MANY = 100_000, 2_000_000
CLOSE = 0.001
Split = dict[str, float]
Choose = Callable[[bytes], str | None]
CHANGES: list[tuple[Split, Split]] = [
    ({"a": 50, "b": 50}, {"a": 90, "b": 10}),
    ({"a": 1, "b": 1, "c": 1}, {"a": 3, "b": 1, "c": 2}),
    ({"a": 70, "b": 20, "c": 10}, {"a": 10, "b": 20, "c": 70}),
    ({"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 4, "b": 3, "c": 2, "d": 1}),
]
NAMES = st.sampled_from(["a", "b", "c", "d", "ñ"])
SPLITS = st.dictionaries(NAMES, weights, min_size=2)


def share_moved(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Return 1 − Σ_v 1 / Σ_u max(w_u / w_v, w'_u / w'_v): v stays with who has the least score for it both times."""
    kept = sum(1 / sum(max(before[u] / before[v], after[u] / after[v]) for u in before) for v in before)
    return 1 - kept


def least_moved(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Return the least share that any assignment must move."""
    one, other = sum(before.values()), sum(after.values())
    return sum(abs(before[v] / one - after[v] / other) for v in before) / 2


def by_slices(split: Split) -> Choose:
    """The way of systems that cut one line into slices, one a variant."""
    edges, total, whole = [], 0.0, sum(split.values())
    for name, weight in split.items():
        total += weight
        edges.append((name, 1_000_000 * total / whole))
    return lambda salted: next(name for name, edge in edges if place("", salted.decode()) < edge)


def moved(one: Choose, other: Choose, count: int = UNITS) -> list[tuple[str | None, str | None]]:
    """Return, for each unit that moves, from where and whereto."""
    found = []
    for number in range(count):
        salted = b"reweighting/user-%d" % number
        was, now = one(salted), other(salted)
        if was != now:
            found.append((was, now))
    return found


def test_reweighting_moves_what_the_formula_says() -> None:
    """The share that moves is that of the formula, to a tenth of a percent of all units."""
    names = ["a", "b", "c", "d"]
    # Every choice is made of the same hashes, so each is drawn once; that the engine chooses so, too, is seen below.
    sides = [[1 / side[name] if name in side else inf for name in names] for change in CHANGES for side in change]
    counts = [0] * len(CHANGES)
    for number in range(MANY):
        salted = f"reweighting/user-{number}/"
        a, b, c, d = (-log((hash32(salted + name, SPLIT_SEED) + 0.5) / 2**32) for name in names)
        chosen = []
        for of_a, of_b, of_c, of_d in sides:
            scores = [a * of_a, b * of_b, c * of_c, d * of_d]
            chosen.append(scores.index(min(scores)))
        for at in range(len(CHANGES)):
            counts[at] += chosen[2 * at] != chosen[2 * at + 1]
        if number < 5_000:
            engine = [compile_split(side)(salted[:-1].encode()) for change in CHANGES for side in change]
            assert engine == [names[index] for index in chosen]

    for (before, after), count in zip(CHANGES, counts, strict=True):
        assert abs(count / MANY - share_moved(before, after)) < CLOSE
    assert share_moved(*CHANGES[0]) == pytest.approx(least_moved(*CHANGES[0]))


def test_another_share_would_be_seen() -> None:
    """The same measure refuses slices: three that trade places move more than the formula says."""
    before, after = CHANGES[3]
    share = len(moved(by_slices(before), by_slices(after), 100_000)) / 100_000

    assert abs(share - share_moved(before, after)) > 10 * CLOSE


@pytest.mark.parametrize("weight", [0.5, 2.0, 7.0])
def test_a_variant_added_or_removed_moves_its_own_mass(weight: float) -> None:
    """Who moves, moves to the new variant, and they are as many as its weight; taken away, they go back."""
    before, after = {"a": 3.0, "c": 4.0, "d": 2.0}, {"a": 3.0, "b": weight, "c": 4.0, "d": 2.0}

    found = moved(compile_split(before), compile_split(after))
    back = moved(compile_split(after), compile_split(before))

    assert {now for _, now in found} == {"b"}
    assert back == [(now, was) for was, now in found]
    least, most = binomial_bounds(UNITS, weight / (9 + weight), 1e-6)
    assert least <= len(found) <= most


def test_others_moving_would_be_seen() -> None:
    """The same measure refuses slices, where a variant in the middle pushes its neighbours aside."""
    found = moved(by_slices({"a": 3, "c": 4, "d": 2}), by_slices({"a": 3, "b": 2, "c": 4, "d": 2}), 20_000)

    assert {now for _, now in found} > {"b"}


@given(SPLITS, NAMES, weights, keys, any_units)
def test_one_changed_weight_moves_only_to_or_from_its_variant(
    split: Split, name: str, weight: float, salt: str, unit: str
) -> None:
    """Whichever weight changes, comes or goes: who moves, moves to that variant if it grew, from it if it shrank."""
    changed = {**split, name: weight}
    assume(changed != split)
    salted = utf8(f"{salt}/{unit}")

    was, now = compile_split(split)(salted), compile_split(changed)(salted)

    if was != now:
        assert name == (now if weight > split.get(name, 0) else was)


@given(st.lists(st.tuples(weights, weights), min_size=2, max_size=5))
def test_the_formula_is_never_below_the_least(pairs: list[tuple[float, float]]) -> None:
    """No change moves fewer than any assignment must, and two variants move exactly as few."""
    before = {str(number): one for number, (one, _) in enumerate(pairs)}
    after = {str(number): other for number, (_, other) in enumerate(pairs)}

    share, least = share_moved(before, after), least_moved(before, after)

    assert share >= least - 1e-9
    if len(pairs) == 2:
        assert share == pytest.approx(least, abs=1e-9)


@given(st.lists(weights, min_size=2, max_size=5), weights)
def test_one_changed_weight_moves_as_few_as_any_assignment_must(drawn: list[float], weight: float) -> None:
    """Where one weight alone changes, the formula gives the least possible."""
    before = {str(number): one for number, one in enumerate(drawn)}
    after = before | {"0": weight}

    assert share_moved(before, after) == pytest.approx(least_moved(before, after), abs=1e-9)
