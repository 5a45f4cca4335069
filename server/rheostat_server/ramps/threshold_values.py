"""What a check's answer means as a number, and in words. Pure."""

import math

from rheostat_server.ramps.checks import Check, CheckValue

_GREATEST = 1e308


def numbers_of(value: CheckValue) -> tuple[float, ...]:
    """Return what was found, as numbers; ``nan`` and infinities among them."""
    return tuple(map(float, value.found))


def number_of(check: Check, value: CheckValue) -> float | None:
    """Return the one number that a check is judged by: the last that was found; ``None`` where there is none."""
    if not value.found:
        return None
    number = float(value.found[-1])
    if math.isnan(number):
        return None
    return float(math.trunc(number)) if check.whole and math.isfinite(number) else number


def said(check: Check, value: CheckValue) -> str:
    """Return what was found, in words."""
    if value.problem:
        return f"failed ({value.problem})"
    if not value.found:
        return "has no value"
    number = number_of(check, value)
    return "is no number" if number is None else f"is {number:.4g}" if abs(number) < _GREATEST else "is endless"
