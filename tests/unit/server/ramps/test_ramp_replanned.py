"""A plan that starts afresh is checked, and fitted, as a new one is."""

import msgspec
import pytest

from rheostat.model.document import RampDocument, StepDocument
from rheostat.model.flag import Rollout
from rheostat.model.kill import KillScope
from rheostat_server.errors import Fault, Invalid
from rheostat_server.ramps.model import Family, Plan
from rheostat_server.ramps.plan import plan_of, replanned
from tests.builders import a_flag

ROLLOUT = Rollout(exposure_ppm=0, split={"on": 1.0}, salt="checkout", fallback="off")


def a_plan(kill: KillScope = KillScope.ROLLOUT) -> Plan:
    """Return a plan of steps at 20, 50 and 100 %."""
    document = RampDocument(
        flag="checkout",
        environment="production",
        steps=tuple(StepDocument(exposure=percent) for percent in (20, 50, 100)),
        holdback=10,
        kill=kill,
    )
    return plan_of(document, project="shop", rollout=ROLLOUT, start_ppm=0, family=Family.REPORTED)


def faults(
    plan: Plan, rollout: Rollout = ROLLOUT, *, off_variant: str | None = "off", start_ppm: int = 0
) -> list[Fault]:
    """Return what keeps the plan from starting afresh."""
    with pytest.raises(Invalid) as caught:
        replanned(plan, a_flag(off_variant=off_variant), rollout, start_ppm)
    return list(caught.value.faults)


def test_the_rollouts_range_and_the_exposure_in_force_are_read_anew() -> None:
    """Shares are of the range as it is now; steps at or below the exposure in force are left out."""
    narrow = msgspec.structs.replace(ROLLOUT, low=100_000, high=400_000)

    plan = replanned(a_plan(), a_flag(), narrow, 200_000)

    assert (plan.low_ppm, plan.width_ppm, plan.start_ppm) == (100_000, 300_000, 200_000)
    assert [step.exposure_ppm for step in plan.steps] == [500_000, 1_000_000]


def test_what_a_new_ramp_needs_one_that_starts_afresh_needs_too() -> None:
    """A fallback, an off variant to kill to, and a step above the exposure in force."""
    assert "fallback" in faults(a_plan(), msgspec.structs.replace(ROLLOUT, fallback=None))[0].message
    assert faults(a_plan(KillScope.FLAG), off_variant=None)[0].path == "kill"
    assert {fault.path for fault in faults(a_plan(), start_ppm=1_000_000)} == {"steps", "holdback"}
