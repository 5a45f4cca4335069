"""Clauses on versions, judged within whole conditions."""

import enum

import pytest

from rheostat.engine.conditions import compile_condition
from rheostat.engine.operators import compile_test
from rheostat.model.context import Context
from rheostat.model.flag import Operator
from tests.builders import a_clause
from tests.unit.sdk.engine.test_conditions import Held

OPERATORS = [operator for operator in Operator if operator.name.startswith("SEMVER")]


class Release(enum.StrEnum):
    NEXT = "5.0.0"


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("value", ["4.9.9", "5.0.0", "5.0.0-rc.1", "5.0.1+build", "5.0", "", "5.0.0-" + "a" * 260, 5])
def test_a_clause_on_a_version_says_what_its_operator_says(operator: Operator, value: object) -> None:
    """A clause and its operator's own test agree on versions, on text that is none, and on other types."""
    clause = compile_condition(a_clause("version", operator, "5.0.0"))
    assert clause(Context(version=value), Held()) is compile_test(operator, ("5.0.0",))(value)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_version_that_is_missing_or_no_version_is_unknown(operator: Operator) -> None:
    """A clause is unknown without the attribute, and so is one that itself names no version."""
    assert compile_condition(a_clause("version", operator, "5.0.0"))(Context(), Held()) is None
    assert compile_condition(a_clause("version", operator, "five"))(Context(version="5.0.0"), Held()) is None
    assert compile_condition(a_clause("version", operator, "1.0.0", "2.0.0"))(Context(version="1.0.0"), Held()) is None


def test_a_version_of_another_type_is_converted() -> None:
    """An enumeration's member compares as the text that it stands for."""
    clause = compile_condition(a_clause("version", Operator.SEMVER_GE, "5.0.0"))
    assert clause(Context(version=Release.NEXT), Held()) is True
