"""How long to wait: full jitter, so that many readers who lost the same node do not come back together."""

from collections.abc import Callable

import msgspec

Draw = Callable[[], float]
"""Returns a number in [0, 1), evenly spread: ``random.random``."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The feed's times, all in seconds.

    ``silence`` is how long an open stream may say nothing (a beat comes every 5 s). ``poll`` is the time
    between polls while the stream is broken. ``refused`` is the time between attempts with a refused key.
    """

    backoff_first: float = 0.5
    backoff_most: float = 30.0
    silence: float = 15.0
    poll: float = 10.0
    refused: float = 60.0
    retry_after_most: float = 300.0


def full_jitter(pace: Pace, failures: int, draw: Draw, *, most: float | None = None) -> float:
    """Return a wait drawn from [0, min(most, first · 2^failures)), ``failures`` counted from 1."""
    most = pace.backoff_most if most is None else most
    # The exponent is bounded so that a year of failures does not overflow a float.
    return draw() * min(most, pace.backoff_first * 2.0 ** min(failures, 16))


def around(seconds: float, draw: Draw) -> float:
    """Return a wait between three quarters and five quarters of ``seconds``."""
    return seconds * (0.75 + draw() / 2)
