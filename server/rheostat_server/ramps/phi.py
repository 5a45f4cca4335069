"""How much burstier requests are than if each failed by itself: φ of GUARD.md, from history. Pure.

An empirical correction, not a theorem.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, stdev
from typing import Final

BLOCK_MINUTES: Final = (1, 5, 15, 30)
LEAST_MINUTES: Final = 240
"""So much history is needed."""
LEAST_BAD: Final = 20
"""So many bad requests are needed: with fewer, calm and chance look alike."""
_ONE_SIDED_90: Final = 1.28


def phi_of(minutes: Sequence[tuple[int, int]]) -> float | None:
    """Return φ, at least 1, from (requests, bad requests) of consecutive minutes; ``None`` where they cannot tell.

    At each block length it is the mean of the squared differences between neighbouring blocks' rates, over what
    chance alone would give, with 1.28 standard errors added; the largest counts. Blocks without a request have no rate
    and no neighbour.
    """
    bad = sum(y for _, y in minutes)
    if len(minutes) < LEAST_MINUTES or bad < LEAST_BAD:
        return None
    rate = bad / sum(n for n, _ in minutes)
    return max(1.0, *(_at(minutes, length, rate) for length in BLOCK_MINUTES))


def _at(minutes: Sequence[tuple[int, int]], length: int, rate: float) -> float:
    blocks = [
        (sum(n for n, _ in part), sum(y for _, y in part))
        for part in (minutes[at : at + length] for at in range(0, len(minutes) - length + 1, length))
    ]
    squares = [
        (y1 / n1 - y0 / n0) ** 2 / (rate * (1 / n1 + 1 / n0)) for (n0, y0), (n1, y1) in pairwise(blocks) if n0 and n1
    ]
    if len(squares) < 2:
        return 1.0
    return fmean(squares) + _ONE_SIDED_90 * stdev(squares) / math.sqrt(len(squares))
