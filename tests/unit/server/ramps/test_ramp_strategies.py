"""The steps that strategies make."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.model.document import GuardrailDocument, RampDocument, RampStrategy
from rheostat.model.flag import Rollout
from rheostat_server.errors import Fault, Invalid
from rheostat_server.ramps.model import Family, Gate, Plan
from rheostat_server.ramps.plan import plan_of
from rheostat_server.ramps.remarks import remarks
from rheostat_server.ramps.strategies import MOST_STEPS, made_steps, place_of_steps
from rheostat_server.ramps.validate import validate_ramp
from tests.unit.server.ramps.test_ramp_plan import ROLLOUT

TWO = Rollout(exposure_ppm=0, split={"on": 1.0, "off": 1.0}, salt="checkout", fallback="off")

CEILING = {"metric": "request-success-rate", "threshold": 99}
SLOW = {"metric": "request-duration", "threshold": 500}


def a_ramp(strategy: str, **changes: Any) -> dict[str, Any]:
    return {"kind": "ramp", "flag": "checkout", "environment": "production", "strategy": strategy, **changes}


def steps_of(strategy: str, **changes: Any) -> list[float]:
    return [step.exposure for step in made_steps(validate_ramp(a_ramp(strategy, **changes)))]


def planned(data: dict[str, Any], rollout: Rollout = ROLLOUT, **changes: Any) -> Plan:
    given: dict[str, Any] = {"project": "shop", "start_ppm": 0, "family": Family.REPORTED}
    return plan_of(validate_ramp(data), rollout=rollout, **{**given, **changes})


def faults_of(data: dict[str, Any], **changes: Any) -> list[Fault]:
    with pytest.raises(Invalid) as caught:
        planned(data, **changes)
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("weights", "steps"),
    [
        ({"step_weight": 10, "max_weight": 50}, [10, 20, 30, 40, 50, 100]),
        ({"step_weight": 25}, [25, 50, 75, 100]),
        ({"step_weight": 15, "max_weight": 50}, [15, 30, 45, 50, 100]),
        ({"step_weight": 50, "max_weight": 50}, [50, 100]),
        ({"step_weight": 100}, [100]),
        ({"step_weight": 33.3333}, [33.3333, 66.6666, 99.9999, 100]),
        ({"step_weight": 1}, list(range(1, 101))),
    ],
)
def test_linear_goes_up_by_the_same_weight(weights: dict[str, Any], steps: list[float]) -> None:
    """Steps of a weight up to the most, which is always one of them, and then everybody."""
    assert steps_of("linear", **weights) == steps


@pytest.mark.parametrize(
    ("weights", "steps"),
    [
        ({}, [1, 2, 4, 8, 16, 32, 64, 100]),
        ({"first_weight": 5, "factor": 4, "max_weight": 50}, [5, 20, 50, 100]),
        ({"first_weight": 1, "factor": 1.5, "max_weight": 5}, [1, 1.5, 2.25, 3.375, 5, 100]),
        ({"first_weight": 50, "max_weight": 50}, [50, 100]),
        ({"first_weight": 100}, [100]),
        ({"first_weight": 10, "factor": 100}, [10, 100]),
    ],
)
def test_exponential_multiplies(weights: dict[str, Any], steps: list[float]) -> None:
    """Each step is so many times the one before, up to the most, and then everybody."""
    assert steps_of("exponential", **weights) == steps


def test_blue_green_is_one_step() -> None:
    """Everybody at once."""
    assert steps_of("blue-green", holdback=2) == [100]
    assert steps_of("blue-green", holdback=2, to=100) == [100]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (a_ramp("rolling", shards=100), "shards"),
        (a_ramp("a-b", baseline="on", sample=100), "users"),
        (a_ramp("canary"), "users"),
        (a_ramp("canary", steps=[5]), "steps"),
        (a_ramp("linear", step_weight=5), "step_weight"),
        (a_ramp("exponential"), "first_weight"),
        (a_ramp("blue-green", holdback=2), "strategy"),
    ],
)
def test_what_is_wrong_with_a_step_is_named_by_what_made_it(document: dict[str, Any], path: str) -> None:
    """A field that is in the document, or the number of users that its steps are from."""
    assert place_of_steps(validate_ramp(document)) == path


def test_shards_with_too_few_users_are_named_as_shards() -> None:
    """No document with them has steps."""
    faults = faults_of(a_ramp("rolling", shards=100, users=200))

    assert faults
    assert {fault.path for fault in faults} == {"shards"}


def test_a_comparison_without_steps_with_too_few_users_names_them() -> None:
    """Its one exposure is the one in force."""
    faults = faults_of(a_ramp("a-b", baseline="on", sample=100, users=100), start_ppm=10_000, rollout=TWO)

    assert [fault.path for fault in faults] == ["users"]


@pytest.mark.parametrize(
    ("data", "path", "part"),
    [
        (a_ramp("linear"), "step_weight", "has a step_weight (such as step_weight: 10"),
        (a_ramp("linear", step_weight=10, steps=[1]), "steps", "makes its steps itself (leave out steps"),
        (a_ramp("exponential", steps=[]), "steps", "makes its steps itself"),
        (a_ramp("blue-green", holdback=1, steps=[50, 100]), "steps", "makes its steps itself"),
        (a_ramp("canary", step_weight=10), "step_weight", "canary has no step_weight (leave it out, or say strategy"),
        (a_ramp("custom", steps=[5], max_weight=50), "max_weight", "or say strategy: linear or exponential)"),
        (a_ramp("exponential", step_weight=10), "step_weight", "has no step_weight"),
        (a_ramp("linear", step_weight=10, factor=2), "factor", "has no factor"),
        (a_ramp("blue-green", holdback=1, max_weight=50), "max_weight", "has no max_weight"),
        (a_ramp("linear", step_weight=60, max_weight=50), "step_weight", "60 is above max_weight, 50 (at most 50)"),
        (a_ramp("exponential", first_weight=60, max_weight=50), "first_weight", "60, is above max_weight, 50"),
        (a_ramp("exponential", max_weight=0.5), "max_weight", "the first weight, 1, is above max_weight, 0.5"),
        (a_ramp("linear", step_weight=0), "step_weight", "above 0 percent"),
        (a_ramp("linear", step_weight=101), "step_weight", "between 0 and 100"),
        (a_ramp("linear", step_weight="10"), "step_weight", "not a finite number"),
        (a_ramp("linear", step_weight=0.9), "step_weight", "more than 100 steps"),
        (a_ramp("linear", step_weight=0.5, max_weight=50), "step_weight", "more than 100 steps"),
        (a_ramp("exponential", factor=1.01), "factor", "more than 100 steps"),
        (a_ramp("exponential", first_weight=0.0001, factor=1.0000001), "factor", "more than 100 steps"),
        (a_ramp("exponential", factor=1), "factor", "1 is not above 1"),
        (a_ramp("exponential", factor=101), "factor", "at most 100"),
        (a_ramp("exponential", factor=10**5000), "factor", "at most 100"),
        (a_ramp("exponential", factor="2"), "factor", "not a finite number"),
        (a_ramp("blue-green"), "strategy", "needs a holdback, or a ceiling that kills (add holdback: 2"),
        (a_ramp("blue-green", guardrails=[{**CEILING, "kill": False}]), "strategy", "needs a holdback"),
        (a_ramp("blue-green", guardrails=[{"metric": "request-success-rate"}]), "strategy", "needs a holdback"),
        (a_ramp("linear", step_weight=10, gate="auto"), "gate", "no gate auto"),
        (a_ramp("blue-green", holdback=2, to=50), "to", "goes to all users at once (leave it out"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_its_path(data: dict[str, Any], path: str, part: str) -> None:
    """Each fault has the path of the field, says what is wrong, and what to do."""
    with pytest.raises(Invalid) as caught:
        validate_ramp(data)

    assert [fault.path for fault in caught.value.faults] == [path]
    [fault] = caught.value.faults
    assert part in str(fault)


@given(
    step=st.integers(1, 1_000_000).map(lambda ppm: ppm / 10_000),
    most=st.integers(1, 1_000_000).map(lambda ppm: ppm / 10_000),
    factor=st.floats(1, 100, exclude_min=True),
)
def test_what_is_accepted_ascends_to_everybody(step: float, most: float, factor: float) -> None:
    """At most 100 steps, each above the one before, the most among them, the last 100 %."""
    for data in (
        a_ramp("linear", step_weight=step, max_weight=most),
        a_ramp("exponential", first_weight=step, max_weight=most, factor=factor),
    ):
        try:
            document = validate_ramp(data)
        except Invalid:
            continue
        exposures = [each.exposure for each in made_steps(document)]
        assert exposures == sorted(set(exposures))
        assert (exposures[0], exposures[-1]) == (step, 100)
        assert most in exposures
        assert len(exposures) <= MOST_STEPS


def test_steps_have_the_documents_dwell_and_gate() -> None:
    """Least and most time, and the gate, are those of the document, whichever the strategy."""
    given = {"min_dwell": "2m", "max_dwell": "1h", "gate": "manual"}
    for data in (
        a_ramp("linear", step_weight=50, **given),
        a_ramp("exponential", first_weight=50, **given),
        a_ramp("blue-green", holdback=2, **given),
        a_ramp("canary", **given),
        a_ramp("custom", steps=[5], **given),
    ):
        plan = planned(data)
        assert {(step.min_dwell_s, step.max_dwell_s, step.gate) for step in plan.steps} == {(120, 3_600, Gate.MANUAL)}
        assert plan.strategy == data["strategy"]


def test_a_step_has_its_own_dwell_and_gate_before_the_documents() -> None:
    """What a step says goes before what the document says for all."""
    own = {"exposure": 10, "gate": "none", "min_dwell": "1s", "max_dwell": "5s"}
    plan = planned(a_ramp("custom", steps=[5, own], gate="manual", min_dwell="2m", max_dwell="1h"))

    assert [(step.min_dwell_s, step.max_dwell_s, step.gate) for step in plan.steps] == [
        (120, 3_600, Gate.MANUAL), (1, 5, Gate.NONE)
    ]  # fmt: skip


def test_steps_at_or_below_the_exposure_in_force_are_skipped() -> None:
    """A linear ramp from 25 % begins above it."""
    plan = planned(a_ramp("linear", step_weight=10, max_weight=50), start_ppm=250_000)

    assert [step.exposure_ppm for step in plan.steps] == [300_000, 400_000, 500_000, 1_000_000]


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (a_ramp("linear", step_weight=1, max_weight=90), "step_weight"),
        (a_ramp("exponential"), "first_weight"),
        (a_ramp("custom", steps=[1]), "steps[0]"),
    ],
)
def test_few_users_bind_what_strategies_make(data: dict[str, Any], path: str) -> None:
    """A step that exposes too few of them to kill is refused at the field that makes it, with the first usable one."""
    [first, *_] = faults_of({**data, "users": 200})

    assert first.path == path
    assert first.message == "1 % exposes 2 of 200 users, and can kill only after 3 failing ones"
    assert first.hint == "the first usable step is 1.5 %"
    blue = planned(a_ramp("blue-green", holdback=10, users=200))
    assert (blue.low_evidence, blue.manual) == (True, False)
    assert planned(a_ramp("blue-green", holdback=10, users=40)).manual


def test_blue_green_needs_a_way_back() -> None:
    """A holdback or a ceiling that may kill; a ceiling that only holds is none; unguarded asks for nothing."""
    assert planned(a_ramp("blue-green", holdback=2)).guarded
    assert planned(a_ramp("blue-green", guardrails=[CEILING])).guarded
    assert planned(a_ramp("blue-green", guardrails=[SLOW])).guarded
    assert not planned(a_ramp("blue-green", unguarded=True)).guarded
    requests = {**CEILING, "source": "application"}
    [fault] = faults_of(a_ramp("blue-green", guardrails=[requests]), scrape_s=15.0)
    assert fault.path == "strategy"
    assert "kill: true" in str(fault)
    assert planned(a_ramp("blue-green", guardrails=[{**requests, "kill": True}]), scrape_s=15.0).guarded


def test_blue_green_says_what_watches_it() -> None:
    """At the start it is told that all are exposed at once, and where nothing kills for errors."""
    at_once = "blue-green: all at once; the old variant stays warm, and a kill or an abort brings it back at once"
    silent = "without a holdback nobody can tell whether users stay away, or their requests vanish"
    blind = "nothing kills it for errors: it has no holdback, and no ceiling on errors"

    def told(**changes: Any) -> list[bool]:
        lines = remarks(planned(a_ramp("blue-green", **changes)))
        return [at_once in lines, silent in lines, blind in lines]

    assert told(holdback=2) == [True, False, False]
    assert told(guardrails=[CEILING]) == [True, True, False]
    assert told(guardrails=[SLOW]) == [True, True, True]
    assert told(unguarded=True) == [False, False, False]


def test_a_document_made_in_python_needs_no_figures() -> None:
    """What was not validated has the defaults too."""
    document = RampDocument(flag="f", environment="e", strategy=RampStrategy.LINEAR)

    assert [step.exposure for step in made_steps(document)] == [100]
    assert made_steps(RampDocument(flag="f", environment="e", guardrails=(GuardrailDocument(),))) == ()
