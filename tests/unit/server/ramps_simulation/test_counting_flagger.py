"""Flagger's counting: failed checks add up, and the round after the last one rolls back."""

import pytest

from rheostat_server.ramps.counting import Bounds, FlaggerCheck, FlaggerPlan, FlaggerState, Phase, flagger_round

SUCCESS = FlaggerCheck(bounds=Bounds(least=99.0))
DURATION = FlaggerCheck(bounds=Bounds(most=500.0), window_s=30)
PLAN = FlaggerPlan(checks=(SUCCESS,), threshold=2, step_weights=(1, 5, 50))


def after(plan: FlaggerPlan, *rounds: float | None, state: FlaggerState | None = None) -> FlaggerState:
    """The state after rounds whose one check found these values."""
    state = state or FlaggerState()
    for value in rounds:
        state = flagger_round(plan, state, [value] * len(plan.checks))
    return state


def test_first_round_checks_nothing() -> None:
    """At weight 0 no metric is looked at: the first step comes whatever they say."""
    assert after(PLAN, None) == FlaggerState(weight=1)


def test_good_rounds_climb_and_promote() -> None:
    """Each good round is a step; one more at the last weight promotes, and then everybody is served."""
    assert [after(PLAN, *[100.0] * rounds).weight for rounds in (1, 2, 3)] == [1, 5, 50]
    assert after(PLAN, *[100.0] * 4) == FlaggerState(phase=Phase.PROMOTED, weight=100)


def test_failed_round_stays_and_counts() -> None:
    """A failed round leaves the weight as it is and adds one."""
    assert after(PLAN, 100.0, 98.9) == FlaggerState(weight=1, failed_checks=1)


def test_good_rounds_forgive_nothing() -> None:
    """Failed rounds add up over the whole canary, however many good ones lie between."""
    state = after(PLAN, 100.0, 98.0, 100.0, 98.0)

    assert state == FlaggerState(weight=5, failed_checks=2)


def test_roll_back_comes_a_round_later() -> None:
    """The round after the last failure allowed rolls back, and it does not look at the metrics first."""
    state = after(PLAN, 100.0, 98.0, 98.0)
    assert state.phase is Phase.PROGRESSING

    assert after(PLAN, 100.0, state=state) == FlaggerState(phase=Phase.ROLLED_BACK, weight=0, failed_checks=2)


def test_no_value_is_a_failed_check() -> None:
    """A query that returns nothing fails the round, as a canary without traffic does."""
    assert after(PLAN, 100.0, None).failed_checks == 1


def test_one_bad_check_of_several_fails_the_round_once() -> None:
    """However many checks are bad, a round fails once."""
    plan = FlaggerPlan(checks=(SUCCESS, DURATION), step_weight=10, threshold=5)
    start = FlaggerState(weight=10)

    assert flagger_round(plan, start, [100.0, 501.0]).failed_checks == 1
    assert flagger_round(plan, start, [90.0, 501.0]).failed_checks == 1
    assert flagger_round(plan, start, [99.0, 500.0]).weight == 20


def test_step_weight_goes_up_to_the_first_at_or_above_the_most() -> None:
    """With ``step_weight`` the last step may go beyond ``max_weight``, and promotion follows it."""
    plan = FlaggerPlan(checks=(SUCCESS,), step_weight=30, max_weight=50)

    assert [after(plan, *[100.0] * rounds).weight for rounds in (1, 2, 3)] == [30, 60, 100]
    assert after(plan, *[100.0] * 3).phase is Phase.PROMOTED


@pytest.mark.parametrize(("weights", "weight", "then"), [((1, 5), 3, 100), ((100,), 100, 100)])
def test_weight_that_is_no_step(weights: tuple[float, ...], weight: float, then: float) -> None:
    """From a weight that is none of the steps it goes all the way."""
    plan = FlaggerPlan(checks=(SUCCESS,), step_weights=weights)

    assert after(plan, 100.0, state=FlaggerState(weight=weight)).weight == then


def test_without_steps_nothing_moves() -> None:
    """A plan without steps never climbs."""
    assert after(FlaggerPlan(checks=(SUCCESS,)), 100.0, 100.0) == FlaggerState()


def test_ended_canary_stays() -> None:
    """Neither a promotion nor a roll back is taken back."""
    for phase in (Phase.PROMOTED, Phase.ROLLED_BACK):
        ended = FlaggerState(phase=phase, weight=100, failed_checks=9)
        assert flagger_round(PLAN, ended, [0.0]) == ended


@pytest.mark.parametrize(("asked", "every"), [(1.0, 10.0), (60.0, 60.0)])
def test_rounds_are_at_least_ten_seconds_apart(asked: float, every: float) -> None:
    """Flagger lifts a shorter interval to 10 s."""
    assert FlaggerPlan(checks=(), interval_s=asked).every_s == every
