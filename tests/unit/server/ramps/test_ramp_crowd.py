"""What the crowd says: who fails again, who stays away, whose arm is short, who is gone."""

import math
import random
from typing import Any

import pytest
from msgspec.structs import replace

from rheostat_server.ramps.crowd import VANISHED_MS, is_thin
from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import UNSAID, ArmTotals, Block, Sight
from rheostat_server.ramps.ladder import HELD_MS, leaving, stated_ppm
from rheostat_server.ramps.memory import CrowdMemory, KillProcess, Proof, Stretch
from rheostat_server.ramps.model import Action, Gate, Plan, State, Status, Step
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.silence import LOG_WHOLE, log_whole, missing_step
from rheostat_server.ramps.stats import kill_step, log_m
from rheostat_server.ramps.transition import act, start, transition
from rheostat_server.ramps.verdicts import Advance, Begin, Hold, KillRamp, StepBack
from tests.unit.server.ramps.ramp_builders import (
    MINUTE,
    REQUESTS,
    a_plan,
    a_reading,
    crowd_of,
    evidence_of,
    poisson,
    running,
    seeing,
    tick,
)

PROVED: dict[str, Any] = {"log_e": 2.0, "blind_count": 0}


def judged(plan: Plan, state: State, **crowd: Any) -> Any:
    """The decision about a proved ramp of which the crowd says this."""
    state = replace(state, crowd=replace(state.crowd, **crowd), observed_ms=10 * MINUTE, exposed_units=100)
    return decide(plan, seeing(replace(state, entered_ms=0), **PROVED), 10 * MINUTE)


def test_a_proved_step_without_doubts_goes_up() -> None:
    """The other tests here take something away from this."""
    assert isinstance(judged(a_plan(), running(a_plan())), Advance)


def test_units_that_fail_again_move_m_h_with_their_overdispersion() -> None:
    """M_h is the kill process of recounted units, with the exponent 1/φ_u, φ_u = Σk²/Σk of both arms."""
    plan = a_plan()
    state = observe(plan, running(plan), crowd_of(ArmTotals(recounted=4, recounted_squares=12), ArmTotals(recounted=6)))
    state = observe(
        plan,
        state,
        crowd_of(ArmTotals(recounted=10, recounted_squares=30), ArmTotals(recounted_squares=38), until_s=30),
    )
    first = kill_step(
        KillProcess(),
        treatment_events=4,
        control_events=6,
        treatment_n=0.05,
        control_n=0.95,
        phi=1.2,
        t1_s=0.0,
        t2_s=15.0,
    )
    second = kill_step(
        first,
        treatment_events=10,
        control_events=0,
        treatment_n=0.05,
        control_n=0.95,
        phi=4.0,
        t1_s=15.0,
        t2_s=30.0,
    )

    assert state.crowd.recount == second
    assert state.crowd.log_recount == log_m(second)


def test_m_h_holds_from_ten_and_never_kills() -> None:
    """However large M_h, the ramp stays where it is; below 3 it goes on."""
    plan = a_plan()
    many = ArmTotals(recounted=60, recounted_squares=60)
    state = observe(plan, running(plan), crowd_of(many))
    assert state.crowd.log_recount > math.log(1e6)
    decision = judged(plan, state)
    assert isinstance(decision, Hold)
    assert (decision.status, decision.why.split(":")[0]) == (
        Status.HELD,
        "exposed users fail again more often than the others",
    )
    assert isinstance(judged(plan, state, recount_holds=False), Advance)


def test_arming_is_watched_too_and_its_process_restarts() -> None:
    """While arming units are recounted; at the first exposure M_h is 1 again, and the memory of units stays."""
    plan = a_plan()
    armed = observe(
        plan,
        start(plan, 0),
        crowd_of(ArmTotals(recounted=9, recounted_squares=27, active=5), ArmTotals(active=50, active_failed=4)),
    )
    assert armed.crowd.log_recount > 0
    exposed = transition(plan, armed, Begin("clean"), MINUTE)

    assert exposed.crowd.recount == KillProcess()
    assert (exposed.crowd.recounted, exposed.crowd.recounted_squares) == (9, 27)
    assert (exposed.crowd.active, exposed.crowd.active_failed, exposed.crowd.users) == (50, 4, 55)


def test_blocks_of_arming_never_count_after_the_first_exposure() -> None:
    """What was seen before is nothing against what the exposed then met."""
    plan = a_plan()
    state = replace(running(plan), epoch=2, exposed_epoch=2)
    after = observe(plan, state, crowd_of(ArmTotals(recounted=9, recounted_squares=9), epoch=1))

    assert after.crowd == CrowdMemory()


def test_a_ramp_that_nobody_guards_is_not_judged() -> None:
    """An unguarded ramp remembers nothing of its crowd."""
    plan = a_plan(guardrails=(), guarded=False)

    assert observe(plan, running(plan), crowd_of(ArmTotals(ended=99, bad=99))).crowd == CrowdMemory()


def test_arrivals_move_m_d_by_what_arming_saw() -> None:
    """Missing users are counted against the share of arrivals that the cohort had while arming."""
    plan = a_plan()
    evidence = crowd_of(
        ArmTotals(arrivals=2), ArmTotals(arrivals=300), arrivals_by_level=((-1, 850), (50_000, 100), (250_000, 50))
    )
    state = observe(plan, running(plan), evidence)
    share = (100 + 2.5) / 1_050
    process = missing_step(KillProcess(), treatment=2, control=300, share=share, t1_s=0.0, t2_s=15.0)

    assert state.crowd.missing == process
    assert state.crowd.log_missing == log_m(process)
    assert state.crowd.expected == pytest.approx(300 * share / (1 - share))
    again = observe(plan, state, crowd_of(until_s=30))
    assert again.crowd.arrivals == state.crowd.arrivals


def test_missing_users_hold_and_kill() -> None:
    """From 10 on M_d holds; at K/α, with 20 treated arrivals expected and seen while arming, it kills where it may."""
    plan = a_plan(missing_kill=True, budget_parts=2)
    armed = ((-1, 400), (50_000, 20), (250_000, 90))
    gone = {
        "missing": KillProcess(treatment_events=3),
        "missing_holds": True,
        "expected": 24.0,
        "arrivals": armed,
    }

    held = judged(plan, running(plan), log_missing=math.log(199), **gone)
    assert held == Hold(Status.HELD, "users are missing: 3 treated arrivals of about 24 expected; M_d 199")
    killed = judged(plan, running(plan), log_missing=math.log(201), **gone)
    assert isinstance(killed, KillRamp)
    assert killed.why == "users are missing: 3 treated arrivals of about 24 expected; M_d 201"
    few = judged(plan, running(plan), log_missing=math.log(201), **{**gone, "expected": 19.9})
    assert isinstance(few, Hold)
    unknown = judged(
        plan, running(plan), log_missing=math.log(201), **{**gone, "arrivals": ((50_000, 19), (250_000, 90))}
    )
    assert isinstance(unknown, Hold)
    advisory = judged(replace(plan, missing_kill=False), running(plan), log_missing=math.log(201), **gone)
    assert isinstance(advisory, Hold)


def test_users_who_come_no_more_are_missed() -> None:
    """A crowd that stays away altogether is noticed by what is observed alone."""
    plan = a_plan(missing_kill=True, budget_parts=2)
    armed = ((-1, 760), (50_000, 40))
    state = running(plan)
    for until_s in range(15, 900, 15):
        evidence = crowd_of(control=ArmTotals(arrivals=20), until_s=until_s, arrivals_by_level=armed)
        state, decision = tick(plan, state, evidence)
        if isinstance(decision, KillRamp):
            break

    assert state.status is Status.KILLED
    assert state.crowd.missing_holds


@pytest.mark.parametrize("percent", [0, 100])
def test_nobody_is_missed_where_there_is_nobody_to_compare_with(percent: int) -> None:
    """At x = 0 and x = 1 arrivals are no evidence."""
    plan = a_plan(100)
    after = observe(plan, running(plan), crowd_of(ArmTotals(arrivals=9), ArmTotals(arrivals=9), percent=percent))

    assert after.crowd.missing == KillProcess()


def test_arms_of_a_wrong_size_hold_and_a_short_treatment_steps_back_once() -> None:
    """E ≥ 1000: hold; where the treatment is short one level back, where a person has to go on from."""
    plan = a_plan()
    state = running(plan, step=1)
    short = observe(plan, state, crowd_of(ArmTotals(units=100), ArmTotals(units=900), percent=25, epoch=2))
    decision = judged(plan, short)

    assert isinstance(decision, StepBack)
    assert decision.why.startswith(
        "100 treated and 900 other users, 10 % where the exposure says 25 %: the arms do not"
    )
    back = transition(plan, short, decision, MINUTE)
    assert (back.step, back.crowd.srm_stepped_back, back.crowd.log_srm) == (0, True, 0.0)
    held = judged(plan, back)
    assert isinstance(held, Hold)
    assert held.why.startswith("the arms did not have as many users as the exposure says")
    again = observe(plan, back, crowd_of(ArmTotals(units=10), ArmTotals(units=900), epoch=3))
    assert isinstance(judged(plan, again), Hold)
    assert not act(plan, back, Action.ADVANCE, MINUTE).crowd.srm_stepped_back

    full = observe(plan, state, crowd_of(ArmTotals(units=500), ArmTotals(units=500), percent=25, epoch=2))
    assert isinstance(judged(plan, full), Hold)
    assert judged(plan, full).why.startswith("500 treated and 500 other users, 50 % where")


def test_sizes_of_the_arms_are_those_of_the_step() -> None:
    """Rows of an earlier exposure are not of this step; a new step counts afresh."""
    plan = a_plan()
    state = observe(plan, running(plan, step=1), crowd_of(ArmTotals(units=9), ArmTotals(units=9), epoch=1))
    assert (state.crowd.step_treatment, state.crowd.step_control) == (0, 0)
    state = observe(plan, state, crowd_of(ArmTotals(units=9), ArmTotals(units=19), epoch=2, percent=25))
    assert (state.crowd.step_treatment, state.crowd.step_control) == (9, 19)
    assert transition(plan, state, Advance(2, ""), MINUTE).crowd.step_treatment == 0


def test_nothing_masks_a_kill() -> None:
    """A sample ratio that alarms, missing coverage, a vanished instance, a pause and a gate stop no kill."""
    steps = (Step(exposure_ppm=50_000), Step(exposure_ppm=250_000, gate=Gate.MANUAL))
    plan = a_plan(steps=steps, missing_kill=True)
    state = replace(running(plan, step=1), status=Status.PAUSED)
    doubts: dict[str, Any] = {
        "log_srm": 9.0,
        "step_control": 900,
        "coverage": 0.1,
        "vanished_ms": 10 * MINUTE,
        "recount_holds": True,
    }
    missing = judged(plan, state, log_missing=9.0, expected=30.0, arrivals=((50_000, 30),), **doubts)
    assert isinstance(missing, KillRamp)
    crashed = judged(plan, state, crashed=True, stretches=(Stretch(until_ms=1),), **doubts)
    assert isinstance(crashed, KillRamp)


def test_a_vanished_instance_holds_for_five_minutes() -> None:
    """What it had open is reported within that time, or never."""
    plan = a_plan()
    state = observe(plan, running(plan), crowd_of(vanished=2))
    assert state.crowd.vanished_ms == 15_000
    assert observe(plan, state, crowd_of(until_s=30)).crowd.vanished_ms == 15_000

    held = judged(plan, state, vanished_ms=10 * MINUTE - VANISHED_MS + 1)
    assert isinstance(held, Hold)
    assert held.why.startswith("an instance fell silent without a goodbye")
    assert isinstance(judged(plan, state, vanished_ms=10 * MINUTE - VANISHED_MS), Advance)


def test_below_the_coverage_nothing_goes_up() -> None:
    """Where too much of the flag is evaluated by services that do not report, that is no sight of it."""
    plan = a_plan()
    evidence = replace(crowd_of(), coverage=0.625)
    state = observe(plan, running(plan), evidence)
    seen = state.guardrails["errors"]
    assert (seen.sight, seen.blind_count) == (Sight.UNCOVERED, 1)
    assert seen.detail == "services that report make 62.5 % of the flag's evaluations, 80 % are needed"
    assert observe(a_plan(min_coverage=0.6), running(plan), evidence).guardrails["errors"].sight is Sight.SEEN
    assert observe(plan, state, replace(crowd_of(), coverage=0.8)).guardrails["errors"].sight is Sight.SEEN
    assert observe(plan, state, replace(crowd_of(), coverage=None)).guardrails["errors"].sight is Sight.SEEN


def test_coverage_is_no_matter_to_what_applications_count_themselves() -> None:
    """A guardrail on the application's own metrics sees what it sees."""
    plan = a_plan(guardrails=(REQUESTS,))
    evidence = replace(evidence_of(15_000, a_reading(guardrail=REQUESTS.name)), coverage=0.1)

    assert observe(plan, running(plan), evidence).guardrails[REQUESTS.name].sight is Sight.SEEN


def test_uncovered_the_kill_process_goes_on_and_the_proofs_stand_still() -> None:
    """Harm that the reporting services see is harm; that they see none is no proof for the others."""
    plan = a_plan()
    arms = (ArmTotals(ended=100, failing=3, bad=3), ArmTotals(ended=1_900))
    block = Block(from_ms=0, until_ms=15_000, epoch=1, exposure_ppm=50_000, treatment=arms[0], control=arms[1])
    evidence = replace(evidence_of(15_000, a_reading(block)), coverage=0.5)
    seen = observe(plan, running(plan), evidence).guardrails["errors"]

    assert seen.kill.treatment_events == 3
    assert seen.proof == Proof()
    assert seen.step_treatment.ended == 100


def armed_with(plan: Plan, treated: int, others: int) -> State:
    """A ramp in its first step whose arming saw so many requests."""
    armed = observe(plan, start(plan, 0), crowd_of(ArmTotals(ended=treated), ArmTotals(ended=others)))
    return transition(plan, armed, Begin("clean"), MINUTE)


def came(plan: Plan, exposed: State, treated: int, others: int) -> State:
    """The ramp after so many requests in its first step."""
    return observe(plan, exposed, crowd_of(ArmTotals(ended=treated), ArmTotals(ended=others), epoch=2, until_s=75))


def test_far_fewer_requests_than_while_arming_hold_the_first_step() -> None:
    """A change that loses half of its requests does not go up, though half of them are well."""
    plan = a_plan()
    exposed = armed_with(plan, 400, 8_000)
    assert exposed.crowd.armed_requests == (400, 8_000)

    thin = came(plan, exposed, 64, 2_000)
    held = judged(plan, thin)
    assert isinstance(held, Hold)
    assert held.status is Status.HELD
    assert held.why == "requests are missing: 64 treated ones of about 100 that the same users had while arming"
    assert is_thin(plan, came(plan, exposed, 18, 590)) is False
    assert is_thin(plan, came(plan, armed_with(plan, 99, 1_980), 64, 2_000)) is False
    later = replace(thin, exposure_ppm=250_000, step=1)
    assert isinstance(judged(plan, later), Advance)


def test_first_step_is_left_only_on_proof_that_requests_do_not_vanish() -> None:
    """That no request is known to be missing is not enough: those that came must refute that half of them are lost."""
    plan = a_plan()
    exposed = armed_with(plan, 400, 8_000)

    unproved = judged(plan, came(plan, exposed, 65, 2_000))
    assert isinstance(unproved, Hold)
    assert unproved.status is Status.RUNNING
    assert unproved.why == (
        "5 %: 65 treated requests of about 100 that the same users had while arming: not proved yet that none vanish"
    )
    assert isinstance(judged(plan, came(plan, exposed, 100, 2_000)), Advance)
    assert isinstance(judged(plan, came(plan, exposed, 15, 300)), Hold)
    assert isinstance(judged(plan, came(plan, exposed, 15, 0)), Hold)
    # The very same figures that passed for harmless before: chance alone makes them of a half.
    assert isinstance(judged(plan, came(plan, armed_with(plan, 158, 60_846), 219, 129_599)), Hold)
    assert isinstance(judged(plan, came(plan, armed_with(plan, 91, 60_859), 123, 149_173)), Hold)


def test_few_armed_requests_tell_a_greater_loss_only() -> None:
    """Below 75 requests while arming nine tenths can be told from chance, and below 10 nothing."""
    plan = a_plan()

    assert isinstance(judged(plan, came(plan, armed_with(plan, 74, 1_480), 50, 2_000)), Advance)
    assert isinstance(judged(plan, came(plan, armed_with(plan, 75, 1_480), 50, 2_000)), Hold)
    assert isinstance(judged(plan, came(plan, armed_with(plan, 10, 200), 10, 2_000)), Hold)
    assert isinstance(judged(plan, came(plan, armed_with(plan, 9, 180), 0, 2_000)), Advance)
    assert isinstance(judged(plan, came(plan, armed_with(plan, 400, 0), 0, 2_000)), Advance)


def test_loss_seldom_looks_whole() -> None:
    """At one look a step that loses half of its requests is taken for whole once in a thousand times, or less."""
    draw = random.Random(5)
    taken = 0
    for _ in range(4_000):
        armed, still = poisson(draw, 120), poisson(draw, 0.5 * 3 * 120)
        taken += log_whole((armed, 12_000), (still, 36_000)) >= LOG_WHOLE

    assert taken <= 12


def test_preflight_goes_on_until_requests_can_be_missed() -> None:
    """A pre-flight that saw too few requests goes on where it will see enough within three times its length."""
    plan = a_plan(preflight_s=600.0)

    def after(armed_s: float, treated: int, others: int = 5_000) -> Any:
        state = observe(plan, start(plan, 0), crowd_of(ArmTotals(ended=treated), ArmTotals(ended=others)))
        return judged(plan, replace(state, armed_s=armed_s))

    longer = after(700.0, 60)
    assert isinstance(longer, Hold)
    assert longer.status is Status.ARMING
    assert longer.why == ("pre-flight: 60 of 100 requests seen of those who will be exposed; at most 18:20 more")
    assert isinstance(after(599.0, 100), Hold)
    assert isinstance(after(600.0, 100), Begin)
    assert isinstance(after(600.0, 34), Hold)
    assert isinstance(after(600.0, 33), Begin)
    assert isinstance(after(1_800.0, 99), Begin)
    assert isinstance(after(700.0, 60, others=0), Begin)


def test_rows_that_do_not_tell_their_exposure_have_the_largest_that_was_live() -> None:
    """After a step down, what was still served above it must not be counted as if it were below."""
    plan = a_plan()
    silent = Block(from_ms=HELD_MS, until_ms=HELD_MS + 1, epoch=3, exposure_ppm=UNSAID)
    state = replace(running(plan), left=((250_000, 1), (500_000, 0)))

    assert stated_ppm(plan, state, replace(silent, exposure_ppm=7)) == 7
    assert stated_ppm(plan, state, silent) == 250_000
    assert stated_ppm(plan, state, replace(silent, from_ms=HELD_MS + 1)) == 50_000
    assert stated_ppm(plan, replace(state, exposure_ppm=500_000), silent) == 500_000
    assert stated_ppm(plan, start(plan, 0), silent) == 50_000


def test_exposures_that_were_left_are_remembered_for_a_while() -> None:
    """Each move notes the exposure that it leaves, and lets go of what nobody can hold any more."""
    plan = a_plan()
    state = transition(plan, running(plan), Advance(1, ""), MINUTE)
    assert state.left[-1] == (50_000, MINUTE)
    assert leaving(state, MINUTE + 2 * HELD_MS) == ((250_000, MINUTE + 2 * HELD_MS),)


def test_where_the_crowd_was_read_to_is_kept() -> None:
    """An observation without a cursor leaves the last one in place."""
    plan = a_plan()
    state = observe(plan, running(plan), crowd_of(crowd_cursor="7"))

    assert observe(plan, state, crowd_of(until_s=30)).crowd_cursor == "7"
