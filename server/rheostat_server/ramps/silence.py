"""Missing users: whether the exposed come back as the others do."""

import math
from collections.abc import Sequence

from rheostat_server.ramps.memory import KillProcess
from rheostat_server.ramps.stats import mixture_step

MISSING_GRID = (0.1, 0.3, 0.6)
"""d: how much of the treated arrivals that the null allows at least is left."""
TOLERATED = 0.75
"""The null: at least this share of the expected treated arrivals came."""
FEWEST_EXPECTED = 20
"""Treated arrivals, expected by now and seen while arming, without which missing users kill nobody.

With fewer while arming nobody knows how often these very users come: over hours at one level up to 6 % of harmless
ramps were killed whose cohort of a few users was less active than it seemed.
"""
NEVER = -1
"""The level of units that no step exposes."""

_PRIOR_UNITS = 50.0
_LOG_GRID = tuple(math.log(d) for d in MISSING_GRID)


def expected_share(arrivals: Sequence[tuple[int, int]], exposure_ppm: int, x: float) -> float:
    """Return s: the share of arrivals that is treated if the change keeps nobody away, 0 … 1.

    ``arrivals`` while arming are by the least exposure (ppm) that exposes the unit: those who will be exposed may be
    more or less active than the others, and arming has seen it. x alone counts as much as 50 units.
    """
    everybody = sum(units for _, units in arrivals)
    exposed = armed_arrivals(arrivals, exposure_ppm)
    return (exposed + _PRIOR_UNITS * x) / (everybody + _PRIOR_UNITS)


def armed_arrivals(arrivals: Sequence[tuple[int, int]], exposure_ppm: int) -> int:
    """Return how many of the arrivals while arming this exposure exposes."""
    return sum(units for level, units in arrivals if NEVER < level <= exposure_ppm)


def missing_step(
    process: KillProcess, *, treatment: int, control: int, share: float, t1_s: float, t2_s: float
) -> KillProcess:
    """Return the process after a block with these arrivals: evidence that treated users stay away.

    L_d = d^y_t · ((1 - s + 0.75·s) / (1 - s + 0.75·s·d))^(y_t + y_c). Empirical: arrivals are not independent, so the
    bound is not a theorem. ``share`` is s, above 0 and below 1. Source: GUARD.md, "Silence is not success".
    """
    arrivals = treatment + control
    base = 1 - share + TOLERATED * share
    steps = tuple(
        treatment * log_d + arrivals * math.log(base / (1 - share + TOLERATED * share * d))
        for d, log_d in zip(MISSING_GRID, _LOG_GRID, strict=True)
    )
    return mixture_step(process, steps, treatment_events=treatment, control_events=control, t1_s=t1_s, t2_s=t2_s)
