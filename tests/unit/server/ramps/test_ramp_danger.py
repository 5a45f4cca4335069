"""When one guardrail would take the variant back."""

import pytest
from msgspec.structs import replace

from rheostat_server.ramps.danger import Danger, danger
from rheostat_server.ramps.evidence import ArmTotals, Sight
from rheostat_server.ramps.model import GuardrailState
from tests.unit.server.ramps.ramp_builders import ERRORS, REQUESTS, a_plan, over_the_line


@pytest.mark.parametrize(
    ("treatment", "control", "verdict"),
    [
        (ArmTotals(), ArmTotals(units=100), Danger.KILL),
        (ArmTotals(units=100), ArmTotals(), Danger.KILL),
        (ArmTotals(units=100), ArmTotals(units=10_000, units_bad=50), Danger.KILL),
        (ArmTotals(units=1_000), ArmTotals(units=10_000, units_bad=50), Danger.UNCLEAR),
        (ArmTotals(units=1_000, units_bad=5), ArmTotals(units=10_000, units_bad=50), Danger.UNCLEAR),
        (ArmTotals(units=1_000, units_bad=6), ArmTotals(units=10_000, units_bad=50), Danger.KILL),
    ],
    ids=["no treated sample", "no control sample", "too few to tell", "none bad of many", "as bad", "worse"],
)
def test_difference_of_users_is_judged_on_samples_that_can_tell(
    treatment: ArmTotals, control: ArmTotals, verdict: Danger
) -> None:
    """Grade 1 kills only if the sampled treatment is worse, where there are samples that could show it."""
    seen = GuardrailState(sight=Sight.SEEN, recent_treatment=treatment, earlier_control=control, **over_the_line())

    assert danger(a_plan(), ERRORS, seen) is verdict


@pytest.mark.parametrize(
    ("treatment", "control", "least", "verdict"),
    [
        ((0, 0), (10, 100), None, Danger.UNCLEAR),
        ((10, 100), (0, 0), None, Danger.UNCLEAR),
        ((105, 10_000), (100, 10_000), None, Danger.UNCLEAR),
        ((111, 10_000), (100, 10_000), None, Danger.KILL),
        ((3, 10_000), (2, 10_000), None, Danger.UNCLEAR),
        ((4, 10_000), (2, 10_000), None, Danger.KILL),
        ((111, 10_000), (100, 10_000), 0.01, Danger.UNCLEAR),
        ((201, 10_000), (100, 10_000), 0.01, Danger.KILL),
    ],
)
def test_difference_of_rates_is_a_tenth_of_a_point_or_the_control_again(
    treatment: tuple[int, int], control: tuple[int, int], least: float | None, verdict: Danger
) -> None:
    """Rates must differ by min(0.1 points, the control's rate), or by what the guardrail asks for."""
    seen = GuardrailState(
        sight=Sight.SEEN,
        earlier_treatment=ArmTotals(bad=treatment[0], ended=treatment[1]),
        recent_control=ArmTotals(bad=control[0], ended=control[1]),
        **over_the_line(),
    )

    assert danger(a_plan(), replace(REQUESTS, min_difference=least), seen) is verdict
