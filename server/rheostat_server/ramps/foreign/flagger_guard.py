"""Flagger's block as a ramp that the guard decides: our fields, and what changes in meaning. Pure."""

from typing import Any

from rheostat.model.document import RampStrategy
from rheostat_server.faults import Faults
from rheostat_server.ramps.counting import TOTAL_WEIGHT
from rheostat_server.ramps.foreign.changes import BY_THRESHOLD, Changes
from rheostat_server.ramps.foreign.flagger import FlaggerAnalysis, FlaggerMetric
from rheostat_server.ramps.foreign.guard_queries import guardrail_of, plain
from rheostat_server.ramps.foreign.lengths import length_text
from rheostat_server.ramps.guardrails import SUCCESS_RATE


def guarded(analysis: FlaggerAnalysis, given: frozenset[str], faults: Faults, changes: Changes) -> dict[str, Any]:
    """Return the ramp document's fields. ``given`` are the block's fields, each of which has a line in ``changes``."""
    path = analysis.path
    interval = length_text(analysis.interval_s)
    fields: dict[str, Any] = {}
    if analysis.iterations:
        fields |= _all_at_once(analysis, changes)
    elif analysis.weights:
        fields["steps"] = _steps(analysis, given, changes)
        fields["min_dwell"] = interval
        changes.say(f"{path}.interval", f"a step lasts {interval} at least, and is left when it is proved harmless")
    changes.say(
        f"{path}.threshold",
        f"{analysis.threshold} failed checks have no meaning under the guard; it kills on evidence, and the budget "
        "`alpha` bounds how often it kills what is harmless",
    )
    guardrails = [_guardrail(metric, faults, changes) for metric in analysis.metrics]
    kept = [one for one in guardrails if one is not None]
    if kept:
        fields["guardrails"] = kept
    return fields


def _steps(analysis: FlaggerAnalysis, given: frozenset[str], changes: Changes) -> list[Any]:
    path, weights = analysis.path, list(analysis.weights)
    named = [name for name in ("stepWeight", "stepWeights", "maxWeight") if name in given]
    changes.say(
        ", ".join(f"{path}.{name}" for name in named) or path,
        f"steps {', '.join(map(str, weights))} %"
        + ("" if weights[-1:] == [TOTAL_WEIGHT] else "; then 100 %, which is what Flagger's promotion comes to"),
    )
    last = weights[-1] if weights else TOTAL_WEIGHT
    promotion: list[int] = []
    if analysis.promotion_step:
        promotion = list(range(last + analysis.promotion_step, TOTAL_WEIGHT, analysis.promotion_step))
        shown = ", ".join(map(str, [*promotion, TOTAL_WEIGHT]))
        changes.say(
            f"{path}.stepWeightPromotion", f"from {last} % on the steps are {shown} %, each proved like the others"
        )
    if last < TOTAL_WEIGHT:
        promotion.append(TOTAL_WEIGHT)
    gates = analysis.gates
    gated = {last} if gates.promotion else set()
    if gates.increase:
        gated |= {*weights, *promotion}
    return [{"exposure": one, "gate": "manual"} if one in gated else one for one in (*weights, *promotion)]


def _all_at_once(analysis: FlaggerAnalysis, changes: Changes) -> dict[str, Any]:
    path = analysis.path
    soak = length_text(analysis.interval_s * analysis.iterations)
    watched = f"all users at once, watched for {analysis.iterations} intervals: soak {soak}"
    changes.say(
        f"{path}.iterations", f"{watched}. Flagger checks before it switches; a flag has no users before it does"
    )
    fields = {"strategy": RampStrategy.BLUE_GREEN.value, "soak": soak}
    return {**fields, "gate": "manual"} if analysis.gates.promotion or analysis.gates.increase else fields


def _guardrail(metric: FlaggerMetric, faults: Faults, changes: Changes) -> dict[str, Any] | None:
    path, bounds = metric.path, metric.bounds
    if metric.query is not None:
        return guardrail_of(
            metric.name, metric.query, bounds, path=path, query_path=path, faults=faults, changes=changes
        )
    if metric.name == SUCCESS_RATE:
        return _success_rate(metric, faults, changes)
    if bounds.least:
        faults.add(
            f"{path}.thresholdRange.min",
            "a guardrail knows no request that is too fast",
            f"leave it out, {BY_THRESHOLD}",
        )
        return None
    if bounds.most is None:
        changes.say(path, "left out: it has no bound, so that nothing ever fails it")
        return None
    if bounds.most < 1:
        faults.add(path, "no request takes less than 1 ms", "give the longest that is good, in ms: threshold: 500")
        return None
    changes.say(
        path,
        f"the 99th percentile over {metric.window} is not formed: requests above {bounds.most:g} ms are counted, more "
        "than 1 % of them cross a ceiling, and those exposed are compared with the others",
    )
    return {"metric": metric.name, "threshold": plain(bounds.most)}


def _success_rate(metric: FlaggerMetric, faults: Faults, changes: Changes) -> dict[str, Any] | None:
    path, bounds = metric.path, metric.bounds
    if bounds.most is not None and bounds.most < TOTAL_WEIGHT:
        faults.add(
            f"{path}.thresholdRange.max",
            "a guardrail knows no success rate that is too high",
            f"leave it out, {BY_THRESHOLD}",
        )
        return None
    least = bounds.least or 0.0
    if least >= TOTAL_WEIGHT:
        faults.add(
            path, f"{least:g} % allows no failing request at all, and some fail always", f"such as 99.9, {BY_THRESHOLD}"
        )
        return None
    if least <= 0:
        changes.say(
            path, "without a bound nothing fails it; the comparison of those exposed with the others is always on"
        )
        return None
    changes.say(
        path,
        f"below {least:g} % is a ceiling for the whole ramp instead of a check of each {metric.window}; beside it "
        "those exposed are compared with the others, which is what kills",
    )
    return {"metric": metric.name, "threshold": plain(least)}
