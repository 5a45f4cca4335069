"""Figures as a person on call reads them."""

import math

from rheostat.model.shares import ppm_to_percent

_CERTAIN = 1e6


def exposure(ppm: int) -> str:
    """Return a share as ``5 %``."""
    return f"{ppm_to_percent(ppm):g} %"


def rate(part: int, whole: int) -> str:
    """Return ``4.1 % of 1 200``; ``none`` where there is no whole."""
    return f"{100 * part / whole:.3g} % of {count(whole)}" if whole else "none"


def count(number: float) -> str:
    """Return a whole number in groups of three: ``12 000``."""
    return f"{number:,.0f}".replace(",", " ")


def about(number: float) -> str:
    """Return an estimate with two figures: ``~1 200``."""
    if number < 10:
        return f"~{math.ceil(number)}"
    scale = 10 ** (math.floor(math.log10(number)) - 1)
    return f"~{count(math.ceil(number / scale) * scale)}"


def duration(seconds: float) -> str:
    """Return minutes and seconds as ``9:41``, from an hour on ``1:09:41``. Rounded up; never below 0."""
    left = max(0, math.ceil(seconds))
    hours, rest = divmod(left, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def roughly(seconds: float) -> str:
    """Return an estimated time in its own unit: ``78 s``, ``15 min``, ``3 h``."""
    if seconds < 90:
        return f"{count(max(1, round(seconds)))} s"
    if seconds < 5400:
        return f"{count(round(seconds / 60))} min"
    return f"{count(round(seconds / 3600))} h"


def odds(log_value: float) -> str:
    """Return e^``log_value`` with three figures; above a million ``over 1 000 000``."""
    value = math.exp(min(log_value, 100.0))
    return "over 1 000 000" if value > _CERTAIN else count(value) if value >= 1000 else f"{value:.3g}"
