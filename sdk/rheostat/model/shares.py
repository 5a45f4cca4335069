"""Shares of a whole in integers, so that no two languages can round them two ways."""

TOTAL_PPM = 1_000_000
"""The whole line, in parts per million: 1 % is 10 000."""

_PPM_PER_PERCENT = 10_000


def percent_to_ppm(percent: float) -> int:
    """Return the share in parts per million.

    Raises:
        ValueError: the percentage is outside 0 … 100 or finer than four decimals.
    """
    ppm = round(percent * _PPM_PER_PERCENT)
    if not 0 <= ppm <= TOTAL_PPM or not 0 <= percent <= 100:
        raise ValueError(f"{percent} is not between 0 and 100")
    # A share such as 33.3333 is not exact in binary, so the comparison allows for the float's own error.
    if abs(percent * _PPM_PER_PERCENT - ppm) > 1e-6 or (percent and not ppm):
        raise ValueError(f"{percent} is finer than four decimals")
    return ppm


def ppm_to_percent(ppm: int) -> float:
    """Return the share as a percentage; a whole one is an ``int`` so that it reads ``25``, not ``25.0``."""
    whole, rest = divmod(ppm, _PPM_PER_PERCENT)
    return ppm / _PPM_PER_PERCENT if rest else whole
