"""Blocks of Flagger and Argo Rollouts, of which a test says only what it is about."""

from typing import Any

from rheostat_server.errors import Fault
from rheostat_server.faults import Faults
from rheostat_server.ramps.foreign.translation import Translation, translated

CANONICAL: dict[str, Any] = {
    "interval": "60s",
    "threshold": 5,
    "maxWeight": 50,
    "stepWeight": 10,
    "metrics": [{"name": "request-success-rate", "threshold": 99}, {"name": "request-duration", "threshold": 500}],
}
"""The block of the documentation."""
SHARE = 'sum(rate(gate{arm="treatment",code=~"5.."}[1m])) / sum(rate(gate{arm="treatment"}[1m]))'


def a_ramp(**fields: Any) -> dict[str, Any]:
    """A ramp document."""
    return {"kind": "ramp", "flag": "checkout-v2", "environment": "production", **fields}


def an_analysis(*metrics: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Flagger's block with these metrics."""
    steps = {} if {"stepWeights", "iterations"} & set(changes) else {"stepWeight": 10, "maxWeight": 50}
    return {"interval": "1m", "threshold": 5, **steps, "metrics": list(metrics), **changes}


def a_template(*metrics: dict[str, Any], name: str = "success", kind: str = "AnalysisTemplate", **spec: Any) -> Any:
    """An AnalysisTemplate."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "labels": {"a": "b"}},
        "spec": {"metrics": list(metrics), **spec},
    }


def an_argo_metric(name: str = "errors", query: str = SHARE, **changes: Any) -> dict[str, Any]:
    """A metric of an AnalysisTemplate."""
    provider = {"prometheus": {"query": query}}
    return {"name": name, "successCondition": "result[0] < 0.05", "provider": provider, **changes}


def an_argo(*steps: Any, templates: tuple[Any, ...] = (), **changes: Any) -> dict[str, Any]:
    """Argo Rollouts' block with these steps."""
    return {"steps": list(steps), **({"analysisTemplates": list(templates)} if templates else {}), **changes}


def run_of(*names: str, **changes: Any) -> dict[str, Any]:
    """An analysis by these templates."""
    return {"templates": [{"templateName": name} for name in names], **changes}


def translation(document: object) -> Translation:
    """What a document without faults comes to."""
    faults = Faults()
    found = translated(document, faults)
    assert faults.found == ()
    return found


def faults_of(document: object) -> tuple[Fault, ...]:
    """What is wrong with it."""
    faults = Faults()
    translated(document, faults)
    return faults.found


def line_of(found: Translation, path: str) -> str:
    """What became of the field at this path."""
    [line] = [line for line in found.changes if line.startswith(f"{path}: ")]
    return line.removeprefix(f"{path}: ")
