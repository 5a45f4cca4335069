"""The guard at 100 %: against a small holdback, and with nobody held back."""

import random
from typing import Any

import pytest
from msgspec.structs import replace

from rheostat_server.ramps.model import Plan, Status
from tests.unit.server.ramps.ramp_builders import ERRORS, a_plan
from tests.unit.server.ramps.ramp_crowds import Chance, Crowd, crowd_ride
from tests.unit.server.ramps.ramp_rides import Ride

CEILING = (replace(ERRORS, ceiling=0.02),)
HELD_BACK: dict[str, Any] = {"holdback_ppm": 50_000}
ALONE: dict[str, Any] = {"guardrails": CEILING}


def blue_green(**changes: Any) -> Plan:
    """A ramp of everybody at once, as the server would plan it."""
    return a_plan(
        100, strategy="blue-green", preflight_s=300.0, soak_s=600.0, missing_kill=True, budget_parts=2, **changes
    )


def harmless(user: int, exposed: bool, now_ms: int) -> float:
    """As bad as ever."""
    return 0.003


def harmful(user: int, exposed: bool, now_ms: int) -> float:
    """One in twenty of the exposed goes wrong."""
    return 0.05 if exposed else 0.003


def ridden(plan: Plan, chance: Chance, seed: int, *, lost: float = 0.0) -> Ride:
    """2 000 users at 50 requests/s, for an hour at most."""
    return crowd_ride(plan, Crowd(random.Random(seed), 2_000), chance, per_s=50, lost=lost)


@pytest.mark.parametrize("way_back", [HELD_BACK, ALONE], ids=["holdback", "ceiling"])
@pytest.mark.parametrize("seed", range(3))
def test_the_harmless_is_promoted_and_the_harmful_killed(way_back: dict[str, Any], seed: int) -> None:
    """Proved after the least time on the step and the soak; killed within minutes."""
    good, bad = ridden(blue_green(**way_back), harmless, seed), ridden(blue_green(**way_back), harmful, seed)

    assert good.state.status is Status.PROMOTED
    assert bad.state.status is Status.KILLED


@pytest.mark.parametrize("seed", range(3))
def test_users_who_vanish_are_missed_beside_a_holdback(seed: int) -> None:
    """Nine of ten requests of the exposed are never heard of: it is not promoted, and stands where it began."""
    ride = ridden(blue_green(**HELD_BACK), harmless, seed, lost=0.9)

    assert ride.state.status in {Status.HELD, Status.KILLED}
    assert ride.state.exposure_ppm == 0


@pytest.mark.parametrize("seed", range(3))
def test_above_its_ceiling_beside_a_holdback_it_goes_back_at_once(seed: int) -> None:
    """It may have been an outage of both: nobody has the variant, and a person has to go on."""
    ride = ridden(blue_green(**HELD_BACK, **ALONE), harmful, seed)

    assert ride.state.status in {Status.HELD, Status.KILLED}
    assert ride.state.exposure_ppm == 0
