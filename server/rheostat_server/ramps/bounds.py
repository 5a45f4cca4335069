"""Which bound of a histogram stands for a longest duration."""

from collections.abc import Sequence

from rheostat_server.errors import Fault
from rheostat_server.ramps.words import count

TOLERANCE = 0.25
"""How far the bound that is counted may lie from the one that was asked for."""


def histogram_bound(asked_ms: float, bounds_ms: Sequence[float], path: str) -> float | Fault:
    """Return the bound of the histogram that is nearest to ``asked_ms``; a fault where none is within 25 % of it.

    Requests above a bound are counted exactly; a percentile between two bounds would be a guess.
    """
    if not bounds_ms:
        return Fault(path, "the histogram has no bounds", "let the application report durations: source: reported")
    nearest = min(bounds_ms, key=lambda bound: abs(bound - asked_ms))
    if abs(nearest - asked_ms) <= TOLERANCE * asked_ms:
        return nearest
    return Fault(
        path,
        f"the histogram has no bound within {TOLERANCE:.0%} of {count(asked_ms)} ms",
        f"the nearest one is {nearest:g} ms",
    )
