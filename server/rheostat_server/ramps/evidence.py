"""What was seen of a ramp: counts of each arm, and what each source said."""

import enum

import msgspec

from rheostat_server.ramps.checks import CheckValue
from rheostat_server.ramps.windows import Shut


class ArmTotals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one arm saw. To a latency guardrail ``bad``, and the ``_bad`` of samples, mean slower than its bound.

    - ``ended``, ``bad``: requests that ended, and those of them that ended badly.
    - ``failing``: units that failed for the first time since arming began (grade 1).
    - ``units``, ``units_bad``: distinct units of the epoch that were sampled, and those of them whose first sample
      there was bad (difference clause of grade 1, SRM, ``min_units``).
    - ``seen``: units sampled in a window, counted once a window (crash clause).
    - ``sampled``, ``sampled_bad``: of these the ones that grade 2 keeps: each unit's first of a window, up to its first
      bad one, also while arming. (A unit's bad sample counts once, or slow accounts kill.)
    - ``arrivals``: units sampled in a window and not in the one before (missing users).
    - ``active``, ``active_failed``: units sampled for the first time in the ramp; units by now both sampled and failed
      (saturation).
    - ``recounted``, ``recounted_squares``: failing units that had not failed for 5 min, each time; and what they add to
      Σk² (M_h).
    """

    ended: int = 0
    bad: int = 0
    failing: int = 0
    units: int = 0
    units_bad: int = 0
    seen: int = 0
    sampled: int = 0
    sampled_bad: int = 0
    arrivals: int = 0
    active: int = 0
    active_failed: int = 0
    recounted: int = 0
    recounted_squares: int = 0


UNSAID = -1
"""The exposure of a block whose rows do not tell it, in ppm."""


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One report group or scrape: both arms over the same interval at the same exposure.

    Times are wall ms. ``exposure_ppm`` is as evaluated; ``UNSAID`` where the rows do not say: then it is the largest
    exposure that any SDK may still have held. ``control`` pools the holdback.
    """

    from_ms: int
    until_ms: int
    epoch: int
    exposure_ppm: int
    treatment: ArmTotals = ArmTotals()
    control: ArmTotals = ArmTotals()


class Sight(enum.StrEnum):
    """Whether there was evidence, and if not, why not: GUARD.md, "Having no evidence"."""

    SEEN = "seen"
    QUERY_FAILED = "query failed"
    SERIES_ABSENT = "series absent"
    SERIES_STALE = "series stale"
    NO_TRAFFIC = "no traffic"
    UNCOVERED = "uncovered"
    """Too many evaluations come from services that do not report."""
    SATURATED = "saturated"
    """Most units have failed already, so that no more can fail newly."""
    WARMING = "warming"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one guardrail's source said: blocks in order, or why there are none.

    ``cursor`` is opaque to the rule; it is saved with the state and given to the next reading. ``late`` is what
    arrived too late to be evidence, whatever the sight: people see it in the totals, and nothing is judged by it.
    """

    guardrail: str
    sight: Sight
    blocks: tuple[Block, ...] = ()
    late: tuple[Block, ...] = ()
    cursor: str = ""
    detail: str = ""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known at one observation. ``at_ms`` is when it was asked, on the wall clock.

    ``exposed_units`` are the distinct exposed units that finished a request in the present step, ``control_units`` the
    control's, where a comparison asks for a sample. ``crowd`` is what SDK
    reports say of the ramp as a whole, whatever its guardrails read: blocks since ``State.crowd_cursor``, in order;
    ``crowd_cursor`` goes on from there. ``arrivals_by_level`` is, of the arrivals while arming, how many units each
    exposure (ppm) exposes at least; −1 for those that none does. ``coverage`` is the share (0 … 1) of the flag's
    single evaluations that come from services which report; ``None`` where nobody evaluates. ``vanished`` counts
    instances that fell silent without a goodbye since the observation before. ``shut`` is what keeps the ramp from
    going up by the calendar. ``checks`` are what ``rule: threshold`` measured at this observation.
    """

    at_ms: int
    readings: tuple[Reading, ...] = ()
    exposed_units: int = 0
    crowd: tuple[Block, ...] = ()
    crowd_cursor: str = ""
    arrivals_by_level: tuple[tuple[int, int], ...] = ()
    coverage: float | None = None
    vanished: int = 0
    shut: Shut | None = None
    checks: tuple[CheckValue, ...] = ()
    control_units: int = 0
