"""The grades of evidence: what a guardrail counts, among how many, and when a better count takes over.

1: failing users. 2: a user's sampled request of a window. 3: requests. Source: GUARD.md, "Users are the sample".
"""

from typing import NamedTuple

from msgspec.structs import replace

from rheostat_server.ramps.evidence import ArmTotals, Block, Sight
from rheostat_server.ramps.memory import CrowdMemory
from rheostat_server.ramps.model import Family, Guardrail, GuardrailState
from rheostat_server.ramps.stats import FEWEST_EVENTS_PER_PHI, FEWEST_FAILING_UNITS, restarted

BY_UNITS = 1
"""Events are units that failed for the first time; the arms are x : 1 - x by design."""
BY_SAMPLES = 2
"""Events are bad samples, one a unit, among the samples."""
BY_REQUESTS = 3
"""Events are bad requests among those that ended."""

SATURATED_BY_ARMING = 0.1
"""More of the control's users failed by the end of arming: then failing users are not counted at all."""
SATURATED = 0.5
"""More of them failed during the ramp: then they are counted no more."""
FEWEST_ACTIVE = 10
"""Control users without which nobody can tell."""

REPORTS = frozenset({Family.REPORTED, Family.REPORTED_METRICS})
"""Families that are what SDKs report."""

SEEING = frozenset({Sight.SEEN, Sight.UNCOVERED, Sight.SATURATED})
"""What may kill. The last two only say that seeing no harm is no proof."""


class Counts(NamedTuple):
    """Events of both arms, and among how many (by design: shares)."""

    treatment_events: int
    control_events: int
    treatment_n: float
    control_n: float


def grade_of(guardrail: Guardrail, seen: GuardrailState) -> int:
    """Return the grade that the guardrail's evidence has now."""
    return seen.grade or guardrail.grade


def phi_of(guardrail: Guardrail, grade: int) -> float:
    """Return the overdispersion of the events; units and their samples have none."""
    return guardrail.phi if grade == BY_REQUESTS else 1.0


def can_sample(guardrail: Guardrail) -> bool:
    """Whether grade 2 is to be had: only from the database, for metrics do not tell samples of a window."""
    return guardrail.family is Family.REPORTED


def events(grade: int, totals: ArmTotals) -> int:
    """Return what this grade counts of an arm."""
    if grade == BY_UNITS:
        return totals.failing
    return totals.sampled_bad if grade == BY_SAMPLES else totals.bad


def size(grade: int, totals: ArmTotals) -> int:
    """Return among how many, from grade 2 on."""
    return totals.sampled if grade == BY_SAMPLES else totals.ended


def fewest_events(guardrail: Guardrail, grade: int) -> float:
    """Return below how many treated events nobody is killed: distinct units, or 5·φ requests."""
    return FEWEST_EVENTS_PER_PHI * guardrail.phi if grade == BY_REQUESTS else FEWEST_FAILING_UNITS


def counts(grade: int, block: Block, share: float) -> Counts:
    """Return what the block shows to this grade. ``share`` is x of the block; 0 and 1 leave one arm empty."""
    if grade == BY_UNITS or not 0 < share < 1:
        sizes = (share, 1 - share)
    else:
        sizes = (float(size(grade, block.treatment)), float(size(grade, block.control)))
    return Counts(events(grade, block.treatment), events(grade, block.control), *sizes)


def saturated(crowd: CrowdMemory, most: float) -> bool:
    """Whether more than ``most`` of the control's active users have failed, so that few are left to fail newly."""
    return crowd.active >= FEWEST_ACTIVE and crowd.active_failed > most * crowd.active


def first_grade(guardrail: Guardrail, crowd: CrowdMemory) -> int:
    """Return the grade for the ramp, as arming found it; 0: the guardrail's own."""
    if guardrail.grade == BY_UNITS and can_sample(guardrail) and saturated(crowd, SATURATED_BY_ARMING):
        return BY_SAMPLES
    return 0


def regraded(guardrail: Guardrail, seen: GuardrailState, crowd: CrowdMemory) -> GuardrailState:
    """Return the state with grade 2 in place of a saturated grade 1: a fresh process, times min(1, M)."""
    if grade_of(guardrail, seen) != BY_UNITS or not can_sample(guardrail) or not saturated(crowd, SATURATED):
        return seen
    kill = restarted(seen.kill)
    return replace(seen, grade=BY_SAMPLES, kill=kill, log_m=kill.carry, pending=None)
