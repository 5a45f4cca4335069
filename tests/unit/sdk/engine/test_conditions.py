"""Kleene's three values, segments, and how attributes are found."""

from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.engine.attributes import reader, unit_of, unit_reader
from rheostat.engine.conditions import (
    CompiledCondition,
    compile_condition,
    compile_segments,
    names,
    unknown,
)
from rheostat.model.context import Context
from rheostat.model.flag import Condition, Operator, Segment
from tests.builders import a_clause
from tests.strategies import conditions, contexts, truths


class Held:
    """Segments, as a ruleset holds them."""

    def __init__(self, *segments: Segment) -> None:
        self.segments: dict[str, CompiledCondition] = compile_segments(segments)
        self.told: list[tuple[str, type]] = []

    def strange(self, attribute: str, kind: type) -> None:
        self.told.append((attribute, kind))


PRO = a_clause("plan", Operator.IN, "pro")


def truth_of(condition: Condition, context: Context, *segments: Segment) -> bool | None:
    return compile_condition(condition)(context, Held(*segments))


TRUTHS = {
    True: Condition(all=()),
    False: Condition(any=()),
    None: Condition(),
}


def test_the_tables_are_kleenes() -> None:
    """All is the least of its truths and any the greatest, with unknown between false and true."""
    rank = {False: 0, None: 1, True: 2}
    for pair in product(rank, repeat=2):
        parts = tuple(TRUTHS[truth] for truth in pair)
        assert rank[truth_of(Condition(all=parts), Context())] == min(rank[truth] for truth in pair)
        assert rank[truth_of(Condition(any=parts), Context())] == max(rank[truth] for truth in pair)


@given(truths_=st.lists(truths))
def test_de_morgan_holds(truths_: list[bool | None]) -> None:
    """Not all is any not, with unknowns too."""
    parts = tuple(TRUTHS[truth] for truth in truths_)
    opposites = tuple(Condition(not_=part) for part in parts)

    for one, other in (
        (Condition(all=parts), Condition(any=opposites)),
        (Condition(any=parts), Condition(all=opposites)),
    ):
        assert truth_of(Condition(not_=one), Context()) is truth_of(other, Context())


@given(condition=conditions, context=contexts)
def test_conditions_obey_the_laws(condition: Condition, context: Context) -> None:
    """Double negation, idempotence, and nothing outside the three values."""
    truth = truth_of(condition, context)

    assert truth in (True, False, None)
    assert truth_of(Condition(not_=Condition(not_=condition)), context) is truth
    assert truth_of(Condition(all=(condition, condition)), context) is truth
    assert truth_of(Condition(any=(condition, condition)), context) is truth


@given(condition=conditions, context=contexts)
def test_a_condition_and_its_opposite_never_both_hold(condition: Condition, context: Context) -> None:
    """Of a condition and its negation at most one is true."""
    opposite = truth_of(Condition(not_=condition), context)

    assert {truth_of(condition, context), opposite} != {True}


def test_a_missing_country_slips_through_no_exclusion() -> None:
    """``not: in`` and ``not_in`` are unknown without the attribute, so no rule matches."""
    inside = a_clause("country", Operator.IN, "XX")

    assert truth_of(Condition(not_=inside), Context("u")) is None
    assert truth_of(a_clause("country", Operator.NOT_IN, "XX"), Context("u")) is None
    assert truth_of(Condition(not_=inside), Context("u", country="ES")) is True


def test_empty_groups() -> None:
    """All of nothing is true, any of nothing false, a condition that says nothing unknown."""
    assert truth_of(Condition(all=()), Context()) is True
    assert truth_of(Condition(any=()), Context()) is False
    assert truth_of(Condition(), Context()) is None


def test_a_name_with_dots_is_itself_before_it_is_a_path() -> None:
    """The literal attribute wins; else the path goes into objects only."""
    read = reader("user.plan.name")

    assert read(Context.of("u", {"user.plan.name": "literal", "user": {"plan": {"name": "nested"}}})) == "literal"
    assert read(Context.of("u", {"user": {"plan": {"name": "nested"}}})) == "nested"
    assert read(Context.of("u", {"user": {"plan": "pro"}})) is None
    assert read(Context("u")) is None


def test_the_targeting_key_is_an_attribute_too() -> None:
    """``targetingKey`` means the context's key, never an attribute of that name."""
    context = Context.of("user-1", {"targetingKey": "other"})

    assert reader("targetingKey")(context) == "user-1"
    assert unit_reader("targetingKey")(context) == "user-1"


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        ("a", "a"),
        (7, "7"),
        (7.0, "7"),
        (7.5, None),
        (float("inf"), None),
        (float("nan"), None),
        (True, None),
        (None, None),
        (["a"], None),
        pytest.param(10**5000, None, id="a number too long for text"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_a_unit_is_text_a_whole_number_or_a_uuid(value: Any, unit: str | None) -> None:
    """A whole float hashes as its integer; what has no one text is no unit."""
    assert unit_of(value) == unit
    assert unit_reader("org")(Context("u", org=value)) == unit


def test_a_segment_excludes_then_includes_then_asks() -> None:
    """Excluded, included, conditions, in this order."""
    segment = Segment(key="beta", included=("in", "both"), excluded=("both",), conditions=(PRO,))
    member = Condition(segment="beta")

    assert truth_of(member, Context("both", plan="pro"), segment) is False
    assert truth_of(member, Context("in"), segment) is True
    assert truth_of(member, Context("other", plan="pro"), segment) is True
    assert truth_of(member, Context("other", plan="free"), segment) is False
    assert truth_of(member, Context("other"), segment) is None


def test_a_segment_needs_its_unit() -> None:
    """Without the unit, membership is unknown, and so is its opposite."""
    segment = Segment(key="beta", unit="org", included=("7",))

    assert truth_of(Condition(segment="beta"), Context("u", org=7), segment) is True
    assert truth_of(Condition(segment="beta"), Context("u"), segment) is None
    assert truth_of(Condition(not_=Condition(segment="beta")), Context("u"), segment) is None


def test_a_segment_without_conditions_holds_its_included_alone() -> None:
    """No conditions do not mean everyone."""
    assert truth_of(Condition(segment="s"), Context("u"), Segment(key="s", included=("x",))) is False


def test_a_segment_that_is_gone_is_unknown() -> None:
    """Naming a segment that does not exist matches nobody, also not when negated."""
    assert truth_of(Condition(segment="gone"), Context("u")) is None
    assert truth_of(Condition(not_=Condition(segment="gone")), Context("u")) is None


def test_segments_in_a_circle_are_unknown() -> None:
    """A segment that contains itself is unknown; one that merely names such a segment is judged on."""
    one = Segment(key="one", conditions=(Condition(segment="two"),))
    two = Segment(key="two", conditions=(Condition(any=(Condition(segment="one"), PRO)),))
    outer = Segment(key="outer", included=("in",), conditions=(Condition(not_=Condition(segment="one")),))

    assert truth_of(Condition(segment="one"), Context("u", plan="pro"), one, two, outer) is None
    assert truth_of(Condition(segment="outer"), Context("in"), one, two, outer) is True
    assert truth_of(Condition(segment="outer"), Context("u"), one, two, outer) is None


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=1, max_size=7))
def test_exactly_the_segments_that_contain_themselves_are_unknown(links: list[list[int]]) -> None:
    """However circles touch, cross and hang together, and whichever segments are not there."""
    reached = {start: set(named) for start, named in enumerate(links)}
    for _ in links:
        for start, found in reached.items():
            reached[start] = found.union(*(reached.get(other, set()) for other in found))
    segments = compile_segments(
        Segment(key=str(start), conditions=tuple(Condition(segment=str(other)) for other in named))
        for start, named in enumerate(links)
    )

    circles = {start for start, found in reached.items() if start in found}
    assert {int(key) for key, compiled in segments.items() if compiled is unknown} == circles


def test_a_segment_nested_beyond_reason_is_unknown() -> None:
    """Conditions too deep to compile do not stop the others."""
    deep = PRO
    for _ in range(5_000):
        deep = Condition(not_=deep)
    segments = compile_segments([Segment(key="deep", conditions=(deep,)), Segment(key="ok", included=("u",))])

    assert segments["deep"](Context("u"), Held()) is None
    assert segments["ok"](Context("u"), Held()) is True


def test_the_segments_of_a_condition_are_found_anywhere_in_it() -> None:
    """In all, any and not alike."""
    parts = (Condition(any=(Condition(segment="b"), PRO)), Condition(not_=Condition(segment="c")))

    assert names(Condition(all=(Condition(segment="a"), *parts))) == {"a", "b", "c"}
