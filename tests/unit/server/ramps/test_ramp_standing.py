"""How a ramp stands, in words and figures."""

import math

import msgspec
import pytest
from msgspec.structs import replace

from rheostat_server.ramps.evidence import ArmTotals
from rheostat_server.ramps.memory import CeilingMemory, CrowdMemory, Proof
from rheostat_server.ramps.model import Plan, State, Status
from rheostat_server.ramps.standing import standing
from rheostat_server.ramps.stats import requests_needed
from rheostat_server.ramps.transition import start
from tests.unit.server.ramps.ramp_builders import ERRORS, MINUTE, REQUESTS, SECOND, a_plan, running, seeing

WITHOUT_ERRORS = 453
"""Treated requests to the absolute proof of 0.5 % where nothing fails."""


def at_first_step(plan: Plan, **seen: object) -> State:
    """A ramp two minutes into its first step, with 600 treated requests."""
    changes = {"step_treatment": ArmTotals(ended=600), "treatment": ArmTotals(ended=600, bad=3, failing=2, units=80)}
    return seeing(running(plan), "errors", **{**changes, **seen})


def test_arming_counts_down() -> None:
    """An arming ramp shows as a clock how much longer it has to watch, whatever the time of day."""
    plan = a_plan(preflight_s=600.0)
    stands = standing(plan, replace(start(plan, 0), armed_s=19.0), 5 * MINUTE)

    assert (stands.line, stands.preflight_left_s) == ("arming 9:41 left", 581.0)
    assert standing(plan, running(plan), 5 * MINUTE).preflight_left_s is None


def test_what_came_late_is_shown_and_proves_nothing() -> None:
    """Outcomes that were reported late are in the totals that people see, and change no need for proof."""
    plan = a_plan()
    late = ArmTotals(ended=400, bad=4, failing=4)
    before = standing(plan, at_first_step(plan), 2 * MINUTE).guardrails[0]
    after = standing(plan, at_first_step(plan, late_treatment=late), 2 * MINUTE).guardrails[0]

    assert (after.treatment.requests, after.treatment.bad, after.treatment.failing) == (1_000, 7, 6)
    assert replace(after, treatment=before.treatment) == before


def test_running_names_the_requests_to_proof_and_the_time() -> None:
    """A running ramp shows how many treated requests a proof needs, how long that takes, and what comes then."""
    plan = a_plan()
    shown = standing(plan, at_first_step(plan), 2 * MINUTE)

    assert (
        shown.line
        == "running at 5 % (step 1 of 4): needs ~460 more requests (~2 min at the present rate) to prove, then 25 %"
    )
    assert shown.guardrails[0].requests_to_proof == WITHOUT_ERRORS
    assert shown.guardrails[0].seconds_to_proof == pytest.approx(WITHOUT_ERRORS / 5)


def test_control_that_fails_often_makes_the_relative_proof_the_nearer() -> None:
    """With 5 % errors in control the relative proof needs fewer requests than the absolute without any."""
    plan = a_plan()
    control = ArmTotals(ended=10_000, bad=500, failing=500)
    shown = standing(plan, at_first_step(plan, control=control), 2 * MINUTE).guardrails[0]

    relative = requests_needed(Proof(), bad_rate=0.05, event_rate=0.05, acceptable=0.005, x=0.05)
    assert shown.requests_to_proof == math.ceil(relative) < WITHOUT_ERRORS


def test_present_step_tells_the_rate_where_enough_failed() -> None:
    """A control that by now has hardly anybody left to fail newly makes the proof far, whatever was before."""
    plan = a_plan()
    before = ArmTotals(ended=10_000, bad=500, failing=500)
    state = at_first_step(plan, control=before, step_control=ArmTotals(ended=1_000, bad=10, failing=1))
    far = standing(plan, state, 2 * MINUTE).guardrails[0]
    assert far.requests_to_proof == math.ceil(
        requests_needed(Proof(), bad_rate=0.01, event_rate=0.001, acceptable=0.005, x=0.05)
    )
    few = at_first_step(plan, control=before, step_control=ArmTotals(ended=1_000, bad=9, failing=1))
    usual = requests_needed(Proof(), bad_rate=0.05, event_rate=0.05, acceptable=0.005, x=0.05)
    assert standing(plan, few, 2 * MINUTE).guardrails[0].requests_to_proof == math.ceil(usual)


def test_proof_that_never_comes_is_not_promised() -> None:
    """Where as many fail as are acceptable, and nobody newly, the line says that no proof comes."""
    plan = a_plan()
    state = at_first_step(plan, control=ArmTotals(ended=10_000, bad=50))
    shown = standing(plan, state, 2 * MINUTE)

    assert shown.line.endswith("errors cannot be proved at the control's present rate, then 25 %")
    assert shown.guardrails[0].requests_to_proof is None
    assert shown.guardrails[0].seconds_to_proof is None


def test_no_traffic_gives_no_time() -> None:
    """Without treated requests there is no time to proof, and the line says that none comes."""
    plan = a_plan()
    shown = standing(plan, running(plan), 2 * MINUTE)

    assert shown.line.endswith("needs ~460 more requests to prove, none is coming, then 25 %")
    assert shown.guardrails[0].seconds_to_proof is None
    assert shown.guardrails[0].control.rate is None


def test_step_that_just_began_is_not_said_to_lack_traffic() -> None:
    """In the first three intervals of a step nothing can have been reported, and the line does not call that none."""
    plan = a_plan()
    state = running(plan)
    soon = standing(plan, state, state.entered_ms + round(2.9 * plan.interval_s * 1000))

    assert soon.line.endswith("needs ~460 more requests to prove, then 25 %")


@pytest.mark.parametrize(("ended", "time"), [(700, "~78 s"), (6, "~3 h"), (60, "~15 min"), (10_000_000, "~1 s")])
def test_times_read_in_their_own_unit(ended: int, time: str) -> None:
    """Seconds below a minute and a half, minutes below one and a half hours, then hours."""
    plan = a_plan()
    state = at_first_step(plan, step_treatment=ArmTotals(ended=ended))

    assert f"({time} at the present rate)" in standing(plan, state, 2 * MINUTE).line


def test_proved_step_waits_for_its_dwell() -> None:
    """Once proved, the line shows the rest of the dwell, then what was decided last."""
    plan = a_plan()
    state = at_first_step(plan, log_a=2.0)

    assert standing(plan, state, 20 * SECOND).line == "running at 5 % (step 1 of 4): 0:40 until 25 %"
    later = standing(plan, replace(state, why="5 %: 12 of 20 exposed users seen"), 2 * MINUTE)
    assert later.line == "running at 5 % (step 1 of 4): 12 of 20 exposed users seen, then 25 %"
    assert later.guardrails[0].proved
    assert later.guardrails[0].requests_to_proof is None


def test_unguarded_ramp_shows_its_time() -> None:
    """A ramp that moves by time alone shows the time."""
    plan = a_plan(guardrails=(), guarded=False)

    assert standing(plan, running(plan), 20 * SECOND).line == "running at 5 % (step 1 of 4): 0:40 until 25 %"
    assert standing(plan, replace(running(plan), why=""), 2 * MINUTE).line.endswith("next, then 25 %")


def test_last_step_is_followed_by_the_soak() -> None:
    """At the last step the line says that the soak comes, and the soak counts down."""
    plan = a_plan()
    last = running(plan, step=3)
    assert standing(plan, last, MINUTE).line.endswith("then soaking")
    soaking = replace(last, status=Status.SOAKING, soaking_since_ms=MINUTE)
    assert standing(plan, soaking, 2 * MINUTE).line == "soaking at 100 %, 1:00 left"


@pytest.mark.parametrize("status", [Status.HELD, Status.BLIND, Status.PAUSED, Status.AWAITING_APPROVAL])
def test_what_stands_still_says_why(status: Status) -> None:
    """A ramp that stands still shows its status and the reason, also while arming."""
    plan = a_plan()
    there = replace(running(plan), status=status, why="because")
    assert standing(plan, there, MINUTE).line == f"{status} at 5 % (step 1 of 4): because"
    assert (
        standing(plan, replace(there, step=-1, exposure_ppm=0), MINUTE).line
        == f"{status} at 0 % (back at the start): because"
    )
    arming = replace(start(plan, 0), status=status, why="because")
    assert standing(plan, arming, MINUTE).line == f"{status} while arming: because"


def test_what_is_over_says_how_it_ended() -> None:
    """An ended ramp shows its exposure and the reason."""
    plan = a_plan()
    over = replace(running(plan), status=Status.KILLED, exposure_ppm=0, why="errors")

    assert standing(plan, over, MINUTE).line == "killed, exposure 0 %: errors"


def test_guardrail_stands_against_its_lines() -> None:
    """M, both proofs and the arms are shown against the lines that they are judged by."""
    plan = a_plan(guardrails=(*a_plan().guardrails, REQUESTS))
    state = at_first_step(plan, log_m=math.log(10), log_e=math.log(2), holding=True)
    shown = standing(plan, state, 2 * MINUTE).guardrails
    errors = shown[0]

    assert (errors.name, errors.family, errors.grade, errors.sight) == ("errors", "reported", 1, "seen")
    assert (errors.m, errors.kill_line, errors.advance_line) == pytest.approx((10, 100, 5))
    assert errors.toward_kill == pytest.approx(0.5)
    assert (errors.e, errors.a) == pytest.approx((2, 1))
    assert (errors.proved, errors.holding) == (False, True)
    assert errors.events == (2, 0)
    assert (errors.treatment.requests, errors.treatment.bad, errors.treatment.rate) == (600, 3, 0.005)
    assert shown[1].requests_to_proof == math.ceil(
        5 * requests_needed(Proof(), bad_rate=0, event_rate=0, acceptable=0.005, x=0.05)
    )


@pytest.mark.parametrize(("alpha", "parts", "line"), [(0.01, 1, 100.0), (0.01, 2, 200.0), (0.05, 3, 60.0)])
def test_lines_are_shown_as_they_are_meant(alpha: float, parts: int, line: float) -> None:
    """A line of K/α is exactly that, and not the power of its own logarithm."""
    plan = a_plan(alpha=alpha, budget_parts=parts)
    shown = standing(plan, at_first_step(plan, log_m=math.log(10)), MINUTE).guardrails[0]

    assert (shown.kill_line, shown.hold_line, shown.m) == (line, 10, 10)


def test_what_is_due_is_told_beside_the_evidence() -> None:
    """The countdowns stand with the standing."""
    plan = a_plan()

    assert standing(plan, at_first_step(plan), 20 * SECOND).due.dwell_left_s == 40


@pytest.mark.parametrize("log_m", [-5_000.0, 5_000.0])
def test_figures_stay_json(log_m: float) -> None:
    """However far the evidence goes, the figures are finite and the share stays within 0 … 1."""
    plan = a_plan()
    shown = standing(plan, at_first_step(plan, log_m=log_m), MINUTE)

    assert shown.guardrails[0].toward_kill in {0.0, 1.0}
    assert b"null" not in msgspec.json.encode(shown.guardrails[0].m)


def test_grade_and_ceiling_are_those_of_now() -> None:
    """Where samples took over from failing users it shows; so does how near a ceiling is."""
    plan = a_plan(guardrails=(replace(ERRORS, ceiling=0.01),), budget_parts=2)
    memory = CeilingMemory(log_c=math.log(7))
    control = ArmTotals(ended=10_000, bad=500, failing=400, sampled_bad=80)
    shown = standing(plan, at_first_step(plan, grade=2, ceiling=memory, control=control), 2 * MINUTE).guardrails[0]

    assert (shown.grade, shown.ceiling) == (2, 0.01)
    assert shown.c == pytest.approx(7)
    assert [shown.kill_line, shown.ceiling_line] == pytest.approx([250, 1_000])
    relative = requests_needed(Proof(), bad_rate=0.05, event_rate=0.008, acceptable=0.005, x=0.05)
    assert shown.requests_to_proof == math.ceil(relative)
    plain = standing(a_plan(), at_first_step(a_plan()), 2 * MINUTE).guardrails[0]
    assert (plain.grade, plain.ceiling, plain.c, plain.ceiling_line) == (1, None, None, None)


def test_crowd_is_shown_with_its_doubts() -> None:
    """People see how many users there are, how well they are covered, and what keeps the ramp from going up."""
    plan = a_plan(users=700)
    crowd = CrowdMemory(
        coverage=0.9, recount_holds=True, log_recount=math.log(12), log_missing=math.log(2), log_srm=math.log(3)
    )
    state = replace(at_first_step(plan), crowd=crowd)
    shown = standing(plan, state, 2 * MINUTE).crowd

    assert (shown.users, shown.low_evidence, shown.coverage) == (700, False, 0.9)
    assert [shown.failing_again, shown.missing, shown.mismatch] == pytest.approx([12, 2, 3])
    assert [doubt[:26] for doubt in shown.doubts] == ["exposed users fail again mo"[:26]]
    few = standing(plan, replace(state, users=80), 2 * MINUTE).crowd
    assert (few.users, few.low_evidence) == (80, True)
    assert standing(plan, replace(start(plan, 0), crowd=crowd), MINUTE).crowd.doubts == ()


def test_nobody_exposed_is_not_said_to_need_requests() -> None:
    """Back at the start nothing is to be proved: the line has the reason, and no number of requests."""
    plan = a_plan()
    back = replace(running(plan), step=-1, exposure_ppm=0, why="0 %: at least 0:09 more")

    assert standing(plan, back, 2 * MINUTE).line == "running at 0 % (back at the start): at least 0:09 more"


def test_the_exposure_is_said_once() -> None:
    """A reason that begins with the exposure does not repeat it in the line."""
    plan = a_plan()
    waiting = replace(
        running(plan), status=Status.AWAITING_APPROVAL, why="5 %: with so few users a person moves each step"
    )

    assert standing(plan, waiting, 2 * MINUTE).line == (
        "awaiting-approval at 5 % (step 1 of 4): with so few users a person moves each step"
    )


def test_dwell_that_outlasts_the_proof_is_what_is_waited_for() -> None:
    """Where the proof comes before the least time on the step is over, the line has both, and no earlier time."""
    plan = a_plan()
    shown = standing(plan, at_first_step(plan), 10 * SECOND)

    assert shown.line == "running at 5 % (step 1 of 4): 0:50 and ~460 more requests to prove, then 25 %"
