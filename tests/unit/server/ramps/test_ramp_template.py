"""Templates: what one may hold, and what a ramp document and its template make together."""

from typing import Any

import msgspec
import pytest

from rheostat.model.document import StepDocument, TemplateDocument
from rheostat_server.errors import Fault, Invalid
from rheostat_server.ramps.preparing import changes_of
from rheostat_server.ramps.template import (
    template_named,
    unknown_template,
    validate_template,
    validate_with,
    with_template,
)


def a_template(**fields: Any) -> dict[str, Any]:
    return {"kind": "template", "key": "careful", **fields}


def a_ramp(**fields: Any) -> dict[str, Any]:
    return {"kind": "ramp", "flag": "checkout", "environment": "production", **fields}


CAREFUL = validate_template(
    a_template(
        steps=[1, 10, {"exposure": 50, "gate": "manual"}],
        soak="2h",
        min_dwell="10m",
        guardrails=[{"metric": "request-success-rate", "threshold": 99}],
        owner="payments",
    )
)


def test_a_template_is_a_ramp_without_flag_and_environment() -> None:
    """What a ramp document says is read as there; key, owner, description and tags are the template's own."""
    found = validate_template(a_template(steps=[5], holdback=2, description="slow", tags=["a", "a"]))

    assert found == TemplateDocument(
        key="careful", steps=(StepDocument(exposure=5),), holdback=2, description="slow", tags=("a",)
    )
    assert validate_template(msgspec.to_builtins(CAREFUL)) == CAREFUL


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        ("careful", "", "not an object"),
        ({}, "key", "required"),
        (a_template(key="a b"), "key", "1 to 128"),
        (a_template(key="none"), "key", "takes no template"),
        (a_template(kind="ramp"), "kind", "no kind ramp"),
        (a_template(flag="checkout"), "flag", "for any flag"),
        (a_template(environment="x"), "environment", "for any environment"),
        (a_template(template="other"), "template", "no other template"),
        (a_template(to=50), "to", "its own document's word"),
        (a_template(stepps=[1]), "stepps", "did you mean steps?"),
        (a_template(steps=[5, 1]), "steps[1]", "1 is not above 5"),
        (a_template(soak="soon"), "soak", "not a length of time"),
        (a_template(owner=5), "owner", "not text"),
    ],
)
def test_a_template_with_faults_is_refused_with_the_path(data: object, path: str, message: str) -> None:
    """Its own fields and those of the plan are checked as wherever they stand."""
    with pytest.raises(Invalid) as caught:
        validate_template(data)

    assert any(fault.path == path and message in str(fault) for fault in caught.value.faults), caught.value.faults


def test_every_fault_of_a_template_is_named_at_once() -> None:
    """Those of its own fields, and those of the plan."""
    with pytest.raises(Invalid) as caught:
        validate_template(a_template(key="none", flag="checkout", steps=["much"], soak="soon"))

    assert {fault.path for fault in caught.value.faults} == {"key", "flag", "steps[0]", "soak"}


def test_a_documents_own_fields_go_before_the_templates() -> None:
    """Each field comes whole from one of the two: the document's guardrails replace the template's list."""
    own = [{"metric": "request-duration", "threshold": 300}]
    document, taken = validate_with(a_ramp(template="careful", soak="5m", guardrails=own), CAREFUL)

    assert taken == ("steps", "min_dwell")
    assert (document.soak, document.min_dwell) == ("5m", "10m")
    assert [one.metric for one in document.guardrails] == ["request-duration"]
    assert [step.exposure for step in document.steps] == [1, 10, 50]
    assert (document.flag, document.template) == ("checkout", None)


def test_a_default_that_is_written_out_goes_before_the_template() -> None:
    """`holdback: 0` beside a template with a holdback takes none; so does an empty list of guardrails."""
    template = validate_template(a_template(holdback=5, guardrails=[{"metric": "request-success-rate"}]))

    merged, taken = with_template(a_ramp(holdback=0, guardrails=[]), template)

    assert (merged["holdback"], merged["guardrails"], taken) == (0, [], ())


def test_faults_of_both_together_say_so() -> None:
    """A fault that the document has by itself is as it would be alone; one that the template brings is named so."""
    with pytest.raises(Invalid) as caught:
        validate_with(a_ramp(max_dwell="1m", alpha=2), CAREFUL)
    by_path = {fault.path: fault.message for fault in caught.value.faults}
    assert by_path == {
        "max_dwell": "1m is less than min_dwell, 10m (with the template careful)",
        "alpha": "2 is not above 0 and at most 0.5",
    }

    with pytest.raises(Invalid) as caught:
        validate_with(a_ramp(unguarded=True), CAREFUL)
    assert [fault.path for fault in caught.value.faults] == ["unguarded"]


def test_a_custom_ramp_may_take_its_steps_from_a_template() -> None:
    """Beside a template it need not name them itself."""
    document, _ = validate_with(a_ramp(strategy="custom", template="careful"), CAREFUL)

    assert len(document.steps) == 3


ANALYSIS: dict[str, Any] = {
    "stepWeight": 10,
    "maxWeight": 50,
    "metrics": [
        {
            "name": "own",
            "thresholdRange": {"max": 0.05},
            "query": 'sum(rate(x{f="{{ flag }}",e="{{ environment }}",arm="treatment",code="500"}[1m])) '
            '/ sum(rate(x{f="{{ flag }}",e="{{ environment }}",arm="treatment"}[1m]))',
        }
    ],
}
FLAGGER = validate_template(a_template(analysis=ANALYSIS, soak="1h"))
PLACED = 'f="checkout",e="production"'


def test_a_block_is_kept_as_it_was_given() -> None:
    """What it comes to depends on the ramp that takes it."""
    assert (FLAGGER.analysis, FLAGGER.steps, FLAGGER.guardrails, FLAGGER.soak) == (ANALYSIS, (), (), "1h")
    assert validate_template(msgspec.to_builtins(FLAGGER)) == FLAGGER
    alias = validate_template(a_template(canaryAnalysis=ANALYSIS))
    assert msgspec.to_builtins(alias)["canaryAnalysis"] == ANALYSIS
    with pytest.raises(Invalid) as caught:
        validate_template(a_template(analysis={**ANALYSIS, "stepWeight": "x"}))
    assert [fault.path for fault in caught.value.faults] == ["analysis.stepWeight"]


def test_a_templates_block_is_translated_for_the_flag_and_environment_that_take_it() -> None:
    """Its holes, and the lines that say what changes in meaning."""
    document, taken = validate_with(a_ramp(template="careful"), FLAGGER)

    assert taken == ("soak", "analysis")
    assert [step.exposure for step in document.steps] == [10, 20, 30, 40, 50, 100]
    assert PLACED in str(document.guardrails[0].bad)
    whole, _ = with_template(a_ramp(template="careful"), FLAGGER)
    assert any(line.startswith("analysis.threshold: ") for line in changes_of(whole))


def test_a_templates_block_can_be_counted() -> None:
    """By the template's rule, or by the document's."""
    block = {name: value for name, value in msgspec.to_builtins(FLAGGER).items() if name != "soak"}
    for template, own in [(block, {"rule": "threshold"}), ({**block, "rule": "threshold"}, {})]:
        document, _ = validate_with(a_ramp(**own), validate_template(template))
        assert (document.rule, document.analysis) == ("threshold", ANALYSIS)
    document, _ = validate_with(a_ramp(rule="threshold", soak=None), FLAGGER)
    assert document.analysis == ANALYSIS


def test_a_documents_own_block_goes_before_the_templates() -> None:
    """Whosever it is; and null takes none, with what stands beside it."""
    argo = {"steps": [{"setWeight": 5}]}
    beside = [{"name": "errors", "query": "up"}]
    template = validate_template(a_template(analysis=ANALYSIS, metricTemplates=beside))

    assert with_template(a_ramp(argo=argo), template)[1] == ()
    assert with_template(a_ramp(canaryAnalysis=ANALYSIS), template)[1] == ("metricTemplates",)
    assert [step.exposure for step in validate_with(a_ramp(argo=argo), template)[0].steps] == [5, 100]
    document, taken = validate_with(a_ramp(analysis=None, steps=[7]), template)
    assert (taken, [step.exposure for step in document.steps]) == ((), [7])


@pytest.mark.parametrize(
    ("named", "by_default", "expected"),
    [
        ({}, None, None),
        ({}, "careful", "careful"),
        ({"template": "quick"}, "careful", "quick"),
        ({"template": "none"}, "careful", None),
        ({"template": None}, "careful", "careful"),
    ],
)
def test_the_document_names_its_template_or_the_environment_does(
    named: dict[str, Any], by_default: str | None, expected: str | None
) -> None:
    """`none` takes none, whatever the environment has."""
    assert template_named(a_ramp(**named), by_default) == expected


def test_an_unknown_template_is_a_fault_with_a_hint() -> None:
    """The hint is what was meant, or how to make one."""
    assert unknown_template("carefull", ["careful"]) == Fault(
        "template", "there is no template 'carefull'", "did you mean careful?"
    )
    assert "make it first" in str(unknown_template("careful", []))
