"""How Flagger and Argo Rollouts count checks: their decisions, from what a metric said. Pure.

Written from what the two publish of themselves: Flagger's schedule of a canary (main branch of July 2026) and the
analysis controller of Argo Rollouts (main branch of August 2026). Weights are percentages.
"""

import enum
from collections.abc import Sequence

import msgspec

TOTAL_WEIGHT = 100
DEFAULT_CONSECUTIVE_ERRORS = 4
"""Argo: the errors in a row that a metric may have."""
ERROR_RETRY_S = 10.0
"""Argo: how long after an error a measurement is taken again."""


class Phase(enum.StrEnum):
    """Where a canary of either stands."""

    PROGRESSING = "progressing"
    PAUSED = "paused"
    """Argo alone: an inconclusive analysis waits for a person."""
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled-back"


class Bounds(msgspec.Struct, frozen=True):
    """The values that are good: at least ``least``, at most ``most``; ``None`` is no bound."""

    least: float | None = None
    most: float | None = None

    def hold(self, value: float) -> bool:
        """Whether the value is good."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


class FlaggerCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of Flagger, looked at over the last ``window_s`` (its ``interval``, by default 1 min)."""

    bounds: Bounds
    window_s: float = 60.0


class FlaggerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A canary's analysis. ``threshold`` is how many checks may fail in all, the last of which takes it back.

    Either ``step_weights``, or ``step_weight`` up to ``max_weight`` (0: to 100). The interval is at least 10 s.
    """

    checks: tuple[FlaggerCheck, ...]
    interval_s: float = 60.0
    threshold: int = 1
    step_weight: float = 0
    step_weights: tuple[float, ...] = ()
    max_weight: float = 0

    @property
    def most_weight(self) -> float:
        """The weight from which a good round promotes."""
        if self.step_weights:
            return min(TOTAL_WEIGHT, self.step_weights[-1])
        return self.max_weight if self.max_weight > 0 else TOTAL_WEIGHT

    @property
    def every_s(self) -> float:
        """How long from one round to the next."""
        return max(10.0, self.interval_s)


class FlaggerState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a canary of Flagger stands. A promoted one serves everybody."""

    phase: Phase = Phase.PROGRESSING
    weight: float = 0
    failed_checks: int = 0


def flagger_round(plan: FlaggerPlan, state: FlaggerState, values: Sequence[float | None]) -> FlaggerState:
    """Return the state after one round, which comes each ``every_s``.

    ``values`` are what the checks' queries returned, in order; ``None`` where they returned nothing, which fails.
    Failed rounds add up over the whole canary and no good one takes any back; the round *after* the last one allowed
    rolls back, before it looks at anything. A failed round leaves the weight as it is, a good one raises it by a step,
    and at the last step promotes. At weight 0 nothing is checked.
    """
    if state.phase is not Phase.PROGRESSING:
        return state
    if state.failed_checks >= max(1, plan.threshold):
        return msgspec.structs.replace(state, phase=Phase.ROLLED_BACK, weight=0)
    if state.weight > 0 and not _all_good(plan.checks, values):
        return msgspec.structs.replace(state, failed_checks=state.failed_checks + 1)
    rise = _flagger_rise(plan, state.weight)
    if rise <= 0:
        return state
    if state.weight < plan.most_weight:
        return msgspec.structs.replace(state, weight=min(TOTAL_WEIGHT, state.weight + rise))
    return msgspec.structs.replace(state, phase=Phase.PROMOTED, weight=TOTAL_WEIGHT)


def _all_good(checks: Sequence[FlaggerCheck], values: Sequence[float | None]) -> bool:
    return all(value is not None and check.bounds.hold(value) for check, value in zip(checks, values, strict=True))


def _flagger_rise(plan: FlaggerPlan, weight: float) -> float:
    if plan.step_weight > 0 or not plan.step_weights:
        return plan.step_weight
    left = TOTAL_WEIGHT - weight
    if left == 0:
        return 1
    if weight == 0:
        return min(left, plan.step_weights[0])
    for i, at in enumerate(plan.step_weights[:-1]):
        if at == weight:
            return min(left, plan.step_weights[i + 1] - weight)
    return left


class Measurement(enum.StrEnum):
    """What one look at a metric of Argo came to."""

    SUCCESSFUL = "successful"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    FAILED = "failed"


class ArgoMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of an AnalysisTemplate, and the window that its query looks back over.

    ``count`` 0 runs for as long as the canary does, once where there is no interval either. A negative
    ``failure_limit`` is none.
    """

    success: Bounds | None = None
    failure: Bounds | None = None
    window_s: float = 300.0
    interval_s: float | None = 300.0
    initial_delay_s: float = 0.0
    count: int = 0
    failure_limit: int = 0
    inconclusive_limit: int = 0
    consecutive_error_limit: int = DEFAULT_CONSECUTIVE_ERRORS
    consecutive_success_limit: int = 0


class ArgoResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of one metric. ``phase`` is ``None`` while it goes on; ``measured_s`` is when last."""

    phase: Measurement | None = None
    count: int = 0
    failed: int = 0
    inconclusive: int = 0
    consecutive_errors: int = 0
    consecutive_successes: int = 0
    last: Measurement | None = None
    measured_s: float | None = None


class ArgoStep(msgspec.Struct, frozen=True):
    """``setWeight``, and the ``pause`` after it."""

    weight: float
    pause_s: float


class ArgoPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A canary whose steps go by time, and the background analysis that may abort it."""

    metrics: tuple[ArgoMetric, ...]
    steps: tuple[ArgoStep, ...]


class ArgoState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a canary of Argo Rollouts stands. Its analysis begins with its first step, at 0 s."""

    phase: Phase = Phase.PROGRESSING
    step: int = 0
    stepped_s: float = 0.0
    results: tuple[ArgoResult, ...] = ()


def measurement(metric: ArgoMetric, value: float | None) -> Measurement:
    """Return what a value means to the metric; ``None`` is an empty answer, which no condition can be asked of."""
    if metric.success is None and metric.failure is None:
        return Measurement.SUCCESSFUL
    if value is None:
        return Measurement.ERROR
    good = metric.success is not None and metric.success.hold(value)
    bad = metric.failure is not None and metric.failure.hold(value)
    if metric.failure is None:
        bad = not good
    elif metric.success is None:
        good = not bad
    if bad:
        return Measurement.FAILED
    return Measurement.SUCCESSFUL if good else Measurement.INCONCLUSIVE


def argo_due(metric: ArgoMetric, result: ArgoResult, now_s: float) -> bool:
    """Whether a measurement of the metric is to be taken, ``now_s`` after the analysis began."""
    if result.phase is not None:
        return False
    if result.measured_s is None:
        return now_s >= metric.initial_delay_s
    most = _effective_count(metric)
    if most is not None and result.count >= most:
        return False
    if result.last is Measurement.ERROR or metric.interval_s is None:
        return now_s >= result.measured_s + ERROR_RETRY_S
    return now_s >= result.measured_s + metric.interval_s


def argo_measured(metric: ArgoMetric, result: ArgoResult, found: Measurement, now_s: float) -> ArgoResult:
    """Return the result after one measurement. Errors do not count as one, but too many in a row end it."""
    error, success = found is Measurement.ERROR, found is Measurement.SUCCESSFUL
    after = msgspec.structs.replace(
        result,
        count=result.count + (not error),
        failed=result.failed + (found is Measurement.FAILED),
        inconclusive=result.inconclusive + (found is Measurement.INCONCLUSIVE),
        consecutive_errors=result.consecutive_errors + 1 if error else 0,
        consecutive_successes=result.consecutive_successes + 1 if success else 0,
        last=found,
        measured_s=now_s,
    )
    return msgspec.structs.replace(after, phase=_argo_phase(metric, after))


def argo_round(plan: ArgoPlan, state: ArgoState, values: Sequence[float | None], now_s: float) -> ArgoState:
    """Return the state at ``now_s`` after the first step; to be asked at least every 10 s.

    ``values`` are what each metric's query would return now. A failed metric or one with too many errors aborts; an
    inconclusive one pauses. After the last pause the canary serves everybody.
    """
    if state.phase is not Phase.PROGRESSING:
        return state
    results = state.results or tuple(ArgoResult() for _ in plan.metrics)
    results = tuple(
        argo_measured(metric, result, measurement(metric, value), now_s) if argo_due(metric, result, now_s) else result
        for metric, result, value in zip(plan.metrics, results, values, strict=True)
    )
    ended = {result.phase for result in results}
    phase = Phase.PROGRESSING
    if Measurement.FAILED in ended or Measurement.ERROR in ended:
        phase = Phase.ROLLED_BACK
    elif Measurement.INCONCLUSIVE in ended:
        phase = Phase.PAUSED
    state = msgspec.structs.replace(state, phase=phase, results=results)
    while state.phase is Phase.PROGRESSING and now_s >= state.stepped_s + plan.steps[state.step].pause_s:
        stepped_s = state.stepped_s + plan.steps[state.step].pause_s
        last = state.step == len(plan.steps) - 1
        state = msgspec.structs.replace(
            state,
            phase=Phase.PROMOTED if last else Phase.PROGRESSING,
            step=state.step if last else state.step + 1,
            stepped_s=stepped_s,
        )
    return state


def argo_weight(plan: ArgoPlan, state: ArgoState) -> float:
    """Return the canary's weight."""
    if state.phase is Phase.ROLLED_BACK:
        return 0
    return TOTAL_WEIGHT if state.phase is Phase.PROMOTED else plan.steps[state.step].weight


def _effective_count(metric: ArgoMetric) -> int | None:
    if metric.count > 0:
        return metric.count
    return 1 if metric.interval_s is None else None


def _argo_phase(metric: ArgoMetric, result: ArgoResult) -> Measurement | None:
    # In this order, because the later ones take precedence.
    found: Measurement | None = None
    if 0 <= metric.failure_limit < result.failed:
        found = Measurement.FAILED
    if result.inconclusive > metric.inconclusive_limit:
        found = Measurement.INCONCLUSIVE
    if result.consecutive_errors > metric.consecutive_error_limit:
        found = Measurement.ERROR
    if found is not None:
        return found
    wanted = metric.consecutive_success_limit
    if 0 < wanted <= result.consecutive_successes:
        return Measurement.SUCCESSFUL
    most = _effective_count(metric)
    if most is not None and result.count >= most:
        if wanted <= 0:
            return Measurement.SUCCESSFUL
        return Measurement.INCONCLUSIVE if metric.failure_limit >= 0 else Measurement.FAILED
    return None
