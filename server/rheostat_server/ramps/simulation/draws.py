"""Chance: counts of rare and of many events, and how far chance alone goes. Pure, given the generator."""

import math
import random

_MANY = 200
"""Above such a mean a normal is drawn: it is off by less than a hundredth of its own spread."""


def poisson(draw: random.Random, mean: float) -> int:
    """Return how many events came where ``mean`` were to be expected; 0 for a mean of 0 or less."""
    if mean <= 0:
        return 0
    if mean > _MANY:
        return max(0, round(draw.gauss(mean, math.sqrt(mean))))
    count, left = 0, mean
    # By waiting times, in portions whose product of uniforms does not underflow.
    while left > 0:
        portion = min(left, 30.0)
        product, least = draw.random(), math.exp(-portion)
        while product > least:
            product *= draw.random()
            count += 1
        left -= portion
    return count


def binomial(draw: random.Random, n: int, p: float) -> int:
    """Return how many of ``n`` trials of chance ``p`` (0 … 1) came true."""
    if p <= 0 or n <= 0:
        return 0
    if p >= 1:
        return n
    if p > 0.5:
        return n - binomial(draw, n, 1 - p)
    mean = n * p
    if mean > _MANY:
        return min(n, max(0, round(draw.gauss(mean, math.sqrt(mean * (1 - p))))))
    # From one success to the next, by geometric gaps.
    count, at, log_miss = 0, 0, math.log1p(-p)
    while True:
        at += 1 + math.floor(math.log(1 - draw.random()) / log_miss)
        if at > n:
            return count
        count += 1


def upper_bound(count: int, n: int, confidence: float = 0.95) -> float:
    """Return the greatest share that ``count`` of ``n`` still allow: exact (Clopper and Pearson 1934), one-sided.

    Were the true share above it, so few would be seen with a probability of at most 1 − ``confidence``.
    """
    if count >= n:
        return 1.0
    low, high = count / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(count, n, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(count: int, n: int, p: float) -> float:
    if p <= 0:
        return 1.0
    if p >= 1:
        return 0.0
    logs = (
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
        for k in range(count + 1)
    )
    return math.fsum(math.exp(value) for value in logs)
