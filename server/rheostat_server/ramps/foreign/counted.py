"""Whether a document with ``rule: threshold`` says all that it needs, and nothing that only the guard means. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from rheostat_server.faults import Faults, Fields, object_at
from rheostat_server.ramps.foreign.translation import Translation
from rheostat_server.ramps.guardrails import MOST_GUARDRAILS

_NOT_HERE: Final = {
    "to": (
        "rule: threshold goes to all users when its checks are good",
        "leave it out, or have the guard decide: leave out rule: threshold",
    ),
    "gate": (
        "the block says where a person approves",
        "leave it out; in Flagger's block a webhook of type confirm-traffic-increase waits for a person at each step, "
        "in Argo's a step {pause: {}}",
    ),
}
_THE_GUARDS: Final = (
    "guardrails",
    "alpha",
    "acceptable",
    "min_units",
    "missing_users",
    "min_coverage",
    "on_inconclusive",
    "on_blind",
    "preflight",
    "max_dwell",
    "soak",
    "interval",
    "users",
    "unguarded",
)


def check_threshold(data: object, found: Translation, faults: Faults) -> None:
    """Note what is missing to count checks, and what has no meaning where nothing else is done."""
    if found.analysis is None and found.argo is None:
        if not len(faults):
            faults.add("rule", "rule: threshold counts checks, and none are named", "add analysis, or argo")
        return
    given = object_at(data, "", Faults())
    # As null it is not there: so a document sheds what its template says.
    for name in (name for name in _THE_GUARDS if given.get(name) is not None):
        faults.add(name, "this is the guard's, and rule: threshold has none", "leave it out")
    for name in (name for name in _NOT_HERE if given.get(name) is not None):
        faults.add(name, *_NOT_HERE[name])
    _too_many(found, faults)
    if found.analysis is not None and found.analysis.iterations:
        faults.add(
            f"{found.analysis.path}.iterations",
            "Flagger checks these before it switches anybody, and a flag has no users before",
            "give stepWeight and maxWeight, or leave out rule: threshold",
        )
    if found.argo is not None:
        for step in found.argo.steps:
            for check in step.checks or ():
                if check.count == 0 and check.interval_s is not None and not check.consecutive_success_limit:
                    faults.add(
                        check.path, f"{check.name} is measured without end, and its step waits for it", "count: 5"
                    )


def _too_many(found: Translation, faults: Faults) -> None:
    if found.analysis is not None and len(found.analysis.metrics) > MOST_GUARDRAILS:
        faults.add(f"{found.analysis.path}.metrics", f"a ramp has at most {MOST_GUARDRAILS} metrics", "leave some out")
    if found.argo is not None:
        measured = (*found.argo.background, *(check for step in found.argo.steps for check in step.checks or ()))
        if len({check.name for check in measured if not check.advisory}) > MOST_GUARDRAILS:
            faults.add("argo", f"a ramp has at most {MOST_GUARDRAILS} metrics", "leave some out")


def foreign_fields(fields: Fields) -> dict[str, Any]:
    """Return what the document keeps of the block: all of it."""
    templates, values = fields.raw("metricTemplates"), fields.raw("template_values")
    return {
        "analysis": _object(fields.raw("analysis")),
        "canary_analysis": _object(fields.raw("canaryAnalysis")),
        "argo": _object(fields.raw("argo")),
        "metric_templates": tuple(one for one in templates if isinstance(one, dict))
        if isinstance(templates, list)
        else (),
        "template_values": {str(name): str(text) for name, text in values.items()} if isinstance(values, dict) else {},
    }


def _object(raw: Any) -> dict[str, Any] | None:
    return dict(raw) if isinstance(raw, Mapping) else None
