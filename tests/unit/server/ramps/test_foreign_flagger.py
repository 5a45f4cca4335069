"""Flagger's block in a ramp document: what it comes to under the guard, what is said of it, and what is refused."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given

from rheostat_server.errors import Invalid
from rheostat_server.ramps.validate import validate_ramp
from tests.strategies import json_values
from tests.unit.server.ramps.foreign_builders import (
    CANONICAL,
    SHARE,
    a_ramp,
    an_analysis,
    faults_of,
    line_of,
    translation,
)

TEMPLATE = {
    "apiVersion": "flagger.app/v1beta1",
    "kind": "MetricTemplate",
    "metadata": {"name": "errors", "namespace": "istio-system", "labels": {"team": "shop"}},
    "spec": {"provider": {"type": "prometheus", "address": "http://there:9090"}, "query": SHARE},
}
REF = {"name": "own", "templateRef": {"name": "errors"}, "thresholdRange": {"max": 0.02}}
WHOLE = 'sum(rate(gate{code!~"5.."}[1m])) / sum(rate(gate[1m])) * 100'


@pytest.mark.parametrize("name", ["analysis", "canaryAnalysis"])
def test_the_documented_block_is_taken_as_it_is(name: str) -> None:
    """Steps, dwell and ceilings of our own; each field that changes in meaning has its line."""
    found = translation(a_ramp(**{name: CANONICAL}))

    assert found.document == a_ramp(
        steps=[10, 20, 30, 40, 50, 100],
        min_dwell="1m",
        guardrails=[
            {"metric": "request-success-rate", "threshold": 99},
            {"metric": "request-duration", "threshold": 500},
        ],
    )
    paths = [line.partition(": ")[0] for line in found.changes]
    assert paths == [
        f"{name}.stepWeight, {name}.maxWeight",
        f"{name}.interval",
        f"{name}.threshold",
        f"{name}.metrics[0]",
        f"{name}.metrics[1]",
        "preflight",
        "soak",
    ]
    assert "have no meaning under the guard" in line_of(found, f"{name}.threshold")


def test_the_checked_document_is_the_guards() -> None:
    """Who checks the document gets ours, without the block."""
    document = validate_ramp(a_ramp(analysis=CANONICAL, holdback=2))

    assert [step.exposure for step in document.steps] == [10, 20, 30, 40, 50, 100]
    assert (document.rule, document.analysis, document.min_dwell, document.holdback) == ("guard", None, "1m", 2)


def test_a_document_without_a_block_is_left_alone() -> None:
    """Nothing is translated, and nothing said."""
    assert translation(a_ramp(steps=[5])).document == a_ramp(steps=[5])
    assert translation("no document").document == "no document"


@pytest.mark.parametrize(
    ("block", "steps"),
    [
        ({"stepWeights": [1, 5, 25]}, [1, 5, 25, 100]),
        ({"stepWeights": [1, 100]}, [1, 100]),
        ({"stepWeight": 30, "maxWeight": 50}, [30, 60, 100]),
        ({"stepWeight": 50}, [50, 100]),
        ({"stepWeight": 20, "maxWeight": 40, "stepWeightPromotion": 25}, [20, 40, 65, 90, 100]),
        ({"stepWeight": 50, "maxWeight": 50, "stepWeightPromotion": 50}, [50, 100]),
        ({"stepWeight": 1, "maxWeight": 3}, [1, 2, 3, 100]),
    ],
)
def test_weights_become_steps(block: dict[str, Any], steps: list[int]) -> None:
    """The weights through which Flagger goes when all is good, and the promotion as 100 %."""
    found = translation(a_ramp(analysis={"interval": "1m", "threshold": 1, **block}))

    assert found.document["steps"] == steps
    assert ("stepWeightPromotion" in str(found.changes)) is ("stepWeightPromotion" in block)


def test_a_webhook_that_asks_a_person_becomes_a_gate() -> None:
    """confirm-promotion is the last step before 100 %, confirm-traffic-increase every step."""
    webhook = {"name": "gate", "url": "http://gate/"}

    promotion = translation(a_ramp(analysis=an_analysis(webhooks=[{**webhook, "type": "confirm-promotion"}])))
    increase = translation(
        a_ramp(analysis=an_analysis(stepWeights=[5], webhooks=[{**webhook, "type": "confirm-traffic-increase"}]))
    )

    assert promotion.document["steps"] == [10, 20, 30, 40, {"exposure": 50, "gate": "manual"}, 100]
    assert "waits for `rheostat ramp approve`" in line_of(promotion, "analysis.webhooks[0]")
    assert increase.document["steps"] == [{"exposure": 5, "gate": "manual"}, {"exposure": 100, "gate": "manual"}]


def test_webhooks_that_promise_nothing_are_left_out() -> None:
    """Load for tests, and notices: each with the reason."""
    found = translation(
        a_ramp(
            analysis=an_analysis(
                webhooks=[
                    {"name": "load", "url": "http://l/", "metadata": {"cmd": "hey http://x/"}, "timeout": "5s"},
                    {"name": "told", "type": "event", "url": "http://e/"},
                    {"type": "post-rollout", "url": "http://e/"},
                ]
            )
        )
    )

    assert "makes traffic" in line_of(found, "analysis.webhooks[0]")
    assert "notifications" in line_of(found, "analysis.webhooks[1]")
    assert "post-rollout is told" in line_of(found, "analysis.webhooks[2]")


@pytest.mark.parametrize("kind", ["pre-rollout", "confirm-rollout", "rollback", "rollout", None])
def test_webhooks_that_keep_a_promise_are_refused(kind: str | None) -> None:
    """Leaving them out would lose it: the hint says where it belongs."""
    webhook = {"name": "w", "url": "http://w/", **({} if kind is None else {"type": kind})}
    test = {**webhook, "metadata": {"type": "bash", "cmd": "curl http://x/"}}

    for one in (webhook, test):
        [fault] = faults_of(a_ramp(analysis=an_analysis(webhooks=[one])))
        assert (fault.path, bool(fault.hint)) == ("analysis.webhooks[0]", True)
        assert f"w ({kind or 'rollout'})" in fault.message


def test_what_is_about_pods_is_left_out_with_the_reason() -> None:
    """One line for each reason, naming its fields."""
    found = translation(
        a_ramp(
            analysis=an_analysis(
                alerts=[{}], sessionAffinity={}, primaryReadyThreshold=9, canaryReadyThreshold=9, mirror=False
            )
        )
    )

    assert "no pods" in line_of(found, "analysis.primaryReadyThreshold, analysis.canaryReadyThreshold")
    assert "hashing" in line_of(found, "analysis.sessionAffinity")
    assert "nothing is mirrored" in line_of(found, "analysis.mirror")


def test_a_short_interval_is_lifted_as_flagger_does() -> None:
    """To ten seconds, and it is said; without one it is a minute."""
    found = translation(a_ramp(analysis=an_analysis(interval="5s")))
    absent = an_analysis()
    del absent["interval"]

    assert found.document["min_dwell"] == "10s"
    assert "lifted to 10 s" in found.changes[0]
    assert translation(a_ramp(analysis=absent)).document["min_dwell"] == "1m"


def test_a_query_that_is_a_share_becomes_a_pair() -> None:
    """Its sums are counted sample by sample; the arm that it asked for is told by its label, and it may kill."""
    found = translation(a_ramp(analysis=an_analysis(REF), metricTemplates=[TEMPLATE]))

    assert found.document["guardrails"] == [
        {"name": "own", "bad": 'sum(gate{code=~"5.."})', "total": "sum(gate)", "threshold": 2}
    ]
    assert "not http://there:9090 is asked" in line_of(found, "metricTemplates[0]")
    assert validate_ramp(a_ramp(analysis=an_analysis(REF), metricTemplates=[TEMPLATE])).guardrails[0].arms is None


@pytest.mark.parametrize(
    ("metric", "bad", "percent"),
    [
        ({"query": WHOLE, "thresholdRange": {"min": 99}}, 'sum(gate) - sum(gate{code!~"5.."})', 1),
        ({"query": f"100 - {WHOLE}", "threshold": 5}, 'sum(gate) - sum(gate{code!~"5.."})', 5),
        ({"query": WHOLE, "thresholdRange": {"min": 99.5, "max": 100}}, 'sum(gate) - sum(gate{code!~"5.."})', 0.5),
    ],
)
def test_a_query_of_the_whole_service_holds_only(metric: dict[str, Any], bad: str, percent: float) -> None:
    """Nothing in it tells whose fault it is; the older inline query and bounds either way are read."""
    found = translation(a_ramp(analysis=an_analysis({"name": "own", **metric})))

    assert found.document["guardrails"] == [
        {"name": "own", "bad": bad, "total": "sum(gate)", "threshold": percent, "arms": "none"}
    ]
    assert "does not kill" in line_of(found, "analysis.metrics[0]")


def test_holes_are_filled() -> None:
    """Flagger's variables by what stands beside the block, ours by the document, the window by the metric."""
    query = (
        'sum(rate(x{n="{{ namespace }}",t=~"{{target}}",v="{{ variables.v }}",f="{{ flag }}",'
        'e="{{ environment }}",p="{{ project }}"}[{{ interval }}])) / sum(rate(x[{{ interval }}]))'
    )
    metric = {"name": "own", "query": query, "threshold": 0.1, "interval": "2m", "templateVariables": {"v": "1"}}

    found = translation(a_ramp(analysis=an_analysis(metric), template_values={"namespace": "shop", "target": "web"}))

    assert found.analysis is not None
    assert "[2m]" in (found.analysis.metrics[0].query or "")
    assert found.document["guardrails"][0]["bad"] == (
        'sum(x{n="shop",t=~"web",v="1",f="checkout-v2",e="production",p="$project"})'
    )


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ({"name": "request-success-rate"}, "without a bound nothing fails it"),
        ({"name": "request-success-rate", "thresholdRange": {"max": 100}}, "without a bound nothing fails it"),
        ({"name": "request-duration", "thresholdRange": {}}, "left out: it has no bound"),
        ({"name": "own", "query": SHARE, "thresholdRange": {}}, "left out: own has no bound"),
        ({"name": "own", "query": SHARE, "thresholdRange": {"min": 0, "max": 1}}, "always within"),
    ],
)
def test_a_metric_that_nothing_fails_makes_no_guardrail(metric: dict[str, Any], said: str) -> None:
    """It is left out, and that is said."""
    found = translation(a_ramp(analysis=an_analysis(metric)))

    assert "guardrails" not in found.document
    assert said in line_of(found, "analysis.metrics[0]")


def test_own_guardrails_stand_beside_the_blocks() -> None:
    """The document's own come first, for faults are named by their places."""
    own = {"metric": "request-success-rate", "threshold": 99.9}

    both = translation(a_ramp(analysis=an_analysis({"name": "request-duration", "threshold": 500}), guardrails=[own]))
    alone = translation(a_ramp(analysis=an_analysis(), guardrails=[own], soak="0s", preflight="0s"))

    assert both.document["guardrails"] == [own, {"metric": "request-duration", "threshold": 500}]
    assert alone.document["guardrails"] == [own]
    assert not any(line.startswith(("soak", "preflight")) for line in alone.changes)
    assert faults_of(a_ramp(analysis=an_analysis(), guardrails="x")) == ()


FAULTY: list[tuple[dict[str, Any], str, str]] = [
    ({"analysis": []}, "analysis", "not an object"),
    ({"analysis": an_analysis(treshold=5)}, "analysis.treshold", "did you mean threshold?"),
    ({"analysis": an_analysis(interval="soon")}, "analysis.interval", "not a length of time"),
    ({"analysis": an_analysis(interval="0s")}, "analysis.interval", "above 0"),
    ({"analysis": an_analysis(threshold=-1)}, "analysis.threshold", "whole number"),
    ({"analysis": an_analysis(stepWeight=0)}, "analysis.stepWeight", "never moves"),
    ({"analysis": an_analysis(stepWeight=0, interval=5)}, "analysis.interval", "not text"),
    ({"analysis": {"interval": "1m"}}, "analysis", "how far each step goes"),
    ({"analysis": an_analysis(maxWeight=101)}, "analysis.maxWeight", "above 100"),
    ({"analysis": an_analysis(stepWeights=[5, 5])}, "analysis.stepWeights[1]", "not above 5"),
    ({"analysis": an_analysis(stepWeights=[0])}, "analysis.stepWeights[0]", "1 to 100"),
    ({"analysis": an_analysis(stepWeights=[True])}, "analysis.stepWeights[0]", "1 to 100"),
    ({"analysis": an_analysis(match=[{"headers": {}}])}, "analysis.match", "`when:`"),
    ({"analysis": an_analysis(mirror=True)}, "analysis.mirror", "cannot serve a request twice"),
    ({"analysis": an_analysis(webhooks=[{"type": "roll"}])}, "analysis.webhooks[0].type", "did you mean"),
    ({"analysis": an_analysis(metrics={})}, "analysis.metrics", "not a list"),
    ({"analysis": an_analysis(REF, REF), "metricTemplates": [TEMPLATE]}, "analysis.metrics[1]", "another metric"),
    ({"analysis": CANONICAL, "canaryAnalysis": CANONICAL}, "canaryAnalysis", "one of the two"),
    ({"analysis": CANONICAL, "steps": [1]}, "steps", "says this already"),
    ({"metricTemplates": [TEMPLATE]}, "metricTemplates", "belongs to a block"),
    ({"analysis": CANONICAL, "template_values": {"targt": "x"}}, "template_values.targt", "did you mean target?"),
]
METRICS: list[tuple[dict[str, Any], str, str]] = [
    ({}, ".name", "has a name"),
    ({"name": "request-sucess-rate"}, ".name", "built in are request-success-rate"),
    ({"treshold": 1}, ".treshold", "did you mean threshold?"),
    ({"query": ""}, ".query", "no query"),
    ({"query": "sum("}, ".query", "not closed"),
    ({"query": 'a{b="{{ namspace }}"}'}, ".query", "did you mean namespace?"),
    ({"query": 'a{b="{{ target }}"}'}, ".query", "template_values"),
    ({"query": "{{ if 1 }}"}, ".query", "more than a name"),
    ({"query": "a", "templateVariables": []}, ".templateVariables", "not an object"),
    ({"query": "a", "templateVariables": {"v": 1}}, ".templateVariables.v", "not text"),
    ({"query": "a", "interval": "x"}, ".interval", "not a length"),
    ({"query": "a", "thresholdRange": {"min": 2, "max": 1}}, ".thresholdRange.min", "nothing would be good"),
    ({"name": "request-duration", "query": "a"}, ".name", "built in"),
    ({**REF, "query": "a"}, ".query", "either"),
    ({**REF, "templateRef": {"name": "erors"}}, ".templateRef.name", "did you mean errors?"),
    ({**REF, "templateRef": {}}, ".templateRef.name", "required"),
    ({"name": "request-duration"}, "", "less than 1 ms"),
    ({"name": "request-duration", "thresholdRange": {"min": 5, "max": 9}}, ".thresholdRange.min", "rule: threshold"),
    ({"name": "request-success-rate", "thresholdRange": {"max": 99}}, ".thresholdRange.max", "too high"),
    ({"name": "request-success-rate", "threshold": 100}, "", "99.9"),
    ({"query": "up", "threshold": 1}, "", "a share of requests"),
    ({"query": f"{SHARE} * 0", "threshold": 1}, "", "times 0"),
    ({"query": SHARE, "threshold": 0}, "", "allows 0 %"),
    ({"query": SHARE, "thresholdRange": {"min": 0.1, "max": 0.2}}, "", "two bounds"),
    ({"name": "an x", "query": SHARE, "threshold": 0.5}, "", "no name of a guardrail"),
]
TEMPLATES: list[tuple[list[Any], str, str]] = [
    ([], "analysis.metrics[0].templateRef.name", "under metricTemplates"),
    (
        [TEMPLATE, {**TEMPLATE, "metadata": {"name": "errors"}}],
        "analysis.metrics[0].templateRef.namespace",
        "2 templates",
    ),
    ([TEMPLATE, TEMPLATE], "metricTemplates[1]", "another template"),
    ([{"name": "a"}], "metricTemplates[0].query", "required"),
    ([{"query": "a"}], "metricTemplates[0].name", "required"),
    ([{"name": "a", "query": "b", "provider": "datadog"}], "metricTemplates[0].provider", "not read"),
    (
        [{"metadata": [], "spec": {"query": "b", "provider": {"type": "graphite"}}}],
        "metricTemplates[0].spec.provider.type",
        "not read",
    ),
]


@pytest.mark.parametrize(("metric", "path", "part"), METRICS)
def test_metrics_that_cannot_be_honoured_are_refused(metric: dict[str, Any], path: str, part: str) -> None:
    """Each fault has the path of the very field of the metric, and says what would do."""
    whole = {"name": "x", **metric} if metric else {}
    beside = {"metricTemplates": [TEMPLATE], "template_values": {"namespace": "n"}}

    found = faults_of(a_ramp(analysis=an_analysis(whole), **beside))

    assert any(fault.path == f"analysis.metrics[0]{path}" and part in str(fault) for fault in found), found


@pytest.mark.parametrize(("templates", "path", "part"), TEMPLATES)
def test_templates_with_faults_are_refused(templates: list[Any], path: str, part: str) -> None:
    """A template is Prometheus's, has a name and a query, and is the one that is meant."""
    found = faults_of(a_ramp(analysis=an_analysis(REF), metricTemplates=templates))

    assert any(fault.path == path and part in str(fault) for fault in found), found


@pytest.mark.parametrize(("fields", "path", "part"), FAULTY)
def test_what_cannot_be_honoured_is_refused_by_its_path(fields: dict[str, Any], path: str, part: str) -> None:
    """Each fault has the path of the very field of the block, and says what would do."""
    found = faults_of(a_ramp(**fields))

    assert any(fault.path == path and part in str(fault) for fault in found), found


def test_a_template_in_few_words() -> None:
    """Beside whole documents `{name, query}` will do; a reference may name whose it means."""
    few = {"name": "errors", "query": SHARE, "provider": "prometheus"}
    there = {"name": "errors", "namespace": "there", "query": SHARE, "provider": {}}
    metric = {**REF, "templateRef": {"name": "errors", "namespace": "there"}}

    for templates, asked in (([few], REF), ([few, there], metric), ([few], metric)):
        found = translation(a_ramp(analysis=an_analysis(asked), metricTemplates=templates))
        assert found.document["guardrails"][0]["threshold"] == 2


@pytest.mark.parametrize("rule", ["guard", "threshold"])
@given(block=json_values)
def test_whatever_is_sent_is_taken_or_refused(rule: str, block: object) -> None:
    """No block makes anything but a document or faults, by either rule."""
    for fields in (
        {"analysis": block},
        {"analysis": {**an_analysis(), "metrics": block, "webhooks": block}},
        {"analysis": an_analysis(REF), "metricTemplates": block, "template_values": block},
        {"argo": block},
        {"argo": {"steps": block, "analysis": block, "analysisTemplates": block}},
    ):
        with suppress(Invalid):
            validate_ramp(a_ramp(rule=rule, **fields))


@pytest.mark.parametrize("number", [10**400, -(10**400), 1e308])
def test_numbers_beyond_all_measure_are_refused(number: float) -> None:
    """Wherever a number is wanted."""
    for fields in (
        {"analysis": an_analysis(threshold=number)},
        {"analysis": an_analysis(stepWeight=number)},
        {"analysis": an_analysis(iterations=number)},
        {"analysis": an_analysis({"name": "request-duration", "threshold": number})},
        {"analysis": an_analysis({"name": "request-duration", "thresholdRange": {"max": number}})},
        {"argo": {"steps": [{"setWeight": number}]}},
        {"argo": {"steps": [{"setWeight": 5}, {"pause": {"duration": number}}]}},
        {"argo": {"steps": [{"setWeight": 5}, {"pause": {"duration": "9" * 5000}}]}},
    ):
        assert faults_of(a_ramp(**fields))
