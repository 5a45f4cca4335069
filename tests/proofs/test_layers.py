"""Rollouts in one layer own disjoint parts of one line: no unit is exposed by two of them."""

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from rheostat.engine import Ruleset
from rheostat.engine.hashing import exposed_below, is_exposed, place
from rheostat.model.context import Context
from rheostat.model.document import LayerDocument
from rheostat.model.serving import serve, serve_layer
from rheostat.model.shares import TOTAL_PPM
from rheostat_server.flags.validate import validate_flag
from tests.builders import a_flag, a_rollout, a_snapshot
from tests.proofs.bounds import binomial_bounds
from tests.strategies import any_units, keys, shares

UNITS = [f"user-{number}" for number in range(50_000)]
CUTS = [0, 333_333, 400_000, 400_001, 750_000, TOTAL_PPM]
EXPOSURES = [500_000, TOTAL_PPM, TOTAL_PPM, 10_000, 990_000]


def exposed(salts: list[str]) -> list[set[str]]:
    """Return whom each of the layer's flags exposes, when their rollouts have these salts."""
    flags = []
    for number, (salt, exposure) in enumerate(zip(salts, EXPOSURES, strict=True)):
        rollout = a_rollout(exposure, salt=salt, low=CUTS[number], high=CUTS[number + 1])
        flags.append(a_flag(f"flag-{number}", rollout=rollout))
    ruleset = Ruleset.of(a_snapshot(*flags))
    return [{unit for unit in UNITS if ruleset.evaluate(flag.key, Context(unit)).variant == "on"} for flag in flags]


def test_the_flags_of_a_layer_are_disjoint() -> None:
    """With the layer's salt no unit is exposed by two flags, and each exposes its share of its range."""
    found = exposed(["layer:banners"] * 5)

    assert not any(one & other for one, other in combinations(found, 2))
    for number, units in enumerate(found):
        low = CUTS[number]
        share = (exposed_below(low, CUTS[number + 1], EXPOSURES[number]) - low) / TOTAL_PPM
        least, most = binomial_bounds(len(UNITS), share, 1e-6)
        assert least <= len(units) <= most


def test_documents_in_a_layer_are_disjoint() -> None:
    """Documents whose ranges fill a layer, validated and served, expose every unit to exactly one of them."""
    layers = {"banners": serve_layer(LayerDocument(key="banners"))}
    flags = []
    for number, cut in enumerate([[0, 33.3333], [33.3333, 50], [50, 100]]):
        rollout = {"layer": "banners", "range": cut, "exposure": 100, "split": {"on": 1}, "fallback": "off"}
        document = {"kind": "flag", "key": f"flag-{number}", "type": "boolean", "variants": {"on": True, "off": False}}
        document["environments"] = {"production": {"enabled": True, "default": {"rollout": rollout}}}
        flags.append(serve(validate_flag(document), "production", 1, layers))
    ruleset = Ruleset.of(a_snapshot(*flags))

    for unit in UNITS:
        assert [answer.variant for answer in ruleset.bulk(Context(unit)).values()].count("on") == 1


def test_overlaps_would_be_seen() -> None:
    """The same flags under salts of their own do overlap."""
    found = exposed([f"flag-{number}" for number in range(5)])

    assert any(one & other for one, other in combinations(found, 2))


@given(keys, any_units, st.lists(st.tuples(shares, shares), max_size=8))
def test_no_place_is_exposed_by_two_ranges(salt: str, unit: str, drawn: list[tuple[int, int]]) -> None:
    """However a line is cut and whatever the exposures, at most one range exposes a unit."""
    cuts = sorted({0, TOTAL_PPM, *(cut for cut, _ in drawn)})
    exposures = [exposure for _, exposure in drawn] + [TOTAL_PPM] * len(cuts)
    at = place(salt, unit)

    exposing = [
        is_exposed(at, exposure, low, high) for low, high, exposure in zip(cuts, cuts[1:], exposures, strict=False)
    ]

    assert sum(exposing) <= 1


@given(keys, any_units, st.lists(shares, max_size=8))
def test_whole_ranges_leave_no_gap(salt: str, unit: str, drawn: list[int]) -> None:
    """Ranges that fill the line and are exposed whole expose every unit exactly once."""
    cuts, at = sorted({0, TOTAL_PPM, *drawn}), place(salt, unit)

    assert sum(is_exposed(at, TOTAL_PPM, low, high) for low, high in pairwise(cuts)) == 1
