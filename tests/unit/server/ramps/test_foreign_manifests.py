"""Whole files of Kubernetes documents as a ramp document that holds their block."""

from typing import Any

import pytest

from rheostat_server.faults import Faults
from rheostat_server.ramps.foreign.manifests import Composed, composed, is_manifest, with_templates
from tests.unit.server.ramps.foreign_builders import (
    CANONICAL,
    a_ramp,
    a_template,
    an_argo,
    an_argo_metric,
    run_of,
    translation,
)

TEMPLATE = {
    "apiVersion": "flagger.app/v1beta1",
    "kind": "MetricTemplate",
    "metadata": {"name": "errors"},
    "spec": {"query": "up"},
}


def a_canary(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": spec,
    }


def a_rollout(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "shop"}, "spec": spec}


def made_of(*documents: dict[str, Any]) -> Composed:
    faults = Faults()
    made = composed(documents, faults)
    assert faults.found == ()
    return made


def test_a_canary_and_its_template_make_one_ramp() -> None:
    """The block as it is, the templates, and what their holes stand for; the rest is left out with a reason."""
    spec = {
        "targetRef": {"kind": "Deployment", "name": "podinfo"},
        "service": {"port": 80},
        "ingressRef": {"name": "front"},
        "metricsServer": "http://there:9090",
        "skipAnalysis": False,
        "analysis": CANONICAL,
    }

    made = made_of(TEMPLATE, a_canary(**spec), {"kind": "Deployment"}, {})

    assert made.document == {
        "analysis": CANONICAL,
        "metricTemplates": [TEMPLATE],
        "template_values": {
            "name": "podinfo", "namespace": "test", "target": "podinfo", "service": "podinfo", "ingress": "front",
        },
    }  # fmt: skip
    assert [line.partition(": ")[0] for line in made.changes] == [
        "Deployment",
        "a document",
        "spec.targetRef, spec.ingressRef, spec.service",
        "spec.metricsServer",
    ]
    assert translation(a_ramp(**made.document)).document["steps"][0] == 10


def test_the_older_block_and_a_bare_canary() -> None:
    """`canaryAnalysis` is taken too; without names nothing is filled in."""
    document = {"apiVersion": "flagger.app/v1alpha3", "kind": "Canary", "spec": {"canaryAnalysis": CANONICAL}}

    assert made_of(document).document == {"canaryAnalysis": CANONICAL}


def test_a_rollout_and_its_templates_make_one_ramp() -> None:
    """Steps and background analysis, with the templates of both scopes."""
    steps, analysis = [{"setWeight": 20}], run_of("success")
    templates = [a_template(an_argo_metric()), a_template(name="wide", kind="ClusterAnalysisTemplate")]
    canary = {"steps": steps, "analysis": analysis, "canaryService": "c", "trafficRouting": {}}

    made = made_of(a_rollout(replicas=3, strategy={"canary": canary}), *templates)

    assert made.document == {"argo": {"steps": steps, "analysis": analysis, "analysisTemplates": templates}}
    assert len(made.changes) == 2
    assert made_of(a_rollout(strategy={"canary": {"steps": steps}})).document == {"argo": {"steps": steps}}


@pytest.mark.parametrize(
    ("documents", "path", "part"),
    [
        ([TEMPLATE], "", "no Canary and no Rollout"),
        ([a_canary(analysis={}), a_rollout()], "", "2 of Canary and Rollout"),
        ([a_canary()], "spec", "no analysis"),
        ([a_canary(anlysis={})], "spec", "did you mean anlysis?"),
        ([a_canary(analysis={}, suspnd=True)], "spec.suspnd", "did you mean suspend?"),
        ([a_canary(analysis={}, suspend=True)], "spec.suspend", "is suspended"),
        ([a_canary(analysis={}, skipAnalysis=True)], "spec.skipAnalysis", "nothing would be checked"),
        ([{**a_canary(), "spec": None}], "spec", "no analysis"),
        ([a_rollout()], "spec.strategy", "required"),
        ([a_rollout(strategy={}, paused=True)], "spec.paused", "is paused"),
        ([a_rollout(strategy={"blueGreen": {}})], "spec.strategy.blueGreen", "preview"),
        ([a_rollout(strategy={"canary": {"step": []}})], "spec.strategy.canary.step", "did you mean steps?"),
    ],
)
def test_files_that_make_no_ramp_are_refused(documents: list[dict[str, Any]], path: str, part: str) -> None:
    """By the path in the Canary or Rollout."""
    faults = Faults()
    composed(documents, faults)

    assert any(fault.path == path and part in str(fault) for fault in faults.found), faults.found


def test_templates_beside_a_ramp_belong_to_it() -> None:
    """A file may hold our ramp and their templates."""
    analysis = a_template(an_argo_metric())

    assert with_templates(a_ramp(metricTemplates=[{"name": "a"}]), [TEMPLATE]) == a_ramp(
        metricTemplates=[{"name": "a"}, TEMPLATE]
    )
    assert with_templates(a_ramp(argo=an_argo()), [analysis])["argo"]["analysisTemplates"] == [analysis]
    assert with_templates(a_ramp(), [analysis]) == a_ramp()


def test_what_is_a_manifest() -> None:
    """By kind and group: another's Rollout is none."""
    assert is_manifest(a_canary())
    assert not is_manifest({**a_canary(), "apiVersion": "example.com/v1"})
    assert not is_manifest({"kind": 5})
    assert not is_manifest([])
