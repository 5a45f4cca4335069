"""Units that are sent as they are: named and placed on arrival."""

from rheostat.engine.hashing import choose, place, unit_hash
from rheostat.model.outcome import NEVER
from rheostat_server.outcomes.raw_units import UnitRule
from tests.builders import a_rollout, an_overlay

KEY = b"k" * 16


def test_a_unit_is_named_and_its_level_found() -> None:
    """By the ramp's key and the rollout's line; outside its range it is none of the ramp's."""
    rule = UnitRule(key=KEY, overlay=an_overlay(levels=(0, 500_000)), rollout=a_rollout(low=0, high=800_000))

    for number in range(100):
        unit = f"user-{number}"
        at, named = place("checkout", unit), rule.named(unit)
        if at >= 800_000:
            assert named is None
        else:
            assert named == (bytes.fromhex(unit_hash(KEY, unit)), 1 if at < 400_000 else NEVER)


def test_no_level_exposes_a_baselines_units() -> None:
    """Their variant is drawn by the split, as it was when they were served."""
    split = {"on": 1.0, "blue": 1.0}
    overlay = an_overlay(levels=(0, 1_000_000), exposure_ppm=1_000_000, baseline="blue")
    rule = UnitRule(key=KEY, overlay=overlay, rollout=a_rollout(split=split))
    units = [f"user-{number}" for number in range(100)]

    entries = {unit: (rule.named(unit) or (b"", 0))[1] for unit in units}

    assert entries == {unit: NEVER if choose(split, "checkout", unit) == "blue" else 1 for unit in units}
    assert len(set(entries.values())) == 2
