"""Ramps that go from one value of an attribute to the next, and those that compare with a baseline."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.engine import Ruleset
from rheostat.engine.hashing import is_exposed, is_held_back, place
from rheostat.model.context import Context
from rheostat.model.evaluation import Arm, Evaluation, Reason
from rheostat.model.ramp import Cells, RampOverlay
from tests.builders import a_flag, a_kill, a_rollout, a_snapshot, an_overlay
from tests.strategies import shares

ALL = 1_000_000
UNITS = [f"user-{number}" for number in range(300)]
REGIONS = ["eu", "us", "ap", None]
SPLIT = {"on": 3.0, "off": 1.0, "blue": 4.0}


def staged(
    *, done: Sequence[Any] = (), now: Sequence[Any] = (), by: str = "region", start_ppm: int = 0, **changes: Any
) -> RampOverlay:
    """Return a ramp by region: who is done has everything, who is on 5 %."""
    overlay = {name: changes.pop(name) for name in ("holdback_ppm", "live") if name in changes}
    fields = {"done_ppm": ALL, "exposure_ppm": 50_000, **changes}
    cells = Cells(attribute=by, done=tuple(done), now=tuple(now), **fields)
    return an_overlay(start_ppm, cells=cells, **overlay)


def compared(exposure_ppm: int = ALL, **changes: Any) -> RampOverlay:
    """Return a ramp that compares with ``off``."""
    return an_overlay(exposure_ppm, baseline="off", **changes)


def ruleset(overlay: RampOverlay, **rollout: Any) -> Ruleset:
    """Return the rules of one flag with this ramp over its default rollout."""
    flag = a_flag(variants={"on": True, "off": False, "blue": True}, rollout=a_rollout(**rollout))
    return Ruleset.of(a_snapshot(flag, ramps=(overlay,)))


def everyone(overlay: RampOverlay, region: str | None, **rollout: Any) -> dict[str, Evaluation]:
    """Return what each unit of a region gets."""
    rules, attributes = ruleset(overlay, **rollout), {} if region is None else {"region": region}
    return {unit: rules.evaluate("checkout", Context(unit, **attributes)) for unit in UNITS}


def exposed(overlay: RampOverlay, region: str | None, **rollout: Any) -> set[str]:
    """Return the units of a region that are exposed."""
    return {unit for unit, found in everyone(overlay, region, **rollout).items() if found.variant == "on"}


def below(ppm: int) -> set[str]:
    """Return the units that this exposure exposes."""
    return {unit for unit in UNITS if is_exposed(place("checkout", unit), ppm)}


def test_who_is_done_has_all_who_is_on_the_step_and_who_waits_the_start() -> None:
    """The one hash decides within each of the three."""
    overlay = staged(done=["eu"], now=["us"], exposure_ppm=250_000, start_ppm=10_000)

    assert exposed(overlay, "eu") == set(UNITS)
    assert exposed(overlay, "us") == below(250_000)
    assert exposed(overlay, "ap") == exposed(overlay, None) == below(10_000)


def test_only_who_is_on_has_an_arm() -> None:
    """Unit and place are said of everybody, so that a reporter knows of the ramp; the arm of who is compared."""
    overlay = staged(done=["eu"], now=["us"], exposure_ppm=500_000, holdback_ppm=200_000)

    for region in REGIONS:
        found = everyone(overlay, region)
        arms = {evaluation.arm for evaluation in found.values()}
        assert arms == (set(Arm) if region == "us" else {None})
        assert {evaluation.ramp for evaluation in found.values()} == {overlay}
        assert {(evaluation.unit, evaluation.place) for evaluation in found.values()} == {
            (unit, place("checkout", unit)) for unit in UNITS
        }
    for unit, evaluation in everyone(overlay, "us").items():
        held = is_held_back(place("checkout", unit), 200_000)
        assert (evaluation.arm is Arm.HOLDBACK) == held
        assert (evaluation.arm is Arm.TREATMENT) == (not held and unit in below(500_000))
        assert evaluation.variant == ("on" if evaluation.arm is Arm.TREATMENT else "off")


def test_the_holdback_is_kept_from_who_is_done() -> None:
    """The done have everything less the holdback."""
    held = {unit for unit in UNITS if is_held_back(place("checkout", unit), 200_000)}

    assert held
    assert exposed(staged(done=["eu"], holdback_ppm=200_000), "eu") == set(UNITS) - held


def test_the_rest_are_all_whose_stage_is_not_over() -> None:
    """Users of no listed value, and those without the attribute."""
    overlay = staged(done=["eu", "us"], rest=True, exposure_ppm=500_000)

    assert exposed(overlay, "ap") == exposed(overlay, None) == below(500_000)
    assert exposed(overlay, "us") == set(UNITS)
    assert everyone(overlay, None)[UNITS[0]].arm is not None


def test_a_stage_arms_as_its_first_step_will_draw() -> None:
    """Nobody of it is exposed yet; the levels of the ramp are those of each stage."""
    overlay = staged(done=["eu"], now=["us"], exposure_ppm=0, arming_ppm=500_000)

    assert exposed(overlay, "us") == set()
    assert {evaluation.arm for evaluation in everyone(overlay, "us").values()} == {Arm.TREATMENT, Arm.CONTROL}
    assert (overlay.arming, overlay.arm_ppm) == (True, 500_000)
    assert not staged(now=["us"]).arming


@pytest.mark.parametrize(
    ("by", "values", "attributes", "on"),
    [
        ("user.region", ["eu"], {"user": {"region": "eu"}}, True),
        ("region", [1], {"region": 1.0}, True),
        ("region", ["1"], {"region": 1}, False),
        ("region", [1], {"region": True}, False),
        ("region", ["eu"], {"region": ["eu"]}, False),
        ("region", ["eu"], {"region": object()}, False),
        ("targetingKey", ["user-1"], {}, True),
    ],
)
def test_a_value_is_matched_as_by_the_operator_in(
    by: str, values: list[Any], attributes: dict[str, Any], on: bool
) -> None:
    """Numbers by value, and nothing is taken for another type; dotted paths lead into objects."""
    rules = ruleset(staged(now=values, by=by, exposure_ppm=ALL))

    assert (rules.evaluate("checkout", Context.of("user-1", attributes)).arm is Arm.TREATMENT) == on


def test_left_promoted_the_listed_stay_and_no_arm_is_left() -> None:
    """Without a last stage for the others, promotion leaves them at the exposure of the start."""
    overlay = staged(done=["eu", "us"], live=False, start_ppm=10_000)

    assert exposed(overlay, "eu") == set(UNITS)
    assert exposed(overlay, "ap") == below(10_000)
    assert {(one.arm, one.ramp) for one in everyone(overlay, "eu").values()} == {(None, None)}


def test_a_kill_takes_it_back_from_every_stage() -> None:
    """A rollout kill is exposure 0 for all, and nobody has an arm."""
    flag, overlay = a_flag(rollout=a_rollout()), staged(done=["eu"], now=["us"], exposure_ppm=ALL, start_ppm=ALL)
    rules = Ruleset.of(a_snapshot(flag, ramps=(overlay,), kills=(a_kill(),)))

    for region in REGIONS:
        found = [rules.evaluate("checkout", Context(unit, region=region)) for unit in UNITS]
        assert {(one.variant, one.arm) for one in found} == {("off", None)}


def test_a_stale_snapshot_gives_the_fallback_to_every_stage() -> None:
    """As of any rollout that ramps."""
    for overlay in (staged(done=["eu"], now=["us"]), compared()):
        flag = a_flag(rollout=a_rollout(), max_staleness_ms=5)
        rules = Ruleset.of(a_snapshot(flag, ramps=(overlay,)))
        found = [rules.evaluate("checkout", Context(unit, region="eu"), age_ms=6) for unit in UNITS]
        assert {(one.variant, one.reason, one.arm) for one in found} == {("off", Reason.STALE, None)}


def test_a_missing_unit_is_missing_in_every_stage() -> None:
    """A rollout needs its unit, whatever the stage."""
    for overlay in (staged(done=["eu"], now=["us"]), compared()):
        for region in REGIONS:
            assert ruleset(overlay).evaluate("checkout", Context(region=region)).reason is Reason.ERROR
            by_org = ruleset(overlay, bucket_by="org").evaluate("checkout", Context("u", region=region))
            assert (by_org.variant, by_org.reason, by_org.ramp) == ("off", Reason.DEFAULT, None)


@settings(deadline=None, max_examples=50)
@given(steps=st.lists(shares, min_size=1, max_size=4), start=shares, holdback=st.sampled_from([0, 20_000]))
def test_raising_only_adds_users_and_nobody_is_early(steps: list[int], start: int, holdback: int) -> None:
    """Through all stages: users come and never go, in their own stage alone, and nobody changes variant."""
    ladder = sorted({step for step in steps if step > start} | {ALL})
    stages: list[dict[str, Any]] = [{"now": ["eu"]}, {"done": ["eu"], "now": ["us"]}]
    stages.append({"done": ["eu", "us"], "rest": True})
    units = {region: dict.fromkeys(UNITS[:60], "off") for region in REGIONS}

    for number, stage in enumerate(stages):
        for step in [start, *ladder]:
            overlay = staged(**stage, exposure_ppm=step, start_ppm=start, holdback_ppm=holdback)
            rules = ruleset(overlay, split=SPLIT, fallback="off")
            for place_of_region, region in enumerate(REGIONS):
                stage_of_region = min(place_of_region, 2)
                for unit, before in units[region].items():
                    variant = rules.evaluate("checkout", Context(unit, region=region)).variant
                    assert variant is not None
                    if before != "off":
                        assert variant == before, "it changed"
                    if stage_of_region > number and not is_exposed(place("checkout", unit), start):
                        assert variant == "off", "it was exposed before its stage"
                    units[region][unit] = variant


# --- a baseline ---


def test_the_exposed_are_compared_by_their_variant() -> None:
    """The baseline's are control, all others treatment; who is not exposed has no arm."""
    for exposure_ppm in (400_000, ALL):
        found = everyone(compared(exposure_ppm), None, split=SPLIT, fallback="off")
        for unit, evaluation in found.items():
            if unit not in below(exposure_ppm):
                assert (evaluation.variant, evaluation.arm) == ("off", None)
            else:
                assert (evaluation.arm is Arm.CONTROL) == (evaluation.variant == "off")
                assert evaluation.arm is not Arm.HOLDBACK
        treated = sum(evaluation.arm is Arm.TREATMENT for evaluation in found.values())
        compared_ones = sum(evaluation.arm is not None for evaluation in found.values())
        # 7 of 8 weights.
        assert abs(treated / compared_ones - 7 / 8) < 0.1


def test_a_comparison_arms_by_the_split_and_shows_nobody_a_variant() -> None:
    """While arming the arms are drawn as they will be, and all get the fallback."""
    arming, later = compared(0, arming_ppm=500_000), compared(500_000)

    before, after = (everyone(overlay, None, split=SPLIT, fallback="off") for overlay in (arming, later))

    assert {evaluation.variant for evaluation in before.values()} == {"off"}
    assert {unit: one.arm for unit, one in before.items()} == {unit: one.arm for unit, one in after.items()}
    assert arming.arming


def test_outside_the_range_and_in_a_holdback_nobody_is_compared() -> None:
    """A unit that the rollout's range does not hold belongs to no comparison, nor does one that is held back."""
    found = everyone(compared(holdback_ppm=300_000), None, split=SPLIT, low=0, high=500_000)

    for unit, evaluation in found.items():
        at = place("checkout", unit)
        assert (evaluation.arm is not None) == (at < 350_000)
        assert (evaluation.ramp is not None) == (at < 500_000)


# --- readers that know neither ---


def test_a_reader_that_knows_no_cells_exposes_nobody_early_and_reports_nothing() -> None:
    """It reads the plain exposure, which is the start's, and that the ramp is not live."""

    class Before(msgspec.Struct, kw_only=True):
        exposure_ppm: int
        arming_ppm: int | None = None
        live: bool = True

    for overlay in (staged(done=["eu"], now=["us"], start_ppm=10_000), compared(500_000)):
        old = msgspec.json.decode(msgspec.json.encode(overlay), type=Before)
        assert (old.exposure_ppm, old.arming_ppm, old.live) == (overlay.exposure_ppm, None, False)
        assert overlay.live


def test_a_part_that_nobody_here_knows_makes_a_ramp_not_live() -> None:
    """What a later version adds is served, and its outcomes are left to those who know it."""
    assert not an_overlay(live=False, live_with=("cells", "moon")).live
    assert an_overlay(live=False, live_with=("cells",)).live
    assert not an_overlay(live=False).live
