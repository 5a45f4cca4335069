"""Whether who is exposed is drawn apart from what goes before."""

from typing import Any

import pytest

from rheostat.model.flag import Answer, Condition, Flag, FlagType, Prerequisite, Rollout, Rule
from rheostat_server.ramps.interlocks import InForce, required, same_line, shared_lines

OWN = "give one of the two a salt of its own"


def a_rollout(percent: float = 0, salt: str = "checkout", **changes: Any) -> Rollout:
    return Rollout(exposure_ppm=round(percent * 10_000), split={"on": 1.0}, salt=salt, fallback="off", **changes)


def a_rule(name: str, rollout: Rollout | None) -> Rule:
    answer = Answer(serve="on") if rollout is None else Answer(rollout=rollout)
    return Rule(name=name, when=Condition(), answer=answer)


def a_flag(key: str = "checkout", default: Rollout | None = None, **changes: Any) -> Flag:
    fields: dict[str, Any] = {"enabled": True, "default": Answer(rollout=default), **changes}
    return Flag(key=key, type=FlagType.BOOLEAN, variants={"on": True, "off": False}, version=1, **fields)


def needing(*keys: str) -> tuple[Prerequisite, ...]:
    return tuple(Prerequisite(key, ("on",)) for key in keys)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (a_rollout(50), True),
        (a_rollout(50, salt="another"), False),
        (a_rollout(50, bucket_by="company"), False),
        (a_rollout(50, low=500_000), True),
    ],
)
def test_lines_are_told_apart_by_salt_and_unit(other: Rollout, same: bool) -> None:
    """The same salt and unit draw the same users first."""
    assert same_line(a_rollout(), other) is same


def test_parts_of_a_layer_do_not_meet() -> None:
    """Ranges that have nothing in common are apart, whichever is the lower."""
    low, high = a_rollout(low=0, high=500_000), a_rollout(low=500_000, high=1_000_000)
    assert not same_line(low, high)
    assert not same_line(high, low)
    assert same_line(low, a_rollout(low=499_999, high=1_000_000))


@pytest.mark.parametrize(
    ("percent", "refused"), [(25, True), (0.0001, True), (99.9999, True), (0, False), (100, False)]
)
def test_an_earlier_rule_that_tells_users_apart_is_named(percent: float, refused: bool) -> None:
    """One that gives all of them the same tells nobody apart."""
    flag = a_flag(default=a_rollout(), rules=(a_rule("staff", None), a_rule("sale", a_rollout(percent))))

    faults = shared_lines(flag, "default", {}, {})

    assert [fault.path for fault in faults] == ["rollout"] * refused
    if refused:
        said = str(faults[0])
        assert f"the rule sale before it rolls out to {percent:g} % on the same salt (checkout)" in said
        assert "and unit (targetingKey)" in said
        assert OWN in said


def test_only_what_goes_before_counts() -> None:
    """Rules below, the default, and one with a salt of its own do not decide who comes to a rule."""
    flag = a_flag(
        default=a_rollout(50),
        rules=(
            a_rule("first", a_rollout(50, salt="first")),
            a_rule("mine", a_rollout()),
            a_rule("below", a_rollout(50)),
        ),
    )
    assert shared_lines(flag, "mine", {}, {}) == []
    assert [fault.message.split(" rolls")[0] for fault in shared_lines(flag, "default", {}, {})] == [
        "the rule below before it"
    ]
    assert shared_lines(flag, "gone", {}, {}) == []


def test_exposure_in_force_is_what_counts() -> None:
    """A ramp's goes before the document's; a live ramp turns even what stands at 0 or 100 %."""
    flag = a_flag(default=a_rollout(), rules=(a_rule("sale", a_rollout(25)),))

    assert shared_lines(flag, "default", {}, {("checkout", "sale"): InForce(1_000_000, turns=False)}) == []
    [turning] = shared_lines(flag, "default", {}, {("checkout", "sale"): InForce(0, turns=True)})
    assert "the rule sale before it is turned by a ramp, at 0 % now," in turning.message


def test_prerequisites_are_followed_to_the_end() -> None:
    """Every rollout of a prerequisite, and of its own, is looked at; each flag once, also in a circle."""
    flags = {
        "payments": a_flag("payments", a_rollout(50, salt="apart"), prerequisites=needing("base", "gone")),
        "base": a_flag(
            "base",
            rules=(a_rule("early", a_rollout(10)), a_rule("staff", None)),
            prerequisites=needing("payments", "checkout"),
        ),
        "unused": a_flag("unused", a_rollout(50)),
    }
    flag = a_flag(default=a_rollout(), prerequisites=needing("payments"))

    assert {one.key for one in required(flag, flags)} == {"payments", "base"}
    [fault] = shared_lines(flag, "default", flags, {})
    assert fault.message.startswith(
        "the prerequisite base (rollout early) rolls out to 10 % on the same salt (checkout)"
    )


def test_a_prerequisite_that_lets_nobody_through_tells_nobody_apart() -> None:
    """A disabled one fails for all, and what it needs is not asked."""
    flags = {
        "payments": a_flag("payments", a_rollout(50), enabled=False, prerequisites=needing("base")),
        "base": a_flag("base", a_rollout(50)),
    }
    flag = a_flag(default=a_rollout(), prerequisites=needing("payments"))

    assert list(required(flag, flags)) == []
    assert shared_lines(flag, "default", flags, {}) == []
    assert len(shared_lines(flag, "default", {**flags, "payments": a_flag("payments", a_rollout(50))}, {})) == 1
