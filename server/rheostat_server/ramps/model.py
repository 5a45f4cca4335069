"""What a ramp is: its plan, and where it stands."""

import enum
from typing import Any

import msgspec

from rheostat_server.ramps.checks import ThresholdPlan, ThresholdState
from rheostat_server.ramps.evidence import ArmTotals, Block, Sight
from rheostat_server.ramps.memory import CeilingMemory, CrowdMemory, KillProcess, Proof
from rheostat_server.ramps.terms import Queries
from rheostat_server.ramps.windows import AdvanceWindow, Freeze, Shut


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


class Stage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Users of a rolling ramp who go up together: those who have one of these values; without any, all the others."""

    values: tuple[Any, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A ramp's whole plan, with every default filled in. Times are in s, shares in ppm or 0 … 1.

    ``start_ppm`` is the exposure in force when the ramp started. ``acceptable`` is p_ok of the absolute proof; ``None``
    is ``auto``, from what the control shows while arming. ``budget_parts`` is K of GUARD.md: the pairs that share α.
    ``guarded`` is false for a plan that moves by time alone; ``manual`` is true where there are so few users that a
    person moves each step and the guard only kills. ``users`` is U of GUARD.md ("Few users"), as far as it is known;
    ``min_units`` is the most that it can lower. ``missing_kill`` says whether missing users kill: then they have a part
    of α; else they only hold. Below ``min_coverage`` (0 … 1) nothing goes up. ``strategy`` says where the steps come
    from. Outside its ``advance_windows`` (none: always), and in its ``freezes``, nothing goes up either.
    With the ``rule`` ``threshold`` checks are counted as ``threshold`` says, and there is no guardrail.

    A rolling ramp goes through the steps in each of its ``stages``, by the attribute ``by``; ``users`` and
    ``min_units`` are then of one stage, and all stages together share α. A comparison has a ``baseline`` among the
    variants, of which all others are ``compared_share`` (0 … 1) by weight; its ``users`` are those who are compared. It
    ends at ``until_ms``, or when both sides have had ``sample`` distinct users.
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
    strategy: str = "canary"
    advance_windows: tuple[AdvanceWindow, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    rule: str = "guard"
    threshold: ThresholdPlan | None = None
    by: str = ""
    stages: tuple[Stage, ...] = ()
    baseline: str | None = None
    compared_share: float = 0.0
    until_ms: int | None = None
    sample: int | None = None


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
    as it is known. ``why`` says in words why it stands where it stands. ``shut`` is what keeps it from going up by the
    calendar, as of the last observation. ``starts_ms`` is when a draft starts.
    ``threshold`` is set by ``rule: threshold``.

    ``stage`` is the one that a rolling ramp is at: it arms as a ramp does, and ``step``, ``started_ms``, the first
    exposure and all evidence are of it. ``control_units`` are the other arm's ``exposed_units``, where that is asked.
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
    shut: Shut | None = None
    starts_ms: int | None = None
    threshold: ThresholdState | None = None
    stage: int = 0
    control_units: int = 0
