"""How long to wait before trying a lost carrier again."""

import random

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 5.0


def pause(failures: int) -> float:
    """Return seconds to wait after this many failures in a row (≥ 1): doubling to 5 s, at random in the upper half.

    At random, so that the nodes of a fleet do not return to a restarted carrier in one instant.
    """
    longest = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, 10))
    return longest * random.uniform(0.5, 1.0)
