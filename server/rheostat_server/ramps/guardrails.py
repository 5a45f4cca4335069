"""Whether a ramp's guardrails say what to watch. Pure."""

from collections.abc import Mapping
from typing import Final, Literal

from rheostat.model.document import GuardrailDocument
from rheostat_server.faults import Faults, Fields, items_at
from rheostat_server.flags.keys import key_at

SUCCESS_RATE: Final = "request-success-rate"
DURATION: Final = "request-duration"
METRICS: Final = (SUCCESS_RATE, DURATION)
"""The metrics that are known by name. Others are PromQL pairs."""
MOST_GUARDRAILS: Final = 20

_GUARDRAIL: Final = ("metric", "threshold", "name", "source", "kill", "bad", "total", "min_difference")


def check_guardrails(fields: Fields) -> tuple[GuardrailDocument, ...]:
    """Return the guardrails of a ramp document; faults where they name nothing that can be watched."""
    if fields.raw("guardrails") is None:
        return ()
    found: list[GuardrailDocument] = []
    met: set[str] = set()
    for where, data in items_at(fields.raw("guardrails"), fields.at("guardrails"), fields.faults):
        if not isinstance(data, Mapping):
            fields.faults.add(where, "a guardrail is an object", "such as {metric: request-success-rate}")
            continue
        guardrail = _check_guardrail(data, where, fields.faults)
        name = guardrail.name or guardrail.metric
        if name is not None and name in met:
            fields.faults.add(where, f"another guardrail is named {name}")
        met.add(name or "")
        found.append(guardrail)
    if len(found) > MOST_GUARDRAILS:
        fields.fault("guardrails", f"a ramp has at most {MOST_GUARDRAILS} guardrails")
    return tuple(found)


def _check_guardrail(data: object, path: str, faults: Faults) -> GuardrailDocument:
    fields = Fields(data, path, faults, _GUARDRAIL)
    metric = fields.choice("metric", METRICS)
    custom = "bad" in fields or "total" in fields
    if custom == ("metric" in fields):
        faults.add(path, "a guardrail has either a metric, or a pair of queries: bad and total")
    bad, total = fields.text("bad", longest=16_384), fields.text("total", longest=16_384)
    if custom:
        for name, query in (("bad", bad), ("total", total)):
            if not query and not isinstance(fields.raw(name), (bool, int, float, list, Mapping)):
                fields.fault(name, "a custom guardrail needs both queries")
        if "name" not in fields:
            fields.fault("name", "a custom guardrail has a name")
    if "kill" in fields:
        fields.boolean("kill", False)
    return GuardrailDocument(
        metric=metric,
        threshold=_check_threshold(fields, metric),
        name=key_at(fields, "name", "guardrail's name"),
        source=_source(fields),
        kill=kill if isinstance(kill := fields.raw("kill"), bool) else None,
        bad=bad,
        total=total,
        min_difference=fields.percent("min_difference"),
    )


def _source(fields: Fields) -> Literal["reported", "prometheus", "application"] | None:
    source = fields.choice("source", ("reported", "prometheus", "application"))
    if source is None or source == "reported":
        return None if source is None else "reported"
    return "prometheus" if source == "prometheus" else "application"


def _check_threshold(fields: Fields, metric: str | None) -> int | float | None:
    threshold = fields.number("threshold")
    if threshold is None:
        return None
    if metric == SUCCESS_RATE and not 0 < threshold < 100:
        fields.fault("threshold", "the least success rate is above 0 and below 100 percent", "such as 99.5")
    elif metric == DURATION and threshold <= 0:
        fields.fault("threshold", "the longest duration is above 0 ms")
    elif "bad" in fields and not 0 < threshold < 100:
        fields.fault("threshold", "the most that may be bad is above 0 and below 100 percent")
    return threshold
