"""What a ramp is: its plan, where it stands, what was seen, and what was decided."""

import enum
from typing import TypeAlias

import msgspec

from rheostat_server.ramps.memory import CeilingMemory, CrowdMemory, KillProcess, Proof
from rheostat_server.ramps.terms import Queries


class Status(enum.StrEnum):
    """Where a ramp stands."""

    DRAFT = "draft"
    ARMING = "arming"
    RUNNING = "running"
    HELD = "held"
    PAUSED = "paused"
    AWAITING_APPROVAL = "awaiting-approval"
    BLIND = "blind"
    SOAKING = "soaking"
    PROMOTED = "promoted"
    KILLED = "killed"
    ABORTED = "aborted"


LIVE = frozenset(set(Status) - {Status.DRAFT, Status.PROMOTED, Status.KILLED, Status.ABORTED})
"""The states in which a controller moves the ramp and outcomes count."""


class Action(enum.StrEnum):
    """What a person asks of a ramp."""

    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    ADVANCE = "advance"
    ABORT = "abort"
    KILL = "kill"
    REVIVE = "revive"


class Gate(enum.StrEnum):
    """What has to happen, besides proof, before a step is left."""

    NONE = "none"
    MANUAL = "manual"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One rung: its exposure in ppm, and how long it lasts at least and is tried at most (s)."""

    exposure_ppm: int
    min_dwell_s: float = 60.0
    max_dwell_s: float | None = None
    gate: Gate = Gate.NONE


class Family(enum.StrEnum):
    """Which metric family a guardrail reads. Exactly one, fixed at the start, so that no request counts twice."""

    REPORTED = "reported"
    """Batches that SDKs sent, from the database: failing users (grade 1)."""
    REPORTED_METRICS = "reported-metrics"
    """The same counts, read back from Prometheus (``rheostat_failing_units_total``): grade 1."""
    APPLICATION = "application"
    """The application's own ``feature_flag_requests_total``, from Prometheus: requests (grade 3)."""
    QUERIES = "queries"
    """A pair of PromQL queries, or a metric of somebody else's that ``label_map`` names: requests (grade 3)."""


class Measure(enum.StrEnum):
    """What makes a request bad to a guardrail."""

    ERRORS = "errors"
    LATENCY = "latency"
    """It took longer than the guardrail's ``bound_ms``."""


class Guardrail(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of evidence.

    ``may_kill`` is false for advisory guardrails, which hold only. ``phi`` is the overdispersion of
    requests (grade 3), measured on ``history_minutes`` of history, 0 where it was assumed; 1 for grade 1.
    ``min_difference`` is the difference clause's bound for rates, in 0 … 1; ``None`` is min(0.001, p̂_c). ``ceiling``
    is p_max, the rate of bad requests (0 … 1) that is too much whatever the control shows; ``None``: there is none.
    ``bound_ms`` is set for ``Measure.LATENCY``. ``queries`` is set for ``Family.QUERIES``, and for
    ``Family.APPLICATION`` where it measures latency.
    """

    name: str
    family: Family
    grade: int
    may_kill: bool = True
    phi: float = 1.0
    history_minutes: int = 0
    min_difference: float | None = None
    measure: Measure = Measure.ERRORS
    bound_ms: int | None = None
    ceiling: float | None = None
    queries: Queries | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A ramp's whole plan, with every default filled in. Times are in s, shares in ppm or 0 … 1.

    ``start_ppm`` is the exposure in force when the ramp started. ``acceptable`` is p_ok of the absolute proof; ``None``
    is ``auto``, from what the control shows while arming. ``budget_parts`` is K of GUARD.md: the pairs that share α.
    ``guarded`` is false for a plan that moves by time alone; ``manual`` is true where there are so few users that a
    person moves each step and the guard only kills. ``users`` is U of GUARD.md ("Few users"), as far as it is known;
    ``min_units`` is the most that it can lower. ``missing_kill`` says whether missing users kill: then they have a part
    of α; else they only hold. Below ``min_coverage`` (0 … 1) nothing goes up.
    """

    project: str
    environment: str
    flag: str
    rollout: str
    start_ppm: int
    steps: tuple[Step, ...]
    guardrails: tuple[Guardrail, ...]
    holdback_ppm: int = 0
    soak_s: float = 3600.0
    preflight_s: float = 600.0
    interval_s: float = 15.0
    alpha: float = 0.01
    budget_parts: int = 1
    rho0: float = 1.1
    acceptable: float | None = 0.005
    min_units: int = 20
    kill_scope: str = "rollout"
    on_inconclusive: str = "hold"
    on_blind: str = "hold"
    blind_limit_s: float = 900.0
    keep_holdback: bool = False
    low_evidence: bool = False
    guarded: bool = True
    manual: bool = False
    users: int | None = None
    missing_kill: bool = False
    min_coverage: float = 0.8
    low_ppm: int = 0
    width_ppm: int = 1_000_000


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

    ``exposed_units`` are the distinct exposed units that finished a request in the present step. ``crowd`` is what SDK
    reports say of the ramp as a whole, whatever its guardrails read: blocks since ``State.crowd_cursor``, in order;
    ``crowd_cursor`` goes on from there. ``arrivals_by_level`` is, of the arrivals while arming, how many units each
    exposure (ppm) exposes at least; −1 for those that none does. ``coverage`` is the share (0 … 1) of the flag's
    single evaluations that come from services which report; ``None`` where nobody evaluates. ``vanished`` counts
    instances that fell silent without a goodbye since the observation before.
    """

    at_ms: int
    readings: tuple[Reading, ...] = ()
    exposed_units: int = 0
    crowd: tuple[Block, ...] = ()
    crowd_cursor: str = ""
    arrivals_by_level: tuple[tuple[int, int], ...] = ()
    coverage: float | None = None
    vanished: int = 0


class GuardrailState(msgspec.Struct, frozen=True, kw_only=True):
    """Where one guardrail stands. ``log_m`` is log M after the last observation, for people and hysteresis.

    ``step_*`` are the totals since the present exposure began, the plain ones those since the first exposure (while
    arming: since arming began). ``recent_*`` and ``earlier_*`` together are those since the present exposure began
    while M stayed above 1, of at most the last hour: the difference clause is judged on them, for a fault that
    begins late must not drown in a long clean past. ``recent_since_ms`` is when the newer half began.
    ``blind_count`` are the observations without sight in a row, up to the number that makes a ramp blind.
    ``stepped_back`` says that the present hold has already cost a level. ``acceptable`` is p_ok as arming set it.
    ``late_*`` came too late to be evidence: they are shown with the totals, and judged by nothing. ``grade`` is the
    grade that evidence has now; 0: the guardrail's own. ``pending`` are samples or requests that are too few yet to
    be compared.
    """

    kill: KillProcess = KillProcess()
    proof: Proof = Proof()
    log_m: float = 0.0
    log_e: float = 0.0
    log_a: float = 0.0
    cursor: str = ""
    sight: Sight = Sight.WARMING
    detail: str = ""
    blind_count: int = 0
    blind_since_ms: int | None = None
    holding: bool = False
    stepped_back: bool = False
    step_treatment: ArmTotals = ArmTotals()
    step_control: ArmTotals = ArmTotals()
    recent_treatment: ArmTotals = ArmTotals()
    recent_control: ArmTotals = ArmTotals()
    earlier_treatment: ArmTotals = ArmTotals()
    earlier_control: ArmTotals = ArmTotals()
    recent_since_ms: int | None = None
    acceptable: float | None = None
    treatment: ArmTotals = ArmTotals()
    control: ArmTotals = ArmTotals()
    late_treatment: ArmTotals = ArmTotals()
    late_control: ArmTotals = ArmTotals()
    grade: int = 0
    pending: Block | None = None
    ceiling: CeilingMemory = CeilingMemory()


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Where a ramp stands: small, saved after each observation.

    ``step`` is -1 before the first step. ``epoch`` counts changes of exposure or arming. ``exposed_since_ms``
    is the first exposure (``None``: arming), ``exposed_epoch`` its epoch; blocks of an earlier one are arming's.
    ``armed_s`` is how long arming has watched with every guardrail seeing: only that counts as pre-flight.
    ``soaking_since_ms`` is set while soaking, also when it is paused or held meanwhile. ``approved_step`` is the
    step that a person let through. ``crowd`` is what ``Evidence.crowd`` came to; ``crowd_cursor`` is how far it was
    read. ``left`` are (exposure in ppm, until when it was in force) of the last few exposures. ``users`` is U, as far
    as it is known. ``why`` says in words why it stands where it stands.
    """

    status: Status = Status.DRAFT
    step: int = -1
    epoch: int = 0
    exposure_ppm: int = 0
    entered_ms: int = 0
    started_ms: int = 0
    exposed_since_ms: int | None = None
    exposed_epoch: int = 0
    armed_s: float = 0.0
    soaking_since_ms: int | None = None
    observed_ms: int | None = None
    observations: int = 0
    exposed_units: int = 0
    approved_step: int | None = None
    guardrails: dict[str, GuardrailState] = {}
    crowd: CrowdMemory = CrowdMemory()
    crowd_cursor: str = ""
    left: tuple[tuple[int, int], ...] = ()
    users: int | None = None
    why: str = ""


class Hold(msgspec.Struct, frozen=True, tag="hold"):
    """Stay where it is; ``status`` is what to show (running, held, blind, awaiting-approval, arming, soaking)."""

    status: Status
    why: str


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """The pre-flight is over and clean: expose the first step. M restarts at 1."""

    why: str


class Refuse(msgspec.Struct, frozen=True, tag="refuse"):
    """The pre-flight found that the cohort differs before it sees anything: the ramp does not start."""

    why: str


class Advance(msgspec.Struct, frozen=True, tag="advance"):
    """Go up one step."""

    to_step: int
    why: str


class StepBack(msgspec.Struct, frozen=True, tag="step-back"):
    """Go down one step (to the start exposure from the first)."""

    to_step: int
    why: str


class Soak(msgspec.Struct, frozen=True, tag="soak"):
    """The last step is proved: watch it for the soak."""

    why: str


class Promote(msgspec.Struct, frozen=True, tag="promote"):
    """The soak is over; the ramp is done."""

    why: str


class KillRamp(msgspec.Struct, frozen=True, tag="kill"):
    """Take the variant back, latched."""

    guardrail: str
    why: str


Decision: TypeAlias = Hold | Begin | Refuse | Advance | StepBack | Soak | Promote | KillRamp
