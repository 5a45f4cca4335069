"""What attributes of Python's types mean."""

import enum
from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.engine import Ruleset
from rheostat.engine.attributes import unit_of
from rheostat.engine.conversion import Strange, converted, why_strange
from rheostat.model.context import Context
from rheostat.model.evaluation import Reason
from rheostat.model.flag import Condition, Operator, Segment
from tests.builders import a_clause, a_flag, a_patch, a_rollout, a_rule, a_snapshot, an_overlay
from tests.strategies import scalars


class Plan(enum.Enum):
    PRO = "pro"
    NONE = None
    SEATS = 7
    ODD = b"raw"


class Role(enum.StrEnum):
    ADMIN = "admin"


class Level(int, enum.Enum):
    HIGH = 3


class Name(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Bag:
    """A type that means nothing."""


A_UUID = UUID("12345678-1234-5678-1234-567812345678")
MADRID = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (A_UUID, "12345678-1234-5678-1234-567812345678"),
        (Plan.PRO, "pro"),
        (Plan.SEATS, 7),
        (Role.ADMIN, "admin"),
        (Level.HIGH, 3),
        (datetime(2026, 11, 27, 1, tzinfo=MADRID), "2026-11-27T00:00:00Z"),
        (datetime(2026, 11, 27, 0, 0, 0, 5, tzinfo=UTC), "2026-11-27T00:00:00.000005Z"),
        (date(2026, 11, 27), "2026-11-27"),
        (Decimal("7"), 7),
        (Decimal("7.00"), 7),
        (Decimal("1E+2"), 100),
        (Decimal("0.1"), 0.1),
        (Decimal("-1.10"), -1.1),
        (
            Decimal("0.1000000000000000000001"),
            Fraction("0.1000000000000000000001"),
        ),
        (Decimal("Infinity"), float("inf")),
        (Decimal("-Infinity"), float("-inf")),
        (("a", Role.ADMIN), ["a", "admin"]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({Plan.PRO}, ["pro"]),
        ([A_UUID, ("x",), Plan.ODD], [str(A_UUID), ("x",), Plan.ODD]),
        (OrderedDict(plan=Plan.PRO), {"plan": "pro"}),
        (Fraction(1, 3), Fraction(1, 3)),
    ],
)
def test_a_value_means_what_the_table_says(value: Any, meaning: Any) -> None:
    """Each type of the table has one meaning, of the right type."""
    found = converted(value)

    assert found == meaning
    assert isinstance(found, type(meaning))


@given(value=scalars)
def test_plain_values_mean_themselves(value: Any) -> None:
    """They are passed as the same objects."""
    assert converted(value) is value


def test_a_decimal_that_is_no_number_is_no_number() -> None:
    """NaN, quiet or signalling, equals nothing and compares with nothing."""
    for text in ("NaN", "sNaN"):
        assert converted(Decimal(text)) != converted(Decimal(text))


@pytest.mark.parametrize(
    "value",
    [
        b"raw",
        Bag(),
        Plan.ODD,
        object,
        datetime.fromisoformat("2026-11-27T00:00:00"),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        Decimal("1E+1000000"),
        Decimal("1E-1000000"),
        Decimal("0." + "1" * 500),
        1j,
        timedelta(1),
        (item for item in "ab"),
    ],
)
def test_another_type_means_nothing(value: Any) -> None:
    """A clause on it is unknown whatever the operator, but for ``exists``; it is no unit; somebody is told."""
    told: list[tuple[str, type]] = []
    with pytest.raises(Strange):
        converted(value)
    assert unit_of(value) is None
    for operator in Operator:
        rule = a_rule(when=Condition(any=(a_clause("a", operator, "x"), Condition(not_=a_clause("a", operator, "x")))))
        ruleset = Ruleset.of(a_snapshot(a_flag(rules=(rule,))))
        ruleset.strange = lambda attribute, kind: told.append((attribute, kind))
        variant = ruleset.evaluate("checkout", Context("u", a=value)).variant
        assert variant == ("on" if operator is Operator.EXISTS else "off")
    assert set(told) == {("a", type(value))}


def truth(value: Any, operator: Operator, *values: Any) -> bool | None:
    """Return what the operator says of the value, and check that its opposite says the opposite."""
    name = "user.a"
    clause = a_clause(name, operator, *values)
    rules = (a_rule("yes", when=clause), a_rule("no", when=Condition(not_=clause)))
    found = Ruleset.of(a_snapshot(a_flag(rules=rules))).evaluate("checkout", Context("u", user={"a": value})).rule
    plain = (a_clause("a", operator, *values),)
    rules = (a_rule("yes", when=plain[0]), a_rule("no", when=Condition(not_=plain[0])))
    assert Ruleset.of(a_snapshot(a_flag(rules=rules))).evaluate("checkout", Context("u", a=value)).rule == found
    return {"yes": True, "no": False, None: None}[found]


@pytest.mark.parametrize(
    ("value", "operator", "values", "expected"),
    [
        (A_UUID, Operator.IN, (str(A_UUID),), True),
        (A_UUID, Operator.STARTS_WITH, ("1234",), True),
        (A_UUID, Operator.LT, (1,), None),
        (Plan.PRO, Operator.EQUALS, ("pro",), True),
        (Plan.PRO, Operator.NOT_IN, ("pro",), False),
        (Plan.NONE, Operator.IN, ("pro",), None),
        (Role.ADMIN, Operator.IN, ("admin",), True),
        (Level.HIGH, Operator.GE, (3,), True),
        (datetime(2026, 11, 27, tzinfo=UTC), Operator.AFTER, ("2026-11-26T23:59:59Z",), True),
        (date(2026, 11, 27), Operator.AFTER, ("2026-11-26T23:59:59Z",), None),
        (date(2026, 11, 27), Operator.EQUALS, ("2026-11-27",), True),
        (Decimal("0.1"), Operator.EQUALS, (0.1,), True),
        (Decimal("7.0"), Operator.IN, (7,), True),
        (Decimal("0.1000000000000000000001"), Operator.EQUALS, (0.1,), False),
        (Decimal("0.25000000000000000000001"), Operator.GT, (0.25,), True),
        (Decimal("0.1000000000000000000001"), Operator.IN, ("x",), False),
        (Decimal("NaN"), Operator.IN, (1,), False),
        (Decimal("NaN"), Operator.LT, (1,), None),
        ({Role.ADMIN, "x"}, Operator.ANY_OF, ("admin",), True),
        ({Plan.PRO}, Operator.ANY_OF, ("pro",), True),
        ({Plan.PRO}, Operator.ANY_OF, ("free",), False),
        ([Plan.PRO, A_UUID], Operator.ALL_OF, ("pro", str(A_UUID)), True),
        ([Plan.PRO], Operator.ALL_OF, ("pro", "x"), False),
        ([b"raw", "x"], Operator.ANY_OF, ("x",), True),
        ([b"raw"], Operator.ANY_OF, ("x",), None),
        ([b"raw", "x"], Operator.ALL_OF, ("x", "y"), None),
        ([b"raw", "x"], Operator.ALL_OF, ("x",), True),
        ([Plan.PRO], Operator.EQUALS, (["pro"],), True),
        ({"pro"}, Operator.EQUALS, (["pro"],), True),
        (("a", "b"), Operator.EQUALS, (["a", "b"],), True),
        ({"plan": Plan.PRO}, Operator.EQUALS, ({"plan": "pro"},), True),
        (["a"], Operator.CONTAINS, ("a",), None),
    ],
)
def test_an_operator_sees_the_meaning(
    value: Any, operator: Operator, values: tuple[Any, ...], expected: bool | None
) -> None:
    """As if the context had held it in the first place, in a nested object too."""
    assert truth(value, operator, *values) is expected


@given(digits=st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9))
def test_a_decimal_compares_as_the_number_that_is_written_so(digits: Decimal) -> None:
    """A document's number with the same digits is equal to it."""
    same = float(str(digits))

    assert truth(digits, Operator.IN, same) is True
    assert truth(digits, Operator.LE, same) is True
    assert truth(digits, Operator.LT, same) is False


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (A_UUID, str(A_UUID)),
        (Plan.PRO, "pro"),
        (Level.HIGH, "3"),
        (Name("key"), "key"),
        (Decimal("7.0"), "7"),
        (Decimal("7.5"), None),
        (Decimal("0.1000000000000000000001"), None),
        (datetime(2026, 11, 27, tzinfo=UTC), "2026-11-27T00:00:00Z"),
        (Plan.NONE, None),
    ],
)
def test_a_unit_is_hashed_by_its_meaning(value: Any, unit: str | None) -> None:
    """Text and whole numbers are units, as if they had been given as such."""
    assert unit_of(value) == unit


@pytest.mark.parametrize("ramping", [False, True])
def test_a_strange_unit_is_told(ramping: bool) -> None:
    """A rollout's and a segment's; a missing one is not strange."""
    told: list[tuple[str, type]] = []
    flag = a_flag(rules=(a_rule(when=Condition(segment="s")),), rollout=a_rollout(1_000_000, bucket_by="org"))
    ramps = (an_overlay(),) if ramping else ()
    ruleset = Ruleset.of(a_snapshot(flag, ramps=ramps, segments=(Segment(key="s", unit="team"),)))
    ruleset.strange = lambda attribute, kind: told.append((attribute, kind))

    assert ruleset.evaluate("checkout", Context("u")).reason is Reason.DEFAULT
    assert told == []
    assert ruleset.evaluate("checkout", Context("u", org=b"o", team=Bag())).variant == "off"
    assert told == [("team", Bag), ("org", bytes)]


def told_of(when: Condition, attributes: dict[str, Any], **flag: Any) -> list[tuple[str, type]]:
    """Return what was told while a flag with this rule was evaluated."""
    told: list[tuple[str, type]] = []
    ruleset = Ruleset.of(a_snapshot(a_flag(rules=(a_rule(when=when),), **flag)))
    ruleset.strange = lambda attribute, kind: told.append((attribute, kind))
    ruleset.evaluate("checkout", Context.of("u", attributes))
    return told


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"user": Bag()}, [("user", Bag)]),
        ({"user": {"plan": Bag()}}, [("user.plan", Bag)]),
        ({"user": {"plan": {"name": Bag()}}}, [("user.plan.name", Bag)]),
        ({"user.plan.name": b"raw"}, [("user.plan.name", bytes)]),
        ({"user": {"plan": {"name": Plan.PRO}}}, []),
        ({"user": {"plan": "pro"}}, []),
        ({"user": A_UUID}, []),
        ({"user": {"plan": {}}}, []),
        ({}, []),
    ],
)
def test_what_a_path_cannot_look_into_is_told(attributes: dict[str, Any], told: list[tuple[str, type]]) -> None:
    """With the part of the path where it stands; what merely is not there is told of by nobody."""
    name = "user.plan.name"
    rollout = a_rollout(500_000, salt="s", bucket_by=name)

    assert told_of(a_clause(name, Operator.IN, "x"), attributes) == told
    assert told_of(Condition(any=()), attributes, rollout=rollout) == told


def test_what_a_list_holds_is_told_where_it_decides() -> None:
    """An item that means nothing is told of if the clause is unknown for it, and not if another item decided."""
    one_of, all_of = a_clause("tags", Operator.ANY_OF, "x"), a_clause("tags", Operator.ALL_OF, "x", "y")
    mixed = ["y", b"raw", Bag(), ("x",), Fraction(1, 3), None]

    assert told_of(one_of, {"tags": mixed}) == [("tags[]", bytes), ("tags[]", Bag)]
    assert told_of(all_of, {"tags": mixed}) == [("tags[]", bytes), ("tags[]", Bag)]
    assert told_of(one_of, {"tags": ["x", *mixed]}) == []
    assert told_of(a_clause("tags", Operator.GE, 1), {"tags": [1, 2]}) == []


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (A_UUID, str(A_UUID)),
        (Plan.PRO, "pro"),
        (Role.ADMIN, "admin"),
        (datetime(2026, 11, 27, 1, tzinfo=MADRID), "2026-11-27T00:00:00Z"),
        (date(2026, 11, 27), "2026-11-27"),
        (Decimal("0.1"), 0.1),
        (Decimal("7.00"), 7),
        (Level.HIGH, 3),
    ],
)
@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_items_of_lists_mean_what_they_mean_alone(item: Any, text: Any, kind: type) -> None:
    """In every kind of list, below dotted paths too, for each operator on lists, and among whole values."""
    for attributes, name in (({"a": kind([item])}, "a"), ({"user": {"a": kind([item])}}, "user.a")):
        for when in (
            a_clause(name, Operator.ANY_OF, "other", text),
            a_clause(name, Operator.ALL_OF, text),
            a_clause(name, Operator.IN, [text]),
        ):
            ruleset = Ruleset.of(a_snapshot(a_flag(rules=(a_rule(when=when),))))
            assert ruleset.evaluate("checkout", Context.of("u", attributes)).variant == "on", (name, when)


def test_later_rulesets_tell_the_same_listener() -> None:
    """Who listens to a ruleset listens to those made from it."""
    told: list[str] = []
    ruleset = Ruleset.of(a_snapshot(a_flag(rules=(a_rule(),))))
    Ruleset.of(ruleset.snapshot).evaluate("checkout", Context("u", plan=b"pro"))
    ruleset.strange = lambda attribute, kind: told.append(attribute)

    later = ruleset.with_patch(a_patch(ruleset.snapshot)).with_kills(())
    later.evaluate("checkout", Context("u", plan=b"pro"))

    assert told == ["plan"]


def test_a_list_that_holds_itself_is_only_a_list() -> None:
    """Inner lists are not looked into."""
    ring: list[Any] = ["a"]
    ring.append(ring)

    assert truth(ring, Operator.CONTAINS, "a") is None
    assert truth(ring, Operator.ANY_OF, "a") is True
    assert truth(ring, Operator.EQUALS, ["a", "b"]) is False


def test_what_is_strange_is_said_in_words() -> None:
    """The end of a sentence for a log."""
    assert why_strange(datetime) == "a datetime without a timezone"
    assert why_strange(Decimal) == "a Decimal of too many digits"
    assert why_strange(bytes) == "of type bytes, which means nothing to a flag"
