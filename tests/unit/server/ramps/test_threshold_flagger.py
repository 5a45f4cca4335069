"""``rule: threshold`` by Flagger's block: the schedules of its documentation, worked out by hand."""

import math
from typing import Any

import pytest

from rheostat_server.errors import Fault, Invalid
from rheostat_server.ramps.checks import CheckValue, Round
from rheostat_server.ramps.model import Action, Gate, Status
from rheostat_server.ramps.remarks import remarks
from rheostat_server.ramps.replay import replay
from rheostat_server.ramps.standing import standing
from rheostat_server.ramps.standing_threshold import counting_standing
from rheostat_server.ramps.threshold import decide_threshold, due_checks, observe_threshold, standing_words
from tests.unit.server.ramps.counted_rides import BEGAN_MS, SECOND, Ride, by_round, counted_plan
from tests.unit.server.ramps.foreign_builders import CANONICAL, a_ramp, an_analysis, line_of, translation
from tests.unit.server.ramps.ramp_builders import a_plan, evidence_of

MINUTE = 60
RATE = {"name": "request-success-rate", "thresholdRange": {"min": 99}}
OTHER = {"name": "own", "query": "up", "thresholdRange": {"min": 1, "max": 2}}
MEANS = {"g": 99.0, "b": 98.9, "n": None, "f": "connection refused", "x": math.nan, "-": 0.0}
GATE = [{"type": "confirm-promotion", "url": "http://gate/"}]

# What the rounds find, a letter a minute (the first looks at nothing), and the exposure after each. The limit is 5.
SCHEDULES = [
    ("-gggggg", [10, 20, 30, 40, 50, 100], Status.PROMOTED),
    ("-bbbbb-", [10, 10, 10, 10, 10, 10, 0], Status.KILLED),
    ("-gbgbgbgbgb", [10, 20, 20, 30, 30, 40, 40, 50, 50, 100], Status.PROMOTED),
    ("-bgbgbgbgb-", [10, 10, 20, 20, 30, 30, 40, 40, 50, 50, 0], Status.KILLED),
    ("-ggggbbbbb-", [10, 20, 30, 40, 50, 50, 50, 50, 50, 50, 0], Status.KILLED),
    ("-bbbbgggggg", [10, 10, 10, 10, 10, 20, 30, 40, 50, 100], Status.PROMOTED),
    ("-nnnnn-", [10, 10, 10, 10, 10, 10, 0], Status.KILLED),
    ("-fffff-", [10, 10, 10, 10, 10, 10, 0], Status.KILLED),
    ("-xnfbx-", [10, 10, 10, 10, 10, 10, 0], Status.KILLED),
    ("-ggggbbbbgg", [10, 20, 30, 40, 50, 50, 50, 50, 50, 100], Status.PROMOTED),
    ("-bbbbbg", [10, 10, 10, 10, 10, 10, 0], Status.KILLED),
]


@pytest.mark.parametrize(("rounds", "weights", "ends"), SCHEDULES, ids=[rounds for rounds, _, _ in SCHEDULES])
def test_schedules_worked_by_hand(rounds: str, weights: list[float], ends: Status) -> None:
    """Failed checks add up and stay, nothing is forgiven, and the round after the fifth takes it back."""
    ride = Ride(counted_plan(analysis=an_analysis(RATE)), by_round(f"{rounds}----", MINUTE, MEANS))

    seen = []
    for _ in weights:
        ride.go(MINUTE)
        seen.append(ride.percent)

    # It is promoted a second after everybody is exposed.
    assert seen == weights
    assert ride.go(1).state.status is ends
    assert [list(again.differences) for again in replay(ride.rows)] == [[]] * len(ride.rows)


@pytest.mark.parametrize(
    ("block", "seconds", "weights"),
    [
        # interval x (maxWeight / stepWeight) to the end of the analysis, as the documentation has it: 25 minutes.
        ({"stepWeight": 2, "maxWeight": 50, "threshold": 10}, 60, [*range(2, 51, 2), 100]),
        ({"stepWeight": 20, "maxWeight": 50}, 60, [20, 40, 60, 100]),
        ({"stepWeights": [1, 2, 10, 80]}, 60, [1, 2, 10, 80, 100]),
        ({"stepWeights": [50, 100]}, 60, [50, 100, 100]),
        ({"stepWeight": 60, "interval": "3s"}, 10, [60, 100, 100]),
    ],
)
def test_weights_of_the_documentation(block: dict[str, Any], seconds: int, weights: list[float]) -> None:
    """Each good round goes to the next weight, and one more at the last promotes."""
    ride = Ride(counted_plan(analysis=an_analysis(RATE, **block)), lambda *_: 100.0)

    assert [ride.go(seconds).percent for _ in weights] == weights
    assert ride.go(1).state.status is Status.PROMOTED


def test_acting_on_the_next_tick() -> None:
    """At the fifth failed check nothing moves yet; a minute later it is taken back, and nothing is looked at."""
    ride = Ride(counted_plan(analysis=an_analysis(RATE)), lambda *_: 90.0).go(6 * MINUTE)

    assert (ride.percent, ride.state.status) == (10, Status.RUNNING)
    assert ride.state.threshold is not None
    assert ride.state.threshold.failed_checks == 5
    ride.go(MINUTE - 1)
    assert ride.percent == 10
    ride.go(1)
    assert (ride.percent, ride.state.status) == (0, Status.KILLED)
    assert ride.seconds_of("request-success-rate") == [120, 180, 240, 300, 360]
    assert ride.state.why == (
        "5 failed checks, the limit (the last: failed check 5 of 5: request-success-rate is 90, at least 99)"
    )


def test_the_documented_block_reads_the_exposed_requests() -> None:
    """Both built-in metrics are Flagger's own questions, asked of the treatment arm."""
    plan = counted_plan(analysis=CANONICAL)

    assert plan.threshold is not None
    rate, slow = plan.threshold.checks
    assert rate.query == (
        'sum(rate(feature_flag_requests_total{project="shop",environment="production",flag="checkout-v2",'
        'arm="treatment",outcome!~"error|timeout"}[1m])) / sum(rate(feature_flag_requests_total{project="shop",'
        'environment="production",flag="checkout-v2",arm="treatment"}[1m])) * 100'
    )
    assert (slow.query or "").startswith("histogram_quantile(0.99, sum by (le) (rate(feature_flag_request_duration_")
    assert [step.exposure_ppm for step in plan.steps] == [100_000, 200_000, 300_000, 400_000, 500_000, 1_000_000]
    assert (plan.guarded, plan.guardrails, plan.preflight_s, plan.soak_s, plan.rule) == (False, (), 0, 0, "threshold")


def test_durations_are_whole_milliseconds() -> None:
    """Flagger cuts the fraction off: 500.9 ms is 500, and good."""
    plan = counted_plan(analysis=an_analysis({"name": "request-duration", "threshold": 500.7}))

    ride = Ride(plan, lambda _, second: 500.9 if second == 120 else 501.0).go(3 * MINUTE)

    assert ride.percent == 20
    assert "request-duration is 501, at most 500" in ride.counted.because


def test_the_last_of_several_values_counts() -> None:
    """Flagger takes the last that an answer holds."""
    ride = Ride(counted_plan(analysis=an_analysis(OTHER)), lambda *_: [9.0, 1.5]).go(2 * MINUTE)

    assert ride.percent == 20


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (3.0, "own is 3, at least 1 and at most 2"),
        (None, "own has no value"),
        (math.nan, "own is no number"),
        (math.inf, "own is endless"),
        ("HTTP 400", "own failed (HTTP 400)"),
    ],
)
def test_a_failed_check_says_what_it_found(found: Any, said: str) -> None:
    """Whatever makes it fail; and every check that failed is named."""
    ride = Ride(counted_plan(analysis=an_analysis(RATE, OTHER)), lambda name, _: found if name == "own" else 99.5)

    ride.go(2 * MINUTE)

    because = ride.counted.because
    assert because.startswith(f"failed check 1 of 5: {said}")
    assert "request-success-rate" not in because


def test_without_metrics_it_goes_by_time() -> None:
    """Flagger's own webhooks aside, an analysis without metrics fails nothing."""
    ride = Ride(counted_plan(analysis=an_analysis(threshold=0)), lambda *_: pytest.fail("nothing is asked"))

    assert [ride.go(MINUTE).percent for _ in range(6)] == [10, 20, 30, 40, 50, 100]
    assert "nothing to check" in ride.state.why


def test_a_late_round_is_not_made_up_for() -> None:
    """A node that was away for minutes makes one round when it is back, and the next an interval later."""
    ride = Ride(counted_plan(analysis=an_analysis(RATE)), lambda *_: 100.0).go(MINUTE)
    ride.second += 200

    ride.go(1)
    assert ride.percent == 20
    assert (ride.go(58).percent, ride.go(2).percent) == (20, 30)


def test_a_round_without_an_answer_fails() -> None:
    """That nobody looked is a check without a value."""
    plan = counted_plan(analysis=an_analysis(RATE))
    ride = Ride(plan, lambda *_: 100.0).go(MINUTE)
    assert plan.threshold is not None

    after = observe_threshold(plan.threshold, ride.state, evidence_of(BEGAN_MS + 2 * MINUTE * SECOND))

    assert after.threshold is not None
    assert after.threshold.because.endswith("request-success-rate failed (nobody looked), at least 99")


def test_a_gate_waits_for_a_person_and_goes_on_counting() -> None:
    """At the last weight it waits; failed checks count meanwhile, and approval lets the next good round through."""
    found: dict[int, float] = {}
    ride = Ride(counted_plan(analysis=an_analysis(RATE, webhooks=GATE)), lambda _, second: found.get(second, 100.0))
    assert [step.gate for step in ride.plan.steps[-2:]] == [Gate.MANUAL, Gate.NONE]

    ride.go(5 * MINUTE)
    assert (ride.percent, ride.state.status) == (50, Status.RUNNING)
    ride.go(MINUTE)
    assert (ride.percent, ride.state.status) == (50, Status.AWAITING_APPROVAL)
    found[7 * MINUTE] = 1.0
    ride.go(MINUTE)
    assert ride.state.status is Status.RUNNING
    assert ride.counted.failed_checks == 1
    ride.act(Action.APPROVE).go(MINUTE - 1)
    assert ride.percent == 50
    ride.go(2)
    assert (ride.percent, ride.state.status) == (100, Status.PROMOTED)


def test_a_gate_on_every_step_waits_from_its_own_good_round_on() -> None:
    """What let it up to the step says nothing of leaving it."""
    gates = [{"type": "confirm-traffic-increase", "url": "http://gate/"}]
    ride = Ride(counted_plan(analysis=an_analysis(RATE, webhooks=gates)), lambda *_: 100.0).go(MINUTE + 30)
    assert (ride.percent, ride.state.status) == (10, Status.RUNNING)

    assert ride.go(30).state.status is Status.AWAITING_APPROVAL
    assert ride.act(Action.APPROVE).go(MINUTE).percent == 20
    assert ride.go(30).state.status is Status.RUNNING


def test_a_gate_at_all_users_waits_too() -> None:
    """Where the last weight is 100 %, the promotion waits, and comes with the next good round after the approval."""
    block = an_analysis(RATE, stepWeights=[100], webhooks=GATE)
    ride = Ride(counted_plan(analysis=block), lambda *_: 100.0).go(3 * MINUTE)
    assert (ride.percent, ride.state.status) == (100, Status.AWAITING_APPROVAL)

    ride.act(Action.APPROVE).go(MINUTE - 1)
    assert ride.state.status is Status.RUNNING
    assert ride.go(1).state.status is Status.PROMOTED


def test_people_act_as_on_any_ramp() -> None:
    """Paused it stays, and is still taken back; advanced it goes on from there; at the end it is promoted."""
    paused = Ride(counted_plan(analysis=an_analysis(RATE)), lambda *_: 100.0).go(MINUTE).act(Action.PAUSE)
    paused.go(3 * MINUTE)
    assert (paused.percent, paused.state.status) == (10, Status.PAUSED)
    paused.values = lambda *_: 1.0
    paused.go(6 * MINUTE)
    assert paused.state.status is Status.KILLED

    ride = Ride(counted_plan(analysis=an_analysis(RATE)), lambda *_: 100.0).go(MINUTE)
    ride.act(Action.ADVANCE).act(Action.ADVANCE)
    assert ride.percent == 30
    ride.go(MINUTE)
    assert ride.percent == 40
    for _ in range(3):
        ride.act(Action.ADVANCE)
    assert ride.state.status is Status.SOAKING
    assert ride.go(1).state.status is Status.PROMOTED
    assert [list(again.differences) for again in replay(ride.rows)] == [[]] * len(ride.rows)


def test_between_rounds_nothing_is_asked_or_written() -> None:
    """A row each round, and one a minute at most besides."""
    ride = Ride(counted_plan(analysis=an_analysis(RATE, interval="10m")), lambda *_: 100.0).go(20 * MINUTE)

    assert ride.seconds_of("request-success-rate") == [1200]
    assert len(ride.rows) <= 25


def test_it_says_how_it_stands() -> None:
    """The line, the checks against what is wanted, and no error that it does not state."""
    ride = Ride(counted_plan(analysis=an_analysis(RATE, OTHER)), lambda name, _: 98.0 if name != "own" else 1.0)
    now_ms = BEGAN_MS

    at_first = standing(ride.plan, ride.state, now_ms)
    assert at_first.line == "running at 0 % (before the first step): next round in 1:00, 0 of 5 failed checks"
    ride.go(2 * MINUTE)
    now_ms = BEGAN_MS + 130 * SECOND
    assert standing(ride.plan, ride.state, now_ms).line.startswith(
        "running at 10 % (step 1 of 6): next round in 0:50, 1 of 5 failed checks; the last round: failed check 1 of 5"
    )
    counting = counting_standing(ride.plan, ride.state, now_ms)
    assert counting is not None
    assert (counting.like, counting.failed_checks, counting.limit, counting.next_s) == ("flagger", 1, 5, 50)
    assert counting.verdict == "failed"
    assert [(check.name, check.wanted, check.said) for check in counting.checks] == [
        ("request-success-rate", "at least 99", "is 98"),
        ("own", "at least 1 and at most 2", "is 1"),
    ]
    assert counting_standing(a_plan(), ride.state, now_ms) is None


def test_it_says_before_the_start_what_it_does() -> None:
    """No stated error, when it is taken back, what is asked and where."""
    lines = remarks(counted_plan(analysis=an_analysis(RATE, OTHER)))

    assert lines[0].startswith("rule: threshold: no stated error")
    assert lines[1].startswith("a round each 1:00; 5 failed checks in all")
    assert lines[2] == "without a failed check it is promoted after 6:00"
    assert lines[3].startswith("request-success-rate: at least 99, from sum(rate(feature_flag_requests_total")
    assert lines[4] == "own: at least 1 and at most 2, from up"
    reported = remarks(counted_plan(analysis=an_analysis(RATE, threshold=1), metrics=False))
    assert "1 failed check in all" in reported[1]
    assert reported[3] == "request-success-rate: at least 99, from what SDKs report"


def test_reports_do_without_a_prometheus() -> None:
    """The success rate is then what SDKs reported; all else needs one, and is refused by its path."""
    plan = counted_plan(analysis=an_analysis(RATE), metrics=False)

    assert plan.threshold is not None
    assert plan.threshold.checks[0].query is None
    with pytest.raises(Invalid) as caught:
        counted_plan(analysis=an_analysis({"name": "request-duration", "threshold": 5}, OTHER), metrics=False)
    assert [(fault.path, fault.hint) for fault in caught.value.faults] == [
        ("analysis.metrics[0]", "set RHEOSTAT_PROMETHEUS_URL"),
        ("analysis.metrics[1]", "set RHEOSTAT_PROMETHEUS_URL"),
    ]


def test_it_begins_at_weight_0() -> None:
    """With an exposure in force there is no such beginning, neither at the start nor when it is started afresh."""
    with pytest.raises(Invalid) as caught:
        counted_plan(analysis=an_analysis(RATE), start_ppm=50_000)
    assert Fault("rule", "rule: threshold begins at weight 0, and 5 % is in force", caught.value.faults[0].hint) in (
        caught.value.faults
    )


REFUSED = [
    *[
        ({"analysis": an_analysis(RATE), name: value}, name, "the guard's")
        for name, value in {
            "guardrails": [],
            "alpha": 0.01,
            "preflight": "1m",
            "soak": "1h",
            "users": 10,
            "unguarded": False,
            "interval": "1m",
        }.items()
    ],
    ({"analysis": an_analysis(RATE, iterations=5)}, "analysis.iterations", "before it switches"),
    ({}, "rule", "none are named"),
    ({"analysis": CANONICAL, "canaryAnalysis": CANONICAL}, "canaryAnalysis", "one of the two"),
    ({"analysis": an_analysis(RATE, stepWeight="x")}, "analysis.stepWeight", "not a finite number"),
]


@pytest.mark.parametrize(("fields", "path", "part"), REFUSED)
def test_what_means_nothing_here_is_refused(fields: dict[str, Any], path: str, part: str) -> None:
    """What only the guard knows, and what a flag cannot do."""
    with pytest.raises(Invalid) as caught:
        counted_plan(**fields)

    assert any(fault.path == path and part in str(fault) for fault in caught.value.faults)


def test_a_staged_promotion_is_left_out() -> None:
    """In Flagger it moves traffic between two sets of pods, both of which run what was promoted."""
    found = translation(a_ramp(rule="threshold", analysis=an_analysis(RATE, stepWeightPromotion=20)))

    assert "serves everybody at once" in line_of(found, "analysis.stepWeightPromotion")
    assert found.document["rule"] == "threshold"


def test_a_ramp_that_is_over_is_left() -> None:
    """Nothing is due, and nothing moves."""
    ride = Ride(counted_plan(analysis=an_analysis(RATE)), lambda *_: 100.0).go(MINUTE).act(Action.ABORT)

    assert ride.state.status is Status.ABORTED
    assert due_checks(ride.plan, ride.state, BEGAN_MS + 10 * MINUTE * SECOND) == ()
    assert due_checks(a_plan(), ride.state, BEGAN_MS) == ()
    assert standing_words(a_plan(), ride.state, BEGAN_MS) == ""


def test_values_are_kept_as_prometheus_writes_them() -> None:
    """No number that JSON lacks is lost: a recorded row decides again as it did."""
    value = CheckValue(name="own", found=("NaN", "+Inf"))
    ride = Ride(counted_plan(analysis=an_analysis(OTHER)), lambda *_: value).go(2 * MINUTE)

    assert ride.counted.verdict is Round.FAILED
    assert [list(again.differences) for again in replay(ride.rows)] == [[]] * len(ride.rows)
    assert decide_threshold(ride.plan, ride.state, 0).why
