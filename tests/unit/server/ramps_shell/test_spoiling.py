"""Which edits spoil the evidence of a running ramp, and which do not."""

from typing import Any

import pytest

from rheostat.model.flag import Answer, Flag, Operator
from rheostat_server.ramps.spoiling import spoiled_by
from tests.builders import a_clause, a_flag, a_prerequisite, a_rollout, a_rule


def a_ramping_flag(rollout: dict[str, Any] | None = None, **changes: Any) -> Flag:
    """Return a flag with two rules and a rollout in the second and in the default."""
    rules = (
        a_rule("staff"),
        a_rule("sale", a_clause("country", Operator.IN, "ES"), Answer(rollout=a_rollout(10_000))),
        a_rule("late"),
    )
    fields: dict[str, Any] = {"rules": rules, "rollout": a_rollout(**(rollout or {})), **changes}
    return a_flag(**fields)


@pytest.mark.parametrize(
    ("rollout", "word"),
    [
        ({"salt": "fresh"}, "salt"),
        ({"split": {"on": 1.0, "off": 1.0}}, "split"),
        ({"bucket_by": "company"}, "bucket_by"),
        ({"fallback": None}, "fallback"),
        ({"low": 10}, "range"),
    ],
)
def test_the_rollout_itself_stands_still(rollout: dict[str, Any], word: str) -> None:
    """Who is bucketed how, and what either side gets, may not change under the ramp."""
    assert spoiled_by(a_ramping_flag(), a_ramping_flag(rollout), "default") == (word,)


def test_what_is_asked_before_the_rollout_stands_still() -> None:
    """Prerequisites, targets and earlier rules decide who meets the rollout."""
    after = a_ramping_flag(
        prerequisites=(a_prerequisite("payments"),), targets={"on": ("user-1",)}, rules=(a_rule("staff"),)
    )

    assert spoiled_by(a_ramping_flag(), after, "default") == ("prerequisites", "targets", "earlier rules")


def test_a_rules_own_condition_stands_still() -> None:
    """The condition of the rule that ramps decides who meets its rollout."""
    rule = a_rule("sale", a_clause("country", Operator.IN, "FR"), Answer(rollout=a_rollout(10_000)))
    after = a_ramping_flag(rules=(a_rule("staff"), rule, a_rule("late")))

    assert spoiled_by(a_ramping_flag(), after, "sale") == ("the rule's condition",)


def test_later_rules_and_everything_beside_are_free() -> None:
    """What is asked after the rollout, and the exposure, which has its own rule, spoil nothing."""
    before = a_ramping_flag()
    later = a_ramping_flag({"exposure_ppm": 50_000}, rules=before.rules[:2], metadata={"team": "x"})

    assert spoiled_by(before, later, "sale") == ()


def test_one_is_not_true() -> None:
    """A target or condition that changes from 1 to true is an edit."""
    before = a_ramping_flag(rules=(a_rule("staff", a_clause("level", Operator.IN, 1)),))
    after = a_ramping_flag(rules=(a_rule("staff", a_clause("level", Operator.IN, True)),))

    assert spoiled_by(before, after, "default") == ("earlier rules",)
