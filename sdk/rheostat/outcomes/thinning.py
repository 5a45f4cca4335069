"""Which units are reported when there are too many: those with the smallest hashes, whatever their arm."""

from collections.abc import Collection
from heapq import nsmallest
from typing import Final

_HASHES: Final = 1 << 64
# A float holds 53 bits: the limit is cut to them, downwards, so that both sides compare with the same number.
_CUT: Final = 64 - 53
ALL: Final = 1.0
"""The limit below which every hash lies."""


def is_below(unit: str, limit: float) -> bool:
    """Return whether a unit hash (16 hex digits) is below ``limit``·2^64, exactly."""
    return int(unit, 16) < limit * _HASHES


def limit_for(units: Collection[str], most: int) -> float:
    """Return the largest limit below which there are at most ``most`` of these unit hashes; 1.0 when all fit.

    It is the smallest hash that does not fit, as a share of 2^64 (bottom-k sampling): ``kept / limit``
    estimates the number of units without bias, and the hash is independent of arm and time.
    """
    if len(units) <= most:
        return ALL
    first_out = nsmallest(most + 1, (int(unit, 16) for unit in units))[-1]
    return (first_out >> _CUT) / (1 << 53)
