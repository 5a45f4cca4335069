"""Flagger's ``analysis`` block, read as it is. Pure.

Field names, defaults and meaning as Flagger publishes them (v1beta1, main branch of July 2026).
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from rheostat_server.faults import Faults, Fields, items_at, spelled
from rheostat_server.ramps.counting import TOTAL_WEIGHT, Bounds, FlaggerCheck, FlaggerPlan, FlaggerState, flagger_round
from rheostat_server.ramps.counting import Phase as FlaggerPhase
from rheostat_server.ramps.foreign.changes import Changes
from rheostat_server.ramps.foreign.lengths import length_at
from rheostat_server.ramps.foreign.query_text import HoleError, check_parses, filled
from rheostat_server.ramps.foreign.templates import Template, template_named
from rheostat_server.ramps.foreign.webhooks import Gates, check_webhooks
from rheostat_server.ramps.guardrails import DURATION, METRICS, SUCCESS_RATE
from rheostat_server.ramps.promql import PromqlError

DEFAULT_INTERVAL_S: Final = 60.0
LEAST_INTERVAL_S: Final = 10.0
DEFAULT_WINDOW: Final = "1m"
MOST_FAILED: Final = 1_000_000
MOST_ITERATIONS: Final = 10_000
GREATEST: Final = 1e15
MOST_WINDOW_S: Final = 86_400.0
"""How far a metric looks back at most: what was reported is kept for twice as long, and each round adds it up."""

_ANALYSIS: Final = (
    "interval",
    "threshold",
    "maxWeight",
    "stepWeight",
    "stepWeights",
    "stepWeightPromotion",
    "iterations",
    "metrics",
    "webhooks",
    "match",
    "mirror",
    "mirrorWeight",
    "alerts",
    "sessionAffinity",
    "primaryReadyThreshold",
    "canaryReadyThreshold",
)
_METRIC: Final = ("name", "interval", "threshold", "thresholdRange", "query", "templateRef", "templateVariables")
_LEFT_OUT: Final = {
    "alerts": "who is told of a ramp is set for the whole project, not in its document",
    "sessionAffinity": "hashing gives everybody the same variant at every request, without a cookie",
    "primaryReadyThreshold": "a flag has no pods that have to become ready",
    "canaryReadyThreshold": "a flag has no pods that have to become ready",
}
_WHERE_VALUES: Final = "give it beside the block: template_values: {namespace: shop, target: checkout}"


class FlaggerMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A check. ``query`` is what its template comes to; ``None`` is one of the two built-in metrics."""

    path: str
    name: str
    window: str
    bounds: Bounds
    query: str | None = None
    window_s: float = 60.0


class FlaggerAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """What the block says, with Flagger's defaults.

    ``weights`` are those of the steps, in percent, up to the one from which it promotes; none with ``iterations``.
    """

    path: str
    interval_s: float
    threshold: int
    metrics: tuple[FlaggerMetric, ...]
    weights: tuple[int, ...]
    step_weight: int = 0
    step_weights: tuple[int, ...] = ()
    max_weight: int = 0
    promotion_step: int = 0
    iterations: int = 0
    gates: Gates = Gates()

    @property
    def counting(self) -> FlaggerPlan:
        """The block as it counts."""
        return FlaggerPlan(
            checks=tuple(FlaggerCheck(bounds=one.bounds, window_s=one.window_s) for one in self.metrics),
            interval_s=self.interval_s,
            threshold=self.threshold,
            step_weight=self.step_weight,
            step_weights=self.step_weights,
            max_weight=self.max_weight,
        )


def check_analysis(
    data: object,
    path: str,
    faults: Faults,
    changes: Changes,
    *,
    templates: tuple[Template, ...],
    values: Mapping[str, str],
) -> FlaggerAnalysis:
    """Return what the block says; ``values`` are what its templates' holes stand for. Faults have its own paths."""
    fields = Fields(data, path, faults, _ANALYSIS)
    interval_s = length_at(fields, "interval")
    if "interval" not in fields:
        interval_s = DEFAULT_INTERVAL_S
    if interval_s is not None and interval_s < LEAST_INTERVAL_S:
        changes.say(fields.at("interval"), "lifted to 10 s, as Flagger does")
        interval_s = LEAST_INTERVAL_S
    step_weights = _step_weights(fields)
    metrics = tuple(_metrics(fields, templates, values))
    found = FlaggerAnalysis(
        path=path,
        interval_s=interval_s or DEFAULT_INTERVAL_S,
        threshold=_count(fields, "threshold", MOST_FAILED) or 1,
        metrics=metrics,
        weights=(),
        step_weight=_weight(fields, "stepWeight"),
        step_weights=step_weights,
        max_weight=_weight(fields, "maxWeight"),
        promotion_step=_weight(fields, "stepWeightPromotion"),
        iterations=_count(fields, "iterations", MOST_ITERATIONS),
    )
    weights = () if found.iterations else _climb(found.counting)
    last = weights[-1] if weights else TOTAL_WEIGHT
    gates = check_webhooks(fields, changes, last=last, at_once=found.iterations > 0)
    found = msgspec.structs.replace(found, weights=weights, gates=gates)
    _refuse_routing(fields)
    changes.left_out(fields, _LEFT_OUT)
    if fields.raw("mirror") is not True and ("mirror" in fields or "mirrorWeight" in fields):
        changes.left_out(fields, dict.fromkeys(("mirror", "mirrorWeight"), "nothing is mirrored"))
    if found.iterations:
        return found
    if not weights and not any(name in fields for name in ("stepWeight", "stepWeights")):
        faults.add(
            path, "nothing says how far each step goes", "stepWeight: 10, stepWeights: [1, 5, 25], or iterations"
        )
    elif not weights and len(faults) == 0:
        faults.add(fields.at("stepWeight"), "with a step of 0 it never moves", "such as 10")
    return found


def _climb(plan: FlaggerPlan) -> tuple[int, ...]:
    """Return the weights through which good rounds go; none where they never promote."""
    state = FlaggerState()
    weights: list[int] = []
    while state.phase is FlaggerPhase.PROGRESSING:
        before, state = state, flagger_round(msgspec.structs.replace(plan, checks=()), state, ())
        if state == before:
            return ()
        weights.append(int(state.weight))
    return tuple(weights[:-1])


def _weight(fields: Fields, name: str) -> int:
    return _count(fields, name, TOTAL_WEIGHT)


def _count(fields: Fields, name: str, most: int) -> int:
    number = fields.count(name, least=0) or 0
    if number > most:
        fields.fault(name, f"{spelled(number)} is above {most}", f"a whole number of 0 to {most}")
        return 0
    return number


def _bound(fields: Fields, name: str) -> float | None:
    bound = fields.number(name)
    if bound is not None and abs(bound) > GREATEST:
        fields.fault(name, f"{spelled(bound)} is beyond what is measured", "such as 99 or 500")
        return None
    return None if bound is None else float(bound)


def _step_weights(fields: Fields) -> tuple[int, ...]:
    if fields.raw("stepWeights") is None:
        return ()
    found: list[int] = []
    for where, value in items_at(fields.raw("stepWeights"), fields.at("stepWeights"), fields.faults):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= TOTAL_WEIGHT:
            fields.faults.add(where, "a weight is a whole percentage of 1 to 100", "such as [1, 5, 25, 50]")
        elif found and value <= found[-1]:
            fields.faults.add(where, f"weights go up, and {value} is not above {found[-1]}")
        else:
            found.append(value)
    return tuple(found)


def _refuse_routing(fields: Fields) -> None:
    if fields.raw("match"):
        fields.fault(
            "match",
            "a flag does not see headers and cookies",
            "put what they tell into the evaluation context, and ramp a rule with `when:` (rollout: its name)",
        )
    if fields.raw("mirror") is True:
        fields.fault(
            "mirror",
            "a flag cannot serve a request twice",
            "leave it out: the pre-flight compares the users who will be exposed before anybody is",
        )


def _metrics(fields: Fields, templates: tuple[Template, ...], values: Mapping[str, str]) -> Any:
    if fields.raw("metrics") is None:
        return
    met: set[str] = set()
    for where, data in items_at(fields.raw("metrics"), fields.at("metrics"), fields.faults):
        metric = _metric(data, where, fields.faults, templates, values)
        if metric is None:
            continue
        if metric.name in met:
            fields.faults.add(where, f"another metric is named {metric.name}")
        met.add(metric.name)
        yield metric


def _metric(
    data: object, path: str, faults: Faults, templates: tuple[Template, ...], values: Mapping[str, str]
) -> FlaggerMetric | None:
    before = len(faults)
    fields = Fields(data, path, faults, _METRIC)
    name = fields.text("name") or ""
    if not name:
        fields.fault("name", "a metric has a name", f"such as {SUCCESS_RATE}")
    window_s = length_at(fields, "interval", most_s=MOST_WINDOW_S) if fields.raw("interval") else 60.0
    window = str(fields.raw("interval") or DEFAULT_WINDOW)
    written = fields.text("query", longest=16_384)
    query_at = "query"
    if fields.raw("templateRef") is not None:
        query_at = "templateRef"
        template = template_named(fields, "templateRef", templates)
        if written is not None:
            fields.fault("query", "a metric has either a query or a templateRef", "leave out one of the two")
        written = None if template is None else template.query
    bounds = _bounds(fields, name)
    if len(faults) > before:
        return None
    if name in METRICS and written is not None:
        fields.fault("name", f"{name} is built in, and this one has a query of its own", "give it another name")
    elif name not in METRICS and written is None:
        known = f"built in are {SUCCESS_RATE} and {DURATION}; others need a templateRef or a query"
        fields.fault("name", f"nothing says how {name} is measured, and Flagger would pass over it", known)
    elif written is not None:
        written = _filled(fields, query_at, written, {**values, **_variables(fields), "interval": window})
    if len(faults) > before:
        return None
    return FlaggerMetric(path=path, name=name, window=window, window_s=window_s or 60.0, bounds=bounds, query=written)


def _filled(fields: Fields, name: str, text: str, values: Mapping[str, str]) -> str | None:
    try:
        query = filled(text, values, _WHERE_VALUES)
        check_parses(query)
    except (HoleError, PromqlError) as error:
        fields.fault(name, str(error), error.hint)
        return None
    return query


def _variables(fields: Fields) -> dict[str, str]:
    raw = fields.raw("templateVariables")
    if raw is None:
        return {}
    inner = Fields(raw, fields.at("templateVariables"), fields.faults, tuple(raw) if isinstance(raw, Mapping) else ())
    names = tuple(raw) if isinstance(raw, Mapping) else ()
    return {f"variables.{name}": inner.text(str(name)) or "" for name in names if isinstance(name, str)}


def _bounds(fields: Fields, name: str) -> Bounds:
    threshold = _bound(fields, "threshold")
    if fields.raw("thresholdRange") is not None:
        inner = Fields(fields.raw("thresholdRange"), fields.at("thresholdRange"), fields.faults, ("min", "max"))
        least, most = _bound(inner, "min"), _bound(inner, "max")
        if least is not None and most is not None and least > most:
            inner.fault("min", f"{least:g} is above max, {most:g}: nothing would be good")
        return Bounds(least=_whole(name, least), most=_whole(name, most))
    # Without a range a threshold counts, 0 where there is none: of a success rate the least, of all else the most.
    if name == SUCCESS_RATE:
        return Bounds(least=threshold or 0.0)
    return Bounds(most=_whole(name, threshold or 0.0))


def _whole(name: str, bound: float | None) -> float | None:
    # Durations are compared in whole milliseconds.
    return float(int(bound)) if bound is not None and name == DURATION else bound
