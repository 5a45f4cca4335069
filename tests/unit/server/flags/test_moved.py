"""Who moves by edits of segments, layers and prerequisites: what is computed against users evaluated one by one."""

from collections import Counter
from math import sqrt
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rheostat.engine.evaluate import Ruleset
from rheostat.model.context import Context
from rheostat.model.flag import Answer, FlagType, Operator, Segment
from rheostat.model.kill import KillScope
from rheostat.model.shares import TOTAL_PPM
from rheostat_server.flags.changed import changed_segments
from rheostat_server.flags.moved import movements, movements_by_flag
from rheostat_server.flags.movement import ATTRIBUTES
from rheostat_server.flags.movement_words import movement_lines
from rheostat_server.flags.seen import seen_movements
from tests.builders import a_clause, a_flag, a_kill, a_prerequisite, a_rollout, a_rule
from tests.unit.server.flags.segment_edits import VARIANTS, a_ruleset, asking, edited, in_segment, units

USERS = 100_000
layered = st.builds(
    lambda exposure_ppm, split, salt, bucket_by, span: a_rollout(
        exposure_ppm,
        split={name: float(weight) for name, weight in split.items()},
        salt=salt,
        bucket_by=bucket_by,
        low=span[0],
        high=span[1],
        fallback="d",
    ),
    st.integers(0, TOTAL_PPM),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 9), min_size=1),
    st.sampled_from(["layer:search", "search-2026"]),
    st.sampled_from(["targetingKey", "targetingKey", "account"]),
    st.sampled_from([(0, 400_000), (400_000, 1_000_000), (250_000, 700_000)]),
)


@settings(max_examples=6, deadline=None, phases=(Phase.generate,))
@given(layered, layered)
def test_layer_edits_are_those_of_100_000_users(before: Any, after: Any) -> None:
    """Of any two salts, units and ranges of a layer, the computed shares are what users get, one by one."""

    def side(rollout: Any) -> Ruleset:
        return a_ruleset(a_flag(type=FlagType.STRING, variants=VARIANTS, off_variant="d", rollout=rollout))

    one, other = side(before), side(after)
    seen: Counter[tuple[str | None, str | None]] = Counter()
    for number in range(USERS):
        context = Context(f"user-{number}", account=f"account-{number}")
        was, now = one.evaluate("checkout", context).variant, other.evaluate("checkout", context).variant
        if was != now:
            seen[was, now] += 1

    found = movements(one, other).get("checkout")

    computed: Counter[tuple[str | None, str | None]] = Counter()
    for row in [] if found is None else found.rollouts:
        for moved in row.moves:
            computed[moved.from_, moved.to] += moved.share / 100  # type: ignore[assignment]
    for pair in seen.keys() | computed.keys():
        share = computed[pair]
        assert abs(seen[pair] / USERS - share) <= 5 * sqrt(share * (1 - share) / USERS) + 5e-5, pair


plans = st.lists(st.sampled_from(["free", "pro", "max"]), max_size=2, unique=True)


@settings(max_examples=5, deadline=None, phases=(Phase.generate,))
@given(plans, plans, st.sampled_from([100_000, 500_000]), st.booleans())
def test_segment_edits_move_no_more_than_told(
    before: list[str], after: list[str], exposure: int, earlier: bool
) -> None:
    """Of 100 000 users, the share that an edit of a segment's conditions moves lies within the bounds."""
    by_plan = {"free": 0.6, "pro": 0.3, "max": 0.1}
    first = (a_rule("pro", a_clause("plan", Operator.IN, "pro")),) if earlier else ()
    flag = a_flag(rules=(*first, a_rule("members", in_segment("beta"))), rollout=a_rollout(exposure))
    one, other = (
        a_ruleset(flag, segments=(Segment(key="beta", conditions=(a_clause("plan", Operator.IN, *side),)),))
        for side in (before, after)
    )

    found = movements(one, other).get("checkout")

    moved = sum(
        one.evaluate("checkout", Context(f"u{number}", plan=plan)).variant
        != other.evaluate("checkout", Context(f"u{number}", plan=plan)).variant
        for plan, share in by_plan.items()
        for number in range(int(USERS * share))
    )
    least, most = (0, 0) if found is None else (found.least, found.most)
    assert least - 0.5 <= 100 * moved / USERS <= most + 0.5


def test_conditions_of_a_segment_are_bounded_by_rule() -> None:
    """Other conditions may hold for anybody: the share lies between what members could lose and others gain."""
    before = Segment(key="beta", conditions=(a_clause("plan", Operator.IN, "pro"),))
    after = Segment(key="beta", conditions=(a_clause("plan", Operator.IN, "max"),))

    [row] = edited(before, after, asking(rollout=a_rollout(200_000)))["checkout"].rollouts

    assert (row.rollout, row.least, row.most) == ("members", 0, 80)
    assert row.because == f"the segment beta changed: {ATTRIBUTES}"


def test_a_segment_reaches_over_segments_and_prerequisites() -> None:
    """A flag moves by a segment that another one asks, and by a flag that it needs and that asks it."""
    outer = Segment(key="outer", conditions=(in_segment("beta"),))
    direct, needing = (
        asking("outer", key="direct"),
        a_flag("needing", default=Answer(serve="on"), prerequisites=(a_prerequisite("direct"),)),
    )
    untouched = a_flag("untouched", rollout=a_rollout(500_000))
    sides = [
        a_ruleset(direct, needing, untouched, segments=(outer, Segment(key="beta", included=included)))
        for included in ((), ("u1",))
    ]

    found = movements(*sides)

    assert set(found) == {"direct", "needing"}
    assert units(found["direct"]) == units(found["needing"]) == {("off", "on"): 1}
    assert found["needing"].rollouts == []


def test_a_prerequisite_that_is_switched_off_takes_from_those_who_need_it() -> None:
    """Killed, a flag passes nobody: whoever needs it may lose what they had, even where its off variant would do."""
    other = a_flag("other", rollout=a_rollout(TOTAL_PPM))
    needing = a_flag(default=Answer(serve="on"), prerequisites=(a_prerequisite("other", "on", "off"),))
    far = a_flag("far", default=Answer(serve="on"), prerequisites=(a_prerequisite("checkout"),))
    before = a_ruleset(other, needing, far)

    found = movements(before, before.with_kills([a_kill("other", KillScope.FLAG)]))

    assert set(found) == {"other", "checkout", "far"}
    assert found["checkout"].rollouts[0].because == "the flag other changed: depends on other flags"
    assert (found["checkout"].least, found["checkout"].most) == (0, 100)


def test_targets_of_a_prerequisite_reach_those_who_need_it() -> None:
    """A unit that becomes a target of a flag may come to pass for one that needs it."""
    needing = a_flag(default=Answer(serve="on"), prerequisites=(a_prerequisite("other"),))
    before, after = (a_ruleset(a_flag("other", targets=targets), needing) for targets in ({}, {"on": ("u1",)}))

    assert set(movements(before, after)) == {"other", "checkout"}


def test_a_change_that_no_prerequisite_notices_moves_nobody_else() -> None:
    """Whoever needs `a` or `b` of a flag does not move when users go from the one to the other."""

    def side(split: dict[str, float]) -> Ruleset:
        rollout = a_rollout(TOTAL_PPM, split=split, fallback="d")
        other = a_flag("other", type=FlagType.STRING, variants=VARIANTS, off_variant="d", rollout=rollout)
        return a_ruleset(other, a_flag(prerequisites=(a_prerequisite("other", "a", "b"),)))

    assert set(movements(side({"a": 1.0}), side({"b": 1.0}))) == {"other"}


def test_flags_that_need_each_other_end() -> None:
    """Flags in a circle, which no write lets through, are gone through once."""
    one, two = (
        a_flag(key, rules=(a_rule("members", in_segment("beta")),), prerequisites=(a_prerequisite(other),))
        for key, other in (("one", "two"), ("two", "one"))
    )

    edited(Segment(key="beta"), Segment(key="beta", included=("u1",)), one, two)


def test_only_what_decides_membership_counts() -> None:
    """Segments that are the same, and new ones that nothing asks, change nothing."""
    same = Segment(key="beta", included=("u1", "u2"))

    assert not changed_segments([same], [Segment(key="beta", included=("u2", "u1"))]).segments
    assert changed_segments([], [same]).listed["beta"].units == ("u1", "u2")


def test_environments_are_told_by_flag() -> None:
    """By flag, and then by environment, both in order; an environment without moves is not there."""
    off, on = a_ruleset(a_flag()), a_ruleset(a_flag(default=Answer(serve="on")))

    found = movements_by_flag({"b": off, "a": off, "c": off}, {"b": on, "a": on, "c": off})

    assert {key: list(one) for key, one in found.items()} == {"checkout": ["a", "b"]}


def test_seen_contexts_give_examples_and_a_share() -> None:
    """Of three that were seen, the one on the plan moves: a third, with its key; a new flag counts as disabled."""
    pro = a_flag(rules=(a_rule("pro", a_clause("plan", Operator.IN, "pro")),))
    contexts = [Context("ann", plan="pro"), Context("bob", plan="free"), Context(None)]
    before, after = a_ruleset(a_flag()), a_ruleset(pro)

    found = seen_movements(before, after, ["checkout"], contexts, now_ms=0)["checkout"]
    new = seen_movements(a_ruleset(), after, ["checkout"], contexts, now_ms=0)["checkout"]

    assert (found.contexts, found.moved, found.share) == (3, 1, 33.33)
    assert [(one.targeting_key, one.from_, one.to) for one in found.examples] == [("ann", "off", "on")]
    assert new == found
    line = movement_lines(movements(before, after)["checkout"], found)[-1]
    assert line == "seen lately: 1 of 3 contexts move, about 33.3 % (ann: `off` → `on`)"
    assert seen_movements(before, after, ["checkout"], [], now_ms=0) == {}
