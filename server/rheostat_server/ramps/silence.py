"""Missing users and missing requests: whether the exposed come back as the others do, and all that they ask."""

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
REQUESTS_TO_ARM = 100
"""Treated requests until which a pre-flight goes on, if it is to get them in ``LONGEST_PREFLIGHT`` times its length.

Of fewer nobody can tell later whether a half of them is gone: chance alone moves 60 by an eighth.
"""
LONGEST_PREFLIGHT = 3
LOG_WHOLE = math.log(1_000)
"""W from which requests are proved not to vanish: one look at a step that loses as much reaches it once in 1 000."""
NEVER = -1
"""The level of units that no step exposes."""

_PRIOR_UNITS = 50.0
# (Treated requests while arming, the share of them that is left if they vanish): what so many can tell apart in time.
# A harmless cohort with 75 of them never proves itself once in a hundred times; with 100, once in a thousand.
_TOLD_APART = ((75, 0.5), (10, 0.1))
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


def log_whole(armed: tuple[int, int], came: tuple[int, int]) -> float:
    """Return log W: evidence that treated requests do not vanish; infinity where arming saw too few to tell.

    ``armed`` and ``came`` are the requests of the same (treatment, control) while arming and since. Against the
    hypothesis that a share d (0.5; 0.1 where arming saw few) of the treated requests is left it holds that 0.75 are:
    W = (0.75/d)^y_t · ((a_c + d·y_c) / (a_c + 0.75·y_c))^(a_t + y_t). Given a_t + y_t, whatever the users' own rate,
    y_t is binomial with a share of r·y_c / (a_c + r·y_c), and W is the ratio of its likelihoods at r = 0.75 and r = d.
    So W ≥ 1/ε comes with a probability of at most ε at any one look where so much vanishes. Empirical beyond that:
    requests of one user are not independent, and looks are many.
    """
    (treated, others), (still, beside) = armed, came
    left = next((left for fewest, left in _TOLD_APART if treated >= fewest), None)
    if left is None or not others:
        return math.inf
    shrinks = math.log((others + left * beside) / (others + TOLERATED * beside))
    # Without a control there is nothing to go by.
    return still * math.log(TOLERATED / left) + (treated + still) * shrinks if beside else 0.0
