"""Rollouts under ramps and kills: exposure in force, arms, and what a kill yields."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.engine import Ruleset
from rheostat.engine.hashing import arm_of, place
from rheostat.model.context import Context
from rheostat.model.evaluation import CODE_DEFAULT, Arm, Evaluation, Reason
from rheostat.model.flag import Answer, Flag, FlagType, Segment
from rheostat.model.kill import KillScope
from tests.builders import a_flag, a_kill, a_patch, a_prerequisite, a_rollout, a_rule, a_snapshot, an_overlay
from tests.strategies import any_units, conditions, contexts, shares, weights

UNITS = [f"user-{number}" for number in range(400)]
ALL = 1_000_000


def evaluate(unit: str, flag: Flag, **snapshot: Any) -> Evaluation:
    return Ruleset.of(a_snapshot(flag, **snapshot)).evaluate(flag.key, Context(unit, plan="pro"))


def test_the_ramps_exposure_is_in_force_over_the_documents() -> None:
    """Live or promoted, the overlay's exposure decides."""
    for live in (True, False):
        flag, overlay = a_flag(rollout=a_rollout(0)), an_overlay(ALL, live=live)
        assert {evaluate(unit, flag, ramps=(overlay,)).variant for unit in UNITS} == {"on"}


def test_only_a_live_ramp_gives_arms() -> None:
    """A promoted ramp's exposure and holdback stand, without arm, unit and place."""
    overlay = an_overlay(ALL, holdback_ppm=200_000, live=False)
    ruleset = Ruleset.of(a_snapshot(a_flag(rollout=a_rollout()), ramps=(overlay,)))

    found = [ruleset.evaluate("checkout", Context(unit)) for unit in UNITS]

    assert {evaluation.variant for evaluation in found} == {"on", "off"}
    assert {(one.arm, one.unit, one.place, one.ramp) for one in found} == {(None, None, None, None)}
    assert ruleset.overlays == {}


def test_a_live_ramp_says_who_was_hashed_and_where() -> None:
    """Arm, unit, place and overlay come with the evaluation."""
    overlay, rollout = an_overlay(500_000, holdback_ppm=100_000), a_rollout()
    ruleset = Ruleset.of(a_snapshot(a_flag(rollout=rollout), ramps=(overlay,)))

    found = {unit: ruleset.evaluate("checkout", Context(unit)) for unit in UNITS}

    for unit, evaluation in found.items():
        assert evaluation.unit == unit
        assert evaluation.place == place("checkout", unit)
        assert evaluation.ramp is overlay
        assert evaluation.arm is arm_of(overlay, rollout, evaluation.place)
        assert evaluation.variant == ("on" if evaluation.arm is Arm.TREATMENT else "off")
        assert evaluation.reason is Reason.SPLIT
    assert {evaluation.arm for evaluation in found.values()} == set(Arm)
    assert ruleset.overlays == {"checkout": (overlay,)}


def test_arming_draws_the_arms_and_exposes_nobody() -> None:
    """While arming, treatment is who the first step will expose; all get the fallback."""
    flag, overlay = a_flag(rollout=a_rollout()), an_overlay(0, arming_ppm=500_000)

    found = [evaluate(unit, flag, ramps=(overlay,)) for unit in UNITS]

    assert {evaluation.variant for evaluation in found} == {"off"}
    assert {evaluation.arm for evaluation in found} == {Arm.TREATMENT, Arm.CONTROL}


def test_the_holdback_is_taken_first() -> None:
    """At 100 % the held back still get the fallback."""
    overlay = an_overlay(ALL, holdback_ppm=300_000)
    found = [evaluate(unit, a_flag(rollout=a_rollout()), ramps=(overlay,)) for unit in UNITS]

    assert {(evaluation.arm, evaluation.variant) for evaluation in found} == {
        (Arm.TREATMENT, "on"),
        (Arm.HOLDBACK, "off"),
    }


def test_outside_its_range_a_rollout_gives_no_arm() -> None:
    """A unit that the rollout's range does not hold gets the fallback and belongs to no arm."""
    rollout = a_rollout(low=0, high=500_000)

    for unit in UNITS[:50]:
        found = evaluate(unit, a_flag(rollout=rollout), ramps=(an_overlay(ALL),))
        inside = place("checkout", unit) < 500_000
        assert (found.arm is not None, found.variant) == (inside, "on" if inside else "off")


def test_who_is_decided_earlier_has_no_arm() -> None:
    """Targets and other rules stand before the ramping rollout, and take their units out of it."""
    flag = a_flag(rollout=a_rollout(), targets={"on": ("user-1",)}, rules=(a_rule("pros"),))
    ruleset = Ruleset.of(a_snapshot(flag, ramps=(an_overlay(ALL),)))

    assert ruleset.evaluate("checkout", Context("user-1")).arm is None
    assert ruleset.evaluate("checkout", Context("user-2", plan="pro")).arm is None
    assert ruleset.evaluate("checkout", Context("user-2")).arm is Arm.TREATMENT


def test_a_ramp_turns_the_rollout_it_names() -> None:
    """A ramp on a rule's rollout leaves the default's alone, and gives arms to that rule's units."""
    rule = a_rule("pros", answer=Answer(rollout=a_rollout()))
    flag = a_flag(rollout=a_rollout(), rules=(rule,))
    ruleset = Ruleset.of(a_snapshot(flag, ramps=(an_overlay(ALL, rollout="pros"),)))

    pro, free = (ruleset.evaluate("checkout", Context("u", plan=plan)) for plan in ("pro", "free"))

    assert (pro.variant, pro.arm, pro.rule) == ("on", Arm.TREATMENT, "pros")
    assert (free.variant, free.arm) == ("off", None)


def test_a_ramp_needs_its_unit() -> None:
    """Without a targeting key a ramping rollout gives the code's default and no arm."""
    found = Ruleset.of(a_snapshot(a_flag(rollout=a_rollout()), ramps=(an_overlay(),))).evaluate("checkout", Context())

    assert (found.value, found.arm) == (CODE_DEFAULT, None)


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_overlays_the_live_one_stands(order: int) -> None:
    """A ramp on a rollout that an earlier one had promoted is the one in force."""
    overlays = (an_overlay(ALL, ramp="old", live=False), an_overlay(0, ramp="new"))[::order]

    assert evaluate("u", a_flag(rollout=a_rollout()), ramps=overlays).ramp == an_overlay(0, ramp="new")


def test_a_rollout_kill_wins_over_the_ramp() -> None:
    """Exposure is 0 whatever the overlay says, and nobody has an arm; targets and other rules stand."""
    rules = (a_rule("pros"),)
    flag = a_flag(rollout=a_rollout(ALL), targets={"on": ("user-1",)}, rules=rules)
    ruleset = Ruleset.of(a_snapshot(flag, ramps=(an_overlay(ALL),), kills=(a_kill(),)))

    found = [ruleset.evaluate("checkout", Context(unit)) for unit in UNITS[2:]]

    assert {(one.variant, one.reason, one.arm) for one in found} == {("off", Reason.SPLIT, None)}
    assert ruleset.evaluate("checkout", Context("user-1")).variant == "on"
    assert ruleset.evaluate("checkout", Context("user-2", plan="pro")).variant == "on"
    assert ruleset.overlays == {}


def test_a_kill_names_its_rollout() -> None:
    """A kill of a rule's rollout leaves the default's ramp going."""
    flag = a_flag(rollout=a_rollout(), rules=(a_rule("pros", answer=Answer(rollout=a_rollout(ALL))),))
    ruleset = Ruleset.of(a_snapshot(flag, ramps=(an_overlay(ALL),), kills=(a_kill(rollout="pros"),)))

    assert ruleset.evaluate("checkout", Context("u", plan="pro")).variant == "off"
    assert ruleset.evaluate("checkout", Context("u")).arm is Arm.TREATMENT
    assert len(ruleset.overlays["checkout"]) == 1


def test_a_flag_kill_ends_all_ramps_of_the_flag() -> None:
    """No live overlay remains to attribute outcomes to."""
    snapshot = a_snapshot(a_flag(rollout=a_rollout()), ramps=(an_overlay(),), kills=(a_kill(scope=KillScope.FLAG),))

    assert Ruleset.of(snapshot).overlays == {}


def test_kills_beside_the_snapshot_stand_until_it_names_them() -> None:
    """An extra kill is in force; a snapshot that calls it revived ends it."""
    flag = a_flag(rollout=a_rollout(ALL))
    before = Ruleset.of(a_snapshot(flag), [a_kill()])
    committed = before.with_patch(a_patch(before.snapshot, kills=(a_kill(),)))
    revived = committed.with_patch(a_patch(committed.snapshot, kills=(a_kill(revived=True),)))

    variants = [ruleset.evaluate("checkout", Context("u")).variant for ruleset in (before, committed, revived)]
    assert variants == ["off", "off", "on"]
    assert [len(ruleset.extra_kills) for ruleset in (before, committed, revived)] == [1, 0, 0]


def test_kills_of_another_environment_are_left_out() -> None:
    """A holder of several environments' kills cannot mix them up."""
    kills = [a_kill(environment="staging"), a_kill(project="other")]

    assert Ruleset.of(a_snapshot(a_flag(rollout=a_rollout(ALL))), kills).extra_kills == ()


def test_an_extra_kill_can_be_added_and_dropped() -> None:
    """``with_kills`` puts its kills in place of the former ones."""
    ruleset = Ruleset.of(a_snapshot(a_flag(rollout=a_rollout(ALL)), a_flag("other")))
    killed = ruleset.with_kills([a_kill()])

    assert killed.evaluate("checkout", Context("u")).variant == "off"
    assert killed.with_kills([]).evaluate("checkout", Context("u")).variant == "on"
    assert killed.programs["other"] is ruleset.programs["other"]


@given(unit=any_units, one=shares, other=shares, weight=weights)
def test_nobody_changes_variant_while_a_ramp_moves(unit: str, one: int, other: int, weight: float) -> None:
    """Raising exposure removes nobody and moves nobody between variants; down and up is as before."""
    variants = {"off": 0, "a": 1, "b": 2}
    rollout = a_rollout(split={"a": 1.0, "b": weight})
    flag = a_flag(type=FlagType.INTEGER, variants=variants, rollout=rollout)
    low, high = sorted((one, other))

    at_low, at_high = (evaluate(unit, flag, ramps=(an_overlay(ppm),)) for ppm in (low, high))
    plain = evaluate(
        unit, a_flag(type=FlagType.INTEGER, variants=variants, rollout=a_rollout(high, split=rollout.split))
    )

    assert at_low.variant in {at_high.variant, "off"}
    assert plain.variant == at_high.variant


@given(unit=any_units, before=shares, after=shares)
def test_an_exposure_changes_no_other_flag(unit: str, before: int, after: int) -> None:
    """Changing one flag's exposure changes nobody's answer in another."""
    other = a_flag("other", rollout=a_rollout(500_000, salt="other"))
    ruleset = Ruleset.of(a_snapshot(a_flag(rollout=a_rollout(before)), other))
    changed = ruleset.with_patch(a_patch(ruleset.snapshot, flags=(a_flag(rollout=a_rollout(after)),)))

    assert ruleset.evaluate("other", Context(unit)) == changed.evaluate("other", Context(unit))


@given(
    context=contexts,
    exposure=shares,
    ramping=st.booleans(),
    scope=st.sampled_from(KillScope),
    fallback=st.sampled_from(["a", None]),
    off=st.sampled_from(["off", None]),
    by=st.sampled_from(["targetingKey", "plan"]),
)
def test_no_kill_yields_another_variant(
    context: Context, exposure: int, ramping: bool, scope: KillScope, fallback: str | None, off: str | None, by: str
) -> None:
    """A kill gives the fallback, the off variant or the code's default, and no arm."""
    rollout = a_rollout(exposure, split={"b": 1.0, "c": 2.0}, fallback=fallback, bucket_by=by)
    variants = {"off": 0, "a": 1, "b": 2, "c": 3}
    flag = a_flag(type=FlagType.INTEGER, variants=variants, off_variant=off, rollout=rollout)
    snapshot = a_snapshot(flag, ramps=(an_overlay(exposure, holdback_ppm=10_000),) if ramping else ())

    found = Ruleset.of(snapshot, [a_kill(scope=scope)]).evaluate("checkout", context)

    assert found.variant in ({off, None} if scope is KillScope.FLAG else {fallback or off, None})
    assert found.arm is None


@given(context=contexts, condition=conditions, exposure=shares, ramping=st.booleans(), age_ms=st.none() | st.just(2))
def test_an_evaluation_never_raises(
    context: Context, condition: Any, exposure: int, ramping: bool, age_ms: int | None
) -> None:
    """Whatever the context holds, there is an answer: a value of the flag's own, or the code's default."""
    rollout = a_rollout(exposure, split={"on": 1.0, "off": 1.0}, bucket_by="user.plan")
    flag = a_flag(
        rollout=rollout,
        rules=(a_rule("a", when=condition), a_rule("b", when=condition, answer=Answer(rollout=rollout))),
        prerequisites=(a_prerequisite("other", "on", "off"),),
        max_staleness_ms=1,
    )
    segments = (
        Segment(key="beta", unit="user", conditions=(condition,)),
        Segment(key="round", conditions=(condition,)),
    )
    other = a_flag("other", rollout=a_rollout(exposure, bucket_by="age"))
    ruleset = Ruleset.of(a_snapshot(flag, other, segments=segments, ramps=(an_overlay(),) if ramping else ()))

    for found in ruleset.bulk(context, age_ms=age_ms).values():
        assert found.variant is None if found.value is CODE_DEFAULT else found.variant in {"on", "off"}
        assert found.error_code is None or found.reason is Reason.ERROR
        assert (found.arm is None) == (found.ramp is None) == (found.unit is None)
