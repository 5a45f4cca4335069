"""From the guardrails that people write to those of a plan."""

from collections.abc import Mapping

from rheostat.model.document import GuardrailDocument, RampDocument
from rheostat_server.errors import Fault
from rheostat_server.ramps.grades import BY_REQUESTS, BY_SAMPLES, BY_UNITS
from rheostat_server.ramps.guardrails import DURATION, SUCCESS_RATE
from rheostat_server.ramps.model import Family, Guardrail, Measure
from rheostat_server.ramps.stats import ASSUMED_PHI

ERRORS = "errors"
"""The guardrail that every guarded ramp has."""

APPLICATION_ERRORS = "application-errors"
"""The guardrail on the application's own request counters."""

SLOW_CEILING = 0.01
"""Of requests: so many may take longer than a ``request-duration`` allows."""

PHI_WITHOUT_HISTORY = ASSUMED_PHI
"""Overdispersion of requests where there is no history to measure it from (grade 3)."""

_FAMILIES = {"reported": Family.REPORTED, "prometheus": Family.REPORTED_METRICS}


def guardrails_of(
    document: RampDocument, family: Family, watched: Mapping[int, Guardrail], *, metrics: bool
) -> tuple[tuple[Guardrail, ...], list[Fault]]:
    """Return the guardrails of a document, ``errors`` first, and the faults in what it asks for.

    ``family`` is the best source of grade 1; ``metrics`` says whether there is a Prometheus. ``watched`` are those on
    queries as they were looked up, by their place in the document.
    """
    errors = Guardrail(name=ERRORS, family=family, grade=BY_UNITS)
    if document.unguarded:
        return (), []
    others: list[Guardrail] = []
    faults = []
    set_by: int | None = None
    for i, asked in enumerate(document.guardrails):
        path = f"guardrails[{i}]"
        if i in watched:
            others.append(watched[i])
        elif asked.metric == DURATION and asked.source in {None, "reported"}:
            if asked.threshold is None:
                faults.append(
                    Fault(f"{path}.threshold", "a duration has a threshold", "the longest that is good, in ms")
                )
            else:
                others.append(_duration(asked, asked.threshold))
        elif asked.metric == DURATION and asked.source == "prometheus":
            hint = "use source: reported, or application for the application's own histogram"
            faults.append(Fault(f"{path}.source", "durations are not among what is read back", hint))
        elif asked.metric != SUCCESS_RATE:
            what = asked.metric or asked.name or "this guardrail"
            faults.append(Fault(path, f"{what} cannot be watched yet", f"{SUCCESS_RATE} can"))
        elif asked.source in {"prometheus", "application"} and family is Family.REPORTED and not metrics:
            faults.append(Fault(f"{path}.source", "no Prometheus is configured", "set RHEOSTAT_PROMETHEUS_URL"))
        elif asked.source == "application":
            others.append(_application(asked))
        else:
            if set_by is not None:
                faults.append(Fault(path, f"guardrails[{set_by}] has set the source of {ERRORS} already"))
            errors = Guardrail(
                name=ERRORS,
                family=_FAMILIES.get(asked.source or "", family),
                grade=BY_UNITS,
                may_kill=asked.kill is not False,
                min_difference=min_difference(asked),
                ceiling=ceiling_of(asked),
            )
            set_by = i
    names = [guardrail.name for guardrail in others]
    if len({ERRORS, *names}) <= len(names):
        faults.append(Fault("guardrails", "two guardrails have the same name"))
    armless = [guardrail.name for guardrail in others if guardrail.queries is not None and guardrail.queries.armless]
    if armless and not any(guardrail.may_kill for guardrail in (errors, *others)):
        # Where none may kill all have to prove a step, and what the whole service shows proves nothing of the exposed.
        hint = "let errors kill, or give it arms"
        faults.append(Fault("guardrails", f"{armless[0]} watches the whole service, and no other may kill", hint))
    return (errors, *others), faults


def reads_metrics(guardrails: tuple[Guardrail, ...]) -> bool:
    """Whether any of them reads Prometheus."""
    return any(guardrail.family is not Family.REPORTED for guardrail in guardrails)


def _duration(asked: GuardrailDocument, threshold_ms: float) -> Guardrail:
    # Above a whole bound: SDKs count milliseconds.
    return Guardrail(
        name=asked.name or DURATION,
        family=Family.REPORTED,
        grade=BY_SAMPLES,
        may_kill=asked.kill is not False,
        min_difference=min_difference(asked),
        measure=Measure.LATENCY,
        bound_ms=max(1, round(threshold_ms)),
        ceiling=SLOW_CEILING,
    )


def ceiling_of(asked: GuardrailDocument) -> float | None:
    """Return the share of bad requests, 0 … 1, that a success rate asks for as its most; ``None``: it asks for none."""
    # Rounded, or 99.9 would be a ceiling of 0.0009999999999999 and be shown so.
    return None if asked.threshold is None else round(1 - asked.threshold / 100, 12)


def min_difference(asked: GuardrailDocument) -> float | None:
    """Return the difference that a guardrail's document asks for, 0 … 1; ``None``: the rule's own."""
    return None if asked.min_difference is None else asked.min_difference / 100


def _application(asked: GuardrailDocument) -> Guardrail:
    return Guardrail(
        name=asked.name or APPLICATION_ERRORS,
        family=Family.APPLICATION,
        grade=BY_REQUESTS,
        may_kill=asked.kill is True,
        phi=PHI_WITHOUT_HISTORY,
        min_difference=min_difference(asked),
        ceiling=ceiling_of(asked),
    )
