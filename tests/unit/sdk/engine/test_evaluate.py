"""The order of evaluation, and the reason, variant and error of each exit."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from rheostat.engine import Ruleset
from rheostat.model.context import Context
from rheostat.model.evaluation import CODE_DEFAULT, ErrorCode, Evaluation, Reason
from rheostat.model.flag import Answer, Condition, Flag, Operator, Segment
from rheostat.model.kill import KillScope
from rheostat.model.snapshot import FORMAT
from tests.builders import (
    a_clause,
    a_flag,
    a_kill,
    a_prerequisite,
    a_rollout,
    a_rule,
    a_snapshot,
    an_overlay,
)

USER = Context("user-1", plan="pro")
SERVES_ON = Answer(serve="on")


def evaluation(*flags: Flag, context: Context = USER, age_ms: int | None = None, **snapshot: Any) -> Evaluation:
    """Return the evaluation of the first flag."""
    return Ruleset.of(a_snapshot(*flags, **snapshot)).evaluate(flags[0].key, context, age_ms=age_ms)


def exit_of(*flags: Flag, **given: Any) -> tuple[str | None, Reason, ErrorCode | None]:
    found = evaluation(*flags, **given)
    return found.variant, found.reason, found.error_code


def test_a_missing_flag_gives_the_callers_default() -> None:
    """There is no flag: the code's default, FLAG_NOT_FOUND."""
    found = Ruleset.of(a_snapshot()).evaluate("gone", USER)

    assert found.value is CODE_DEFAULT
    assert (found.variant, found.reason, found.error_code) == (None, Reason.ERROR, ErrorCode.FLAG_NOT_FOUND)


def test_a_killed_flag_gives_its_off_variant() -> None:
    """A flag kill stands before everything else that the flag says."""
    flag = a_flag(targets={"on": ("user-1",)}, default=SERVES_ON)

    assert exit_of(flag, kills=(a_kill(scope=KillScope.FLAG),)) == ("off", Reason.DISABLED, None)


def test_a_disabled_flag_gives_its_off_variant() -> None:
    """Disabled stands before targets, rules and the default."""
    flag = a_flag(enabled=False, targets={"on": ("user-1",)}, default=SERVES_ON)

    assert exit_of(flag) == ("off", Reason.DISABLED, None)


def test_without_an_off_variant_the_callers_default_is_given() -> None:
    """Disabled and killed flags without one leave the value to the code."""
    found = evaluation(a_flag(enabled=False, off_variant=None))

    assert (found.value, found.variant, found.reason) == (CODE_DEFAULT, None, Reason.DISABLED)


def test_an_environment_never_written_serves_the_off_variant() -> None:
    """A default that says nothing serves the off variant."""
    assert exit_of(a_flag(default=Answer())) == ("off", Reason.STATIC, None)


def test_a_plain_default_is_static() -> None:
    """Without rules, targets and prerequisites nothing depends on the context."""
    assert exit_of(a_flag(default=SERVES_ON)) == ("on", Reason.STATIC, None)


@pytest.mark.parametrize(
    "part",
    [{"rules": (a_rule(when=Condition()),)}, {"targets": {"on": ("x",)}}, {"prerequisites": (a_prerequisite("b"),)}],
)
def test_a_default_behind_something_is_default(part: dict[str, Any]) -> None:
    """With any of them before it, the default is what was left."""
    assert exit_of(a_flag(**part), a_flag("b", default=SERVES_ON)) == ("off", Reason.DEFAULT, None)


def test_a_target_is_matched_before_rules() -> None:
    """A unit named in targets gets that variant; the first variant that names it."""
    flag = a_flag(targets={"off": ("user-1",), "on": ("user-1", "user-2")}, rules=(a_rule(),))

    assert exit_of(flag) == ("off", Reason.TARGETING_MATCH, None)
    assert exit_of(flag, context=Context("user-2")) == ("on", Reason.TARGETING_MATCH, None)
    assert exit_of(flag, context=Context()) == ("off", Reason.DEFAULT, None)


def test_the_first_rule_that_matches_decides() -> None:
    """Rules are asked in order, and only true matches."""
    rules = (
        a_rule("unknown", when=a_clause("gone", Operator.NOT_IN, "x")),
        a_rule("first", answer=Answer(serve="off")),
        a_rule("second"),
    )

    found = evaluation(a_flag(rules=rules, default=SERVES_ON))

    assert (found.variant, found.reason, found.rule) == ("off", Reason.TARGETING_MATCH, "first")


def test_a_rules_rollout_is_a_split() -> None:
    """A rollout that decided says SPLIT, exposed or not, and which rule it was."""
    for exposure, variant in ((1_000_000, "on"), (0, "off")):
        rule = a_rule("pros", answer=Answer(rollout=a_rollout(exposure)))
        found = evaluation(a_flag(rules=(rule,)))
        assert (found.variant, found.reason, found.rule) == (variant, Reason.SPLIT, "pros")


def test_a_rule_that_says_nothing_serves_the_off_variant() -> None:
    """A rule without an answer is a match all the same."""
    found = evaluation(a_flag(rules=(a_rule(answer=Answer()),), default=SERVES_ON))

    assert (found.variant, found.reason) == ("off", Reason.TARGETING_MATCH)


def test_a_segment_is_asked_as_it_now_is() -> None:
    """A rule finds the segment that it names in the snapshot."""
    flag = a_flag(rules=(a_rule(when=Condition(segment="beta")),))

    assert exit_of(flag, segments=(Segment(key="beta", included=("user-1",)),)) == ("on", Reason.TARGETING_MATCH, None)
    assert exit_of(flag) == ("off", Reason.DEFAULT, None)


@pytest.mark.parametrize("exposure", [0, 1_000_000])
def test_a_rollout_needs_a_targeting_key_at_every_exposure(exposure: int) -> None:
    """Without one the code's default is given, also at 0 and 100 %."""
    found = evaluation(a_flag(rollout=a_rollout(exposure)), context=Context())

    assert (found.value, found.error_code) == (CODE_DEFAULT, ErrorCode.TARGETING_KEY_MISSING)
    assert found.reason is Reason.ERROR


@pytest.mark.parametrize(("value", "variant", "reason"), [("o-1", "on", Reason.SPLIT), (7, "on", Reason.SPLIT)])
def test_a_rollout_hashes_by_an_attribute(value: Any, variant: str, reason: Reason) -> None:
    """``bucket_by`` names the unit."""
    flag = a_flag(rollout=a_rollout(1_000_000, bucket_by="org"))

    assert exit_of(flag, context=Context("u", org=value)) == (variant, reason, None)


@pytest.mark.parametrize("value", [None, True, 1.5, ["o-1"]])
def test_without_its_attribute_a_rollout_gives_the_fallback(value: Any) -> None:
    """A missing ``bucket_by`` (or one that is no unit) is the fallback, DEFAULT, without an arm."""
    flag = a_flag(rollout=a_rollout(1_000_000, bucket_by="org"))

    for overlays in ((), (an_overlay(1_000_000),)):
        found = evaluation(flag, context=Context("u", org=value), ramps=overlays)
        assert (found.variant, found.reason, found.error_code, found.arm) == ("off", Reason.DEFAULT, None, None)


def test_without_a_fallback_the_off_variant_is_given() -> None:
    """Not exposed: the fallback, else the off variant, else the code's default."""
    rollout = a_rollout(0, fallback=None)

    assert exit_of(a_flag(rollout=rollout)) == ("off", Reason.SPLIT, None)
    assert evaluation(a_flag(rollout=rollout, off_variant=None)).value is CODE_DEFAULT


def test_a_split_without_weight_exposes_nobody() -> None:
    """With no variant to give, everyone gets the fallback."""
    for bucket_by in ("targetingKey", "plan"):
        flag = a_flag(rollout=a_rollout(1_000_000, split={"on": 0.0}, bucket_by=bucket_by))
        assert exit_of(flag) == ("off", Reason.SPLIT, None)


def test_a_lone_surrogate_is_a_unit() -> None:
    """Text that UTF-8 cannot say is evaluated as its replacement is."""
    flag = a_flag(rollout=a_rollout(500_000))

    for number in range(20):
        assert exit_of(flag, context=Context(f"\ud800{number}")) == exit_of(flag, context=Context(f"\ufffd{number}"))


def test_prerequisites_must_all_give_one_of_their_variants() -> None:
    """A prerequisite that gives another variant fails the flag: its off variant, DEFAULT."""
    flag = a_flag(default=SERVES_ON, prerequisites=(a_prerequisite("a"), a_prerequisite("b", "on", "off")))
    on, off = a_flag("a", default=SERVES_ON), a_flag("a")

    assert exit_of(flag, on, a_flag("b")) == ("on", Reason.DEFAULT, None)
    assert exit_of(flag, off, a_flag("b")) == ("off", Reason.DEFAULT, None)
    assert exit_of(flag, on) == ("off", Reason.DEFAULT, None)


@pytest.mark.parametrize(
    ("changes", "kills"),
    [({"enabled": False}, ()), ({}, (a_kill("b", KillScope.FLAG),)), ({"needs": FORMAT + 1}, ())],
)
def test_a_prerequisite_that_is_off_fails(changes: dict[str, Any], kills: tuple[Any, ...]) -> None:
    """Disabled, killed or unreadable, it fails even where its off variant is one that was asked for."""
    flag = a_flag(default=SERVES_ON, prerequisites=(a_prerequisite("b", "off"),))

    assert exit_of(flag, a_flag("b", **changes), kills=kills) == ("off", Reason.DEFAULT, None)


def test_prerequisites_in_a_circle_fail() -> None:
    """A flag that waits for itself, directly or round others, gets its off variant."""
    one = a_flag("one", default=SERVES_ON, prerequisites=(a_prerequisite("two"),))
    two = a_flag("two", default=SERVES_ON, prerequisites=(a_prerequisite("one"),))
    own = a_flag("own", default=SERVES_ON, prerequisites=(a_prerequisite("own"),))

    assert exit_of(one, two) == ("off", Reason.DEFAULT, None)
    assert exit_of(own) == ("off", Reason.DEFAULT, None)


def test_prerequisites_that_meet_again_are_evaluated_once() -> None:
    """A lattice of 40 layers, which has 2^40 paths, is answered at once."""
    flags = [a_flag("f40", default=SERVES_ON)]
    for layer in range(39, -1, -1):
        below = a_prerequisite(f"f{layer + 1}")
        flags.append(a_flag(f"f{layer}", default=SERVES_ON, prerequisites=(below, below)))

    assert exit_of(*reversed(flags)) == ("on", Reason.DEFAULT, None)


def test_a_flag_above_the_format_gives_its_off_variant() -> None:
    """Such a flag alone is unreadable: PARSE_ERROR, and what is off stays DISABLED."""
    flag = a_flag(default=SERVES_ON, needs=FORMAT + 1)

    assert exit_of(flag) == ("off", Reason.ERROR, ErrorCode.PARSE_ERROR)
    assert exit_of(msgspec.structs.replace(flag, enabled=False)) == ("off", Reason.DISABLED, None)
    assert exit_of(msgspec.structs.replace(flag, off_variant=None)) == (None, Reason.ERROR, ErrorCode.PARSE_ERROR)
    assert exit_of(msgspec.structs.replace(flag, needs=FORMAT)) == ("on", Reason.STATIC, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"default": Answer(serve="blue")},
        {"rollout": a_rollout(split={"blue": 1.0})},
        {"rollout": a_rollout(fallback="blue")},
        {"targets": {"blue": ("u",)}},
        {"rules": (a_rule(answer=Answer(serve="blue")),)},
    ],
)
def test_a_variant_that_is_not_there_makes_a_flag_unreadable(changes: dict[str, Any]) -> None:
    """Nothing but the flag's own values is ever given."""
    assert exit_of(a_flag(**changes)) == ("off", Reason.ERROR, ErrorCode.PARSE_ERROR)


@pytest.mark.parametrize("enabled", [True, False])
def test_an_off_variant_that_is_not_there_gives_the_callers_default(enabled: bool) -> None:
    """Enabled or not, the code's default stands in."""
    assert exit_of(a_flag(enabled=enabled, off_variant="blue")) == (None, Reason.ERROR, ErrorCode.PARSE_ERROR)


def test_conditions_beyond_reason_make_a_flag_unreadable() -> None:
    """Nesting that cannot be compiled is that flag's own error."""
    deep = a_clause("plan", Operator.IN, "pro")
    for _ in range(5_000):
        deep = Condition(not_=deep)

    assert exit_of(a_flag(rules=(a_rule(when=deep),))) == ("off", Reason.ERROR, ErrorCode.PARSE_ERROR)


class Hostile(Mapping[str, Any]):
    """Attributes that cannot be read."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize("max_staleness_ms", [None, 1_000])
def test_attributes_that_raise_give_the_callers_default(max_staleness_ms: int | None) -> None:
    """An object whose methods fail is that evaluation's own error, also in a flag that reads its age."""
    flag = a_flag(rules=(a_rule(),), max_staleness_ms=max_staleness_ms)
    found = evaluation(flag, context=Context.of("u", Hostile()))

    assert (found.value, found.reason, found.error_code) == (CODE_DEFAULT, Reason.ERROR, ErrorCode.GENERAL)
    assert found.error_message == "an attribute could not be read: RuntimeError"


def test_what_leads_on_too_far_is_an_error_in_the_answer() -> None:
    """Also in the explanation; a flag with conditions that are too deep to be compared is compiled again."""
    flags = [a_flag(f"f{n}", prerequisites=(a_prerequisite(f"f{n + 1}"),)) for n in range(2_000)]
    ruleset = Ruleset.of(a_snapshot(*flags, a_deep_flag()))

    found = ruleset.evaluate("f0", Context("u"))
    assert found.error_code is ErrorCode.GENERAL
    assert found.error_message == "its prerequisites, its segments or an attribute lead on too far"
    assert ruleset.explain("f0", Context("u")).evaluation == found
    again = ruleset.with_snapshot(a_snapshot(a_deep_flag(), revision=2))
    assert again.evaluate("deep", Context("u")).error_code is ErrorCode.PARSE_ERROR


def a_deep_flag() -> Flag:
    """Return a flag whose condition is nested deeper than the interpreter goes."""
    deep = Condition(all=())
    for _ in range(5_000):
        deep = Condition(not_=deep)
    return a_flag("deep", rules=(a_rule(when=deep),))


def test_an_evaluation_carries_version_and_metadata() -> None:
    """Each exit of a flag says which version spoke, and its metadata."""
    flag = a_flag(version=7, metadata={"team": "payments"}, rollout=a_rollout(500_000))

    for context in (USER, Context()):
        found = evaluation(flag, context=context, ramps=(an_overlay(),))
        assert (found.version, found.metadata, found.flag) == (7, {"team": "payments"}, "checkout")


def test_values_are_the_variants_own() -> None:
    """An object value is given as the very object of the flag."""
    value = {"limits": [1, 2]}
    flag = a_flag(variants={"a": value}, off_variant=None, default=Answer(serve="a"))

    assert evaluation(flag).value is value


def test_bulk_evaluates_every_flag() -> None:
    """Bulk agrees with single evaluation; client-scoped keys get flags with ``client`` only."""
    flags = (a_flag("a", client=True, default=SERVES_ON), a_flag("b", rollout=a_rollout(500_000)))
    ruleset = Ruleset.of(a_snapshot(*flags))

    assert ruleset.bulk(USER) == {key: ruleset.evaluate(key, USER) for key in ("a", "b")}
    assert list(ruleset.bulk(USER, client_only=True)) == ["a"]
    assert list(ruleset.keys()) == ["a", "b"]
    assert ruleset.flag("a") is flags[0]
    assert ruleset.flag("gone") is None


FRESH, OLD = 60_000, 60_001


def stale_exit(changes: dict[str, Any], age_ms: int | None = OLD, **given: Any) -> tuple[str | None, Reason]:
    found = evaluation(a_flag(max_staleness_ms=FRESH, **changes), age_ms=age_ms, **given)
    assert found.arm is None or age_ms != OLD
    return found.variant, found.reason


def test_a_stale_snapshot_serves_the_ramping_rollouts_fallback() -> None:
    """Beyond ``max_staleness`` nobody is exposed by a ramp, and nobody has an arm."""
    changes: dict[str, Any] = {"rollout": a_rollout()}
    ramps = (an_overlay(1_000_000),)

    assert stale_exit(changes, ramps=ramps) == ("off", Reason.STALE)
    assert stale_exit(changes, age_ms=FRESH, ramps=ramps) == ("on", Reason.SPLIT)
    assert stale_exit(changes, age_ms=None, ramps=ramps) == ("on", Reason.SPLIT)
    assert evaluation(a_flag(**changes), age_ms=OLD, ramps=ramps).variant == "on"


@pytest.mark.parametrize(
    ("changes", "variant"),
    [
        ({"default": SERVES_ON}, "on"),
        ({"targets": {"on": ("user-1",)}}, "on"),
        ({"rules": (a_rule(),)}, "on"),
        ({"rollout": a_rollout(1_000_000)}, "on"),
        ({"prerequisites": (a_prerequisite("gone"),)}, "off"),
    ],
)
def test_what_no_ramp_turns_is_served_as_ever_and_called_stale(changes: dict[str, Any], variant: str) -> None:
    """The other exits keep their variant and say STALE."""
    assert stale_exit(changes) == (variant, Reason.STALE)


def test_a_stale_flag_without_its_attribute_is_called_stale() -> None:
    """A missing ``bucket_by`` keeps its fallback."""
    assert stale_exit({"rollout": a_rollout(1_000_000, bucket_by="org")}) == ("off", Reason.STALE)


def test_errors_and_disabled_flags_do_not_turn_stale() -> None:
    """What the snapshot's age cannot change keeps its reason."""
    flag = a_flag(max_staleness_ms=FRESH, rollout=a_rollout())

    assert exit_of(flag, context=Context(), age_ms=OLD)[2] is ErrorCode.TARGETING_KEY_MISSING
    assert exit_of(msgspec.structs.replace(flag, enabled=False), age_ms=OLD)[1] is Reason.DISABLED


def test_a_prerequisite_reads_the_age_too() -> None:
    """A ramping prerequisite that is stale gives its fallback to who waits for it."""
    flag = a_flag("waits", default=SERVES_ON, prerequisites=(a_prerequisite("checkout"),))
    ramping = a_flag(max_staleness_ms=FRESH, rollout=a_rollout())

    assert exit_of(flag, ramping, ramps=(an_overlay(1_000_000),), age_ms=FRESH)[0] == "on"
    assert exit_of(flag, ramping, ramps=(an_overlay(1_000_000),), age_ms=OLD)[0] == "off"
