"""Flagger's gates and iterations under the guard, and faults that are named by what is in the document."""

from typing import Any

import pytest

from rheostat_server.errors import Fault, Invalid
from rheostat_server.ramps.foreign.translation import in_block
from rheostat_server.ramps.guardrails import SUCCESS_RATE
from rheostat_server.ramps.model import Family, Gate, Step
from rheostat_server.ramps.plan import plan_of
from rheostat_server.ramps.validate import validate_ramp
from tests.unit.server.ramps.counted_rides import ROLLOUT
from tests.unit.server.ramps.foreign_builders import a_ramp, an_analysis, faults_of, line_of, translation


def test_blue_green_serves_everybody_at_once() -> None:
    """Iterations are how long it is watched; both of Flagger's gates wait at all users, and the sentence says so."""
    plain = translation(a_ramp(analysis=an_analysis(iterations=10))).document
    assert (plain["strategy"], plain["soak"], "steps" in plain, "gate" in plain) == ("blue-green", "10m", False, False)

    for kind in ("confirm-promotion", "confirm-traffic-increase"):
        block = an_analysis(iterations=10, webhooks=[{"name": "gate", "type": kind, "url": "http://x/"}])
        found = translation(a_ramp(analysis=block))
        assert (found.document["strategy"], found.document["gate"]) == ("blue-green", "manual")
        said = line_of(found, "analysis.webhooks[0]")
        assert said.startswith("instead of asking gate, 100 % waits for `rheostat ramp approve` before its soak")
        [step] = planned_steps(a_ramp(analysis=block, holdback=2))
        assert (step.exposure_ppm, step.gate) == (1_000_000, Gate.MANUAL)


@pytest.mark.parametrize(
    ("block", "last"),
    [({"stepWeight": 10, "maxWeight": 50, "stepWeightPromotion": 20}, 50), ({"stepWeights": [100]}, 100)],
)
def test_a_gate_says_at_which_weight_it_waits(block: dict[str, Any], last: int) -> None:
    """The one from which Flagger promotes, whatever comes after it."""
    webhook = {"name": "gate", "type": "confirm-promotion", "url": "http://x/"}
    found = translation(a_ramp(analysis=an_analysis(webhooks=[webhook], **block)))

    said = f"instead of asking gate, {last} % waits for `rheostat ramp approve`"
    assert line_of(found, "analysis.webhooks[0]") == said


def planned_steps(document: dict[str, Any]) -> tuple[Step, ...]:
    """The steps of a ramp on a rollout that exposes nobody."""
    return plan_of(
        validate_ramp(document), project="shop", rollout=ROLLOUT, start_ppm=0, family=Family.REPORTED, users=2_000
    ).steps


@pytest.mark.parametrize(
    ("analysis", "path", "part"),
    [
        (an_analysis(iterations=10), "analysis.iterations", "needs a holdback"),
        (
            an_analysis({"name": SUCCESS_RATE, "interval": "25h"}),
            "analysis.metrics[0].interval",
            "at most 24 h",
        ),
    ],
)
def test_faults_are_named_by_what_is_in_the_document(analysis: dict[str, Any], path: str, part: str) -> None:
    """Not by the field that the block comes to."""
    with pytest.raises(Invalid) as caught:
        validate_ramp(a_ramp(analysis=analysis))

    assert [(fault.path, part in fault.message) for fault in caught.value.faults] == [(path, True)]


def test_faults_of_a_plan_are_placed_in_the_block() -> None:
    """What the block made has no other place; the document's own fields keep theirs."""
    paths = ("steps[0]", "strategy", "guardrails[0]", "guardrails[1]", "users", "guardrails")
    made = [Fault(path, "x") for path in paths]
    block = a_ramp(canaryAnalysis=an_analysis(), guardrails=[{}])

    assert [fault.path for fault in in_block(made, block)] == [
        "canaryAnalysis", "canaryAnalysis.iterations", "guardrails[0]", "canaryAnalysis", "users", "guardrails"
    ]  # fmt: skip
    assert in_block(made[2:3], a_ramp(argo={}))[0].path == "argo"
    assert in_block(made, a_ramp(analysis=None)) == made


def test_a_block_that_is_null_is_none() -> None:
    """As every other field."""
    assert validate_ramp(a_ramp(analysis=None, steps=[5])).steps[0].exposure == 5
    assert [fault.path for fault in faults_of(a_ramp(analysis=None, template_values={"name": "x"}))] == [
        "template_values"
    ]
