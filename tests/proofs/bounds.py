"""How far chance alone goes: exact binomial bounds, and tails of the normal and the chi-square."""

from collections.abc import Sequence
from math import erfc, exp, lgamma, log, sqrt

NEGLIGIBLE = 1e-30


def log_binomial(k: int, n: int, p: float) -> float:
    """Return the logarithm of the probability of exactly k of n."""
    ways = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
    return ways + (k * log(p) if k else 0.0) + ((n - k) * log(1 - p) if n > k else 0.0)


def binomial_bounds(n: int, p: float, alpha: float) -> tuple[int, int]:
    """Return the least and greatest count such that fewer, or more, have a probability of at most ``alpha``/2 each.

    Exact: the probabilities are summed from the far ends of the tails.
    """
    return _lower(n, p, alpha / 2), n - _lower(n, 1 - p, alpha / 2)


def _lower(n: int, p: float, alpha: float) -> int:
    mode = min(n, int((n + 1) * p))
    k, mass = mode, exp(log_binomial(mode, n, p))
    tail = [(k, mass)]
    while k > 0 and mass > NEGLIGIBLE:
        mass *= k * (1 - p) / ((n - k + 1) * p)
        k -= 1
        tail.append((k, mass))
    below = 0.0
    for k, mass in reversed(tail):
        below += mass
        if below > alpha:
            return k
    return mode


def normal_tail(z: float) -> float:
    """Return the probability of a standard normal beyond ±z."""
    return erfc(abs(z) / sqrt(2))


def chi_square_z(counts: Sequence[float], expected: Sequence[float]) -> float:
    """Return Pearson's statistic as a standard normal deviate (Wilson and Hilferty 1931); large is uneven.

    A count that is far too even has a deviate far below zero.
    """
    statistic = sum((count - mean) ** 2 / mean for count, mean in zip(counts, expected, strict=True))
    spread = 2 / (9 * (len(counts) - 1))
    return float(((statistic / (len(counts) - 1)) ** (1 / 3) - (1 - spread)) / sqrt(spread))
