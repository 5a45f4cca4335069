"""Which flags have done their work: the rules."""

from typing import Any

from rheostat.engine.evaluate import Ruleset
from rheostat.model.flag import Answer, Flag, Operator
from rheostat.model.kill import KillScope
from rheostat_server.flags.staleness import given, is_settled, settled_since, stale_reasons
from tests.builders import a_clause, a_flag, a_kill, a_prerequisite, a_rollout, a_rule, a_snapshot, an_overlay

DAY_MS = 86_400_000
ON, OFF = frozenset(["on"]), frozenset(["off"])


def found(flag: Flag, **over: Any) -> frozenset[str | None]:
    return given(Ruleset.of(a_snapshot(flag, **over)), "checkout")


def test_what_users_can_get_is_every_variant_of_every_way() -> None:
    """Targets, failed prerequisites, rules and the default each give theirs; a rollout at its ends gives one."""
    assert found(a_flag(rollout=a_rollout(0))) == OFF
    assert found(a_flag(rollout=a_rollout(1_000_000))) == ON
    assert found(a_flag(rollout=a_rollout(500_000))) == ON | OFF
    assert found(a_flag(enabled=False, default=Answer(serve="on"))) == OFF
    assert found(a_flag(targets={"on": ("u",)})) == ON | OFF
    assert found(a_flag(default=Answer(serve="on"), prerequisites=(a_prerequisite("other"),))) == ON | OFF
    rule = a_rule("max", a_clause("plan", Operator.IN, "max"), Answer(serve="on"))
    assert found(a_flag(rules=(rule,))) == ON | OFF
    assert found(a_flag(default=Answer(serve="on"), rules=(rule,))) == ON
    assert given(Ruleset.of(a_snapshot()), "never") == frozenset([None])


def test_what_is_in_force_counts() -> None:
    """A ramp's exposure and a kill stand over the document's."""
    assert found(a_flag(rollout=a_rollout(0)), ramps=(an_overlay(1_000_000),)) == ON
    assert found(a_flag(rollout=a_rollout(1_000_000)), ramps=(an_overlay(1_000_000, holdback_ppm=10_000),)) == ON | OFF
    assert found(a_flag(rollout=a_rollout(1_000_000)), kills=(a_kill(scope=KillScope.FLAG),)) == OFF


def test_a_flag_is_settled_where_each_environment_gives_one_variant() -> None:
    """Environments may differ; within one, everybody gets the same."""
    assert is_settled([ON, OFF])
    assert not is_settled([ON, ON | OFF])


def test_settled_since_is_the_oldest_version_in_a_row() -> None:
    """Versions that give the same count, back to the first that does not."""
    assert settled_since([ON], [(30, [ON]), (20, [ON]), (10, [OFF]), (5, [ON])]) == 20
    assert settled_since([ON], [(30, [OFF])]) is None


def test_the_bounds_are_30_and_7_days() -> None:
    """One millisecond earlier nothing is stale; a flag seen lately is not unseen however old it is."""

    def kinds(now_ms: int, settled: int | None, seen: int | None) -> list[str]:
        reasons = stale_reasons(now_ms=now_ms, created_at_ms=0, settled_since_ms=settled, seen_at_ms=seen)
        return [reason.kind for reason in reasons]

    assert kinds(30 * DAY_MS, 0, 30 * DAY_MS) == ["settled"]
    assert kinds(30 * DAY_MS - 1, 0, 30 * DAY_MS - 1) == []
    assert kinds(7 * DAY_MS, None, None) == ["unseen"]
    assert kinds(7 * DAY_MS - 1, None, None) == []
    assert kinds(40 * DAY_MS, 0, 33 * DAY_MS) == ["settled", "unseen"]
