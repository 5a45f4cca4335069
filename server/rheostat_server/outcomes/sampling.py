"""How many of a ramp's units are sampled: about 2 000 a window, those with the smallest hashes. Pure."""

from math import floor, log2

import msgspec

MOST_UNITS = 2_000
"""Units of a ramp and window that senders are asked for."""
HEADROOM = 1.25
"""More than this many times as many, and the share is halved within the window."""
LEAST_SHARE = 2.0**-20


class Sampling(msgspec.Struct, frozen=True):
    """The share of hashes that is sampled, and what the present window has come to.

    ``counted`` are units since the share was last set, ``estimate`` how many units the window has altogether, as far as
    it has come.
    """

    window: int = 0
    share: float = 1.0
    counted: int = 0
    estimate: float = 0.0

    def after(self, window: int, units: int) -> "Sampling":
        """Return the state after ``units`` more below the share were sampled in ``window``.

        Those of an earlier window change nothing. A new window begins with the share that would have given
        ``MOST_UNITS`` in the one before. Within a window it only falls, so that who was left out stays out.
        """
        now = self
        if window > self.window:
            # A window in which nobody came says nothing of the next.
            share = min(1.0, max(LEAST_SHARE, MOST_UNITS / self.estimate)) if self.estimate else self.share
            now = Sampling(window, share)
        elif window < self.window:
            return self
        counted, estimate = now.counted + units, now.estimate + units / now.share
        if counted < MOST_UNITS * HEADROOM:
            return Sampling(window, now.share, counted, estimate)
        halvings = floor(log2(counted / (MOST_UNITS * HEADROOM))) + 1
        return Sampling(window, max(LEAST_SHARE, now.share / 2**halvings), 0, estimate)
