"""From what a guardrail's document says of Prometheus to the counters that it reads. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from rheostat.model.document import GuardrailDocument, HistoryDocument
from rheostat.model.evaluation import Arm
from rheostat.model.outcome import Outcome
from rheostat_server.errors import Fault, Invalid
from rheostat_server.faults import QUOTE_IT, Fields, did_you_mean, type_name
from rheostat_server.ramps.label_map import ARMS, MetricMap, check_arms, label_conditions
from rheostat_server.ramps.promql import (
    Counters,
    Matcher,
    PromqlError,
    Selector,
    any_of,
    counters_of,
    each_selector,
    filled_in,
    matchers_of,
    of_any_ramp,
)
from rheostat_server.ramps.terms import Queries, Term

LONGEST_QUERY: Final = 16_384
DEFAULT_ARM_LABEL: Final = "arm"
DEFAULT_ARMS: Final[Mapping[str, str]] = {
    Arm.TREATMENT.value: "treatment",
    Arm.CONTROL.value: "control",
    Arm.HOLDBACK.value: "control",
}
"""The values of a label ``arm`` as the SDK's middleware writes them, and the arm that each counts as."""
REQUESTS: Final = "feature_flag_requests_total"
DURATION: Final = "feature_flag_request_duration_seconds"
_ADD_DURATION: Final = "add `duration` to the map, in the file of RHEOSTAT_LABEL_MAP"
_PLACE: Final = ("project", "environment", "flag")
_HISTORY: Final = ("bad", "total", "map", "select")
_BAD: Final = (Outcome.ERROR.value, Outcome.TIMEOUT.value)


def check_pair(fields: Fields) -> tuple[str | dict[str, str] | None, str | dict[str, str] | None]:
    """Return ``bad`` and ``total`` as they were written: text, or text an arm; a fault where one does not parse."""
    found: list[str | dict[str, str] | None] = []
    for name in ("bad", "total"):
        raw = fields.raw(name)
        if not isinstance(raw, Mapping):
            text = fields.text(name, longest=LONGEST_QUERY)
            found.append(text)
            if text:
                _check_query(fields, name, text)
            elif raw is None or raw == "":
                fields.fault(
                    name, "a custom guardrail needs both queries", "bad counts the bad requests, total all of them"
                )
            continue
        arms: dict[str, str] = {}
        for arm, text in raw.items():
            path = f"{name}.{arm}"
            if arm not in ARMS:
                fields.fault(path, "there is no such arm", "treatment or control")
            elif not isinstance(text, str):
                fields.fault(path, f"a query is text, not {type_name(text)}", QUOTE_IT)
            else:
                _check_query(fields, path, text)
                arms[arm] = text
        if len(arms) < len(ARMS):
            fields.fault(name, "a query for each arm is needed", "{treatment: …, control: …}, or one query for both")
        found.append(arms)
    bad, total = found
    if isinstance(bad, dict) != isinstance(total, dict) and None not in found:
        fields.fault("bad", "bad and total are both one query, or both one an arm", "write them alike")
    return bad, total


def check_watched(fields: Fields) -> dict[str, Any]:
    """Return the fields that say which series of other people's metrics are meant, and whose they are."""
    mapped = fields.text("map", longest=128)
    arms: dict[str, tuple[str, ...]] | Literal["none"] | None
    arms = "none" if fields.raw("arms") == "none" else check_arms(fields) or None
    arm_label = fields.text("arm_label", longest=256)
    custom = "bad" in fields or "total" in fields
    per_arm = isinstance(fields.raw("bad"), Mapping)
    if arm_label is not None and arms == "none":
        fields.fault("arm_label", "with arms: none no label tells arms apart", "leave out one of the two")
    if per_arm and (arm_label is not None or arms is not None):
        fields.fault("bad", "each arm has its own query, so that no label is needed", "leave out arms and arm_label")
    if custom and "source" in fields:
        fields.fault("source", "a pair of queries is read from Prometheus", "leave it out")
    if mapped is not None and custom:
        fields.fault("map", "a guardrail has either a map, or a pair of queries", "leave out one of the two")
    if mapped is not None and "source" in fields:
        fields.fault("map", "a guardrail has either a map, or a source", "leave out one of the two")
    if mapped is not None and arms not in (None, "none") and arm_label is None:
        fields.fault("arm_label", "arms are values of a label: name it", "arm_label: version")
    if mapped is None and "select" in fields:
        fields.fault("select", "this chooses series of a map", "in a query of your own, write the conditions there")
    if mapped is None and not custom:
        for name in ("arms", "arm_label"):
            if name in fields:
                fields.fault(name, "these metrics name the arms themselves", "leave it out")
    return {
        "map": mapped,
        "select": label_conditions(fields, "select") or None,
        "arm_label": arm_label,
        "arms": arms,
        "history": _check_history(fields),
    }


def queries_of(
    asked: GuardrailDocument,
    maps: Mapping[str, MetricMap],
    values: dict[str, str],
    *,
    path: str,
    duration: bool = False,
    le: tuple[str, ...] = (),
) -> Queries:
    """Return what a guardrail reads; ``values`` are those of ``$project``, ``$environment`` and ``$flag``.

    With ``duration`` it counts the requests that took longer than the bound that ``le`` spells.

    Raises:
        Invalid: there is no such map, or it lacks what is asked.
    """
    if asked.bad is not None and asked.total is not None:
        return _custom(asked, values, maps, path)
    if asked.map is None:
        return _application(values, duration, le, _history(asked, maps, values, path))
    known = _map(maps, asked.map, f"{path}.map")
    if asked.arms == "none":
        arm_label, arms = None, {}
    else:
        arm_label = asked.arm_label or known.arm_label
        given = asked.arms or known.arms
        arms = {value: arm for arm, every in given.items() for value in every}
        if arm_label is not None and not arms:
            arms = dict(DEFAULT_ARMS)
    return Queries(
        terms=tuple(_filled(_mapped(known, asked.select or "", path, duration, le), values)),
        arm_label=arm_label,
        arms=arms,
        history=_history(asked, maps, values, path),
    )


def buckets_of(asked: GuardrailDocument, maps: Mapping[str, MetricMap], values: dict[str, str], path: str) -> Selector:
    """Return the buckets from which the bound of a latency guardrail is chosen.

    Raises:
        Invalid: there is no such map, or it has no histogram.
    """
    if asked.map is None:
        return Selector(f"{DURATION}_bucket", _place(values))
    known = _map(maps, asked.map, f"{path}.map")
    if known.duration is None:
        raise Invalid([Fault(f"{path}.map", f"the label map {asked.map} has no durations", _ADD_DURATION)], "the ramp")
    selector = Selector(f"{known.duration}_bucket", _conditions(known.select, asked.select or ""))
    return filled_in(selector, values)


def seconds_to_unit(asked: GuardrailDocument, maps: Mapping[str, MetricMap]) -> float:
    """Return how many of its bounds' units a second is: 1, or 1000."""
    known = None if asked.map is None else maps.get(asked.map)
    return 1000.0 if known is not None and known.unit == "ms" else 1.0


def before_start(queries: Queries) -> Queries:
    """Return what can be looked at before the ramp has an id: its queries without their conditions on ``$ramp``."""

    def loosened(terms: tuple[Term, ...]) -> tuple[Term, ...]:
        return tuple(
            msgspec.structs.replace(term, selector=str(of_any_ramp(counters_of(term.selector).plus[0])))
            for term in terms
        )

    return msgspec.structs.replace(queries, terms=loosened(queries.terms), history=loosened(queries.history))


def application_errors(values: Mapping[str, str]) -> tuple[Term, ...]:
    """Return the application's own request counters of a flag."""
    every = str(Selector(REQUESTS, _place(values)))
    # One selector: one query reads both.
    return Term(selector=every, of="total"), Term(selector=every, of="bad", where={"outcome": _BAD})


def _application(values: Mapping[str, str], duration: bool, le: tuple[str, ...], history: tuple[Term, ...]) -> Queries:
    terms = tuple(_slower(DURATION, _place(values), le)) if duration else application_errors(values)
    return Queries(terms=terms, arm_label=DEFAULT_ARM_LABEL, arms=dict(DEFAULT_ARMS), history=history)


def _custom(asked: GuardrailDocument, values: dict[str, str], maps: Mapping[str, MetricMap], path: str) -> Queries:
    terms: list[Term] = []
    for of, queries in (("total", asked.total), ("bad", asked.bad)):
        for arm, text in queries.items() if isinstance(queries, dict) else ((None, queries or ""),):
            terms += _terms(counters_of(text), of, arm)
    labelled = isinstance(asked.total, str) and asked.arms != "none"
    arms = dict(DEFAULT_ARMS)
    if isinstance(asked.arms, dict):
        arms = {value: arm for arm, every in asked.arms.items() for value in every}
    return Queries(
        terms=tuple(_filled(terms, values)),
        arm_label=(asked.arm_label or DEFAULT_ARM_LABEL) if labelled else None,
        arms=arms if labelled else {},
        history=_history(asked, maps, values, path),
    )


def _history(
    asked: GuardrailDocument, maps: Mapping[str, MetricMap], values: dict[str, str], path: str
) -> tuple[Term, ...]:
    history = asked.history
    if history is None:
        return ()
    if history.map is not None:
        known = _map(maps, history.map, f"{path}.history.map")
        return tuple(_filled(_mapped(known, history.select or "", path, False, ()), values))
    terms = [*_terms(counters_of(history.total or ""), "total"), *_terms(counters_of(history.bad or ""), "bad")]
    return tuple(_filled(terms, values))


def _map(maps: Mapping[str, MetricMap], name: str, path: str) -> MetricMap:
    known = maps.get(name)
    if known is None:
        raise Invalid([Fault(path, f"there is no label map {name!r}", did_you_mean(name, sorted(maps)))], "the ramp")
    return known


def _mapped(known: MetricMap, select: str, path: str, duration: bool, le: tuple[str, ...]) -> Iterator[Term]:
    conditions = _conditions(known.select, select)
    if duration:
        if known.duration is None:
            raise Invalid([Fault(f"{path}.map", "this label map has no durations", _ADD_DURATION)], "the ramp")
        yield from _slower(known.duration, conditions, le)
        return
    every = Selector(known.requests, conditions)
    yield Term(selector=str(every), of="total")
    yield Term(selector=str(every.with_matchers(*matchers_of(known.bad))), of="bad")


def _slower(name: str, conditions: tuple[Matcher, ...], le: tuple[str, ...]) -> Iterator[Term]:
    every = str(Selector(f"{name}_count", conditions))
    within = str(Selector(f"{name}_bucket", (*conditions, any_of("le", le))))
    yield Term(selector=every, of="total")
    yield Term(selector=every, of="bad")
    yield Term(selector=within, of="bad", sign=-1)


def _conditions(always: str, select: str) -> tuple[Matcher, ...]:
    own = matchers_of(select)
    labels = {matcher.label for matcher in own}
    return (*(matcher for matcher in matchers_of(always) if matcher.label not in labels), *own)


def _place(values: Mapping[str, str]) -> tuple[Matcher, ...]:
    return tuple(Matcher(name, "=", values[name]) for name in _PLACE)


def _terms(counters: Counters, of: str, arm: str | None = None) -> Iterator[Term]:
    for sign, selectors in ((1, counters.plus), (-1, counters.minus)):
        for selector in selectors:
            yield Term(selector=str(selector), of=of, sign=sign, arm=arm)


def _filled(terms: Any, values: dict[str, str]) -> Iterator[Term]:
    for term in terms:
        [selector] = each_selector(counters_of(term.selector), lambda one: filled_in(one, values)).plus
        yield Term(selector=str(selector), of=term.of, sign=term.sign, arm=term.arm)


def _check_query(fields: Fields, name: str, text: str) -> None:
    try:
        counters_of(text)
    except PromqlError as error:
        fields.fault(name, str(error), error.hint)


def _check_history(fields: Fields) -> HistoryDocument | None:
    if fields.raw("history") is None:
        return None
    history = Fields(fields.raw("history"), fields.at("history"), fields.faults, _HISTORY)
    bad, total = history.text("bad", longest=LONGEST_QUERY), history.text("total", longest=LONGEST_QUERY)
    mapped = history.text("map", longest=128)
    for name, text in (("bad", bad), ("total", total)):
        if text:
            _check_query(history, name, text)
    if (mapped is None) == (not bad or not total):
        fields.fault("history", "a history is a map, or a pair of queries", "{map: istio}, or {bad: …, total: …}")
    return HistoryDocument(bad=bad, total=total, map=mapped, select=label_conditions(history, "select") or None)
