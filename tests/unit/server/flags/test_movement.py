"""Who moves by a change: what is computed against users that are evaluated one by one."""

from collections import Counter
from math import sqrt
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rheostat.engine.evaluate import Ruleset
from rheostat.engine.hashing import is_exposed, is_held_back
from rheostat.model.context import Context
from rheostat.model.flag import Answer, Flag, FlagType, Operator, Rollout
from rheostat.model.kill import KillScope
from rheostat.model.shares import TOTAL_PPM
from rheostat_server.flags.joint import Line, Outcome, joint, split_joint
from rheostat_server.flags.movement import Movement, RolloutMovement, movement
from rheostat_server.flags.movement_words import movement_lines
from tests.builders import a_clause, a_flag, a_kill, a_prerequisite, a_rollout, a_rule, a_snapshot, an_overlay

USERS = 200_000
OFF = Outcome("d", False)
VARIANTS = {name: name for name in ("a", "b", "c", "d")}


def a_ruleset(*flags: Flag, **over: Any) -> Ruleset:
    return Ruleset.of(a_snapshot(*flags, **over))


def move(before: Flag, after: Flag, **over: Any) -> Movement:
    return movement(a_ruleset(before, **over), a_ruleset(after, **over), before.key)


def only_row(found: Movement) -> RolloutMovement:
    [row] = found.rollouts
    return row


def told(found: RolloutMovement) -> list[tuple[str, float, str | None, str | None]]:
    return [(one.kind, one.share, one.from_, one.to) for one in found.moves]


def many(rollout: Rollout) -> Flag:
    return a_flag(type=FlagType.STRING, variants=VARIANTS, off_variant="d", rollout=rollout)


weights = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 9), min_size=1).map(
    lambda split: {name: float(weight) for name, weight in split.items()}
)
rollouts = st.builds(
    lambda exposure_ppm, split, salt, fallback, span: a_rollout(
        exposure_ppm, split=split, salt=salt, fallback=fallback, low=span[0], high=span[1]
    ),
    st.integers(0, TOTAL_PPM),
    weights,
    st.sampled_from(["one", "one", "one", "other"]),
    st.sampled_from(["a", "d", None]),
    st.sampled_from([(0, TOTAL_PPM), (0, TOTAL_PPM), (0, 600_000), (300_000, TOTAL_PPM)]),
)


@settings(max_examples=5, deadline=None, phases=(Phase.generate,))
@given(rollouts, rollouts)
def test_the_shares_are_those_of_200_000_users(before: Rollout, after: Rollout) -> None:
    """What is computed of any two rollouts is what users get, evaluated one by one, within the sampling error."""
    one, other = a_ruleset(many(before)), a_ruleset(many(after))
    seen: Counter[tuple[str | None, str | None]] = Counter()
    for number in range(USERS):
        context = Context(f"user-{number}")
        was, now = one.evaluate("checkout", context).variant, other.evaluate("checkout", context).variant
        if was != now:
            seen[was, now] += 1

    found = movement(one, other, "checkout")

    computed: Counter[tuple[str | None, str | None]] = Counter()
    for row in found.rollouts:
        for moved in row.moves:
            computed[moved.from_, moved.to] += moved.share / 100  # type: ignore[assignment]
    for pair in seen.keys() | computed.keys():
        share = computed[pair]
        assert abs(seen[pair] / USERS - share) <= 5 * sqrt(share * (1 - share) / USERS) + 2e-5, pair
    assert found.least == found.most == pytest.approx(100 * sum(computed.values()), abs=1e-6)


@settings(max_examples=3, deadline=None, phases=(Phase.generate,))
@given(
    st.tuples(st.integers(0, TOTAL_PPM), st.integers(0, 200_000)),
    st.tuples(st.integers(0, TOTAL_PPM), st.integers(0, 200_000)),
    st.sampled_from([(0, TOTAL_PPM), (333_333, 666_666)]),
)
def test_exposures_are_exact_place_by_place(
    before: tuple[int, int], after: tuple[int, int], span: tuple[int, int]
) -> None:
    """Of exposures, ranges and holdbacks the computed shares are the places of the line, counted one by one."""
    rollout = a_rollout(0, low=span[0], high=span[1])
    found = movement(
        a_ruleset(a_flag(rollout=rollout), ramps=(an_overlay(before[0], holdback_ppm=before[1]),)),
        a_ruleset(a_flag(rollout=rollout), ramps=(an_overlay(after[0], holdback_ppm=after[1]),)),
        "checkout",
    )

    def exposed(at: int, shares: tuple[int, int]) -> bool:
        return is_exposed(at, shares[0], *span) and not is_held_back(at, shares[1], *span)

    counted = Counter((exposed(at, before), exposed(at, after)) for at in range(TOTAL_PPM))
    shares = {one.kind: one.share for row in found.rollouts for one in row.moves}
    assert shares.get("gain", 0) == counted[False, True] / 10_000
    assert shares.get("lose", 0) == counted[True, False] / 10_000


def test_more_exposure_only_gains() -> None:
    """From 5 % to 10 %, 5 % of users gain `on` and nobody loses anything."""
    row = only_row(move(a_flag(rollout=a_rollout(50_000)), a_flag(rollout=a_rollout(100_000))))

    assert told(row) == [("gain", 5, "off", "on")]
    found = move(a_flag(rollout=a_rollout(50_000)), a_flag(rollout=a_rollout(100_000)))
    assert movement_lines(found) == ["rule default: 5 % → 10 %: 5 % of users gain `on`"]


def test_another_salt_is_another_draw() -> None:
    """With another salt, half of the half that had it loses `on`, and as many gain it."""
    row = only_row(move(a_flag(rollout=a_rollout(500_000)), a_flag(rollout=a_rollout(500_000, salt="new"))))

    assert told(row) == [("gain", 25, "off", "on"), ("lose", 25, "on", "off")]


def test_two_units_are_independent_and_it_says_so() -> None:
    """Another bucket_by is another draw, if the two attributes say nothing of each other."""
    row = only_row(move(a_flag(rollout=a_rollout(500_000)), a_flag(rollout=a_rollout(500_000, bucket_by="org"))))

    assert row.least == row.most == 50
    assert row.assumes == "targetingKey and org say nothing of each other"


@given(weights.filter(lambda one: any(one.values())), weights.filter(lambda one: any(one.values())))
def test_reweighting_is_the_documented_formula(before: dict[str, float], after: dict[str, float]) -> None:
    """Who stays is 1 / Σ max(…) of each variant, all shares sum up to 1, and each side has its own weights."""
    one = {name: weight for name, weight in before.items() if weight > 0}
    other = {name: weight for name, weight in after.items() if weight > 0}
    found = split_joint(one, other)

    assert sum(found.values()) == pytest.approx(1)
    for name, weight in one.items():
        assert sum(share for (was, _), share in found.items() if was == name) == pytest.approx(
            weight / sum(one.values())
        )
    for name, weight in other.items():
        assert sum(share for (_, now), share in found.items() if now == name) == pytest.approx(
            weight / sum(other.values())
        )


@pytest.mark.parametrize("weight", [5e-324, 1e-300, 1e308])
def test_any_weight_gives_shares(weight: float) -> None:
    """The least and the greatest weights overflow nothing."""
    flag = many(a_rollout(TOTAL_PPM, split={"a": weight, "b": 1.0, "c": weight}))
    other = many(a_rollout(TOTAL_PPM, split={"a": 1.0, "b": weight, "c": weight}))

    found = move(flag, other)

    assert 0 <= found.least == found.most <= 100


def test_a_ramp_in_force_keeps_everyone() -> None:
    """Under a ramp's exposure the document's moves nobody."""
    over: dict[str, Any] = {"ramps": (an_overlay(250_000),)}
    found = move(a_flag(rollout=a_rollout(50_000)), a_flag(rollout=a_rollout(100_000)), **over)

    assert (found.rollouts, found.most, movement_lines(found)) == ([], 0, [])


def test_a_killed_flag_moves_nobody() -> None:
    """While a kill of the flag stands, no write moves anybody."""
    over: dict[str, Any] = {"kills": (a_kill(scope=KillScope.FLAG),)}
    assert not move(a_flag(rollout=a_rollout(0)), a_flag(rollout=a_rollout(TOTAL_PPM)), **over).moves


def test_disabling_takes_from_the_exposed() -> None:
    """A disabled flag takes `on` from all who were exposed, by rule."""
    rules = (a_rule("staff"),)
    found = move(
        a_flag(rollout=a_rollout(200_000), rules=rules), a_flag(rollout=a_rollout(200_000), rules=rules, enabled=False)
    )

    assert {row.rollout: told(row) for row in found.rollouts} == {
        "staff": [("lose", 100, "on", "off")],
        "default": [("lose", 20, "on", "off")],
    }
    assert (found.least, found.most) == (20, 100)


def test_a_new_flag_gains_from_what_is_off() -> None:
    """A flag that was not there is taken for a disabled one: only the exposed gain."""
    after = a_ruleset(a_flag(rollout=a_rollout(100_000)))
    found = movement(a_ruleset(), after, "checkout")

    assert told(only_row(found)) == [("gain", 10, "off", "on")]
    assert movement(a_ruleset(), a_ruleset(), "checkout").rollouts == []


def test_changed_conditions_are_bounded() -> None:
    """A rule with other conditions depends on attributes: the share lies between what its users could lose and gain."""
    before = a_flag(rollout=a_rollout(200_000), rules=(a_rule("pro"),))
    after = a_flag(rollout=a_rollout(200_000), rules=(a_rule("pro", a_clause("plan", Operator.IN, "max")),))

    row = only_row(move(before, after))

    assert row.because == "conditions changed: depends on attributes"
    assert (row.rollout, row.least, row.most, row.moves) == ("pro", 0, 80, ())
    assert (move(before, after).least, move(before, after).most) == (0, 80)


@pytest.mark.parametrize(
    ("before", "after", "because"),
    [
        ((), ("a",), "the rule is new: depends on attributes"),
        (("a",), (), "the rule is gone: depends on attributes"),
        (("a", "b"), ("b", "a"), "the order of rules changed: depends on attributes"),
    ],
)
def test_rules_that_come_go_or_swap_are_bounded(before: tuple[str, ...], after: tuple[str, ...], because: str) -> None:
    """What a rule's coming, going or place does is told of that rule alone; all other rules stay exact."""

    def flag(names: tuple[str, ...]) -> Flag:
        rules = tuple(
            a_rule(name, a_clause("plan", Operator.IN, name), Answer(serve="on" if name == "a" else "off"))
            for name in names
        )
        return a_flag(rollout=a_rollout(250_000), rules=rules)

    rows = move(flag(before), flag(after)).rollouts

    assert {row.because for row in rows} == {because}
    assert all(row.rollout in {"a", "b"} for row in rows)


def test_a_user_moves_no_more_than_the_bounds_say() -> None:
    """Whoever is evaluated before and after is where the pairs of rules allow."""
    plans = ["free", "pro", "max"]
    before = a_flag(
        rollout=a_rollout(300_000), rules=(a_rule("x", a_clause("plan", Operator.IN, "pro"), Answer(serve="on")),)
    )
    after = a_flag(
        rollout=a_rollout(300_000),
        rules=(
            a_rule("y", a_clause("plan", Operator.IN, "max"), Answer(serve="off")),
            a_rule("x", a_clause("plan", Operator.IN, "pro"), Answer(serve="on")),
        ),
    )
    found = move(before, after)
    one, other = a_ruleset(before), a_ruleset(after)
    for plan in plans:
        moved = sum(
            one.evaluate("checkout", Context(f"u{n}", plan=plan)).variant
            != other.evaluate("checkout", Context(f"u{n}", plan=plan)).variant
            for n in range(2_000)
        )
        assert found.least - 5 <= moved / 20 <= found.most + 5
    assert {row.rollout for row in found.rollouts} == {"y"}


def test_targets_are_counted() -> None:
    """Units named as targets are counted by what they got and get; values that change are named."""
    before = a_flag(targets={"on": ("u1", "u2"), "off": ("u3",)})
    after = a_flag(targets={"on": ("u3", "u4")}, variants={"on": True, "off": None})

    found = move(before, after)

    assert {(one.from_, one.to): one.units for one in found.targets} == {
        ("on", None): 2,
        ("off", "on"): 1,
        (None, "on"): 1,
    }
    assert found.values == ["off"]
    assert movement_lines(found)[-1] == "variant `off` has another value: all who get it get that"


def test_prerequisites_depend_on_other_flags() -> None:
    """Other prerequisites may take from everyone whom the rules expose."""
    before, after = (
        a_flag(default=Answer(serve="on")),
        a_flag(default=Answer(serve="on"), prerequisites=(a_prerequisite("other"),)),
    )
    [row] = move(before, after).rollouts

    assert (row.rollout, row.least, row.most) == ("prerequisites", 0, 100)


def test_a_line_and_one_outcome() -> None:
    """Against what everybody gets, a line's own shares are what moves."""
    line = Line(
        salt="s", bucket_by="targetingKey", start=0, end=250_000, split={"a": 1.0, "b": 3.0}, rest=Outcome("d", False)
    )
    found = joint(OFF, line)

    assert found[OFF, Outcome("b", True)] == pytest.approx(0.1875)
