"""Argo Rollouts' canary as a ramp that the guard decides: our fields, and what changes in meaning. Pure."""

from typing import Any

from rheostat_server.faults import Faults
from rheostat_server.ramps.counting import TOTAL_WEIGHT, Bounds
from rheostat_server.ramps.foreign.argo import ArgoCanary, ArgoStepRead
from rheostat_server.ramps.foreign.argo_templates import ArgoCheck
from rheostat_server.ramps.foreign.changes import BY_THRESHOLD, Changes
from rheostat_server.ramps.foreign.conditions import bounds_of, condition_of
from rheostat_server.ramps.foreign.guard_queries import guardrail_of
from rheostat_server.ramps.foreign.lengths import length_text


def guarded(canary: ArgoCanary, faults: Faults, changes: Changes) -> dict[str, Any]:
    """Return the ramp document's fields."""
    fields: dict[str, Any] = {"steps": _steps(canary, faults, changes)}
    checks: dict[str, ArgoCheck] = {}
    for one in canary.background:
        checks.setdefault(one.name, one)
    if canary.background:
        changes.say(
            f"{canary.path}.analysis",
            "its metrics watch from the pre-flight to the end"
            + (f", not from step {canary.starting_step} on" if canary.starting_step else ""),
        )
    for step in canary.steps:
        for check in step.checks or ():
            other = checks.setdefault(check.name, check)
            if (other.query, other.success, other.failure) != (check.query, check.success, check.failure):
                faults.add(step.path, f"{check.name} is another metric elsewhere", "give one of the two another name")
    guardrails = [_guardrail(check, faults, changes) for check in checks.values()]
    kept = [one for one in guardrails if one is not None]
    if kept:
        fields["guardrails"] = kept
    return fields


def _steps(canary: ArgoCanary, faults: Faults, changes: Changes) -> list[Any]:
    steps: list[dict[str, Any]] = []
    dwells: list[float] = []
    for step in canary.steps:
        if step.weight is None and step.pause_s is None and step.checks is None:
            continue
        if step.weight is not None:
            if step.weight and (not steps or step.weight > steps[-1]["exposure"]):
                steps.append({"exposure": step.weight})
                dwells.append(0.0)
        elif not steps:
            _before_exposure(step, faults, changes)
        elif step.checks is not None:
            at = steps[-1]["exposure"]
            changes.say(
                step.path,
                f"{at} % is left when the guard's proof is there; its metrics watch the whole ramp as guardrails",
            )
        elif step.endless:
            steps[-1]["gate"] = "manual"
            changes.say(
                step.path, f"{steps[-1]['exposure']} % waits for `rheostat ramp approve`, and is proved as well"
            )
        else:
            dwells[-1] += step.pause_s or 0.0
            lasts = length_text(dwells[-1])
            changes.say(
                step.path, f"{steps[-1]['exposure']} % lasts {lasts} at least, and is left when it is proved harmless"
            )
    if steps and steps[-1]["exposure"] < TOTAL_WEIGHT:
        changes.say(f"{canary.path}.steps", "after them comes 100 %, as in Argo Rollouts; it is proved like the others")
        steps.append({"exposure": TOTAL_WEIGHT})
        dwells.append(0.0)
    for step_fields, dwell_s in zip(steps, dwells, strict=True):
        step_fields["min_dwell"] = length_text(dwell_s)
    return list(steps)


def _before_exposure(step: ArgoStepRead, faults: Faults, changes: Changes) -> None:
    if step.endless:
        faults.add(
            step.path,
            "before the first weight nothing waits for a person",
            "leave it out: a ramp begins when it is started",
        )
    else:
        changes.say(step.path, "left out: nobody is exposed yet, and the pre-flight watches")


def _guardrail(check: ArgoCheck, faults: Faults, changes: Changes) -> dict[str, Any] | None:
    bounds = _bounds(check, faults)
    if bounds is None:
        return None
    guardrail = guardrail_of(
        check.name,
        check.query,
        bounds,
        path=check.path,
        query_path=f"{check.path}.provider.prometheus.query",
        faults=faults,
        changes=changes,
        holds_only=check.advisory,
    )
    if guardrail is None:
        return None
    changes.say(
        f"{check.path}.failureLimit",
        f"measurements are not counted: {check.failure_limit} failed ones, their interval and count have no meaning "
        "under the guard; the budget `alpha` takes their place",
    )
    return guardrail


def _bounds(check: ArgoCheck, faults: Faults) -> Bounds | None:
    """Return the values that are not failed ones."""
    if check.failure is not None:
        found = bounds_of(condition_of(check.failure), negate=True)
        at = "failureCondition"
    elif check.success is not None:
        found = bounds_of(condition_of(check.success))
        at = "successCondition"
    else:
        return Bounds()
    if found is None:
        faults.add(
            f"{check.path}.{at}",
            "under the guard a condition is one bound",
            f"such as result[0] >= 0.95, {BY_THRESHOLD}",
        )
    return found
