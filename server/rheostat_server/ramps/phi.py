"""How much more the rate of bad requests varies than chance explains, from its past (grade 3)."""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence

PHI_WITHOUT_HISTORY = 5.0
"""φ of requests where there is no history to measure it from."""
BLOCK_MINUTES = (1, 5, 15, 30)
"""Lengths of blocks that are compared: bursts of minutes show in one, those of half an hour in another."""
LEAST_MINUTES = 240
"""A shorter history says nothing: 4 h."""

_ONE_SIDED_90 = 1.28


def phi_of_history(minutes: Sequence[tuple[int, int]]) -> float | None:
    """Return φ from (bad, requests) of each minute before the ramp, oldest first; ``None`` where they are too few.

    It is the largest over the lengths of max(1, mean d + 1.28·se), d_k = (r_k - r_{k-1})² / (p̄·(1/n_k + 1/n_{k-1})),
    r_k the rate of a block: 1 for independent requests. An empirical correction, not a theorem.
    """
    if len(minutes) < LEAST_MINUTES:
        return None
    requests = sum(n for _, n in minutes)
    bad = sum(y for y, _ in minutes)
    if bad == 0:
        # Nothing ever failed: what bursts of failures are like is not known.
        return None
    rate = bad / requests
    return max(_phi_at(list(_blocks(minutes, length)), rate) for length in BLOCK_MINUTES)


def _blocks(minutes: Sequence[tuple[int, int]], length: int) -> Iterator[tuple[int, int]]:
    # A rest that is no whole block is left out; so are blocks without a request.
    for i in range(0, len(minutes) - length + 1, length):
        part = minutes[i : i + length]
        requests = sum(n for _, n in part)
        if requests:
            yield sum(y for y, _ in part), requests


def _phi_at(blocks: Sequence[tuple[int, int]], rate: float) -> float:
    ratios = list(_ratios(blocks, rate))
    if len(ratios) < 2:
        return 1.0
    error = statistics.stdev(ratios) / math.sqrt(len(ratios))
    return max(1.0, statistics.fmean(ratios) + _ONE_SIDED_90 * error)


def _ratios(blocks: Iterable[tuple[int, int]], rate: float) -> Iterator[float]:
    before: tuple[int, int] | None = None
    for bad, requests in blocks:
        if before is not None:
            step = bad / requests - before[0] / before[1]
            yield step * step / (rate * (1 / requests + 1 / before[1]))
        before = bad, requests
