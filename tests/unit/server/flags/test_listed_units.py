"""What units get that come into, or go from, a segment's lists: told against what they get, one by one."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.engine.evaluate import Ruleset
from rheostat.model.context import Context
from rheostat.model.flag import Answer, Condition, Flag, FlagType, Operator, Rule, Segment
from rheostat.model.window import Window
from rheostat_server.flags.changed import MOST_UNITS
from rheostat_server.flags.moved import MOST_STEPS, movements, movements_by_flag
from rheostat_server.flags.movement import ATTRIBUTES
from rheostat_server.flags.movement_words import movement_lines
from tests.builders import a_clause, a_flag, a_prerequisite, a_rollout, a_rule
from tests.unit.server.flags.segment_edits import VARIANTS, a_ruleset, asking, edited, in_segment, units

USERS = 100_000
names_of_units = st.lists(st.sampled_from([f"u{number}" for number in range(12)]), max_size=6, unique=True)
conditions = st.recursive(
    st.sampled_from(
        [
            in_segment("beta"),
            in_segment("wide"),
            a_clause("plan", Operator.IN, "pro"),
            a_clause("plan", Operator.EXISTS),
            a_clause("targetingKey", Operator.IN, "u1", "u2"),
        ]
    ),
    lambda inner: st.one_of(
        inner.map(lambda one: Condition(not_=one)),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: Condition(all=tuple(parts))),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: Condition(any=tuple(parts))),
    ),
    max_leaves=4,
)
answers = st.sampled_from(
    [
        Answer(serve="a"),
        Answer(serve="b"),
        Answer(rollout=a_rollout(500_000, split={"c": 1.0}, fallback="d")),
        Answer(rollout=a_rollout(500_000, split={"c": 1.0}, fallback="d", bucket_by="plan")),
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(conditions, answers), min_size=1, max_size=3),
    answers,
    st.tuples(names_of_units, names_of_units),
    st.tuples(names_of_units, names_of_units),
    st.booleans(),
    st.booleans(),
)
def test_listed_units_get_what_is_told_of_them(
    rules: list[tuple[Condition, Answer]],
    default: Answer,
    before: tuple[list[str], list[str]],
    after: tuple[list[str], list[str]],
    targeted: bool,
    needed: bool,
) -> None:
    """Whatever else is known of a unit that comes or goes: those told to move do, and those not told of stay."""

    def side(lists: tuple[list[str], list[str]]) -> Ruleset:
        beta = Segment(
            key="beta",
            included=tuple(unit for unit in lists[0] if unit not in lists[1]),
            excluded=tuple(lists[1]),
            conditions=(a_clause("plan", Operator.IN, "max"),),
        )
        wide = Segment(key="wide", conditions=(in_segment("beta"),))
        flag = a_flag(
            type=FlagType.STRING,
            variants=VARIANTS,
            off_variant="d",
            targets={"b": ("u3", "u4")} if targeted else {},
            rules=tuple(
                Rule(name=f"rule-{index}", when=when, answer=answer) for index, (when, answer) in enumerate(rules)
            ),
            default=default,
            prerequisites=(a_prerequisite("other"),) if needed else (),
        )
        other = asking("wide", key="other")
        return a_ruleset(flag, other, segments=(beta, wide))

    one, other = side(before), side(after)
    found = movements(one, other).get("checkout")
    told = units(found) if found else {}
    maybe = sum(row.units for row in found.units if row.because) if found else 0
    outcomes: dict[str, set[tuple[str | None, str | None]]] = {}
    for number in range(12):
        for plan in ({}, {"plan": "pro"}, {"plan": "max"}, {"plan": "free"}, {"plan": 3}):
            context = Context.of(f"u{number}", plan)
            pair = one.evaluate("checkout", context).variant, other.evaluate("checkout", context).variant
            outcomes.setdefault(f"u{number}", set()).add(pair)
    listed = (set(before[0]) - set(before[1])) ^ (set(after[0]) - set(after[1])) | (set(before[1]) ^ set(after[1]))
    sure = Counter(next(iter(pairs)) for unit, pairs in outcomes.items() if len(pairs) == 1 and unit in listed)
    for pair, count in told.items():
        # Those told of are among those that get this whatever else holds.
        assert count <= sure[pair], (pair, told, sure)
    movers = [unit for unit, pairs in outcomes.items() if any(was != now for was, now in pairs)]
    assert set(movers) <= listed
    assert len(movers) <= sum(told.values()) + maybe


def test_included_units_are_named_exactly() -> None:
    """Two units that come in get `on`, one that goes gets what the default gives; nobody else moves."""
    before, after = Segment(key="beta", included=("u1",)), Segment(key="beta", included=("u2", "u3"))

    found = edited(before, after, asking())["checkout"]

    assert units(found) == {("off", "on"): 2, ("on", "off"): 1}
    assert (found.rollouts, found.least, found.most) == ([], 0, 0)
    assert movement_lines(found) == [
        "segment beta: 1 listed unit switches from `on` to `off`",
        "segment beta: 2 listed units switch from `off` to `on`",
    ]


def test_excluded_units_and_rollouts_are_placed_by_their_hash() -> None:
    """A unit that is excluded falls to the default's rollout, whose line says what it gets."""
    everyone = a_clause("targetingKey", Operator.STARTS_WITH, "u")
    before = Segment(key="beta", conditions=(everyone,))
    after = Segment(key="beta", conditions=(everyone,), excluded=tuple(f"u{n}" for n in range(1_000)))
    flag = asking(rollout=a_rollout(300_000))

    found = edited(before, after, flag)["checkout"]

    ruleset = a_ruleset(a_flag(rollout=a_rollout(300_000)))
    off = sum(ruleset.evaluate("checkout", Context(f"u{n}")).variant == "off" for n in range(1_000))
    assert units(found) == {("on", "off"): off}
    assert 600 < off < 800


@pytest.mark.parametrize(
    "flag",
    [
        asking(enabled=False),
        asking(targets={"off": ("u1",)}),
        a_flag(rules=(a_rule("all", a_clause("targetingKey", Operator.EXISTS)), a_rule("members", in_segment("beta")))),
        asking(default=Answer(serve="on")),
        a_flag(rules=(a_rule("pro"), a_rule("members", in_segment("beta"), Answer(serve="off")))),
        a_flag(
            rules=(
                a_rule("pro", answer=Answer(rollout=a_rollout(500_000, bucket_by="plan"))),
                a_rule("members", in_segment("beta"), Answer(serve="off")),
            )
        ),
        a_flag(),
    ],
)
def test_units_whom_the_segment_decides_nothing_for_stay(flag: Flag) -> None:
    """A disabled flag, a target, an earlier rule, the same answer whatever another rule says: nobody moves."""
    assert edited(Segment(key="beta"), Segment(key="beta", included=("u1",)), flag) == {}


@pytest.mark.parametrize(
    "rules",
    [
        (a_rule("pro", a_clause("plan", Operator.IN, "pro")), a_rule("members", in_segment("beta"))),
        (a_rule("any", a_clause("plan", Operator.EXISTS)), a_rule("members", in_segment("beta"))),
        (a_rule("members", in_segment("beta"), active=Window(from_ms=0)),),
    ],
)
def test_units_of_whom_more_would_have_to_be_known_may_move(rules: tuple[Rule, ...]) -> None:
    """Where an earlier rule asks another attribute, or a rule has a window, nobody can say whether a unit moves."""
    found = edited(Segment(key="beta"), Segment(key="beta", included=("u1",)), a_flag(rules=rules))["checkout"]

    assert [(one.units, one.because) for one in found.units] == [(1, ATTRIBUTES)]
    assert movement_lines(found) == ["segment beta: 1 listed unit may move; depends on attributes"]


def test_units_of_another_attribute_depend_on_who_is_in_them() -> None:
    """An account that comes in gets one variant for all its users; from a rollout by targeting key, each its own."""
    before, after = (Segment(key="beta", unit="account", included=one) for one in ((), ("acme",)))

    fixed = edited(before, after, asking())["checkout"]
    placed = edited(before, after, asking(rollout=a_rollout(500_000)))["checkout"]

    assert units(fixed) == {("off", "on"): 1}
    assert [one.because for one in placed.units] == [ATTRIBUTES]


def test_another_unit_may_move_anybody() -> None:
    """A segment of another unit has other members altogether, so nothing is told of single units."""
    before, after = (Segment(key="beta", unit=unit, included=("u1",)) for unit in ("targetingKey", "account"))

    found = edited(before, after, asking())["checkout"]

    assert (found.units, found.least, found.most) == ([], 0, 100)


def test_very_long_lists_are_followed_in_part() -> None:
    """Of more than 10 000 units that come, the others are said to be left out."""
    after = Segment(key="beta", included=tuple(f"u{n}" for n in range(MOST_UNITS + 5)))

    found = edited(Segment(key="beta"), after, asking())["checkout"]

    assert units(found) == {("off", "on"): MOST_UNITS}
    assert [(one.units, one.because) for one in found.units if one.because] == [(5, "only 10000 others were looked at")]


def test_many_flags_share_the_effort() -> None:
    """The more flags ask a segment, the fewer of its units are followed for each, and that is said."""
    flags = [asking(key=f"flag-{number}") for number in range(40)]
    beta = Segment(key="beta", included=tuple(f"u{n}" for n in range(6_000)))
    before, after = (a_ruleset(*flags, segments=(segment,)) for segment in (Segment(key="beta"), beta))

    found = movements_by_flag({"production": before}, {"production": after})["flag-7"]["production"]

    assert units(found) == {("off", "on"): MOST_STEPS // 40}
    assert [one.because for one in found.units if one.because] == [f"only {MOST_STEPS // 40} others were looked at"]
