"""How bursty requests are is measured on history."""

import math
import random
from statistics import fmean, stdev

import pytest

from rheostat_server.ramps.phi import BLOCK_MINUTES, LEAST_BAD, LEAST_MINUTES, phi_of


def independent(minutes: int = 360, requests: int = 600, rate: float = 0.01, seed: int = 1) -> list[tuple[int, int]]:
    """Return minutes whose requests fail each by itself."""
    draws = random.Random(seed)
    return [(requests, sum(draws.random() < rate for _ in range(requests))) for _ in range(minutes)]


def test_independent_requests_are_hardly_bursty() -> None:
    """Where each request fails by itself, φ is small: what is above 1 is that nobody can be sure."""
    assert all(1 <= (phi_of(independent(seed=seed)) or 0) < 4 for seed in range(10))


@pytest.mark.parametrize("burst", [5, 15, 30])
def test_bursts_are_found_at_their_own_length(burst: int) -> None:
    """Failures that come in bursts of minutes make φ large, which single minutes alone would not show so."""
    minutes = [(n, y + (12 if (at // burst) % 4 == 0 else 0)) for at, (n, y) in enumerate(independent())]

    assert (phi_of(minutes) or 0) > 5


def test_it_is_the_largest_over_the_block_lengths() -> None:
    """φ is the formula of the specification, worked out anew."""
    minutes = independent(seed=3)
    rate = sum(y for _, y in minutes) / sum(n for n, _ in minutes)
    found = [1.0]
    for length in BLOCK_MINUTES:
        rates, sizes = [], []
        for at in range(0, len(minutes), length):
            sizes.append(sum(n for n, _ in minutes[at : at + length]))
            rates.append(sum(y for _, y in minutes[at : at + length]) / sizes[-1])
        d = [(rates[k] - rates[k - 1]) ** 2 / (rate * (1 / sizes[k] + 1 / sizes[k - 1])) for k in range(1, len(rates))]
        found.append(fmean(d) + 1.28 * stdev(d) / math.sqrt(len(d)))

    assert phi_of(minutes) == pytest.approx(max(found))


def test_too_little_history_tells_nothing() -> None:
    """With less than four hours, or hardly a failure, φ is not known."""
    assert phi_of(independent(LEAST_MINUTES - 1)) is None
    assert phi_of([(100, 1)] * (LEAST_BAD - 1) + [(100, 0)] * LEAST_MINUTES) is None
    assert phi_of([]) is None


def test_minutes_without_requests_have_no_rate() -> None:
    """Gaps are no bursts; and where hardly two blocks are neighbours, nothing is found."""
    gaps = [pair for at, pair in enumerate(independent(720)) for pair in ([pair] if at % 60 < 40 else [(0, 0)])]
    alone = [(0, 0)] * 300 + [(100, 30)] + [(0, 0)] * 60

    assert (phi_of(gaps) or 0) < 3
    assert phi_of(alone) == 1.0
