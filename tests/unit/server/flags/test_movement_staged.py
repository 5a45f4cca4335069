"""Who moves where a ramp goes by an attribute: bounds, for nobody can say of whom the attribute is what."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.engine.evaluate import Ruleset
from rheostat.model.context import Context
from rheostat.model.flag import Flag, Segment
from rheostat.model.ramp import Cells, RampOverlay
from rheostat_server.flags.moved import movements
from rheostat_server.flags.movement import ATTRIBUTES, Movement, movement
from tests.builders import a_flag, a_kill, a_rollout, a_snapshot, an_overlay
from tests.strategies import shares
from tests.unit.server.flags.segment_edits import asking, units

BECAUSE = f"a ramp goes by region: {ATTRIBUTES}"
REGIONS = ["eu", "us", "ap"]


def staged(exposure_ppm: int = 250_000, start_ppm: int = 0, by: str = "region", **changes: Any) -> RampOverlay:
    """Return a ramp that is done with ``eu`` and at ``us``."""
    fields = {"done": ("eu",), "now": ("us",), "done_ppm": 1_000_000, **changes}
    return an_overlay(start_ppm, cells=Cells(attribute=by, exposure_ppm=exposure_ppm, **fields))


def ruleset(flag: Flag, *ramps: RampOverlay, **over: Any) -> Ruleset:
    return Ruleset.of(a_snapshot(flag, ramps=ramps, **over))


def told(found: Movement) -> list[tuple[str, float, float, str | None]]:
    return [(row.rollout, row.least, row.most, row.because) for row in found.rollouts]


def test_what_changes_nothing_moves_nobody() -> None:
    """The same ramp over the same rollout, before and after an edit of something else."""
    before, after = a_flag(rollout=a_rollout()), a_flag(rollout=a_rollout(), version=2, metadata={"a": 1})

    found = movement(ruleset(before, staged()), ruleset(after, staged()), "checkout")

    assert not found.moves
    assert found.rollouts == []


def test_a_kill_may_take_it_from_all_or_nobody() -> None:
    """By stage: 100, 25 or 0 %."""
    flag = a_flag(rollout=a_rollout())

    found = movement(ruleset(flag, staged()), ruleset(flag, staged(), kills=(a_kill(),)), "checkout")

    assert told(found) == [("default", 0, 100, BECAUSE)]
    assert found.rollouts[0].before is None
    assert found.rollouts[0].after == 0


@pytest.mark.parametrize("turned", [False, True])
def test_disabling_and_enabling(turned: bool) -> None:
    """Where one side gives everybody the same, the other's stages say who moves."""
    on, off = ruleset(a_flag(rollout=a_rollout()), staged(start_ppm=10_000)), ruleset(a_flag(enabled=False))

    found = movement(off, on, "checkout") if turned else movement(on, off, "checkout")

    assert told(found) == [("default", 1, 100, BECAUSE)]


@settings(deadline=None, max_examples=20)
@given(st.lists(shares, min_size=4, max_size=4), st.booleans())
def test_the_bounds_hold_for_every_region(drawn: list[int], ends: bool) -> None:
    """Whatever the two ramps do to a region's users: the share that moves lies within what is told."""
    flag = a_flag(rollout=a_rollout(100_000))
    before = staged(drawn[0], drawn[1])
    after = () if ends else (staged(drawn[2], drawn[3], done=("us",), now=("ap",)),)
    sides = ruleset(flag, before), ruleset(flag, *after)

    found = movement(*sides, "checkout")

    contexts = [(region, Context(f"u{number}", region=region)) for region in REGIONS for number in range(2_000)]
    for region in REGIONS:
        moved = [
            sides[0].evaluate("checkout", context).variant != sides[1].evaluate("checkout", context).variant
            for own, context in contexts
            if own == region
        ]
        share = 100 * sum(moved) / len(moved)
        assert found.least - 5 <= share <= found.most + 5


@pytest.mark.parametrize(("by", "known"), [("region", False), ("targetingKey", True)])
def test_units_of_a_segment_fall_to_a_stage_that_nobody_knows(by: str, known: bool) -> None:
    """A listed unit that comes to the default's rollout may be in any stage; if the unit itself says it, in one."""
    overlay = staged(by=by, done=("u1",), now=("u2",), start_ppm=0)
    flag = asking(rollout=a_rollout())
    before, after = (Segment(key="beta", excluded=("u9",), included=one) for one in (("u1",), ()))

    found = movements(ruleset(flag, overlay, segments=(before,)), ruleset(flag, overlay, segments=(after,))).get(
        "checkout"
    )

    if known:
        assert found is None, "everybody of u1's stage has the variant"
    else:
        assert found is not None
        assert units(found) == {}
        assert [one.because for one in found.units] == [ATTRIBUTES]


def test_units_that_stay_at_the_ramp_stay() -> None:
    """Both sides have the same ramp over the same rollout, which no rule leads past."""
    flag = a_flag(rollout=a_rollout())
    before, after = (Segment(key="beta", included=one) for one in (("u1",), ()))

    sides = (ruleset(flag, staged(), segments=(segment,)) for segment in (before, after))

    assert movements(*sides) == {}
