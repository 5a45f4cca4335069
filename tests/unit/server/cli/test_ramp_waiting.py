"""What a ramp waits for, in the terminal, of those that neither prove nor soak, and of those that roll."""

from typing import Any

import msgspec
from msgspec.structs import replace

from rheostat_server.cli.ramp_picture.look import UNICODE, Look
from rheostat_server.cli.ramp_picture.waiting import waiting
from rheostat_server.ramps.model import Plan, Stage, State, Status
from rheostat_server.ramps.standing_threshold import counting_standing
from tests.unit.server.cli.ramp_views import text_of, view_of
from tests.unit.server.ramps.counted_rides import BEGAN_MS, Ride, counted_plan
from tests.unit.server.ramps.foreign_builders import a_template, an_analysis, an_argo, an_argo_metric, run_of
from tests.unit.server.ramps.ramp_builders import MINUTE, SECOND, a_plan, running, seeing

HOUR = 60 * MINUTE
METRIC = {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"}


def shown(plan: Plan, state: State, now_ms: int) -> str:
    """The countdown of a ramp that stands so."""
    counting = msgspec.to_builtins(counting_standing(plan, state, now_ms))
    return text_of(waiting(view_of(plan, state, now_ms, counting=counting), Look(width=100, marks=UNICODE)))


def test_a_comparison_counts_down_to_its_end() -> None:
    """It never soaks, and asks for no proof: what is left is of its time or its sample, and then a person."""
    plan = a_plan(100, baseline="off", compared_share=0.5, until_ms=2 * HOUR, sample=5_000)
    state = seeing(replace(running(plan), exposed_units=90, control_units=80))

    assert shown(plan, state, HOUR) == "  to its end: 80 of 5 000 users seen on the smaller side or 1:00:00 left"
    dated = replace(plan, sample=None)
    assert shown(dated, state, HOUR) == "  to its end: 1:00:00 left"
    over = replace(state, status=Status.AWAITING_APPROVAL)
    assert shown(plan, over, 2 * HOUR) == "  to its end: a person: rheostat ramp approve checkout-v2"
    back = replace(state, step=-1, exposure_ppm=0)
    assert shown(plan, back, 20 * SECOND) == "  to 100 %: dwell 0:40 left"


def test_a_ramp_that_counts_checks_counts_down_to_its_next_round() -> None:
    """The last good round promotes it. Where rounds have no time there is nothing to count down."""
    plan = counted_plan(analysis=an_analysis(METRIC))
    state = Ride(plan, lambda _name, _second: 100).go(70).state
    now_ms = BEGAN_MS + 70 * SECOND

    assert shown(plan, state, now_ms) == "  to 20 %: next round in 0:50"
    last = replace(state, step=len(plan.steps) - 1)
    assert shown(plan, last, now_ms) == "  to promoted: next round in 0:50"
    templates = (a_template(an_argo_metric(interval="5m", failureLimit=3)),)
    steps = ({"setWeight": 20}, {"pause": {"duration": "5m"}})
    argo = counted_plan(argo=an_argo(*steps, templates=templates, analysis=run_of("success", startingStep=0)))
    assert shown(argo, Ride(argo, lambda _name, _second: 0.01).go(5).state, BEGAN_MS + 5 * SECOND) == ""


def test_after_the_last_step_of_a_stage_comes_the_next_stage() -> None:
    """Only the last stage is followed by the soak."""
    plan = a_plan(50, by="region", stages=(Stage(("eu",)), Stage()))
    state: Any = seeing(running(plan), log_a=5.0)

    assert shown(plan, state, 2 * MINUTE).startswith("  to everyone else: ")
    assert shown(plan, replace(state, stage=1), 2 * MINUTE).startswith("  to soak: ")
