"""Drawn counts have the mean and spread of their distribution, and bounds are exact."""

import random
import statistics

import pytest

from rheostat_server.ramps.simulation.draws import binomial, poisson, upper_bound

DRAWS = 4_000


def moments(values: list[int]) -> tuple[float, float]:
    return statistics.mean(values), statistics.pvariance(values)


@pytest.mark.parametrize("mean", [0.05, 3.0, 45.0, 190.0, 900.0])
def test_poisson(mean: float) -> None:
    """Mean and variance are the expected count, at small means as at large ones."""
    draw = random.Random(1)

    found, spread = moments([poisson(draw, mean) for _ in range(DRAWS)])

    assert abs(found - mean) < 4 * (mean / DRAWS) ** 0.5
    assert abs(spread / mean - 1) < 0.15


@pytest.mark.parametrize(("n", "p"), [(10, 0.3), (1000, 0.002), (1000, 0.9), (5000, 0.4)])
def test_binomial(n: int, p: float) -> None:
    """Mean and variance are n·p and n·p·(1 − p)."""
    draw = random.Random(2)

    found, spread = moments([binomial(draw, n, p) for _ in range(DRAWS)])

    assert abs(found - n * p) < 4 * (n * p * (1 - p) / DRAWS) ** 0.5
    assert abs(spread / (n * p * (1 - p)) - 1) < 0.15


def test_certainties() -> None:
    """What cannot happen is not drawn, and what must is."""
    draw = random.Random(3)

    assert (poisson(draw, 0), poisson(draw, -1), binomial(draw, 0, 0.5), binomial(draw, 9, 0)) == (0, 0, 0, 0)
    assert binomial(draw, 9, 1) == 9


@pytest.mark.parametrize(
    ("count", "n", "most"), [(0, 100, 0.0295), (1, 100, 0.0466), (10, 400, 0.0421), (5, 5, 1.0), (0, 1, 0.95)]
)
def test_upper_bound(count: int, n: int, most: float) -> None:
    """It is Clopper and Pearson's: for none of n it is 1 − 0.05^(1/n)."""
    assert upper_bound(count, n) == pytest.approx(most, abs=2e-4)
    if count == 0:
        assert upper_bound(0, n) == pytest.approx(1 - 0.05 ** (1 / n))
