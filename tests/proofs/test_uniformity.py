"""Places are uniform, and every share is what it says.

Seeds and units are fixed, so each test always comes out the same; its threshold is what chance would pass with
a probability of at most one in a million for all its comparisons together.
"""

from collections.abc import Callable, Iterable
from itertools import accumulate

import pytest

from rheostat.engine.hashing import exposed_below, first_hash, place
from tests.proofs.bad_hashes import place_by_fnv, place_by_polynomial
from tests.proofs.bounds import binomial_bounds, chi_square_z, normal_tail
from tests.proofs.populations import FAMILIES, Z_OF_A_MILLIONTH, numeric

UNITS, BINS = 400_000, 1_000
SHARE_UNITS = 3_000_000
SHARES_PPM = [1, 2, 5, 10, 100, 1_000, 9_999, 10_000, 50_000, 123_456, 250_000, 333_333, 500_000, 666_667]
SHARES_PPM += [750_000, 990_000, 999_000, 999_900, 999_990, 999_998, 999_999]
Place = Callable[[str, str], int]


def unevenness(places: Place, salt: str, units: Iterable[str]) -> float:
    """Return how uneven the places are over a thousand bins, as a standard normal deviate."""
    counts = [0] * BINS
    for unit in units:
        counts[places(salt, unit) * BINS // 1_000_000] += 1
    return chi_square_z(counts, [sum(counts) / BINS] * BINS)


@pytest.mark.parametrize("family", FAMILIES)
def test_places_are_uniform(family: str) -> None:
    """Units of every kind spread evenly over the line: neither unevenly, nor more evenly than chance does."""
    assert abs(unevenness(place, "checkout-v2", FAMILIES[family](UNITS))) < Z_OF_A_MILLIONTH


@pytest.mark.parametrize("bad", [place_by_fnv, place_by_polynomial])
def test_an_uneven_hash_would_be_seen(bad: Place) -> None:
    """The same measure refuses hashes that stir too little."""
    assert abs(unevenness(bad, "checkout-v2", numeric(UNITS))) > 2 * Z_OF_A_MILLIONTH


def reached(places: Place, count: int) -> list[int]:
    """Return how many of the units are below each place, 0 … 1 000 000."""
    counts = [0] * 1_000_001
    for unit in numeric(count):
        counts[places("shares", unit) + 1] += 1
    return list(accumulate(counts))


def outside(below: list[int]) -> list[int]:
    """Return the shares whose count is outside its exact bounds at 1e-6."""
    found, count = [], below[-1]
    for ppm in SHARES_PPM:
        at = exposed_below(0, 1_000_000, ppm)
        least, most = binomial_bounds(count, first_hash(at) / 2**32, 1e-6)
        if not least <= below[at] <= most:
            found.append(ppm)
    return found


def test_shares_are_what_they_say() -> None:
    """From 0.0001 % to 99.9999 % the exposed are as many as the exact binomial allows at 1e-6."""
    assert outside(reached(place, SHARE_UNITS)) == []


def test_a_coarse_line_would_be_seen() -> None:
    """A line of ten thousand places, as other systems have it, cannot say a share below 0.01 %."""

    def coarse(salt: str, unit: str) -> int:
        return place(salt, unit) // 100 * 100

    assert 1 in outside(reached(coarse, 300_000))


def test_the_bounds_are_exact() -> None:
    """The bounds are those of published tables, and the deviates those of the normal distribution."""
    assert binomial_bounds(10, 0.5, 0.05) == (2, 8)
    assert binomial_bounds(20, 0.1, 0.05) == (0, 5)
    assert binomial_bounds(1_000_000, 1e-6, 1e-6)[0] == 0
    assert normal_tail(Z_OF_A_MILLIONTH) == pytest.approx(1e-6, rel=0.02)
    # The 95th percentile of the chi-square with 10 degrees of freedom is 18.307.
    counts, mean = [100.0] * 11, 100.0
    counts[0], counts[1] = 100 + (18.307 * 50) ** 0.5, 100 - (18.307 * 50) ** 0.5
    assert chi_square_z(counts, [mean] * 11) == pytest.approx(1.645, abs=0.02)
