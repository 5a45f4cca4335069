"""A ramp document with faults starts nothing and names the path of every fault."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from ruamel.yaml import YAML

from rheostat.model.document import RampDocument, RampStrategy, StepDocument
from rheostat.model.kill import KillScope
from rheostat_server.errors import Invalid
from rheostat_server.ramps.validate import validate_ramp
from tests.strategies import json_values


def a_ramp(**changes: Any) -> dict[str, Any]:
    return {"kind": "ramp", "flag": "checkout", "environment": "production", **changes}


def guarded(**guardrail: Any) -> dict[str, Any]:
    return a_ramp(guardrails=[guardrail])


G = "guardrails[0]"
ERRORS = {"metric": "request-success-rate", "threshold": 99}
QUERIES = {"name": "errors", "bad": "a", "total": "b"}
FAULTY: list[tuple[object, str, str]] = [
    ("ramp", "", "not an object"),
    ({}, "flag", "required"),
    (a_ramp(flag="a b"), "flag", "1 to 128"),
    (a_ramp(enviroment="x"), "enviroment", "did you mean environment?"),
    (a_ramp(kind="flag"), "kind", "no kind flag"),
    (a_ramp(min_coverage=101), "min_coverage", "between 0 and 100"),
    (a_ramp(missing_users="ignore"), "missing_users", "no missing_users ignore"),
    (guarded(**ERRORS, min_difference="x"), f"{G}.min_difference", "not a"),
    (a_ramp(template="a b"), "template", "1 to 128"),
    (a_ramp(to=0), "to", "more than 0"),
    (a_ramp(to="half"), "to", "finite number"),
    (a_ramp(strategy="slow"), "strategy", "no strategy slow"),
    (a_ramp(strategy="custom"), "steps", "names its steps"),
    (a_ramp(steps=[]), "steps", "at least one"),
    (a_ramp(steps=5), "steps", "not a list"),
    (a_ramp(steps=[5, 5]), "steps[1]", "5 is not above 5"),
    (a_ramp(steps=[5, {"exposure": 1}]), "steps[1]", "1 is not above 5"),
    (a_ramp(steps=[0]), "steps[0]", "more than 0"),
    (a_ramp(steps=[101]), "steps[0]", "between 0 and 100"),
    (a_ramp(steps=["5"]), "steps[0]", "a percentage, or an object"),
    (a_ramp(steps=[{}]), "steps[0].exposure", "required"),
    (a_ramp(steps=[{"exposure": 5, "gate": "auto"}]), "steps[0].gate", "no gate auto"),
    (
        a_ramp(steps=[{"exposure": 5, "min_dwell": "2m", "max_dwell": "1m"}]),
        "steps[0].max_dwell",
        "less than min_dwell",
    ),
    (a_ramp(steps=[n / 2 for n in range(1, 103)]), "steps", "at most 100"),
    (a_ramp(holdback=51), "holdback", "above 50"),
    (a_ramp(holdback="1"), "holdback", "finite number"),
    (a_ramp(soak="1"), "soak", "such as 60s"),
    (a_ramp(interval="0s"), "interval", "above 0"),
    (a_ramp(alpha=0), "alpha", "at most 0.5"),
    (a_ramp(alpha=0.6), "alpha", "at most 0.5"),
    (a_ramp(alpha=10**5000), "alpha", "at most 0.5"),
    (a_ramp(kill="all"), "kill", "no kill all"),
    (a_ramp(on_blind="advance"), "on_blind", "one of: hold, retreat"),
    (a_ramp(on_inconclusive="retreat"), "on_inconclusive", "one of: hold, advance"),
    (a_ramp(min_units=0), "min_units", "at least 1"),
    (a_ramp(users=1.5), "users", "whole number"),
    (a_ramp(acceptable=0), "acceptable", "or auto"),
    (a_ramp(acceptable="all"), "acceptable", "or auto"),
    (a_ramp(rule="threshold"), "rule", "none are named"),
    (a_ramp(rule="thresholds"), "rule", "did you mean threshold?"),
    (a_ramp(guardrails={}), "guardrails", "not a list"),
    (a_ramp(guardrails=["errors"]), G, "is an object"),
    (a_ramp(guardrails=[ERRORS, ERRORS]), "guardrails[1]", "another guardrail"),
    (a_ramp(guardrails=[{**QUERIES, "name": f"g{n}"} for n in range(21)]), "guardrails", "at most 20"),
    (guarded(metric="errors"), f"{G}.metric", "no metric errors"),
    (guarded(threshold=99), G, "either a metric"),
    (guarded(**ERRORS, **QUERIES), G, "either a metric"),
    (guarded(name="a", bad="x"), f"{G}.total", "both queries"),
    (guarded(bad="x", total="y"), f"{G}.name", "has a name"),
    (guarded(**{**QUERIES, "bad": 7}), f"{G}.bad", "not text"),
    (guarded(metric="request-success-rate", threshold=100), f"{G}.threshold", "below 100"),
    (guarded(metric="request-duration", threshold=0), f"{G}.threshold", "above 0 ms"),
    (guarded(**QUERIES, threshold=0), f"{G}.threshold", "below 100"),
    (guarded(**ERRORS, source="mesh"), f"{G}.source", "one of: reported, prometheus"),
    (guarded(**ERRORS, kill="rollout"), f"{G}.kill", "not true or false"),
    (a_ramp(unguarded=True, guardrails=[ERRORS]), "unguarded", "is guarded"),
]


@pytest.mark.parametrize(("data", "path", "part"), FAULTY)
def test_a_fault_is_named_by_its_path(data: object, path: str, part: str) -> None:
    """Each fault has the path of the very field, and says what is wrong with it."""
    with pytest.raises(Invalid) as caught:
        validate_ramp(data)

    assert any(fault.path == path and part in str(fault) for fault in caught.value.faults)


def test_a_plain_ramp_leaves_the_plan_its_defaults() -> None:
    """Only flag and environment are needed."""
    ramp = validate_ramp(a_ramp())

    assert (ramp.rollout, ramp.strategy, ramp.steps, ramp.guardrails) == ("default", RampStrategy.CANARY, (), ())
    assert (ramp.kill, ramp.on_blind, ramp.on_inconclusive, ramp.alpha) == (KillScope.ROLLOUT, "hold", "hold", 0.01)


def test_a_full_ramp_is_kept_as_it_was_written() -> None:
    """Each step becomes an object; the rest stays, and validates again."""
    data = a_ramp(
        strategy="custom",
        steps=[1, {"exposure": 33.3333, "min_dwell": "1m", "max_dwell": "2h", "gate": "manual"}, 100],
        holdback=1,
        keep_holdback=True,
        soak="0s",
        preflight="10m",
        guardrails=[
            {**ERRORS, "source": "reported", "kill": True},
            {"metric": "request-duration", "threshold": 500, "source": "prometheus", "min_difference": 0.2},
            {**QUERIES, "threshold": 2, "kill": False},
            {"metric": "request-success-rate", "name": "mesh"},
        ],
        alpha=0.05,
        kill="flag",
        on_inconclusive="advance",
        on_blind="retreat",
        min_units=10,
        acceptable="auto",
        min_dwell="60s",
        max_dwell="1h",
        interval="15s",
        users=500,
        min_coverage=95,
        missing_users="hold",
        rule="guard",
        gate="manual",
        advance_windows=[
            {"days": "mon-fri", "from": "09:00", "to": "17:00", "timezone": "Europe/Madrid"},
            {"from": "22:00", "to": "24:00"},
        ],
        freezes=[{"from": "2026-12-24", "until": "2027-01-02", "reason": "holidays"}],
        start_at="2026-12-01T09:00",
        timezone="America/New_York",
    )

    ramp = validate_ramp(data)

    assert ramp.steps[0] == StepDocument(exposure=1)
    assert ramp.steps[1] == StepDocument(exposure=33.3333, min_dwell="1m", max_dwell="2h", gate="manual")
    assert ramp.guardrails[0].kill is True
    assert ramp.guardrails[1].min_difference == 0.2
    assert (ramp.min_coverage, ramp.missing_users) == (95, "hold")
    assert validate_ramp(json.loads(msgspec.json.encode(ramp))) == ramp
    assert validate_ramp(a_ramp(acceptable=0.5, unguarded=True)).acceptable == 0.5


@given(value=json_values)
def test_whatever_is_sent_is_a_document_or_invalid(value: Any) -> None:
    """Nothing else is raised, wherever the nonsense stands."""
    for data in (
        value,
        a_ramp(steps=value),
        a_ramp(guardrails=[value], alpha=value),
        a_ramp(steps=[value], soak=value),
    ):
        with suppress(Invalid):
            assert isinstance(validate_ramp(data), RampDocument)


def test_a_reader_that_keeps_the_form_of_yaml_gives_the_same_document() -> None:
    """Round-trip readers give subclasses of text and numbers; what is kept is plain and can be JSON."""
    text = """
    {flag: "checkout", environment: "production", steps: [1.50, {exposure: 0x5}], alpha: 0.050, acceptable: 0.50,
     guardrails: [{metric: "request-duration", threshold: 0.50, name: "slow"}]}
    """
    kept, plain = (validate_ramp(YAML(typ=kind).load(text)) for kind in ("rt", "safe"))

    assert msgspec.json.encode(kept) == msgspec.json.encode(plain)
