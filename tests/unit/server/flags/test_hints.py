"""Every fault that a document may have by itself says what to do about it."""

from collections.abc import Callable
from typing import Any

import pytest

from rheostat_server.errors import Fault, Invalid
from rheostat_server.flags.sent import read_sent
from rheostat_server.flags.validate import validate_flag
from rheostat_server.layers.validate import validate_layer
from rheostat_server.segments.validate import validate_segment

RULE = {"when": {"attribute": "plan", "operator": "exists"}, "serve": "on"}
SPLIT = {"exposure": 5, "split": {"on": 1}}


def flag(**changes: Any) -> dict[str, Any]:
    """Return a flag's document with changed fields."""
    return {"kind": "flag", "key": "a", "type": "boolean", "variants": {"on": True, "off": False}, **changes}


def here(**changes: Any) -> dict[str, Any]:
    """Return one with changed fields of its environment."""
    return flag(environments={"production": {"default": {"serve": "on"}, **changes}})


def when(condition: Any) -> dict[str, Any]:
    """Return one with a rule of this condition."""
    return here(rules=[{**RULE, "when": condition}])


def clause(operator: str, *values: Any) -> dict[str, Any]:
    """Return one with a rule of this clause."""
    return when({"attribute": "plan", "operator": operator, "values": list(values)})


def rollout(**changes: Any) -> dict[str, Any]:
    """Return one with a rollout."""
    return here(default={"rollout": {**SPLIT, **changes}})


ANYTHING: list[Any] = [None, True, -1, 10**30, 10**400, 1.5, "", "x y", "\ud800", [], [1], {}, {"x y": 1}, {1: 2}, b""]
FLAGS: list[Callable[[Any], Any]] = [
    lambda value: value,
    *(lambda value, name=name: flag(**{name: value}) for name in flag(owner="", tags=[], metadata={}, environments={})),
    lambda value: flag(client=value),
    lambda value: flag(owner="x" * 5_000, off_variant=value),
    lambda value: flag(type="integer", variants={"on": value}),
    lambda value: flag(type="float", variants={"on": value}),
    lambda value: flag(type="object", variants={"on": {"a": value}}),
    lambda value: flag(metadata={"a": value}),
    lambda value: flag(environments={"production": value}),
    *(lambda value, name=name: here(**{name: value}) for name in ("max_staleness", "targets", "rules", "default")),
    lambda value: here(max_staleness="0s", prerequisites=value),
    lambda value: here(prerequisites=[{"flag": "a", "variants": value}, {"flag": value, "variants": ["on"]}, value]),
    lambda value: here(targets={"on": ["u"], "off": ["u", value]}),
    lambda value: here(rules=[{**RULE, "name": "r"}, {**RULE, "name": "r", "active": value}, {**RULE, "name": value}]),
    lambda value: here(rules=[{**RULE, "active": {"from": "2027-02-01T00:00", "until": value, "timezone": "UTC"}}]),
    lambda value: (
        here(rules=[{**RULE, "active": {"from": "2027-02-01T00:00", "until": "2027-01-01T00:00", **at}}])
        if (at := {"timezone": value if value == "x y" else "UTC"})
        else None
    ),
    lambda value: here(default={"serve": value}),
    lambda value: here(default={"serve": "on", "rollout": SPLIT, "more": value}),
    *(lambda value, name=name: rollout(**{name: value}) for name in ("exposure", "split", "fallback", "bucket_by")),
    lambda value: rollout(split={"on": value}),
    lambda value: rollout(salt=value, layer="line", range=value),
    lambda value: rollout(layer="line", range=[50, value]),
    lambda value: rollout(range=value),
    when,
    lambda value: when({"all": value}),
    lambda value: when({"any": [value], "values": []}),
    lambda value: when({"not": value, "operator": "in"}),
    lambda value: when({"segment": value}),
    lambda value: when({"attribute": value, "operator": "in", "values": ["x"]}),
    lambda value: when({"attribute": "plan", "operator": value, "values": ["x"]}),
    *(
        lambda value, name=name: clause(name, value)
        for name in ("in", "equals", "starts_with", "matches", "lt", "before", "semver_ge", "in_cidr", "any_of")
    ),
    lambda value: clause("exists", value),
    lambda value: clause("equals", value, value),
    lambda value: clause("in"),
]


def faults_of(check: Callable[[Any], Any], document: Any) -> tuple[Fault, ...]:
    """Return what is wrong with the document."""
    try:
        check(document)
    except Invalid as error:
        return error.faults
    return ()


@pytest.mark.parametrize("value", ANYTHING, ids=lambda value: repr(value)[:12])
def test_each_fault_of_a_flag_has_a_hint(value: Any) -> None:
    """Whatever stands in whatever field."""
    found = [fault for make in FLAGS for fault in faults_of(validate_flag, make(value))]

    assert found
    assert [fault for fault in found if not fault.hint] == []


@pytest.mark.parametrize("value", ANYTHING, ids=lambda value: repr(value)[:12])
def test_each_fault_of_what_flags_share_has_a_hint(value: Any) -> None:
    """Of segments, layers, and of documents that are of no kind or twice there."""
    segment = {"kind": "segment", "key": "s", "included": ["u"]}
    documents: list[tuple[Callable[[Any], Any], Any]] = [
        *((validate_segment, {**segment, name: value}) for name in ("key", "unit", "included", "conditions", "more")),
        (validate_segment, {**segment, "excluded": ["u", value]}),
        (validate_segment, value),
        (validate_layer, value),
        (validate_layer, {"kind": "layer", "key": value, "unit": value, "salt": value}),
        (read_sent, [value, {"kind": value}, segment, segment]),
    ]
    found = [fault for check, document in documents for fault in faults_of(check, document)]

    assert found
    assert [fault for fault in found if not fault.hint] == []
