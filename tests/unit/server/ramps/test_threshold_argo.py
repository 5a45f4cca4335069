"""``rule: threshold`` by Argo Rollouts' block: its documented examples, worked out by hand."""

import math
from typing import Any

import pytest
from msgspec.structs import replace

from rheostat.model.document import RampDocument
from rheostat_server.errors import Invalid
from rheostat_server.ramps.checks import CheckValue, ThresholdPlan
from rheostat_server.ramps.model import Action, Family, Gate, Status
from rheostat_server.ramps.plan import plan_of
from rheostat_server.ramps.remarks import remarks
from rheostat_server.ramps.replay import replay
from rheostat_server.ramps.standing import standing
from rheostat_server.ramps.standing_threshold import counting_standing
from rheostat_server.ramps.threshold import observe_threshold, standing_words
from tests.unit.server.ramps.counted_rides import BEGAN_MS, ROLLOUT, SECOND, Ride, counted_plan
from tests.unit.server.ramps.foreign_builders import a_ramp, a_template, an_argo, an_argo_metric, run_of, translation
from tests.unit.server.ramps.ramp_builders import evidence_of

MINUTE = 60
GOOD, BAD = 0.01, 0.5
GUESTBOOK = [step for weight in (20, 40, 60, 80) for step in ({"setWeight": weight}, {"pause": {"duration": "10m"}})]


def a_canary(*steps: Any, metric: dict[str, Any] | None = None, start: int = 0) -> dict[str, Any]:
    """A block with a background analysis by one metric, each five minutes unless the test says otherwise."""
    template = a_template(an_argo_metric(**{"interval": "5m", "failureLimit": 3, **(metric or {})}))
    return an_argo(*steps, templates=(template,), analysis=run_of("success", startingStep=start))


def inline(*steps: Any, metric: dict[str, Any]) -> dict[str, Any]:
    """A block whose metric is measured by a step's own analysis."""
    return an_argo(*steps, templates=(a_template(an_argo_metric(**metric)),))


ANALYSIS = {"analysis": run_of("success")}


def test_the_documented_canary_goes_by_time() -> None:
    """20 % more each ten minutes; measured each five; promoted after the last pause."""
    ride = Ride(counted_plan(argo=a_canary(*GUESTBOOK)), lambda *_: GOOD)

    assert [ride.go(1).percent, *(ride.go(10 * MINUTE).percent for _ in range(4))] == [20, 40, 60, 80, 100]
    assert ride.go(1).state.status is Status.PROMOTED
    assert ride.seconds_of("errors") == [1 + 300 * count for count in range(8)] + [2401]
    assert [list(again.differences) for again in replay(ride.rows)] == [[]] * len(ride.rows)


def test_more_failures_than_the_limit_abort_at_once() -> None:
    """Three failed measurements are allowed: with the fourth it is taken back, in the same moment."""
    ride = Ride(counted_plan(argo=a_canary(*GUESTBOOK)), lambda *_: BAD).go(15 * MINUTE)
    assert (ride.percent, ride.counted.failed_checks) == (40, 3)

    ride.go(1)
    assert (ride.percent, ride.state.status) == (0, Status.KILLED)
    assert ride.state.why == "errors: 4 failed, 3 are allowed (the last is 0.5)"
    assert [list(again.differences) for again in replay(ride.rows)] == [[]] * len(ride.rows)


def test_the_background_may_begin_later() -> None:
    """From a step on, the weight of 40 % here."""
    ride = Ride(counted_plan(argo=a_canary(*GUESTBOOK, start=2)), lambda *_: GOOD).go(20 * MINUTE)

    assert ride.seconds_of("errors")[0] == 601 + 1


@pytest.mark.parametrize(
    ("found", "limit", "aborted_s"),
    [
        # An empty answer has no first value: an error, measured again after 10 s. The fifth in a row is too many.
        (None, {}, 41),
        ("connection refused", {"consecutiveErrorLimit": 1}, 11),
        (None, {"successCondition": "", "failureCondition": "result[0] > 0.05"}, 41),
        # What is no number is not below 0.05, and so has failed.
        (math.nan, {"failureLimit": 0}, 1),
    ],
)
def test_errors_abort_when_too_many_come_in_a_row(found: Any, limit: dict[str, Any], aborted_s: int) -> None:
    """Errors are no failed measurements."""
    ride = Ride(counted_plan(argo=a_canary(*GUESTBOOK, metric=limit)), lambda *_: found)

    ride.go(aborted_s - 1)
    assert ride.state.status is not Status.KILLED
    assert ride.go(1).state.status is Status.KILLED


def test_an_empty_answer_may_be_asked_for() -> None:
    """``len(result) == 0 || …`` is true of it."""
    metric = {"successCondition": "len(result) == 0 || result[0] < 0.05"}
    ride = Ride(counted_plan(argo=a_canary(*GUESTBOOK, metric=metric)), lambda *_: None).go(6 * MINUTE)

    assert (ride.counted.failed_checks, ride.seconds_of("errors")) == (0, [1, 301])


def test_a_scalar_is_compared_by_itself() -> None:
    """``result`` without a place."""
    metric = {"successCondition": "result < 0.05", "failureLimit": 0}
    scalar = CheckValue(name="errors", found=("0.01",), scalar=True)

    assert Ride(counted_plan(argo=a_canary(*GUESTBOOK, metric=metric)), lambda *_: scalar).go(1).percent == 20


def test_a_step_of_analysis_waits_for_its_end() -> None:
    """Three measurements, a minute apart: the next weight comes with the last."""
    plan = counted_plan(
        argo=inline({"setWeight": 20}, ANALYSIS, {"setWeight": 50}, metric={"count": 3, "interval": "1m"})
    )
    ride = Ride(plan, lambda *_: GOOD).go(2)

    assert ride.seconds_of("errors (step 2)") == [2 + 0]
    ride.go(2 * MINUTE - 1)
    assert ride.percent == 20
    assert ride.go(1).percent == 50
    assert ride.go(2).state.status is Status.PROMOTED
    assert ride.seconds_of("errors (step 2)") == [2, 62, 122]


def test_a_failed_step_of_analysis_aborts() -> None:
    """Without an interval it is measured once; without a limit one failure is too many."""
    ride = Ride(counted_plan(argo=inline({"setWeight": 20}, ANALYSIS, metric={})), lambda *_: BAD)

    assert ride.go(2).state.status is Status.KILLED


def test_an_inconclusive_analysis_waits_for_a_person() -> None:
    """Neither good nor failed: a person goes on, and it is made anew from then on."""
    metric = {"failureCondition": "result[0] > 0.4", "successCondition": "result[0] < 0.05"}
    found = {1: 0.2}
    ride = Ride(counted_plan(argo=a_canary(*GUESTBOOK, metric=metric)), lambda _, second: found.get(second, GOOD))

    ride.go(1)
    assert (ride.percent, ride.state.status) == (0, Status.AWAITING_APPROVAL)
    ride.go(20 * MINUTE)
    assert (ride.percent, len(ride.rows)) == (0, 22)
    assert "inconclusive" in ride.state.why
    ride.act(Action.APPROVE).go(1)
    assert (ride.percent, ride.state.status) == (20, Status.RUNNING)
    assert ride.seconds_of("errors") == [1]
    ride.go(1)
    assert ride.seconds_of("errors") == [1, 1203]


def test_a_pause_without_end_waits_for_a_person() -> None:
    """Each anew; the analysis goes on behind it."""
    argo = a_canary({"setWeight": 20}, {"pause": {}}, {"pause": {}}, {"setWeight": 50})
    ride = Ride(counted_plan(argo=argo), lambda *_: GOOD).go(10 * MINUTE)
    assert ride.plan.steps[0].gate is Gate.MANUAL
    assert (ride.percent, ride.state.status) == (20, Status.AWAITING_APPROVAL)

    ride.act(Action.APPROVE).go(MINUTE)
    assert (ride.percent, ride.state.status) == (20, Status.AWAITING_APPROVAL)
    assert len(ride.seconds_of("errors")) == 3
    ride.act(Action.APPROVE).go(1)
    assert ride.percent == 50
    assert ride.go(2).state.status is Status.PROMOTED


def test_people_act_as_on_any_ramp() -> None:
    """Paused it stays and is still taken back; who advances it goes past what stands before the next weight."""
    ride = Ride(counted_plan(argo=a_canary(*GUESTBOOK)), lambda *_: GOOD).go(MINUTE).act(Action.PAUSE).go(20 * MINUTE)
    assert (ride.percent, ride.state.status) == (20, Status.PAUSED)
    ride.act(Action.RESUME).go(1)
    assert ride.percent == 40
    ride.act(Action.ADVANCE).go(5)
    assert ride.percent == 60
    ride.go(10 * MINUTE)
    assert ride.percent == 80
    ride.act(Action.PAUSE)
    ride.values = lambda *_: BAD
    assert ride.go(20 * MINUTE).state.status is Status.KILLED


def test_weights_that_repeat_or_follow_at_once() -> None:
    """One weight at each observation; the same twice is once; no weight at the start is none, and no pause of 0."""
    argo = an_argo(
        {"setWeight": 0}, {"pause": {"duration": 0}}, {"setWeight": 10}, {"setWeight": 10}, {"setWeight": 100}
    )
    ride = Ride(counted_plan(argo=argo), lambda *_: GOOD)

    assert [step.exposure_ppm for step in ride.plan.steps] == [100_000, 1_000_000]
    assert [ride.go(1).percent for _ in range(2)] == [10, 100]
    assert ride.go(1).state.status is Status.PROMOTED


def test_a_weight_that_was_kept_from_being_set_is_set_later() -> None:
    """The pause after it begins then."""
    argo = an_argo({"setWeight": 20}, {"pause": {"duration": 5}}, {"setWeight": 40})
    ride = Ride(counted_plan(argo=argo), lambda *_: GOOD).go(1)
    ride.state = replace(ride.state, exposure_ppm=0, step=-1)

    assert [ride.go(1).percent for _ in range(6)] == [20, 20, 20, 20, 20, 40]


def test_what_is_left_out_keeps_its_place_among_the_steps() -> None:
    """The background begins with the step that was counted with it."""
    argo = a_canary({"setCanaryScale": {"weight": 5}}, {"setWeight": 20}, {"pause": {"duration": 30}}, start=2)
    ride = Ride(counted_plan(argo=argo), lambda *_: GOOD).go(10)

    assert (ride.percent, ride.seconds_of("errors")) == (20, [2])


def test_an_initial_delay_and_a_count() -> None:
    """Measured from then on, so often, and then no more."""
    metric = {"initialDelay": "30s", "count": 2, "interval": "1m"}
    ride = Ride(counted_plan(argo=a_canary(*GUESTBOOK, metric=metric)), lambda *_: GOOD).go(10 * MINUTE)

    assert ride.seconds_of("errors") == [31, 91]


def test_dry_runs_are_left_out() -> None:
    """Nothing follows from them, so that they are not measured, and that is said."""
    template = a_template(an_argo_metric(), dryRun=[{"metricName": "errors"}])
    argo = an_argo({"setWeight": 20}, templates=(template,), analysis=run_of("success"))

    plan = counted_plan(argo=argo)

    assert plan.threshold is not None
    assert plan.threshold.checks == ()
    assert "dry run" in translation(a_ramp(rule="threshold", argo=argo)).changes[-1]


def test_it_says_how_it_stands() -> None:
    """Which step, how long its pause still lasts, what each metric wants and found."""
    metric = {"failureCondition": "result[0] > 0.4", "failureLimit": 1}
    argo = a_canary({"setWeight": 20}, {"pause": {"duration": "10m"}}, metric=metric)
    ride = Ride(counted_plan(argo=argo), lambda *_: BAD).go(MINUTE)
    now_ms = BEGAN_MS + MINUTE * SECOND

    assert standing(ride.plan, ride.state, now_ms).line == (
        "running at 20 % (step 1 of 2): step 2 of 2, 9:01 of its pause left, 1 failed measurement"
    )
    counting = counting_standing(ride.plan, ride.state, now_ms)
    assert counting is not None
    assert (counting.like, counting.limit, counting.next_s, counting.verdict) == ("argo-rollouts", None, None, "")
    assert [(check.wanted, check.said) for check in counting.checks] == [
        ("good if result[0] < 0.05, failed if result[0] > 0.4", "is 0.5")
    ]
    assert remarks(ride.plan)[1].startswith("errors: good if result[0] < 0.05, failed if result[0] > 0.4, from sum(")

    plain = Ride(
        counted_plan(argo=inline({"setWeight": 20}, ANALYSIS, metric={"successCondition": None})), lambda *_: 1
    )
    plain.go(1)
    assert "step 2 of 2 measures, 0 failed measurements" in standing_words(plain.plan, plain.state, now_ms)
    before = counting_standing(plain.plan, plain.state, now_ms)
    assert before is not None
    assert [(check.wanted, check.said) for check in before.checks] == [("anything", "not looked at yet")]
    plain.go(1)
    assert plain.percent == 100
    assert standing_words(plain.plan, plain.state, now_ms) == "0 failed measurements"


def test_without_a_prometheus_it_is_refused() -> None:
    """Nothing else answers its queries; steps without metrics need none."""
    with pytest.raises(Invalid) as caught:
        counted_plan(argo=a_canary(*GUESTBOOK), metrics=False)
    assert [fault.path for fault in caught.value.faults] == ["argo"]
    assert counted_plan(argo=an_argo({"setWeight": 5}), metrics=False).threshold is not None


def test_a_step_that_never_ends_is_refused() -> None:
    """Its analysis has an interval, and no count."""
    with pytest.raises(Invalid) as caught:
        counted_plan(argo=inline({"setWeight": 20}, ANALYSIS, metric={"interval": "1m"}))

    assert "without end" in caught.value.faults[0].message


def test_a_plan_that_counts_by_neither_does_nothing() -> None:
    """What no document makes is harmless."""
    ride = Ride(counted_plan(argo=an_argo({"setWeight": 5})), lambda *_: GOOD)
    nothing = ThresholdPlan(checks=())
    evidence = evidence_of(BEGAN_MS + SECOND)

    assert observe_threshold(nothing, ride.state, evidence).threshold == ride.state.threshold
    assert standing_words(replace(ride.plan, threshold=nothing), ride.state, BEGAN_MS) == ""
    with pytest.raises(Invalid):
        plan_of(
            RampDocument(flag="checkout-v2", environment="production", rule="threshold"),
            project="shop",
            rollout=ROLLOUT,
            start_ppm=0,
            family=Family.REPORTED,
        )
