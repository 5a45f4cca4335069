"""Whether a document with ``rule: threshold`` says all that it needs, and nothing that only the guard means. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from rheostat_server.faults import Faults, Fields, object_at
from rheostat_server.ramps.foreign.translation import Translation

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
    for name in _THE_GUARDS:
        if name in object_at(data, "", Faults()):
            faults.add(name, "this is the guard's, and rule: threshold has none", "leave it out")
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
