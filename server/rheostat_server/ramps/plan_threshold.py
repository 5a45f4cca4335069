"""From a foreign block to the plan of a ramp that counts failed checks. Pure."""

from typing import Final

import msgspec

from rheostat.model.document import RampDocument
from rheostat.model.flag import Rollout
from rheostat.model.shares import TOTAL_PPM, percent_to_ppm
from rheostat_server.errors import Fault
from rheostat_server.faults import Faults
from rheostat_server.ramps.calendar_fields import freezes_of, windows_of
from rheostat_server.ramps.checks import ArgoSchedule, ArgoStepPlan, Check, ThresholdPlan
from rheostat_server.ramps.counting import ArgoMetric
from rheostat_server.ramps.foreign.argo import ArgoCanary
from rheostat_server.ramps.foreign.argo_templates import ArgoCheck
from rheostat_server.ramps.foreign.flagger import FlaggerAnalysis, FlaggerMetric
from rheostat_server.ramps.foreign.translation import THRESHOLD, translated
from rheostat_server.ramps.guardrails import SUCCESS_RATE
from rheostat_server.ramps.model import Gate, Plan, Step
from rheostat_server.ramps.promql import Matcher, Selector
from rheostat_server.ramps.queries import DURATION, REQUESTS
from rheostat_server.ramps.words import exposure

OBSERVED_EVERY_S: Final = 1.0
_NO_PROMETHEUS: Final = "no Prometheus is configured"
_SET_IT: Final = "set RHEOSTAT_PROMETHEUS_URL"


def threshold_plan(
    document: RampDocument, *, project: str, rollout: Rollout, start_ppm: int, metrics: bool
) -> tuple[Plan, list[Fault]]:
    """Return the plan of a ramp that counts, and what is wrong with it. ``metrics``: there is a Prometheus."""
    counted, steps, faults = counted_of(document, project=project, metrics=metrics)
    plan = Plan(
        project=project,
        environment=document.environment,
        flag=document.flag,
        rollout=document.rollout,
        start_ppm=start_ppm,
        steps=tuple(step for step in steps if step.exposure_ppm > start_ppm),
        guardrails=(),
        holdback_ppm=percent_to_ppm(document.holdback),
        keep_holdback=document.keep_holdback,
        soak_s=0.0,
        preflight_s=0.0,
        interval_s=OBSERVED_EVERY_S,
        kill_scope=document.kill.value,
        guarded=False,
        low_ppm=rollout.low,
        width_ppm=rollout.high - rollout.low,
        rule=THRESHOLD,
        threshold=counted,
        advance_windows=windows_of(document),
        freezes=freezes_of(document),
    )
    return plan, [*faults, *weight_faults(plan, start_ppm)]


def counted_of(
    document: RampDocument, *, project: str, metrics: bool
) -> tuple[ThresholdPlan | None, tuple[Step, ...], tuple[Fault, ...]]:
    """Return what a ramp counts and through which steps it goes, and what is wrong with the one."""
    faults = Faults()
    found = translated(msgspec.to_builtins(document), faults, project=project)
    steps: tuple[Step, ...] = ()
    counted: ThresholdPlan | None = None
    if found.analysis is not None:
        steps, counted = _flagger_steps(found.analysis), _flagger(found.analysis, document, project, faults, metrics)
    elif found.argo is not None:
        steps, counted = _argo_steps(found.argo), _argo(found.argo)
        if counted.checks and not metrics:
            faults.add("argo", f"its metrics are read from Prometheus, and {_NO_PROMETHEUS}", _SET_IT)
    return counted, steps, faults.found


def weight_faults(plan: Plan, start_ppm: int) -> list[Fault]:
    """Return what keeps a plan that counts from its first weight."""
    if plan.rule != THRESHOLD or start_ppm == 0:
        return []
    message = f"rule: threshold begins at weight 0, and {exposure(start_ppm)} is in force"
    return [Fault("rule", message, "set the rollout's exposure to 0 first, or leave out rule: threshold")]


def _flagger_steps(analysis: FlaggerAnalysis) -> tuple[Step, ...]:
    gates = analysis.gates
    last = analysis.weights[-1] if analysis.weights else 0
    steps = [
        Step(
            exposure_ppm=percent_to_ppm(weight),
            min_dwell_s=analysis.interval_s,
            gate=Gate.MANUAL if gates.increase or (gates.promotion and weight == last) else Gate.NONE,
        )
        for weight in analysis.weights
    ]
    if percent_to_ppm(last) < TOTAL_PPM:
        steps.append(Step(exposure_ppm=TOTAL_PPM, min_dwell_s=0.0))
    return tuple(steps)


def _flagger(
    analysis: FlaggerAnalysis, document: RampDocument, project: str, faults: Faults, metrics: bool
) -> ThresholdPlan:
    place = {"project": project, "environment": document.environment, "flag": document.flag}
    checks = tuple(_flagger_check(metric, place, faults, metrics) for metric in analysis.metrics)
    return ThresholdPlan(checks=checks, flagger=analysis.counting)


def _flagger_check(metric: FlaggerMetric, place: dict[str, str], faults: Faults, metrics: bool) -> Check:
    if metric.query is not None:
        if not metrics:
            faults.add(metric.path, f"its query is asked of Prometheus, and {_NO_PROMETHEUS}", _SET_IT)
        return Check(name=metric.name, query=metric.query, window_s=metric.window_s)
    if metric.name == SUCCESS_RATE:
        query = _success_rate(place, metric.window) if metrics else None
        return Check(name=metric.name, query=query, window_s=metric.window_s)
    if not metrics:
        faults.add(metric.path, f"durations are read from Prometheus, and {_NO_PROMETHEUS}", _SET_IT)
    return Check(name=metric.name, query=_duration(place, metric.window), window_s=metric.window_s, whole=True)


def _selector(name: str, place: dict[str, str], *more: Matcher) -> Selector:
    return Selector(
        name, (*(Matcher(label, "=", value) for label, value in place.items()), Matcher("arm", "=", "treatment"), *more)
    )


def _success_rate(place: dict[str, str], window: str) -> str:
    good = _selector(REQUESTS, place, Matcher("outcome", "!~", "error|timeout"))
    return f"sum(rate({good}[{window}])) / sum(rate({_selector(REQUESTS, place)}[{window}])) * 100"


def _duration(place: dict[str, str], window: str) -> str:
    buckets = _selector(f"{DURATION}_bucket", place)
    return f"histogram_quantile(0.99, sum by (le) (rate({buckets}[{window}]))) * 1000"


def _argo_steps(canary: ArgoCanary) -> tuple[Step, ...]:
    steps: list[Step] = []
    for step in canary.steps:
        if step.weight is not None:
            ppm = percent_to_ppm(step.weight)
            if ppm and (not steps or ppm > steps[-1].exposure_ppm):
                steps.append(Step(exposure_ppm=ppm, min_dwell_s=0.0))
        elif steps and step.endless:
            steps[-1] = msgspec.structs.replace(steps[-1], gate=Gate.MANUAL)
        elif steps:
            steps[-1] = msgspec.structs.replace(steps[-1], min_dwell_s=steps[-1].min_dwell_s + (step.pause_s or 0.0))
    if steps and steps[-1].exposure_ppm < TOTAL_PPM:
        steps.append(Step(exposure_ppm=TOTAL_PPM, min_dwell_s=0.0))
    return tuple(steps)


def _argo(canary: ArgoCanary) -> ThresholdPlan:
    checks: list[ArgoCheck] = []

    def placed(found: tuple[ArgoCheck, ...], where: str) -> tuple[int, ...]:
        # A dry run is measured nowhere: nothing comes of it.
        kept = [one for one in found if not one.advisory]
        checks.extend(msgspec.structs.replace(one, name=f"{one.name}{where}") for one in kept)
        return tuple(range(len(checks) - len(kept), len(checks)))

    background = placed(canary.background, "")
    steps = tuple(
        ArgoStepPlan(
            weight=step.weight,
            pause_s=step.pause_s,
            endless=step.endless,
            metrics=None if step.checks is None else placed(step.checks, f" (step {number})"),
        )
        for number, step in enumerate(canary.steps, start=1)
    )
    metrics = tuple(
        ArgoMetric(
            interval_s=one.interval_s,
            initial_delay_s=one.initial_delay_s,
            count=one.count,
            failure_limit=one.failure_limit,
            inconclusive_limit=one.inconclusive_limit,
            consecutive_error_limit=one.consecutive_error_limit,
            consecutive_success_limit=one.consecutive_success_limit,
        )
        for one in checks
    )
    return ThresholdPlan(
        checks=tuple(Check(name=one.name, query=one.query, success=one.success, failure=one.failure) for one in checks),
        argo=ArgoSchedule(steps=steps, metrics=metrics, background=background, starting_step=canary.starting_step),
    )
