"""What one flag gives a unit says nothing of what another gives it, nor exposure of the variant.

A thousand flag keys make 499 500 pairs, so the largest deviate of all is held against one that chance passes
with a probability of one in a million for all pairs together; and the mean square of the deviates against one, which
sees dependence too weak to show in any single pair.
"""

from collections.abc import Callable
from itertools import combinations
from math import sqrt

from rheostat.engine.hashing import choose, place
from tests.proofs.bad_hashes import place_by_crc, place_without_salt
from tests.proofs.bounds import chi_square_z
from tests.proofs.populations import Z_OF_A_MILLIONTH, flag_keys

UNITS = 16_000
LARGEST = 7.2
"""Beyond ± this are 6e-13 of a standard normal: 499 500 pairs at two exposures, one in a million."""
Place = Callable[[str, str], int]


def exposed_sets(places: Place, keys: list[str], exposures_ppm: tuple[int, ...]) -> list[list[int]]:
    """Return, for each exposure, each key's exposed units as the bits of an integer."""
    found: list[list[int]] = [[] for _ in exposures_ppm]
    units = [f"user-{number}" for number in range(UNITS)]
    for key in keys:
        at = [places(key, unit) for unit in units]
        for sets, exposure in zip(found, exposures_ppm, strict=True):
            sets.append(int("".join("1" if one < exposure else "0" for one in at), 2))
    return found


def deviates(sets: list[int]) -> list[float]:
    """Return each pair's overlap as a deviate from the hypergeometric mean, given both sizes."""
    sized = [(one, one.bit_count()) for one in sets]
    found = []
    for (one, a), (other, b) in combinations(sized, 2):
        spread = a * b * (UNITS - a) * (UNITS - b)
        if spread:
            found.append(((one & other).bit_count() - a * b / UNITS) * UNITS * sqrt((UNITS - 1) / spread))
    return found


def mean_square(values: list[float]) -> float:
    return sum(value * value for value in values) / len(values)


def test_every_pair_of_a_thousand_flags_is_independent() -> None:
    """At 10 % and at 50 % no pair of flags shares more or fewer units than chance gives."""
    keys = flag_keys()
    assert len(set(keys)) == 1_000

    for sets in exposed_sets(place, keys, (100_000, 500_000)):
        found = deviates(sets)
        assert len(found) == 499_500
        assert max(map(abs, found)) < LARGEST
        # Its own spread is sqrt(2 / 499 500) = 0.002.
        assert abs(mean_square(found) - 1) < 0.01


def test_dependence_would_be_seen() -> None:
    """The same measures refuse a hash without salt, and CRC-32 with one."""
    keys = flag_keys()[:60]

    for bad in (place_without_salt, place_by_crc):
        (sets,) = exposed_sets(bad, keys, (500_000,))
        found = deviates(sets)
        assert max(map(abs, found)) > LARGEST
        assert abs(mean_square(found) - 1) > 1


def test_the_variant_says_nothing_of_the_exposure() -> None:
    """Among the exposed, each variant has the weight that it has among all, at any exposure."""
    split = {"a": 1.0, "b": 2.0, "c": 7.0}
    for exposure in (1_000, 50_000, 500_000):
        counts = dict.fromkeys(split, 0)
        for number in range(300_000 if exposure > 1_000 else 1_000_000):
            if place("paywall", unit := str(number)) < exposure:
                counts[choose(split, "paywall", unit) or ""] += 1
        total = sum(counts.values())
        assert abs(chi_square_z(list(counts.values()), [total * weight / 10 for weight in split.values()])) < 4.9


def test_variants_of_two_flags_are_independent() -> None:
    """Knowing a unit's variant of one flag, its variant of another is as likely as before."""
    split, units = {"a": 1.0, "b": 1.0}, [f"user-{number}" for number in range(20_000)]
    keys = ["flag-1", "flag-2", "flag-3", "checkout-v1", "checkout-v2", "a", "b"]
    chosen = [int("".join("1" if choose(split, key, unit) == "a" else "0" for unit in units), 2) for key in keys]
    for one, other in combinations(chosen, 2):
        same = len(units) - (one ^ other).bit_count()
        assert abs(same - len(units) / 2) / sqrt(len(units) / 4) < Z_OF_A_MILLIONTH + 1
