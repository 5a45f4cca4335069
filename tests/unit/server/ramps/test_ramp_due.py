"""What a ramp at a step still waits for."""

import pytest
from msgspec.structs import replace

from rheostat_server.ramps.due import Due, due
from rheostat_server.ramps.model import Gate, Status, Step
from rheostat_server.ramps.transition import start
from tests.unit.server.ramps.counted_rides import BEGAN_MS, Ride, counted_plan
from tests.unit.server.ramps.foreign_builders import an_analysis
from tests.unit.server.ramps.ramp_builders import MINUTE, SECOND, a_plan, running


def test_a_step_waits_for_its_dwell_and_its_users() -> None:
    """The least time on the step runs down to 0, and the users who were seen are counted against those wanted."""
    plan = a_plan()
    state = replace(running(plan), exposed_units=12)

    assert due(plan, state, 20 * SECOND) == Due(dwell_left_s=40.0, users_wanted=20, users_seen=12)
    assert due(plan, state, 5 * MINUTE).dwell_left_s == 0


def test_patience_runs_down_where_there_is_a_limit() -> None:
    """The time to wait for proof is told where the step has one, and where proof is waited for."""
    limited = (Step(exposure_ppm=50_000, max_dwell_s=90.0), Step(exposure_ppm=500_000))
    plan = replace(a_plan(), steps=limited)

    assert due(plan, running(plan), 30 * SECOND).trial_left_s == 60
    assert due(plan, running(plan), 5 * MINUTE).trial_left_s == 0
    alone = replace(plan, guarded=False, guardrails=())
    assert due(alone, running(alone), 0).trial_left_s is None
    assert due(alone, running(alone), 0).users_wanted is None


def test_a_gate_waits_for_a_person_once() -> None:
    """A manual gate asks for an approval until it has one for this step."""
    gated = (Step(exposure_ppm=50_000, gate=Gate.MANUAL), Step(exposure_ppm=500_000))
    plan = replace(a_plan(), steps=gated)

    assert due(plan, running(plan), 0).approval
    assert not due(plan, replace(running(plan), approved_step=0), 0).approval
    assert not due(a_plan(), running(a_plan()), 0).approval


def test_few_users_are_moved_by_a_person_and_not_counted() -> None:
    """Where a person moves each step no number of users is waited for; back at the start nobody has to approve."""
    plan = a_plan(users=40, manual=True)
    waits = due(plan, running(plan), 0)

    assert (waits.approval, waits.users_wanted) == (True, None)
    back = replace(running(plan), step=-1, exposure_ppm=0)
    assert not due(plan, back, 0).approval


def test_nobody_exposed_is_nobody_to_be_seen() -> None:
    """Back at the start of a ramp that began at nothing no users are waited for."""
    plan = a_plan()

    assert due(plan, replace(running(plan), step=-1, exposure_ppm=0), 0).users_wanted is None


def test_a_soak_counts_down_also_through_a_pause() -> None:
    """The soak runs from when it began, not from the step's; it never goes below nothing."""
    plan = a_plan()
    soaking = replace(running(plan, step=3), status=Status.PAUSED, soaking_since_ms=MINUTE)

    assert due(plan, soaking, 2 * MINUTE) == Due(soak_left_s=60.0)
    assert due(plan, soaking, 9 * MINUTE).soak_left_s == 0


@pytest.mark.parametrize("status", [Status.PROMOTED, Status.KILLED, Status.ABORTED, Status.DRAFT])
def test_what_is_over_waits_for_nothing(status: Status) -> None:
    """Neither an ended ramp nor one that exposes nobody yet has anything due."""
    plan = a_plan()

    assert due(plan, replace(running(plan), status=status), 0) == Due()
    assert due(plan, start(a_plan(preflight_s=600.0), 0), 0) == Due()


def test_a_comparison_waits_for_its_date_or_its_sample() -> None:
    """The smaller side's users are counted; there is no soak and no proof to wait for."""
    plan = a_plan(100, baseline="off", compared_share=0.5, until_ms=9 * MINUTE, sample=500)
    state = replace(running(plan), exposed_units=90, control_units=80)

    assert due(plan, state, 5 * MINUTE) == Due(until_left_s=240.0, users_wanted=500, users_seen=80)
    assert due(plan, state, 10 * MINUTE).until_left_s == 0
    assert due(replace(plan, until_ms=None), state, 5 * MINUTE).until_left_s is None
    back = replace(state, step=-1, exposure_ppm=0)
    assert due(plan, back, 20 * SECOND) == Due(dwell_left_s=40.0, users_seen=90)


def test_a_ramp_that_counts_checks_waits_for_its_next_round() -> None:
    """Flagger's rounds have a time, also at the last step; nothing dwells, and nothing soaks."""
    plan = counted_plan(
        analysis=an_analysis({"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"})
    )
    state = Ride(plan, lambda _name, _second: 100).go(70).state
    now_ms = BEGAN_MS + 70 * SECOND

    assert due(plan, state, now_ms) == Due(round_left_s=50.0)
    last = replace(state, step=len(plan.steps) - 1, soaking_since_ms=now_ms)
    assert due(plan, last, now_ms) == Due(round_left_s=50.0)
    gated = replace(plan, steps=tuple(replace(step, gate=Gate.MANUAL) for step in plan.steps))
    assert due(gated, state, now_ms).approval
    assert due(plan, replace(state, status=Status.AWAITING_APPROVAL), now_ms).approval
    assert due(plan, replace(state, threshold=None), now_ms) == Due()
