"""An explanation leads to what an evaluation gives, by the steps that were asked."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.engine import Ruleset
from rheostat.model.context import Context
from rheostat.model.evaluation import Arm, ErrorCode, Reason
from rheostat.model.explanation import Exit, Explanation, Step, Verdict
from rheostat.model.flag import Answer, Condition, Flag, Operator, Segment
from rheostat.model.kill import KillScope
from rheostat.model.ramp import Cells
from rheostat.model.snapshot import FORMAT, Identity, Snapshot
from rheostat.model.window import Window
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
from tests.strategies import contexts, snapshots, times

USER = Context("user-1", plan="pro")
SERVES_ON = Answer(serve="on")
EVERYONE = Condition(all=())


def explained(*flags: Flag, context: Context = USER, **given: Any) -> Explanation:
    """Return the explanation of the first flag."""
    times_given = {name: given.pop(name) for name in ("now_ms", "age_ms") if name in given}
    return Ruleset.of(a_snapshot(*flags, **given)).explain(flags[0].key, context, **times_given)


def last(*flags: Flag, **given: Any) -> Step:
    """Return the step that decided."""
    return explained(*flags, **given).steps[-1]


@settings(max_examples=400)
@given(
    snapshot=snapshots,
    context=st.one_of(contexts, st.just(USER)),
    now_ms=st.one_of(st.none(), times),
    age_ms=st.one_of(st.none(), times),
)
def test_an_explanation_is_of_the_evaluation(
    snapshot: Snapshot, context: Context, now_ms: int | None, age_ms: int | None
) -> None:
    """Whatever the flags and the context, both say the same; only the last step decides."""
    ruleset = Ruleset.of(snapshot)
    for key in ("one", "two", "three", "gone"):
        found = ruleset.explain(key, context, now_ms=now_ms, age_ms=age_ms)

        assert found.evaluation == ruleset.evaluate(key, context, now_ms=now_ms, age_ms=age_ms)
        assert [step.passed for step in found.steps] == [True] * (len(found.steps) - 1) + [False]
        rollout = found.steps[-1].rollout
        stale_ramp = rollout is not None and rollout.ramp_live and found.stale
        if rollout is not None and rollout.unit is not None and not stale_ramp:
            given_ = rollout.chosen if rollout.exposed else None
            off = None if (flag := ruleset.flag(key)) is None else flag.off_variant
            fallback = off if rollout.fallback is None else rollout.fallback
            assert found.evaluation.variant == (fallback if given_ is None else given_)
            scores = {drawn.score: drawn.variant for drawn in reversed(rollout.split) if drawn.score is not None}
            assert rollout.chosen == (scores[min(scores)] if scores else None)


@pytest.mark.parametrize(
    ("flag", "given", "exits", "text"),
    [
        (a_flag(enabled=False), {}, [Exit.KILL, Exit.ENABLED], "the flag is disabled"),
        (a_flag(), {"kills": (a_kill(scope=KillScope.FLAG),)}, [Exit.KILL], "a kill of the flag is in force"),
        (a_flag(needs=FORMAT + 1), {}, [Exit.KILL, Exit.READABLE], f"the flag needs snapshot format {FORMAT + 1}"),
        (
            a_flag(off_variant="gone"),
            {"kills": (a_kill(scope=KillScope.FLAG),)},
            [Exit.READABLE],
            "the flag has no variant 'gone'",
        ),
        (a_flag(targets={"on": ("user-1",)}), {}, [Exit.KILL, Exit.ENABLED, Exit.TARGETS], "a target by name"),
        (a_flag(default=SERVES_ON), {}, [Exit.KILL, Exit.ENABLED, Exit.DEFAULT], "serves on"),
        (
            a_flag(default=Answer(), off_variant=None),
            {},
            [Exit.KILL, Exit.ENABLED, Exit.DEFAULT],
            "serves the caller's default",
        ),
        (
            a_flag(targets={"on": ("x",)}, rules=(a_rule(),)),
            {},
            [Exit.KILL, Exit.ENABLED, Exit.TARGETS, Exit.RULE],
            "matches; serves on",
        ),
    ],
)
def test_the_steps_are_those_asked(flag: Flag, given: dict[str, Any], exits: list[Exit], text: str) -> None:
    """In the order of evaluation, up to the one that decided, with its finding in words."""
    found = explained(flag, **given)

    assert [step.exit for step in found.steps] == exits
    assert found.steps[-1].text.startswith(text)
    assert found.identity == Identity(1, 1)


def test_a_flag_that_is_not_there_is_said_so() -> None:
    """Nothing else was asked."""
    found = Ruleset.of(a_snapshot()).explain("gone", USER)

    assert [step.exit for step in found.steps] == [Exit.FLAG]
    assert found.evaluation.error_code is ErrorCode.FLAG_NOT_FOUND


def test_a_clause_shows_what_it_compared() -> None:
    """Attribute, operator, values and the context's own value with its type; of many values the first twenty."""
    many = a_clause("plan", Operator.NOT_IN, *(f"plan-{number}" for number in range(50)))

    walk = last(a_flag(rules=(a_rule(when=many),))).condition

    assert walk is not None
    assert walk.shown is not None
    assert (walk.verdict, walk.attribute, walk.operator) == (Verdict.TRUE, "plan", Operator.NOT_IN)
    assert (len(walk.values), walk.value_count) == (20, 50)
    assert (walk.shown.type, walk.shown.text) == ("text", "pro")


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (True, "boolean", "true"),
        (7, "integer", "7"),
        (1.5, "number", "1.5"),
        (["a", 1], "list", '["a",1]'),
        ({"a": 1}, "object", '{"a":1}'),
        (b"raw", "bytes", "?"),
        ("x" * 300, "text", "x" * 199 + "…"),
        ("a\ud800", "text", "a\ufffd"),
    ],
)
def test_a_value_is_shown_with_its_type(value: Any, kind: str, text: str) -> None:
    """Long ones are cut; one that means nothing shows its type alone."""
    flag = a_flag(rules=(a_rule(when=a_clause("a", Operator.EXISTS)),))

    walk = last(flag, context=Context("u", a=value)).condition

    assert walk is not None
    assert walk.shown is not None
    assert (walk.shown.type, walk.shown.text) == (kind, text)


def test_every_part_of_a_group_is_judged() -> None:
    """Those after the deciding one too; unknown where the attribute is missing."""
    parts = (a_clause("plan", Operator.IN, "free"), a_clause("gone", Operator.IN, "x"), Condition(not_=EVERYONE))
    steps = explained(a_flag(rules=(a_rule(when=Condition(any=(Condition(all=parts), Condition()))),))).steps

    walk = steps[2].condition

    assert steps[2].text == "does not match: unknown"
    assert walk is not None
    assert (walk.verdict, walk.group) == (Verdict.UNKNOWN, "any")
    assert [part.verdict for part in walk.parts[0].parts] == [Verdict.FALSE, Verdict.UNKNOWN, Verdict.FALSE]
    assert walk.parts[0].parts[1].shown is None
    assert walk.parts[0].parts[2].group == "not"


@pytest.mark.parametrize(
    ("segment", "verdict", "because"),
    [
        (Segment(key="s", excluded=("user-1",)), Verdict.FALSE, "excluded by name"),
        (Segment(key="s", included=("user-1",)), Verdict.TRUE, "included by name"),
        (Segment(key="s"), Verdict.FALSE, "not included by name, and the segment has no conditions"),
        (Segment(key="s", unit="org"), Verdict.UNKNOWN, "the context has no org"),
        (Segment(key="s", conditions=(EVERYONE,)), Verdict.TRUE, "by its conditions"),
        (Segment(key="s", conditions=(Condition(segment="s"),)), Verdict.UNKNOWN, "it contains itself"),
        (Segment(key="other"), Verdict.UNKNOWN, "there is no such segment"),
    ],
)
def test_a_segment_says_what_decided(segment: Segment, verdict: Verdict, because: str) -> None:
    """Excluded, included, its conditions, or why it is unknown."""
    flag = a_flag(rules=(a_rule(when=Condition(segment="s")),))
    step = explained(flag, segments=(segment,)).steps[2]

    assert step.condition is not None
    assert step.condition.verdict is verdict
    assert step.condition.because is not None
    assert step.condition.because.startswith(because)
    assert len(step.condition.parts) == (1 if because == "by its conditions" else 0)


def test_a_condition_nested_beyond_reason_is_not_shown_to_its_end() -> None:
    """Its verdict is."""
    deep = EVERYONE
    for _ in range(60):
        deep = Condition(not_=deep)

    walk = last(a_flag(rules=(a_rule(when=deep),))).condition
    depth = 0
    while walk is not None and walk.parts:
        walk, depth = walk.parts[0], depth + 1

    assert depth == 32
    assert walk is not None
    assert walk.verdict is Verdict.TRUE


def test_a_prerequisite_is_explained_too() -> None:
    """With its own steps, once; asked again, its answer is what it was."""
    other = a_flag("b", default=SERVES_ON)
    between = a_flag("c", prerequisites=(a_prerequisite("b"),), default=SERVES_ON)
    steps = explained(a_flag(prerequisites=(a_prerequisite("b"), a_prerequisite("c"))), other, between).steps

    assert [step.name for step in steps] == [None, None, "b", "c", None]
    assert steps[2].prerequisite is not None
    assert steps[2].prerequisite.evaluation.variant == "on"
    assert (steps[2].text, steps[2].variants) == ("b gives on", ("on",))
    assert steps[3].prerequisite is not None
    assert steps[3].prerequisite.steps[2].text == "b gave on before"


@pytest.mark.parametrize(
    ("others", "text"),
    [
        ((), "there is no flag b"),
        ((a_flag("b", enabled=False, off_variant="on"),), "b is disabled, killed or unreadable"),
        ((a_flag("b", prerequisites=(a_prerequisite("checkout"),)),), "b gives off"),
    ],
)
def test_a_prerequisite_that_fails_decides(others: tuple[Flag, ...], text: str) -> None:
    """Not there, off, or in a circle."""
    found = explained(a_flag(prerequisites=(a_prerequisite("b"),), default=SERVES_ON), *others)

    assert (found.steps[-1].exit, found.steps[-1].text) == (Exit.PREREQUISITE, text)
    assert found.evaluation.reason is Reason.DEFAULT
    nested = found.steps[-1].prerequisite
    if nested is not None:
        assert nested.steps[-1].text == "checkout waits for this flag itself"


def test_a_window_is_named() -> None:
    """A rule outside its window is passed over, its condition not asked."""
    window = Window(10, 20)
    flag = a_flag(rules=(a_rule(when=EVERYONE, active=window),))

    inside, outside, nowhen = (explained(flag, now_ms=now).steps[2] for now in (10, 20, None))

    assert (inside.passed, inside.window, inside.text) == (False, window, "matches; serves on")
    assert (outside.passed, outside.window, outside.text) == (True, window, "outside its window")
    assert nowhen.text == "it has a window, and no time was given"
    assert outside.condition is None


def test_a_rollout_shows_every_figure() -> None:
    """The place and what it is compared with; what the document says, and what is in force by which ramp."""
    flag = a_flag(rollout=a_rollout(50_000))
    found = explained(flag, ramps=(an_overlay(1_000_000, holdback_ppm=10_000),))

    walk = found.steps[-1].rollout

    assert walk is not None
    assert (walk.declared_ppm, walk.exposure_ppm, walk.holdback_ppm) == (50_000, 1_000_000, 10_000)
    assert (walk.ramp, walk.ramp_live, walk.killed) == ("ramp-of-checkout", True, False)
    assert (walk.unit, walk.place, walk.salt) == ("user-1", found.evaluation.place, "checkout")
    assert (walk.low, walk.high, walk.held_from, walk.exposed_below) == (0, 1_000_000, 990_000, 1_000_000)
    assert (walk.exposed, walk.in_range, walk.held_back, walk.chosen) == (True, True, False, "on")
    assert found.evaluation.arm is Arm.TREATMENT


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"flag": a_flag(rollout=a_rollout(1_000_000))}, "is below 1000000: exposed, and the split gives on"),
        ({"flag": a_flag(rollout=a_rollout(0))}, "is not below 0: not exposed"),
        ({"flag": a_flag(rollout=a_rollout(1_000_000, low=0, high=1))}, "is outside the range 0 … 0: not exposed"),
        ({"flag": a_flag(rollout=a_rollout(1_000_000)), "kills": (a_kill(),)}, "but the rollout is killed"),
        (
            {"flag": a_flag(rollout=a_rollout(1_000_000)), "ramps": (an_overlay(0, holdback_ppm=1_000_000),)},
            "is held back, from 0 on",
        ),
        ({"flag": a_flag(rollout=a_rollout(0, bucket_by="org"))}, "the context has no org to be placed by"),
        (
            {"flag": a_flag(rollout=a_rollout(0), max_staleness_ms=5), "ramps": (an_overlay(),), "age_ms": 6},
            "the snapshot is too old for a rollout that ramps",
        ),
    ],
)
def test_a_rollout_says_why(given: dict[str, Any], text: str) -> None:
    """Exposed, or the first thing that keeps the unit out."""
    flag = given.pop("flag")

    assert text in last(flag, **given).text


def test_a_failing_attribute_ends_the_walk_as_it_ends_the_evaluation() -> None:
    """The step that asked for it shows which clause it was; nothing raises."""

    class Failing(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            if key == "bad":
                raise OSError
            return super().get(key, default)

    context = Context.of("u", Failing(plan="pro"))
    parts = (a_clause("plan", Operator.IN, "pro"), a_clause("bad", Operator.IN, "x"))
    flag = a_flag(rules=(a_rule(when=Condition(all=parts)),))

    found = explained(flag, context=context)

    assert found.evaluation == Ruleset.of(a_snapshot(flag)).evaluate("checkout", context)
    assert (found.evaluation.error_code, found.steps[-1].exit) == (ErrorCode.GENERAL, Exit.FAILURE)
    walk = found.steps[-2].condition
    assert walk is not None
    assert [part.verdict for part in walk.parts] == [Verdict.TRUE, Verdict.FAILED]


def test_staleness_is_said() -> None:
    """Where the snapshot is older than the flag allows."""
    flag = a_flag(max_staleness_ms=5, default=SERVES_ON)

    assert explained(flag, age_ms=6).stale
    assert explained(flag, age_ms=6).evaluation.reason is Reason.STALE
    assert not explained(flag, age_ms=5).stale


def test_an_explanation_can_be_sent() -> None:
    """As JSON, whatever types the context has, and where only the caller has a value."""
    parts = (a_clause("a", Operator.IN, "x", 1, None), a_clause("plan", Operator.IN, "pro"))
    flag = a_flag(
        off_variant=None,
        prerequisites=(a_prerequisite("b"),),
        rules=(
            a_rule(when=Condition(all=parts)),
            a_rule("late", active=Window(5), answer=Answer(rollout=a_rollout(0))),
        ),
    )
    other = a_flag("b", targets={"on": ("a\ud800",)})
    context = Context.of("a\ud800", {"a": object(), "plan": "pro"})

    for now_ms in (0, 9):
        found = explained(flag, other, context=context, now_ms=now_ms)
        sent = msgspec.json.decode(msgspec.json.encode(found))
        assert [step["exit"] for step in sent["steps"]][:3] == ["kill", "enabled", "prerequisite"]
        assert sent["steps"][3]["condition"]["parts"][0]["shown"] == {"type": "object", "text": "?"}
        assert sent["identity"] == {"generation": 1, "revision": 1}


def test_no_share_reaches_beyond_the_range() -> None:
    """Not even one that no document can have."""
    flag = a_flag(rollout=a_rollout(10**12, low=0, high=1))

    found = explained(flag)

    assert found.evaluation.variant == "off"
    assert found.steps[-1].rollout is not None
    assert not found.steps[-1].rollout.exposed


@pytest.mark.parametrize(
    ("region", "cell", "words"),
    [
        ("eu", "done", "by region among those whom the ramp is done with, place"),
        ("us", "now", "by region among those whom the ramp is at now, place"),
        ("ap", "later", "by region not reached by the ramp, place"),
    ],
)
def test_a_stage_is_told(region: str, cell: str, words: str) -> None:
    """How far a ramp that goes by an attribute has come with the context, and the exposure that it has there."""
    cells = Cells(attribute="region", done=("eu",), now=("us",), done_ppm=1_000_000, exposure_ppm=500_000)
    overlay = an_overlay(20_000, cells=cells)

    step = last(a_flag(rollout=a_rollout()), context=Context("user-1", region=region), ramps=(overlay,))

    assert step.rollout is not None
    assert (step.rollout.by, step.rollout.cell) == ("region", cell)
    assert step.rollout.exposure_ppm == {"done": 1_000_000, "now": 500_000, "later": 20_000}[cell]
    assert words in step.text
    killed = last(
        a_flag(rollout=a_rollout()), context=Context("user-1", region=region), ramps=(overlay,), kills=(a_kill(),)
    )
    assert killed.rollout is not None
    assert (killed.rollout.cell, killed.rollout.exposure_ppm) == (None, 0)
