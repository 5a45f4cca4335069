"""Kubernetes documents of Flagger and Argo Rollouts as a ramp document that holds their block. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from rheostat_server.faults import Faults, Fields, did_you_mean
from rheostat_server.ramps.foreign.changes import Changes
from rheostat_server.ramps.foreign.translation import ANALYSES, ARGO

CANARY: Final = "Canary"
ROLLOUT: Final = "Rollout"
METRIC_TEMPLATE: Final = "MetricTemplate"
ANALYSIS_TEMPLATES: Final = ("AnalysisTemplate", "ClusterAnalysisTemplate")
_GROUPS: Final = {
    CANARY: "flagger.app",
    METRIC_TEMPLATE: "flagger.app",
    ROLLOUT: "argoproj.io",
    "AnalysisTemplate": "argoproj.io",
    "ClusterAnalysisTemplate": "argoproj.io",
}
_DOCUMENT: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_PODS: Final = "it is about pods and their routing, of which a flag has none"
_ASKED: Final = "the server asks the Prometheus of RHEOSTAT_PROMETHEUS_URL"
_CANARY_LEFT_OUT: Final = {
    "provider": _PODS,
    "targetRef": _PODS,
    "autoscalerRef": _PODS,
    "ingressRef": _PODS,
    "routeRef": _PODS,
    "upstreamRef": _PODS,
    "service": _PODS,
    "progressDeadlineSeconds": _PODS,
    "revertOnDeletion": _PODS,
    "metricsServer": _ASKED,
    "insecureSkipVerify": _ASKED,
}
_CANARY: Final = (*_CANARY_LEFT_OUT, *ANALYSES, "skipAnalysis", "suspend")
_ROLLOUT_LEFT_OUT: Final = {
    "replicas": _PODS,
    "selector": _PODS,
    "template": _PODS,
    "workloadRef": _PODS,
    "minReadySeconds": _PODS,
    "rollbackWindow": _PODS,
    "revisionHistoryLimit": _PODS,
    "progressDeadlineSeconds": _PODS,
    "progressDeadlineAbort": _PODS,
    "restartAt": _PODS,
    "analysis": "every decision is kept",
}
_ROLLOUT: Final = (*_ROLLOUT_LEFT_OUT, "strategy", "paused")
_STRATEGY_LEFT_OUT: Final = dict.fromkeys(
    (
        "canaryService",
        "stableService",
        "trafficRouting",
        "maxUnavailable",
        "maxSurge",
        "antiAffinity",
        "canaryMetadata",
        "stableMetadata",
        "scaleDownDelaySeconds",
        "scaleDownDelayRevisionLimit",
        "abortScaleDownDelaySeconds",
        "dynamicStableScale",
        "pingPong",
        "minPodsPerReplicaSet",
        "replicaProgressThreshold",
    ),
    _PODS,
)
_STRATEGY: Final = (*_STRATEGY_LEFT_OUT, "steps", "analysis")


class Composed(msgspec.Struct, frozen=True):
    """A ramp document with a foreign block, yet without flag and environment, and what was left out of the files."""

    document: dict[str, Any]
    changes: tuple[str, ...]


def is_manifest(data: object) -> bool:
    """Whether this is one of the documents that are read here."""
    if not isinstance(data, Mapping) or not isinstance(data.get("kind"), str):
        return False
    group = str(data.get("apiVersion", "")).partition("/")[0]
    return _GROUPS.get(data["kind"]) == group


def composed(documents: Sequence[Mapping[str, Any]], faults: Faults) -> Composed:
    """Return the ramp document that one Canary or Rollout and its templates make. Others in the file are passed over.

    Faults have the paths of the Canary, or the Rollout.
    """
    changes = Changes()
    mine = [one for one in documents if is_manifest(one)]
    leading = [one for one in mine if one["kind"] in {CANARY, ROLLOUT}]
    if len(leading) != 1:
        what = "no Canary and no Rollout is" if not leading else f"{len(leading)} of Canary and Rollout are"
        faults.add("", f"{what} in what was given", "a ramp is made of one; put others into files of their own")
        return Composed({}, ())
    for one in documents:
        if not is_manifest(one):
            changes.say(str(one.get("kind", "a document")), "left out: it says nothing of how the flag is ramped")
    [lead] = leading
    fields = Fields(lead, "", faults, _DOCUMENT)
    fields.required("spec")
    spec = fields.raw("spec") if isinstance(fields.raw("spec"), Mapping) else {}
    read = _canary if lead["kind"] == CANARY else _rollout
    return Composed(read(lead, spec, mine, faults, changes), changes.lines)


def with_templates(ramp: Mapping[str, Any], documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a ramp document with the metric and analysis templates that stand beside it in its file."""
    metric = [one for one in documents if is_manifest(one) and one["kind"] == METRIC_TEMPLATE]
    analysis = [one for one in documents if is_manifest(one) and one["kind"] in ANALYSIS_TEMPLATES]
    together = dict(ramp)
    if metric:
        together["metricTemplates"] = [*(together.get("metricTemplates") or ()), *metric]
    block = together.get(ARGO)
    if analysis and isinstance(block, Mapping):
        together[ARGO] = {**block, "analysisTemplates": [*(block.get("analysisTemplates") or ()), *analysis]}
    return together


def _canary(
    lead: Mapping[str, Any],
    spec: Mapping[str, Any],
    documents: Sequence[Mapping[str, Any]],
    faults: Faults,
    changes: Changes,
) -> dict[str, Any]:
    fields = Fields(spec, "spec", faults, _CANARY)
    changes.left_out(fields, _CANARY_LEFT_OUT)
    if fields.raw("skipAnalysis") is True:
        fields.fault("skipAnalysis", "nothing would be checked", "leave it out, or start a ramp that is unguarded")
    if fields.raw("suspend") is True:
        fields.fault("suspend", "the canary is suspended", "leave it out when it is to run")
    blocks = [name for name in ANALYSES if fields.raw(name) is not None]
    if not blocks:
        hint = did_you_mean("analysis", [name for name in spec if name not in _CANARY]) or "add spec.analysis"
        faults.add("spec", "there is no analysis, and nothing would be checked", hint)
    document: dict[str, Any] = {name: fields.raw(name) for name in blocks[:1]}
    templates = [one for one in documents if one["kind"] == METRIC_TEMPLATE]
    if templates:
        document["metricTemplates"] = templates
    values = _template_values(lead, spec)
    if values:
        document["template_values"] = values
    return document


def _template_values(lead: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, str]:
    """Return what the holes of Flagger's templates stand for, as Flagger takes it from the Canary."""
    metadata = _object(lead.get("metadata"))
    target = _object(spec.get("targetRef")).get("name")
    values = {
        "name": metadata.get("name"),
        "namespace": metadata.get("namespace"),
        "target": target,
        "service": _object(spec.get("service")).get("name") or target,
        "ingress": _object(spec.get("ingressRef")).get("name") or target,
        "route": _object(spec.get("routeRef")).get("name"),
    }
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _rollout(
    lead: Mapping[str, Any],
    spec: Mapping[str, Any],
    documents: Sequence[Mapping[str, Any]],
    faults: Faults,
    changes: Changes,
) -> dict[str, Any]:
    fields = Fields(spec, "spec", faults, _ROLLOUT)
    fields.required("strategy")
    changes.left_out(fields, _ROLLOUT_LEFT_OUT)
    if fields.raw("paused") is True:
        fields.fault("paused", "the rollout is paused", "leave it out when it is to run")
    strategy = Fields(fields.raw("strategy") or {}, "spec.strategy", faults, ("canary", "blueGreen"))
    if strategy.raw("blueGreen") is not None:
        strategy.fault("blueGreen", "a flag has no preview service", "write a ramp with one step of 100, or blue-green")
        return {}
    strategy.required("canary")
    canary = Fields(strategy.raw("canary") or {}, "spec.strategy.canary", faults, _STRATEGY)
    changes.left_out(canary, _STRATEGY_LEFT_OUT)
    block = {name: canary.raw(name) for name in ("steps", "analysis") if name in canary}
    templates = [one for one in documents if one["kind"] in ANALYSIS_TEMPLATES]
    if templates:
        block["analysisTemplates"] = templates
    return {ARGO: block}


def _object(raw: Any) -> Mapping[str, Any]:
    return raw if isinstance(raw, Mapping) else {}
