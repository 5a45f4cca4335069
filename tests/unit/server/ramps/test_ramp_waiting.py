"""What waits while a ramp's calendar is shut, and what does not."""

import math
from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from rheostat.model.shares import TOTAL_PPM
from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import ArmTotals
from rheostat_server.ramps.memory import KillProcess
from rheostat_server.ramps.model import Guardrail, Plan, State, Status
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.standing import standing
from rheostat_server.ramps.transition import drafted, overlay, start, transition
from rheostat_server.ramps.verdicts import Advance, Begin, Hold, KillRamp, Promote, Soak, StepBack
from rheostat_server.ramps.waiting import against_calendar, releases, shut_words
from rheostat_server.ramps.windows import AdvanceWindow, Freeze, Shut
from tests.unit.server.ramps import test_ramp_properties
from tests.unit.server.ramps.ramp_builders import ERRORS, a_plan, a_reading, evidence_of, over_the_line, running, seeing

NOW = 600_000
WHY = "waits for the advance window: opens Mon 30 Nov 09:00 Europe/Madrid"
SHUT = Shut(why=WHY, opens_ms=NOW + 14 * 3_600_000)
PROVED = {"log_e": 2.0, "step_treatment": ArmTotals(ended=100)}


def at_end_of_step(plan: Plan, step: int = 0, **changes: Any) -> State:
    """A ramp that has all that it needs to leave its step."""
    state = seeing(running(plan, step=step), "errors", **{**PROVED, **changes})
    return replace(state, exposed_units=100, observed_ms=NOW)


def shut(state: State, by: Shut | None = SHUT) -> State:
    return replace(state, shut=by)


def test_the_first_exposure_waits() -> None:
    """The pre-flight goes on being over, and says for what it waits."""
    plan = a_plan()
    armed = replace(seeing(start(plan, 0)), armed_s=60.0, observed_ms=NOW)
    assert isinstance(decide(plan, armed, NOW), Begin)

    decision = decide(plan, shut(armed), NOW)

    assert decision == Hold(Status.ARMING, f"the pre-flight is clean; {WHY} (in 14 h)")
    assert transition(plan, armed, decision, NOW).exposed_since_ms is None
    waits = standing(plan, shut(armed), NOW)
    assert (waits.line, waits.shut) == (f"arming {WHY} (in 14 h)", f"{WHY} (in 14 h)")
    assert standing(plan, shut(replace(armed, armed_s=50.0)), NOW).line == "arming 0:10 left"


def test_a_step_up_waits() -> None:
    """A step that is proved stays where it is, and says so; one from the exposure of the start too."""
    plan = a_plan()
    state = at_end_of_step(plan)
    assert isinstance(decide(plan, state, NOW), Advance)

    decision = decide(plan, shut(state), NOW)

    assert isinstance(decision, Hold)
    assert decision.status is Status.RUNNING
    assert decision.why.startswith("5 %: proved (errors: relative 7.39")
    assert decision.why.endswith(f"; {WHY} (in 14 h)")
    assert "going to" not in decision.why
    line = standing(plan, replace(shut(state), why=decision.why), NOW).line
    assert line.startswith("running at 5 % (step 1 of 4): proved (")
    assert line.endswith(f"{WHY} (in 14 h), then 25 %")
    back = replace(state, step=-1, exposure_ppm=0)
    assert isinstance(decide(plan, back, NOW), Advance)
    assert isinstance(decide(plan, shut(back), NOW), Hold)


def test_what_exposes_nobody_does_not_wait() -> None:
    """Soaking, a promotion without a holdback, or with one that stays or does not reach the exposed."""
    for changes in (
        {},
        {"holdback_ppm": 20_000, "keep_holdback": True},
        {"holdback_ppm": 20_000, "steps": a_plan(5, 25, 50).steps},
    ):
        plan = a_plan(**changes)
        last = len(plan.steps) - 1
        proved = at_end_of_step(plan, last)
        soaked = replace(proved, soaking_since_ms=0, status=Status.SOAKING)
        assert isinstance(decide(plan, shut(proved), NOW), Soak)
        assert isinstance(decide(plan, shut(soaked), NOW), Promote)
        assert not releases(plan, soaked)
        assert "0:00 left" in standing(plan, shut(soaked), NOW).line


def test_a_promotion_that_releases_the_holdback_waits() -> None:
    """The held back would be exposed by it."""
    plan = a_plan(holdback_ppm=20_000)
    soaked = replace(at_end_of_step(plan, 3), soaking_since_ms=0, status=Status.SOAKING)
    assert isinstance(decide(plan, soaked, NOW), Promote)

    decision = decide(plan, shut(soaked), NOW)

    assert decision == Hold(Status.SOAKING, f"100 % stood the soak of 2:00; {WHY} (in 14 h)")
    assert standing(plan, shut(soaked), NOW).line == f"soaking at 100 %, {WHY} (in 14 h)"
    assert "left" in standing(plan, shut(replace(soaked, soaking_since_ms=NOW)), NOW).line


def test_safety_waits_for_no_window() -> None:
    """A kill, a step back and a hold come as ever."""
    plan = a_plan()
    harmful = at_end_of_step(plan, 1, **over_the_line(), treatment=ArmTotals(ended=500, failing=40))
    assert isinstance(decide(plan, shut(harmful), NOW), KillRamp)

    unclear = at_end_of_step(
        plan,
        1,
        log_m=math.log(150),
        holding=True,
        kill=KillProcess(treatment_events=30),
        recent_treatment=ArmTotals(units=100, units_bad=1),
        recent_control=ArmTotals(units=100, units_bad=10),
    )
    assert isinstance(decide(plan, shut(unclear), NOW), StepBack)

    suspicious = decide(plan, shut(at_end_of_step(plan, 1, log_m=math.log(20), holding=True)), NOW)
    assert isinstance(suspicious, Hold)
    assert suspicious.status is Status.HELD


def test_a_blue_green_ramp_is_killed_where_nobody_is_left_to_compare_with() -> None:
    """At 100 % without a holdback the ceiling kills, also in a freeze."""
    guardrail = Guardrail(name="errors", family=ERRORS.family, grade=1, ceiling=0.01)
    plan = a_plan(100, strategy="blue-green", guardrails=(guardrail,))
    state = running(plan)
    above = replace(state.guardrails["errors"].ceiling, log_c=50.0, process=KillProcess(treatment_events=500))
    harmful = seeing(state, treatment=ArmTotals(ended=500, bad=100, failing=50), ceiling=above)

    decision = decide(plan, shut(replace(harmful, observed_ms=NOW)), NOW)

    assert isinstance(decision, KillRamp)
    assert "there is no control to compare with" in decision.why


def test_the_calendar_is_taken_from_the_evidence() -> None:
    """What the rule goes by is recorded: the state has what the last observation said, and forgets it again."""
    plan = a_plan()
    state = observe(plan, start(plan, 0), replace(evidence_of(1_000, a_reading()), shut=SHUT))
    assert state.shut == SHUT

    assert observe(plan, state, evidence_of(2_000, a_reading())).shut is None


@pytest.mark.parametrize(
    ("by", "words"),
    [(SHUT, f"{WHY} (in 14 h)"), (Shut(why="waits for ever"), "waits for ever"), (None, "")],
)
def test_how_long_it_is_shut(by: Shut | None, words: str) -> None:
    """The distance is told where there is one."""
    assert shut_words(shut(State(), by), NOW) == words


def test_a_persons_word_against_the_calendar_is_told() -> None:
    """Where it exposes somebody, and the calendar is shut."""
    frozen = a_plan(freezes=(Freeze(from_ms=0, until_ms=2 * NOW, reason="holidays"),))
    before, after = State(), State(exposure_ppm=50_000)

    assert against_calendar(frozen, before, after, NOW) == (
        "by hand, against its calendar (frozen (holidays): opens Thu 1 Jan 00:20 UTC)",
    )
    assert against_calendar(frozen, after, before, NOW) == ()
    assert against_calendar(a_plan(advance_windows=(AdvanceWindow(timezone="UTC"),)), before, after, NOW) == ()


def test_a_draft_says_when_it_starts() -> None:
    """With the distance; nothing of a calendar before it has begun."""
    plan = a_plan()
    draft = drafted(plan, 0, NOW + 3_600_000 * 20, "starts Tue 1 Dec 09:00 UTC")

    assert standing(plan, draft, NOW).line == "draft: starts Tue 1 Dec 09:00 UTC (in 20 h)"
    assert standing(plan, shut(draft), NOW).shut is None
    assert standing(plan, State(why="starts later"), NOW).line == "draft: starts later"


@given(situation=test_ramp_properties.situations())
def test_while_it_is_shut_nobody_new_is_exposed_and_safety_is_as_ever(situation: tuple[Plan, State]) -> None:
    """Whatever the plan and wherever the ramp stands: no decision exposes more, and what takes back is the same."""
    plan, state = situation
    now_ms = test_ramp_properties.NOW
    open_now, shut_now = decide(plan, state, now_ms), decide(plan, shut(state), now_ms)

    after = transition(plan, state, shut_now, now_ms)

    assert answering(plan, after) <= answering(plan, state)
    if shut_now != open_now:
        assert isinstance(open_now, Begin | Advance | Promote)
        assert isinstance(shut_now, Hold)
        assert WHY in shut_now.why


def answering(plan: Plan, state: State) -> int:
    """How many of the line, in ppm, get the variant."""
    live = overlay(plan, "ramp", state, "", server_scope=False)
    return min(live.exposure_ppm, TOTAL_PPM - live.holdback_ppm)


def test_a_stage_begun_by_hand_against_the_calendar_is_told() -> None:
    """Its users are new, though the stage before ended at a higher exposure; one that arms exposes nobody yet."""
    frozen = a_plan(freezes=(Freeze(from_ms=0, until_ms=2 * NOW, reason="holidays"),))
    before = State(exposure_ppm=TOTAL_PPM, exposed_since_ms=1)
    begun = State(stage=1, exposure_ppm=50_000, exposed_since_ms=NOW)

    assert len(against_calendar(frozen, before, begun, NOW)) == 1
    assert against_calendar(frozen, before, replace(begun, exposed_since_ms=None, exposure_ppm=0), NOW) == ()
