"""When a change that breaks nearly everything is taken back at once."""

import pytest
from msgspec.structs import replace

from rheostat_server.ramps.crash import CRASH_MS, is_crash, stretched
from rheostat_server.ramps.evidence import ArmTotals, Block
from rheostat_server.ramps.memory import Stretch
from rheostat_server.ramps.model import Status
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.transition import start, transition
from rheostat_server.ramps.verdicts import Advance, Hold, KillRamp
from tests.unit.server.ramps.ramp_builders import (
    ERRORS,
    SECOND,
    a_plan,
    a_reading,
    crowd_of,
    evidence_of,
    running,
    tick,
)

ADVISORY = replace(ERRORS, may_kill=False)

# (treated requests, bad; control requests, bad; treated units seen, newly failing)
CRASHES: list[tuple[tuple[int, ...], bool]] = [
    ((10, 10, 200, 0, 4, 2), True),
    ((9, 9, 200, 0, 4, 4), False),
    ((10, 4, 200, 0, 4, 4), False),
    ((10, 5, 200, 0, 4, 4), True),
    ((10, 10, 200, 19, 4, 4), True),
    ((10, 10, 200, 20, 4, 4), False),
    ((10, 10, 8, 0, 4, 4), False),
    ((10, 10, 9, 0, 4, 4), True),
    ((10, 10, 0, 0, 4, 4), False),
    ((10, 10, 200, 0, 1, 1), False),
    ((10, 10, 200, 0, 5, 2), False),
]


@pytest.mark.parametrize(("figures", "verdict"), CRASHES)
def test_a_crash_is_most_of_the_treated_and_hardly_any_other(figures: tuple[int, ...], verdict: bool) -> None:
    """Half of 10 treated requests, ten times the control, half of two treated users newly failing."""
    treated, bad, others, others_bad, seen, failing = figures
    minutes = [
        Stretch(until_ms=60_000, treatment_ended=treated, treatment_bad=bad, seen=seen),
        Stretch(until_ms=90_000, control_ended=others, control_bad=others_bad, failing=failing),
    ]

    assert is_crash(minutes) is verdict


@pytest.mark.parametrize(("bad", "verdict"), [(2, False), (3, True)])
def test_users_who_failed_before_crash_too_when_there_are_three(bad: int, verdict: bool) -> None:
    """Where nobody can fail newly, three treated users whose first sample of the step is bad are a crash."""
    full = Stretch(until_ms=1, treatment_ended=30, treatment_bad=29, units=4, units_bad=bad, control_ended=500)

    assert is_crash([full]) is verdict


def test_a_crash_kills_at_once() -> None:
    """Fifteen seconds of a broken change are enough, with the figures in the reason."""
    plan = a_plan()
    broken = ArmTotals(ended=40, bad=38, failing=9, seen=10, units=10, units_bad=9)
    state, decision = tick(plan, running(plan), crowd_of(broken, ArmTotals(ended=900, bad=4)))

    assert isinstance(decision, KillRamp)
    assert decision.why == (
        "errors: crash: 95 % of 40 treated requests failed, 0.444 % of 900 others; 9 treated users newly failed, "
        "9 of 10 sampled ones"
    )
    assert state.status is Status.KILLED
    advisory = a_plan(guardrails=(ADVISORY,))
    _, decision = tick(advisory, running(advisory), crowd_of(broken, ArmTotals(ended=900, bad=4)))
    assert isinstance(decision, Hold)


def test_a_crash_is_of_the_present_exposure_and_the_last_five_minutes() -> None:
    """Rows of another epoch are not in it; nor what is older than five minutes; nor is arming."""
    plan = a_plan()
    broken = crowd_of(ArmTotals(ended=40, bad=38, failing=9, seen=10), ArmTotals(ended=900), epoch=1)
    assert not observe(plan, replace(running(plan), epoch=2), broken).crowd.crashed
    assert not observe(plan, start(plan, 0), broken).crowd.crashed
    state = observe(plan, running(plan), broken)
    assert state.crowd.crashed
    assert not observe(plan, state, evidence_of(30_000, a_reading())).crowd.crashed
    assert transition(plan, state, Hold(Status.RUNNING, ""), 0).crowd.crashed
    assert transition(plan, state, Advance(1, ""), 0).crowd.stretches == ()


def test_five_minutes_are_kept_in_halves_of_a_minute() -> None:
    """Blocks of a second do not make the state grow; one that comes late falls into its own time."""
    stretches: tuple[Stretch, ...] = ()
    for second in range(1, 601):
        block = Block(
            from_ms=(second - 1) * SECOND,
            until_ms=second * SECOND,
            epoch=1,
            exposure_ppm=50_000,
            treatment=ArmTotals(ended=1),
        )
        stretches = stretched(stretches, block)
    late = stretched(stretches, replace(block, until_ms=550_000))

    assert len(stretches) <= 11
    assert 270 <= sum(one.treatment_ended for one in stretches) <= CRASH_MS // SECOND
    assert [one.until_ms for one in late] == [one.until_ms for one in stretches]
    assert sum(one.treatment_ended for one in late) == sum(one.treatment_ended for one in stretches) + 1
