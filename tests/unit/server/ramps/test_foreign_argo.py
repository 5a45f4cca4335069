"""Argo Rollouts' steps in a ramp document: what they come to under the guard, and what is refused."""

from typing import Any

import pytest

from rheostat_server.ramps.validate import validate_ramp
from tests.unit.server.ramps.foreign_builders import (
    SHARE,
    a_ramp,
    a_template,
    an_argo,
    an_argo_metric,
    faults_of,
    line_of,
    run_of,
    translation,
)

GUESTBOOK = [
    {"setWeight": 20},
    {"pause": {"duration": "10m"}},
    {"setWeight": 40},
    {"pause": {"duration": 600}},
    {"setWeight": 60},
    {"pause": {}},
    {"setWeight": 80},
]
METRIC = "argo.analysisTemplates[0].spec.metrics[0]"


def test_weights_and_pauses_become_steps() -> None:
    """A pause is how long a step lasts at least; one without a duration waits for a person; 100 % comes last."""
    found = translation(a_ramp(argo=an_argo(*GUESTBOOK)))

    assert found.document["steps"] == [
        {"exposure": 20, "min_dwell": "10m"},
        {"exposure": 40, "min_dwell": "10m"},
        {"exposure": 60, "gate": "manual", "min_dwell": "0s"},
        {"exposure": 80, "min_dwell": "0s"},
        {"exposure": 100, "min_dwell": "0s"},
    ]
    assert "100 %" in line_of(found, "argo.steps")
    assert "approve" in line_of(found, "argo.steps[5]")
    assert len(validate_ramp(found.document).steps) == 5


def test_pauses_add_up_and_repeated_weights_are_one_step() -> None:
    """Seconds without a unit too; what comes before the first weight exposes nobody."""
    steps = [
        {"setWeight": 0},
        {"pause": {"duration": "30s"}},
        {"setWeight": 50},
        {"pause": {"duration": "90"}},
        {"setWeight": 50},
        {"pause": {"duration": "1.5m"}},
        {"setCanaryScale": {"weight": 10}},
        {"setWeight": 100},
    ]
    found = translation(a_ramp(argo=an_argo(*steps)))

    assert found.document["steps"] == [{"exposure": 50, "min_dwell": "3m"}, {"exposure": 100, "min_dwell": "0s"}]
    assert "nobody is exposed" in line_of(found, "argo.steps[1]")
    assert "no pods to scale" in line_of(found, "argo.steps[6].setCanaryScale")


def test_metrics_become_guardrails() -> None:
    """Those of the background and of a step's analysis, each once, with arguments filled in."""
    template = a_template(
        an_argo_metric(
            query='sum(rate(x{s="{{args.service}}",c="5"}[{{args.window}}])) / sum(rate(x{s="{{args.service}}"}[1m]))',
            interval="5m",
            failureLimit=3,
            successCondition="result[0] <= {{ args.most }}",
        ),
        args=[{"name": "service"}, {"name": "window", "value": "5m"}, {"name": "most", "value": 0.05}],
        measurementRetention=[],
    )
    run = run_of("success", args=[{"name": "service", "value": "shop"}], analysisRunMetadata={})
    argo = an_argo({"setWeight": 20}, {"analysis": run}, templates=(template,), analysis={**run, "startingStep": 1})

    template["spec"]["metrics"][0]["provider"]["prometheus"] |= {"address": "http://there:9090", "timeout": 5}
    found = translation(a_ramp(argo=argo))

    server = f"{METRIC}.provider.prometheus"
    assert line_of(found, f"{server}.address, {server}.timeout").endswith("RHEOSTAT_PROMETHEUS_URL")
    assert found.document["guardrails"] == [
        {"name": "errors", "bad": 'sum(x{s="shop",c="5"})', "total": 'sum(x{s="shop"})', "threshold": 5, "arms": "none"}
    ]
    assert "3 failed ones" in line_of(found, f"{METRIC}.failureLimit")
    assert "not from step 1 on" in line_of(found, "argo.analysis")
    assert "the guard's proof" in line_of(found, "argo.steps[1]")


@pytest.mark.parametrize(
    ("conditions", "percent"),
    [
        ({"successCondition": "result[0] < 0.05"}, 5),
        ({"failureCondition": "result[0] >= 0.02", "successCondition": "result[0] < 0.01"}, 2),
        ({"failureCondition": "isNaN(result[0]) || result[0] > 0.02", "successCondition": ""}, 2),
    ],
)
def test_bounds_are_those_of_a_failed_measurement(conditions: dict[str, str], percent: float) -> None:
    """A failure condition says it; without one it is what is not a success."""
    argo = an_argo({"setWeight": 20}, templates=(a_template(an_argo_metric(**conditions)),), analysis=run_of("success"))

    assert translation(a_ramp(argo=argo)).document["guardrails"][0]["threshold"] == percent


def test_dry_runs_hold_and_do_not_kill() -> None:
    """By the template's word or the analysis'; without conditions nothing follows from a metric at all."""
    template = a_template(an_argo_metric(), dryRun=[{"metricName": "*"}])
    free = a_template(an_argo_metric("free", successCondition=None), name="free")
    argo = an_argo({"setWeight": 20}, templates=(template, free), analysis=run_of("success", "free"))

    found = translation(a_ramp(argo=argo))

    assert [one.get("kill") for one in found.document["guardrails"]] == [False]
    assert "no bound" in line_of(found, "argo.analysisTemplates[1].spec.metrics[0]")


def test_templates_may_refer_to_templates() -> None:
    """Also to those of the cluster; one without metrics only gathers others."""
    wide = a_template(an_argo_metric("wide"), name="wide", kind="ClusterAnalysisTemplate")
    gathers = {**a_template(name="all"), "spec": {"templates": [{"templateName": "wide", "clusterScope": True}]}}
    argo = an_argo({"setWeight": 20}, templates=(wide, gathers), analysis=run_of("all"))

    assert [one["name"] for one in translation(a_ramp(argo=argo)).document["guardrails"]] == ["wide"]


STEPS: list[tuple[Any, str, str]] = [
    ({"setWeight": 101}, "argo.steps[0].setWeight", "above 100"),
    ({"setWeight": "x"}, "argo.steps[0].setWeight", "not a finite number"),
    ({"setweight": 5}, "argo.steps[0].setweight", "did you mean setWeight?"),
    ({"setWeight": 5, "pause": {}}, "argo.steps[0]", "two steps"),
    ({}, "argo.steps[0]", "does nothing"),
    ({"pause": {"duration": "soon"}}, "argo.steps[0].pause.duration", "90 days"),
    ({"pause": {"duration": True}}, "argo.steps[0].pause.duration", "90 days"),
    ({"pause": {"duration": -5}}, "argo.steps[0].pause.duration", "90 days"),
    ({"pause": None}, "argo.steps[0]", "waits for a person"),
    ({"experiment": {}}, "argo.steps[0].experiment", "pods of its own"),
    ({"setHeaderRoute": {}}, "argo.steps[0].setHeaderRoute", "`when:`"),
    ({"setMirrorRoute": {}}, "argo.steps[0].setMirrorRoute", "twice"),
    ({"plugin": {}}, "argo.steps[0].plugin", "not run"),
    ({"analysis": {}}, "argo.steps[0].analysis.templates", "required"),
    ({"analysis": run_of("succes")}, "argo.steps[0].analysis.templates[0].templateName", "did you mean success?"),
    ({"analysis": {"templates": [{}]}}, "argo.steps[0].analysis.templates[0].templateName", "required"),
    (
        {"analysis": {"templates": [{"templateName": "success", "clusterScope": True}]}},
        "argo.steps[0].analysis.templates[0].templateName",
        "put the ClusterAnalysisTemplate",
    ),
    (
        {"analysis": run_of("success", args=[{"name": "a", "valueFrom": {}}])},
        "argo.steps[0].analysis.args[0].valueFrom",
        "give it a value",
    ),
]


@pytest.mark.parametrize(("step", "path", "part"), STEPS)
def test_steps_that_cannot_be_honoured_are_refused(step: Any, path: str, part: str) -> None:
    """By the very field, with what would do."""
    argo = an_argo(step, {"setWeight": 20}, templates=(a_template(an_argo_metric()),))

    found = faults_of(a_ramp(argo=argo))

    assert any(fault.path == path and part in str(fault) for fault in found), found


METRICS: list[tuple[dict[str, Any], str, str]] = [
    ({"intervall": "5m"}, ".intervall", "did you mean interval?"),
    ({"interval": "soon"}, ".interval", "not a length"),
    ({"count": 3}, ".count", "needs an interval"),
    ({"count": "x"}, ".count", "whole number"),
    ({"count": "{{ args.x }}"}, ".count", "args"),
    ({"failureLimit": -2}, ".failureLimit", "at least -1"),
    ({"consecutiveErrorLimit": True}, ".consecutiveErrorLimit", "whole number"),
    ({"successCondition": "all(result)"}, ".successCondition", "not known here"),
    ({"successCondition": "result[0] < {{ args.x }}"}, ".successCondition", "args"),
    ({"successCondition": "result[0] == 1"}, ".successCondition", "one bound"),
    ({"failureCondition": "result[0] == 1"}, ".failureCondition", "one bound"),
    ({"name": None}, ".name", "has a name"),
    ({"provider": {"web": {}}}, ".provider.web", "not read"),
    ({"provider": None}, ".provider", "nothing is asked"),
    ({"provider": {}}, ".provider", "nothing is asked"),
    ({"provider": {"prometheus": {}}}, ".provider.prometheus.query", "required"),
    ({"provider": {"prometheus": {"query": "sum("}}}, ".provider.prometheus.query", "not closed"),
    ({"provider": {"prometheus": {"query": "{{args.x}}"}}}, ".provider.prometheus.query", "under args"),
    ({"provider": {"prometheus": {"query": "up"}}}, ".provider.prometheus.query", "share of requests"),
    ({"provider": {"prometheus": {"query": SHARE, "rangeQuery": {}}}}, ".provider.prometheus.rangeQuery", "one moment"),
]


@pytest.mark.parametrize(("changes", "path", "part"), METRICS)
def test_metrics_that_cannot_be_honoured_are_refused(changes: dict[str, Any], path: str, part: str) -> None:
    """By the very field, with what would do."""
    template = a_template(an_argo_metric(**changes), args=[{"name": "x", "valueFrom": {"secretKeyRef": {}}}])
    argo = an_argo({"setWeight": 20}, templates=(template,), analysis=run_of("success"))

    found = faults_of(a_ramp(argo=argo))

    assert any(fault.path == f"{METRIC}{path}" and part in str(fault) for fault in found), found


OTHERS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "argo.steps", "required"),
    ({"steps": []}, "argo.steps", "no step sets a weight"),
    ({"steps": [{"setWeight": 50}, {"setWeight": 20}]}, "argo.steps[1].setWeight", "20 is below 50"),
    ({"steps": [{"setWeight": 5}] * 201}, "argo.steps", "at most 200"),
    (an_argo({"setWeight": 5}, analysis=run_of("x", startingStep=-1)), "argo.analysis.startingStep", "whole number"),
    (an_argo({"setWeight": 5}, analysis=run_of("x", startingStep=2**70)), "argo.analysis.startingStep", "at most 200"),
    (an_argo({"setWeight": 5}, analysis=5), "argo.analysis", "not an object"),
    (an_argo({"setWeight": 5}, templates=(a_template(), a_template())), "argo.analysisTemplates[1]", "another"),
    (
        an_argo({"setWeight": 5}, templates=({"metadata": {}, "spec": {}},)),
        "argo.analysisTemplates[0].metadata.name",
        "required",
    ),
    (
        an_argo({"setWeight": 5}, templates=({"metadata": [], "spec": []},)),
        "argo.analysisTemplates[0].metadata",
        "not an object",
    ),
    (
        an_argo(
            {"setWeight": 5},
            templates=({**a_template(name="a"), "spec": {"templates": [{"templateName": "a"}]}},),
            analysis=run_of("a"),
        ),
        "argo.analysisTemplates[0].spec.templates[0].templateName",
        "refers to itself",
    ),
    (
        an_argo(
            {"setWeight": 5}, templates=(a_template(an_argo_metric(), an_argo_metric()),), analysis=run_of("success")
        ),
        "argo.analysisTemplates[0].spec.metrics[1]",
        "another metric",
    ),
    (
        an_argo(
            {"setWeight": 5},
            {"analysis": run_of("other")},
            templates=(a_template(an_argo_metric()), a_template(an_argo_metric(query="up"), name="other")),
            analysis=run_of("success"),
        ),
        "argo.steps[1]",
        "another metric elsewhere",
    ),
]


@pytest.mark.parametrize(("block", "path", "part"), OTHERS)
def test_blocks_with_faults_are_refused(block: dict[str, Any], path: str, part: str) -> None:
    """A canary goes up, and names what there is."""
    found = faults_of(a_ramp(argo=block))

    assert any(fault.path == path and part in str(fault) for fault in found), found


def test_metric_templates_are_flaggers() -> None:
    """Beside Argo Rollouts' block they mean nothing."""
    assert [fault.path for fault in faults_of(a_ramp(argo=an_argo({"setWeight": 5}), metricTemplates=[]))] == [
        "metricTemplates"
    ]
