"""Which segment documents are kept, what they may name, and who uses them."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given

from rheostat.model.document import EnvironmentDocument, FlagDocument, RuleDocument, SegmentDocument
from rheostat.model.flag import Condition, FlagType
from rheostat_server.errors import Fault, Invalid
from rheostat_server.segments.references import Use, check_named_segments, uses_of_segment
from rheostat_server.segments.validate import validate_segment
from tests.strategies import json_values

CLAUSE = {"attribute": "plan", "operator": "in", "values": ["pro"]}


def a_document(**changes: Any) -> dict[str, Any]:
    return {"kind": "segment", "key": "beta", **changes}


def faults_of(data: object) -> dict[str, Fault]:
    with pytest.raises(Invalid) as caught:
        validate_segment(data)
    return {fault.path: fault for fault in caught.value.faults}


def test_a_segment_is_kept_as_it_was_written() -> None:
    """Units each once; the unit is the targeting key unless it says otherwise."""
    document = validate_segment(
        a_document(included=["a", "b", "a"], excluded=["c"], conditions=[CLAUSE], owner="me", tags=["x"])
    )

    assert (document.unit, document.included, document.excluded) == ("targetingKey", ("a", "b"), ("c",))
    assert [condition.attribute for condition in document.conditions] == ["plan"]
    assert validate_segment({"key": "beta", "unit": "org", "conditions": []}).unit == "org"


@pytest.mark.parametrize(
    ("data", "path", "part"),
    [
        ([], "", "a list, not an object"),
        ({}, "key", "required"),
        (a_document(kind="layer"), "kind", "no kind layer"),
        (a_document(key="a b"), "key", "1 to 128"),
        (a_document(include=["a"]), "include", "did you mean included?"),
        (a_document(unit=""), "unit", "has a name"),
        (a_document(unit=7), "unit", "not text"),
        (a_document(included="a"), "included", "not a list"),
        (a_document(included=[7]), "included[0]", "a unit is text"),
        (a_document(excluded=["a"], included=["b", "a"]), "included[1]", "a is excluded too"),
        (a_document(conditions={}), "conditions", "not a list"),
        (a_document(conditions=[{}]), "conditions[0]", "exactly one of"),
        (a_document(conditions=[{"not": {"attribute": "a"}}]), "conditions[0].not.operator", "required"),
        (a_document(tags=[1]), "tags[0]", "a tag is text"),
        (a_document(owner="\ud800"), "", "UTF-8"),
        (a_document(included=[f"{n}-{'x' * 100}" for n in range(11_000)]), "", "the most is 1,048,576"),
    ],
)
def test_a_fault_is_named_by_its_path(data: object, path: str, part: str) -> None:
    """Each fault has the path of the very field."""
    faults = faults_of(data)

    assert path in faults
    assert part in str(faults[path])


def test_every_fault_is_found_at_once() -> None:
    """Nothing stops at the first."""
    assert set(faults_of({"unit": 1, "included": 1, "conditions": [1]})) == {
        "key",
        "unit",
        "included",
        "conditions[0]",
    }


@given(data=json_values)
def test_nothing_else_is_raised(data: object) -> None:
    """Whatever is sent is kept or refused."""
    for sent in (data, a_document(included=data, conditions=data), a_document(conditions=[data], unit=data)):
        with suppress(Invalid):
            validate_segment(sent)


def a_segment(key: str, *named: str) -> SegmentDocument:
    parts = tuple(Condition(segment=name) for name in named)
    return SegmentDocument(key=key, conditions=(Condition(any=parts),) if parts else ())


def segments(*documents: SegmentDocument) -> dict[str, SegmentDocument]:
    return {document.key: document for document in documents}


def test_a_segment_may_name_others() -> None:
    """Two may share one, and a circle elsewhere is not this one's fault."""
    known = segments(
        a_segment("a", "b", "c"), a_segment("b", "c"), a_segment("c"), a_segment("outer", "x"), a_segment("x", "x")
    )

    assert [check_named_segments(known[key], known) for key in "abc"] == [[], [], []]
    assert check_named_segments(known["outer"], known) == []


def test_a_segment_that_is_not_there_is_a_fault() -> None:
    """With the one that was probably meant."""
    [fault] = check_named_segments(a_segment("a", "bta"), segments(a_segment("a", "bta"), a_segment("beta")))

    assert (fault.path, fault.message) == ("conditions[0].any[0].segment", "there is no segment 'bta'")
    assert fault.hint == "did you mean beta?"


@pytest.mark.parametrize(
    ("known", "circle"),
    [
        ((a_segment("a", "a"),), "a → a"),
        ((a_segment("a", "b"), a_segment("b", "c", "gone"), a_segment("c", "b", "a")), "a → b → c → a"),
    ],
)
def test_a_circle_is_a_fault(known: tuple[SegmentDocument, ...], circle: str) -> None:
    """With the way round."""
    [fault] = check_named_segments(known[0], segments(*known))

    assert fault.message == f"this goes in a circle: {circle}"


def test_segments_lead_so_far_and_no_further() -> None:
    """A chain is counted from the segments that name this one; the fault names the whole chain."""
    chain = [a_segment(f"s{n}", *([f"s{n + 1}"] if n < 15 else [])) for n in range(16)]
    known = segments(*chain, a_segment("more"))
    assert [check_named_segments(document, known) for document in known.values()] == [[]] * 17

    longer = a_segment("s15", "more")
    [fault] = check_named_segments(longer, segments(*chain[:-1], longer, a_segment("more")))
    keys = " → ".join([*(f"s{n}" for n in range(16)), "more"])
    assert fault.path == "conditions[0].any[0].segment"
    assert fault.message == f"this makes a chain of 17 segments, and 16 are the most: {keys}"
    assert fault.hint == "let s15 name what is further along the chain, or take a link out"


def test_every_use_of_a_segment_is_found() -> None:
    """In the rules of flags and in other segments, each with its path."""
    rule = RuleDocument(name="r", when=Condition(not_=Condition(segment="beta")), serve="on")
    other = RuleDocument(name="o", when=Condition(segment="other"), serve="on")
    flag = FlagDocument(
        key="checkout",
        type=FlagType.BOOLEAN,
        variants={"on": True},
        environments={"production": EnvironmentDocument(rules=(other, rule))},
    )
    known = segments(a_segment("beta", "beta"), a_segment("outer", "x", "beta"))

    assert uses_of_segment("beta", {"checkout": flag}, known) == [
        Use(kind="flag", key="checkout", environment="production", path="environments.production.rules[1].when.not"),
        Use(kind="segment", key="outer", path="conditions[0].any[1]"),
    ]
    assert uses_of_segment("unused", {"checkout": flag}, known) == []
