"""What each operator says: true, false or unknown."""

from typing import Any

import pytest
from hypothesis import given

from rheostat.engine.conditions import compile_condition
from rheostat.engine.equality import strictly_equal
from rheostat.engine.networks import is_block, network
from rheostat.engine.operators import compile_test
from rheostat.engine.semver import version_key
from rheostat.model.context import Context
from rheostat.model.flag import Operator
from rheostat.model.moment import moment_ns
from tests.builders import a_clause
from tests.strategies import json_values

NAN = float("nan")
GIVEN: list[tuple[Operator, Any, tuple[Any, ...], bool | None]] = [
    (Operator.IN, "a", ("a", "b"), True),
    (Operator.IN, "c", ("a", "b"), False),
    (Operator.IN, 1, ("1",), False),
    (Operator.IN, "1", (1,), False),
    (Operator.IN, 1, (True,), False),
    (Operator.IN, True, (1,), False),
    (Operator.IN, True, (True,), True),
    (Operator.IN, 1, (1.0,), True),
    (Operator.IN, 1.0, (1,), True),
    (Operator.IN, ["a"], ("a",), False),
    (Operator.IN, ["a"], (["a"],), True),
    (Operator.IN, {"a": 1}, ({"a": 1.0},), True),
    (Operator.IN, {"a": 1}, ({"a": True},), False),
    (Operator.NOT_IN, "a", ("a",), False),
    (Operator.NOT_IN, 1, ("1",), True),
    (Operator.EQUALS, "a", ("a",), True),
    (Operator.EQUALS, False, (0,), False),
    (Operator.EQUALS, "a", (), False),
    (Operator.CONTAINS, "checkout", ("x", "eck"), True),
    (Operator.CONTAINS, "checkout", ("x",), False),
    (Operator.CONTAINS, 7, ("7",), None),
    (Operator.STARTS_WITH, "checkout", ("check",), True),
    (Operator.STARTS_WITH, "checkout", ("out",), False),
    (Operator.ENDS_WITH, "a@example.com", ("@x.com", "@example.com"), True),
    (Operator.ENDS_WITH, ["a"], ("a",), None),
    (Operator.EXISTS, False, (), True),
    (Operator.LT, 1, (2,), True),
    (Operator.LT, 2, (2,), False),
    (Operator.LE, 2.0, (2,), True),
    (Operator.GT, 3, (2,), True),
    (Operator.GE, 1, (2,), False),
    (Operator.LT, "1", (2,), None),
    (Operator.LT, True, (2,), None),
    (Operator.LT, NAN, (2,), None),
    (Operator.LT, 1, ("2",), None),
    (Operator.LT, 1, (2, 3), None),
    (Operator.BEFORE, "2026-11-27T00:00:00Z", ("2026-11-27T00:00:00.001Z",), True),
    (Operator.BEFORE, "2026-11-27T01:00:00+01:00", ("2026-11-27T00:00:00Z",), False),
    (Operator.AFTER, "2026-11-27T00:00:00-01:00", ("2026-11-27T00:30:00Z",), True),
    (Operator.AFTER, "2026-11-27", ("2026-11-26T00:00:00Z",), None),
    (Operator.AFTER, 1_795_737_600, ("2026-11-26T00:00:00Z",), None),
    (Operator.SEMVER_EQ, "1.2.3+build", ("1.2.3",), True),
    (Operator.SEMVER_LT, "1.2.3-rc.1", ("1.2.3",), True),
    (Operator.SEMVER_LE, "1.2.3", ("1.2.3",), True),
    (Operator.SEMVER_GT, "1.10.0", ("1.9.0",), True),
    (Operator.SEMVER_GE, "1.0.0-alpha", ("1.0.0-alpha.1",), False),
    (Operator.SEMVER_GE, "1.2", ("1.2.0",), None),
    (Operator.SEMVER_GE, 1.2, ("1.2.0",), None),
    (Operator.IN_CIDR, "10.1.2.3", ("192.168.0.0/16", "10.0.0.0/8"), True),
    (Operator.IN_CIDR, "11.1.2.3", ("10.0.0.0/8",), False),
    (Operator.IN_CIDR, "::ffff:10.1.2.3", ("10.0.0.0/8",), True),
    (Operator.IN_CIDR, "2001:db8::1", ("2001:db8::/32",), True),
    (Operator.IN_CIDR, "2001:db8::1", ("10.0.0.0/8",), False),
    (Operator.IN_CIDR, "10.1.2.3", ("10.1.2.3",), True),
    (Operator.IN_CIDR, "ten", ("10.0.0.0/8",), None),
    (Operator.IN_CIDR, 167_838_211, ("10.0.0.0/8",), None),
    (Operator.IN_CIDR, "10.1.2.3", ("nonsense", 7), None),
    (Operator.ANY_OF, ["a", "z"], ("a", "b"), True),
    (Operator.ANY_OF, ["z"], ("a", "b"), False),
    (Operator.ANY_OF, "a", ("a",), None),
    (Operator.ANY_OF, [1], (True,), False),
    (Operator.ALL_OF, ["a", "b", "z"], ("a", "b"), True),
    (Operator.ALL_OF, ("a",), ("a", "b"), False),
    (Operator.ALL_OF, "ab", ("a",), None),
]


@pytest.mark.parametrize(("operator", "value", "values", "truth"), GIVEN)
def test_an_operator_is_strict(operator: Operator, value: Any, values: tuple[Any, ...], truth: bool | None) -> None:
    """Nothing is converted: another type is false for equality and unknown for everything else."""
    assert compile_test(operator, values)(value) is truth


@given(value=json_values, other=json_values)
def test_not_in_is_the_opposite_of_in(value: Any, other: Any) -> None:
    """``not_in`` says what ``not: in`` says, of any values."""
    values = (other, "pro")

    assert compile_test(Operator.NOT_IN, values)(value) is not compile_test(Operator.IN, values)(value)


@given(value=json_values, other=json_values)
def test_membership_is_strict_equality(value: Any, other: Any) -> None:
    """The hashed membership agrees with item-by-item comparison (NaN equals nothing)."""
    if value is not other:
        assert compile_test(Operator.IN, (other,))(value) is strictly_equal(value, other)


@pytest.mark.parametrize("operator", list(Operator))
def test_a_missing_attribute_is_unknown(operator: Operator) -> None:
    """No operator but ``exists`` is true or false of an attribute that is missing or null."""
    condition = compile_condition(a_clause("plan", operator, "pro"))
    nothing: Any = None

    for context in (Context("u"), Context("u", plan=None)):
        assert condition(context, nothing) is (False if operator is Operator.EXISTS else None)


def test_versions_are_ordered_as_the_standard_orders_them() -> None:
    """The example of semver.org, clause 11."""
    ordered = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"]
    ordered += ["1.0.0-rc.1", "1.0.0", "2.0.0", "2.1.0", "2.1.1"]
    keys = [version_key(text) for text in ordered]

    assert None not in keys
    assert keys == sorted(keys, key=lambda key: key or (0, 0, 0, ()))
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "01.2.3", "1.2.3-", "1.2.3-01", "v1.2.3", "1.2.3\n", "١.2.3", "1.2." + "3" * 300]
)
def test_what_is_not_a_version_has_no_key(text: str) -> None:
    """Only the standard's form is a version."""
    assert version_key(text) is None


def test_zero_is_a_prerelease_identifier() -> None:
    """A numeric identifier may be 0, but not begin with it."""
    assert version_key("1.0.0-0") is not None
    assert version_key("1.0.0-0a") is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01.5z", 1_500_000_000),
        ("1970-01-01T00:00:00.0000000019Z", 1),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T19:00:00-05:00", 0),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000),
        ("2026-02-29T00:00:00Z", None),
        ("2026-01-01T24:00:00Z", None),
        ("2026-01-01T00:60:00Z", None),
        ("2026-01-01T00:00:61Z", None),
        ("2026-01-01T00:00:00+24:00", None),
        ("2026-01-01T00:00:00+00:60", None),
        ("2026-01-01T00:00:00", None),
        ("2026-01-01 00:00:00Z", None),
        ("2026-01-01T00:00:00Z\n", None),
        (None, None),
    ],
)
def test_a_moment_is_read_as_rfc_3339_writes_it(text: str | None, expected: int | None) -> None:
    """A date and time with an offset; anything else is none."""
    assert moment_ns(text) == expected


def test_a_block_has_no_bits_beyond_its_prefix() -> None:
    """An evaluation forgives what a document may not say."""
    assert is_block("10.0.0.0/8")
    assert not is_block("10.0.0.1/8")
    assert not is_block(10)
    assert network("10.0.0.1/8") == network("10.0.0.0/8")


def test_other_kinds_equal_nothing() -> None:
    """Equality knows JSON's kinds; null equals null."""
    assert strictly_equal(None, None)
    assert not strictly_equal(None, "a")
    assert not strictly_equal(object(), "a")
    assert not strictly_equal([1], [1, 2])
    assert not strictly_equal({"a": 1}, {"b": 1})
    assert strictly_equal({"a": [1, None]}, {"a": (1.0, None)})
