"""Argo Rollouts' counting: failures above their limit abort, steps go by time."""

from typing import Any

import pytest

from rheostat_server.ramps.counting import (
    ArgoMetric,
    ArgoPlan,
    ArgoResult,
    ArgoState,
    ArgoStep,
    Bounds,
    Measurement,
    Phase,
    argo_due,
    argo_measured,
    argo_round,
    argo_weight,
    measurement,
)

GOOD = Bounds(least=0.95)
STEPS = (ArgoStep(1, 600.0), ArgoStep(50, 600.0))


def a_metric(**changes: Any) -> ArgoMetric:
    return ArgoMetric(**{"success": GOOD, "interval_s": 60.0, **changes})


def counted(metric: ArgoMetric, *found: Measurement) -> ArgoResult:
    """The result after these measurements, one each interval."""
    result = ArgoResult()
    for at, one in enumerate(found):
        result = argo_measured(metric, result, one, 60.0 * at)
    return result


F, S, U, E = Measurement.FAILED, Measurement.SUCCESSFUL, Measurement.INCONCLUSIVE, Measurement.ERROR


@pytest.mark.parametrize(
    ("success", "failure", "value", "found"),
    [
        (GOOD, None, 0.95, S),
        (GOOD, None, 0.94, F),
        (None, Bounds(most=0.9), 0.9, F),
        (None, Bounds(most=0.9), 0.91, S),
        (GOOD, Bounds(most=0.9), 0.92, U),
        (GOOD, Bounds(most=0.97), 0.96, F),
        (None, None, None, S),
        (GOOD, None, None, E),
    ],
)
def test_conditions(success: Bounds | None, failure: Bounds | None, value: float | None, found: Measurement) -> None:
    """One condition implies the other; failing goes before success; between both it is inconclusive."""
    assert measurement(a_metric(success=success, failure=failure), value) is found


def test_failures_above_the_limit_fail_the_metric() -> None:
    """As many as ``failureLimit`` are borne; one more, however many successes lie between, ends it."""
    metric = a_metric(failure_limit=3)

    assert counted(metric, F, F, F, S, S).phase is None
    assert counted(metric, F, F, S, F, S, F).phase is F


def test_without_a_limit_the_first_failure_ends_it() -> None:
    """``failureLimit`` is 0 where nobody says it; a negative one is none."""
    assert counted(a_metric(), F).phase is F
    assert counted(a_metric(failure_limit=-1), *[F] * 50).phase is None


def test_errors_in_a_row_end_it() -> None:
    """Four errors in a row are borne, a fifth is not; a measurement in between starts anew. Errors count as none."""
    assert counted(a_metric(), *[E] * 4).phase is None
    assert counted(a_metric(), *[E] * 5).phase is E
    result = counted(a_metric(), E, E, E, E, S, E, E, E, E)
    assert (result.phase, result.count) == (None, 1)


def test_inconclusive_above_its_limit() -> None:
    """An inconclusive measurement beyond ``inconclusiveLimit`` ends the metric so."""
    assert counted(a_metric(inconclusive_limit=1), U).phase is None
    assert counted(a_metric(inconclusive_limit=1), U, S, U).phase is U


@pytest.mark.parametrize(
    ("changes", "found", "phase"),
    [
        ({"count": 3}, [S, S], None),
        ({"count": 3, "failure_limit": 1}, [S, F, S], S),
        ({"interval_s": None}, [S], S),
        ({"count": 5, "consecutive_success_limit": 2}, [S, S], S),
        ({"count": 3, "consecutive_success_limit": 3, "failure_limit": 1}, [S, F, S], U),
        ({"count": 3, "consecutive_success_limit": 3, "failure_limit": -1}, [S, F, S], F),
    ],
)
def test_count(changes: dict[str, Any], found: list[Measurement], phase: Measurement | None) -> None:
    """At ``count`` a metric has passed, unless it wanted successes in a row that never came."""
    assert counted(a_metric(**changes), *found).phase is phase


def test_when_it_is_measured() -> None:
    """First after the initial delay, then an interval after the last; 10 s after an error; never beyond its count."""
    metric = a_metric(initial_delay_s=30.0, count=2)

    assert not argo_due(metric, ArgoResult(), 29.0)
    assert argo_due(metric, ArgoResult(), 30.0)
    once = argo_measured(metric, ArgoResult(), S, 30.0)
    assert not argo_due(metric, once, 89.0)
    assert argo_due(metric, once, 90.0)
    assert argo_due(metric, argo_measured(metric, once, E, 90.0), 100.0)
    assert not argo_due(metric, argo_measured(metric, once, S, 90.0), 1e6)
    assert not argo_due(a_metric(failure_limit=-1, count=1), ArgoResult(count=1, measured_s=0.0, last=F), 1e6)


def ridden(plan: ArgoPlan, values: dict[float, float | None], until_s: float) -> ArgoState:
    """The state after 10 s rounds, in which the metrics are as they last were."""
    state, value, now_s = ArgoState(), None, 0.0
    while now_s <= until_s:
        value = values.get(now_s, value)
        state = argo_round(plan, state, [value] * len(plan.metrics), now_s)
        now_s += 10
    return state


def test_steps_go_by_time() -> None:
    """While its analysis goes on, a canary moves on after each pause, and after the last it serves everybody."""
    plan = ArgoPlan(metrics=(a_metric(),), steps=STEPS)

    weights = [argo_weight(plan, ridden(plan, {0.0: 1.0}, at)) for at in (0, 590, 600, 1190, 1200)]

    assert weights == [1, 1, 50, 50, 100]


def test_failed_analysis_aborts() -> None:
    """The measurement that is one too many takes the weight back to 0 at once."""
    plan = ArgoPlan(metrics=(a_metric(failure_limit=1),), steps=STEPS)

    assert ridden(plan, {0.0: 0.5}, 50).phase is Phase.PROGRESSING
    state = ridden(plan, {0.0: 0.5}, 60)
    assert (state.phase, argo_weight(plan, state)) == (Phase.ROLLED_BACK, 0)


def test_inconclusive_analysis_pauses() -> None:
    """An inconclusive analysis stops the steps where they are."""
    plan = ArgoPlan(metrics=(a_metric(failure=Bounds(most=0.5)),), steps=STEPS)

    state = ridden(plan, {0.0: 0.7}, 5000)

    assert (state.phase, argo_weight(plan, state)) == (Phase.PAUSED, 1)


def test_nothing_measured_aborts() -> None:
    """An empty answer is an error, and the fifth in a row, 10 s apart, aborts."""
    plan = ArgoPlan(metrics=(a_metric(),), steps=STEPS)

    assert ridden(plan, {}, 30).phase is Phase.PROGRESSING
    assert ridden(plan, {}, 40).phase is Phase.ROLLED_BACK
