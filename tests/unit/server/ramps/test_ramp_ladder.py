"""The exposures that a ramp goes through, and goes on from."""

from typing import Any

import pytest

from rheostat.model.shares import TOTAL_PPM
from rheostat_server.ramps.ladder import compares, reached_ppm, treated_share
from tests.unit.server.ramps.ramp_builders import a_plan


@pytest.mark.parametrize("width", [TOTAL_PPM, 333_333, 1_000, 7])
@pytest.mark.parametrize("holdback", [0, 1, 20_000, 499_999])
@pytest.mark.parametrize("exposure", [0, 500_000, 980_000, 999_999, TOTAL_PPM])
def test_a_kept_holdback_is_out_of_what_was_reached(width: int, holdback: int, exposure: int) -> None:
    """Without the holdback, the exposure reached exposes exactly those whom the promoted ramp exposes with it."""
    plan = a_plan(keep_holdback=True, holdback_ppm=holdback, width_ppm=width)
    reached = reached_ppm(plan, exposure)

    assert width * reached // TOTAL_PPM == round(treated_share(plan, exposure) * width)
    assert reached <= exposure


def test_a_released_holdback_is_no_matter() -> None:
    """A ramp whose holdback was released goes on from its exposure."""
    assert reached_ppm(a_plan(holdback_ppm=20_000), TOTAL_PPM) == TOTAL_PPM


@pytest.mark.parametrize(
    ("steps", "changes", "randomised"),
    [
        ((5, 100), {}, True),
        ((100,), {}, False),
        ((100,), {"holdback_ppm": 50_000}, True),
        ((100,), {"baseline": "off", "compared_share": 0.5}, True),
        ((50, 100), {"guarded": False}, False),
    ],
)
def test_users_are_compared_where_both_arms_have_some(
    steps: tuple[int, ...], changes: dict[str, Any], *, randomised: bool
) -> None:
    """At 100 % at once nobody is left to compare with, whatever ceilings may kill; nor is anything without a guard."""
    assert compares(a_plan(*steps, **changes)) is randomised
