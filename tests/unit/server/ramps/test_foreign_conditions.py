"""Conditions of AnalysisTemplates: what they are true of, and the range of values that they are."""

import math

import pytest

from rheostat_server.ramps.counting import Bounds
from rheostat_server.ramps.foreign.conditions import ConditionError, bounds_of, condition_of, holds

NAN = math.nan
TRUE_OF: list[tuple[str, list[float], bool | None]] = [
    ("result[0] >= 0.95", [0.95], True),
    ("result[0] >= 0.95", [0.94], False),
    ("result[0] >= 0.95", [], None),
    ("result[0] >= 0.95", [NAN], False),
    ("result[1] < 5", [9, 4], True),
    ("result >= 0.95", [0.99], None),
    ("0.5 <= result[0]", [0.4], False),
    ("-1 < result[0]", [-0.5], True),
    ("result[0] == 1.5e1", [15], True),
    ("result[0] != .5", [0.5], False),
    ("result[0] > 1 && result[0] <= 2", [2], True),
    ("result[0] > 1 and result[0] <= 2", [2.1], False),
    ("result[0] > 1 && result[0] <= 2", [1], False),
    ("result[0] < 1 || result[0] > 2", [3], True),
    ("result[0] < 1 or result[0] > 2", [1.5], False),
    ("len(result) == 0 || result[0] < 5", [], True),
    ("result[0] < 5 || len(result) == 0", [], None),
    ("isNaN(result[0]) || result[0] > 5", [NAN], True),
    ("isInf(result[0])", [math.inf], True),
    ("isNaN(result[0])", [], None),
    ("!(asFloat(result[0]) > 5)", [5], True),
    ("not isNaN(float(result[0]))", [], None),
]


@pytest.mark.parametrize(("text", "result", "expected"), TRUE_OF)
def test_conditions_are_asked_of_results(text: str, result: list[float], expected: bool | None) -> None:
    """From left to right, and no further than needed; ``None`` is an error, as an empty list's first is."""
    assert holds(condition_of(text), result) is expected


def test_a_scalar_is_no_list() -> None:
    """``result`` alone is a number only where a number was returned."""
    assert holds(condition_of("result > 1"), [2], scalar=True) is True
    assert holds(condition_of("result[0] > 1"), [2], scalar=True) is None
    assert holds(condition_of("len(result) > 0"), [2], scalar=True) is None


RANGES: list[tuple[str, bool, Bounds | None]] = [
    ("result[0] >= 0.95", False, Bounds(least=0.95)),
    ("result[0] > 0.95", True, Bounds(most=0.95)),
    ("result[0] < 5 && result[0] >= 1 && result[0] < 4 && result[0] > 0", False, Bounds(least=1, most=4)),
    ("result[0] < 1 || result[0] > 5", True, Bounds(least=1, most=5)),
    ("result[0] < 1 || result[0] > 5", False, None),
    ("result[0] > 1 && result[0] < 5", True, None),
    ("isNaN(result[0]) || result[0] < 5", False, Bounds(most=5)),
    ("len(result) > 0 && !isNaN(result[0]) && result[0] > 5", True, Bounds(most=5)),
    ("!(result[0] > 5)", False, Bounds(most=5)),
    ("result[0] == 5", False, None),
    ("result[0] > 1 && result[0] == 5", False, None),
    ("isNaN(result[0])", False, None),
    ("!isNaN(result[0]) && len(result) > 0", False, Bounds()),
    ("(result[0] > 1 && result[0] > 2) && result[0] < 9", False, Bounds(least=2, most=9)),
]


@pytest.mark.parametrize(("text", "negate", "expected"), RANGES)
def test_ranges_of_conditions(text: str, negate: bool, expected: Bounds | None) -> None:
    """One range, or none; what is asked of no value is passed over."""
    assert bounds_of(condition_of(text), negate=negate) == expected


FAULTY = [
    ("result[0] >= 0.95 result", "one too many"),
    ("result[0] >=", "a value is missing"),
    ("(result[0] > 1", ") is missing"),
    ("isNaN result", "( is missing before 'result'"),
    ("result[0] + 1", "not understood"),
    ("result[0] && 1", "compares nothing"),
    ("1 < 2", "compared with a number"),
    ("result[0] < result[1]", "compared with a number"),
    ("result[x] < 1", "no place in a list"),
    ("result[10000] < 1", "no place in a list"),
    ("value < 1", "'value' is not known here"),
    ("-result[0] < 1", "not before a number"),
    ("all(result, {# > 1})", "not understood"),
    ("!" * 50 + "result[0] > 1", "too deeply"),
    ("x" * 1001, "at most 1000"),
    ("", "a value is missing"),
]


@pytest.mark.parametrize(("text", "part"), FAULTY)
def test_other_expressions_are_refused(text: str, part: str) -> None:
    """Each with what is wrong, and a form that is read."""
    with pytest.raises(ConditionError) as caught:
        condition_of(text)

    assert part in str(caught.value)
    assert "result[0] >= 0.95" in caught.value.hint
