"""``rule: threshold`` within windows and freezes: what is kept from going up goes on when the calendar opens."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rheostat_server.errors import Invalid
from rheostat_server.ramps.checks import Round
from rheostat_server.ramps.model import Action, Plan, Status
from rheostat_server.ramps.replay import replay
from rheostat_server.ramps.standing import standing
from rheostat_server.ramps.standing_threshold import check_trials
from rheostat_server.ramps.starting import notes_of
from tests.unit.server.ramps.counted_rides import BEGAN_MS, SECOND, Ride, counted_plan, value_of
from tests.unit.server.ramps.foreign_builders import a_template, an_analysis, an_argo, an_argo_metric, run_of

MINUTE = 60
RATE = {"name": "request-success-rate", "thresholdRange": {"min": 99}}
BEGAN = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=BEGAN_MS)


def frozen(from_s: int, until_s: int, reason: str = "holidays") -> dict[str, Any]:
    """A freeze by the second since the start."""
    begins, ends = (f"{BEGAN + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}" for second in (from_s, until_s))
    return {"freezes": [{"from": begins, "until": ends, "reason": reason}]}


def planned(document: dict[str, Any]) -> Plan:
    """The plan of a document with these fields."""
    return counted_plan(**document)


def assert_replays(ride: Ride) -> None:
    """Every row decides again as it did."""
    assert [list(again.differences) for again in replay(ride.rows)] == [[]] * len(ride.rows)


def test_a_freeze_keeps_flaggers_weight_until_the_next_good_round() -> None:
    """Checks are made and count meanwhile; the first good round after it goes on."""
    plan = counted_plan(analysis=an_analysis(RATE), **frozen(MINUTE + 30, 3 * MINUTE + 30))
    ride = Ride(plan, lambda _, second: 1.0 if second == 3 * MINUTE else 100.0)

    assert [ride.go(MINUTE).percent for _ in range(3)] == [10, 10, 10]
    assert "holidays" in ride.state.why
    assert "holidays" in standing(plan, ride.state, BEGAN_MS + 180 * SECOND).line
    assert (ride.counted.failed_checks, ride.seconds_of("request-success-rate")) == (1, [120, 180])
    assert [ride.go(MINUTE).percent for _ in range(5)] == [20, 30, 40, 50, 100]
    assert ride.go(1).state.status is Status.PROMOTED
    assert_replays(ride)


def test_a_freeze_keeps_flaggers_promotion_too() -> None:
    """From the last weight to everybody; but not the end of what everybody has."""
    block = an_analysis(RATE, stepWeights=[50])
    ride = Ride(counted_plan(analysis=block, **frozen(90, 200)), lambda *_: 100.0)
    assert [ride.go(MINUTE).percent for _ in range(4)] == [50, 50, 50, 100]
    assert ride.go(1).state.status is Status.PROMOTED

    everybody = Ride(counted_plan(analysis=an_analysis(RATE, stepWeights=[100]), **frozen(90, 200)), lambda *_: 100.0)
    assert everybody.go(2 * MINUTE).state.status is Status.PROMOTED


@pytest.mark.parametrize(
    ("block", "from_s"),
    [({"analysis": an_analysis(RATE, stepWeights=[100])}, 65), ({"argo": an_argo({"setWeight": 100})}, 2)],
)
def test_a_promotion_that_releases_the_holdback_waits(block: dict[str, Any], from_s: int) -> None:
    """It exposes those who were held back; then it is promoted, and few rows tell of the waiting."""
    ride = Ride(counted_plan(holdback=5, **block, **frozen(from_s, 400)), lambda *_: 100.0).go(399)

    assert (ride.percent, ride.state.status) == (100, Status.RUNNING)
    assert "holidays" in ride.state.why
    assert len(ride.rows) < 30
    assert ride.go(MINUTE).state.status is Status.PROMOTED
    assert_replays(ride)


def test_no_freeze_keeps_from_going_back() -> None:
    """One failed check is the limit: the round after it kills."""
    plan = counted_plan(analysis=an_analysis(RATE, threshold=1), **frozen(90, 6_000))

    assert Ride(plan, lambda *_: 1.0).go(3 * MINUTE).state.status is Status.KILLED


def test_a_person_goes_before_the_calendar() -> None:
    """As on any ramp."""
    ride = Ride(counted_plan(analysis=an_analysis(RATE), **frozen(0, 600)), lambda *_: 100.0).go(MINUTE)
    assert ride.percent == 0
    assert ride.act(Action.ADVANCE).percent == 10


def test_argos_weight_is_set_when_the_calendar_opens() -> None:
    """Its pause begins then; meanwhile the background is measured, and no row a second is written."""
    argo = an_argo(
        {"setWeight": 20}, {"pause": {"duration": "2m"}}, {"setWeight": 60}, {"pause": {"duration": "1m"}},
        templates=(a_template(an_argo_metric(interval="5m")),), analysis=run_of("success"),
    )  # fmt: skip
    ride = Ride(counted_plan(argo=argo, **frozen(0, 10 * MINUTE)), lambda *_: 0.01).go(10 * MINUTE - 1)

    assert (ride.percent, ride.state.status) == (0, Status.RUNNING)
    assert ride.state.why.startswith("0 %: step 1 of 4; ")
    assert "holidays" in ride.state.why
    assert ride.seconds_of("errors") == [1, 301]
    assert "step 1 of 4, 0 failed measurements" in standing(ride.plan, ride.state, BEGAN_MS).line
    assert len(ride.rows) < 20
    assert ride.go(1).percent == 20
    assert (ride.go(2 * MINUTE - 1).percent, ride.go(1).percent) == (20, 60)
    ride.go(MINUTE)
    assert (ride.percent, ride.go(1).state.status) == (100, Status.PROMOTED)
    assert_replays(ride)


def test_a_freeze_before_argos_later_weight_and_its_end() -> None:
    """It stays before the weight, and before everybody."""
    argo = an_argo({"setWeight": 20}, {"pause": {"duration": "1m"}}, {"setWeight": 60})
    ride = Ride(counted_plan(argo=argo, **frozen(30, 300)), lambda *_: 0.01).go(299)
    assert (ride.percent, ride.counted.verdict) == (20, Round.RAISE)
    assert ride.go(1).percent == 60

    last = Ride(counted_plan(argo=an_argo({"setWeight": 20}), **frozen(2, 300)), lambda *_: 0.01).go(299)
    assert (last.percent, last.counted.verdict, len(last.rows) < 10) == (20, Round.PROMOTE, True)
    last.go(1)
    assert (last.percent, last.go(1).state.status) == (100, Status.PROMOTED)
    assert_replays(last)


def test_argos_failed_analysis_kills_in_a_freeze() -> None:
    """Whatever waits."""
    argo = an_argo({"setWeight": 20}, {"pause": {}}, templates=(a_template(an_argo_metric(interval="1m")),),
                   analysis=run_of("success"))  # fmt: skip
    ride = Ride(counted_plan(argo=argo, **frozen(30, 3_000)), lambda _, second: 0.01 if second < 60 else 0.9)

    assert ride.go(2 * MINUTE).state.status is Status.KILLED


def test_the_start_says_what_the_calendar_keeps() -> None:
    """As of any ramp, and windows count as well."""
    plan = counted_plan(
        analysis=an_analysis(RATE),
        advance_windows=[{"days": "mon-fri", "from": "09:00", "to": "17:00", "timezone": "Europe/Madrid"}],
        **frozen(0, 600, "the fair"),
    )

    lines = notes_of(plan, (), BEGAN_MS)
    assert any("the fair" in line for line in lines)
    assert any("Europe/Madrid" in line for line in lines)


@pytest.mark.parametrize(("name", "value"), [("to", 50), ("gate", "manual")])
@pytest.mark.parametrize("block", [{"analysis": an_analysis(RATE)}, {"argo": an_argo({"setWeight": 5})}])
def test_what_it_would_pass_over_is_refused(block: dict[str, Any], name: str, value: Any) -> None:
    """With path and hint; as null it is not there."""
    with pytest.raises(Invalid) as caught:
        planned({**block, name: value})

    [fault] = caught.value.faults
    assert (fault.path, (fault.hint or "").startswith("leave it out")) == (name, True)
    assert planned({**block, name: None}).threshold is not None


def test_at_most_20_metrics_are_counted() -> None:
    """As of guardrails; each is asked in every round."""
    metrics = [{"name": f"m{number}", "query": "up", "threshold": 1} for number in range(21)]
    template = a_template(*(an_argo_metric(f"m{number}") for number in range(21)))
    argo = an_argo({"setWeight": 5}, {"analysis": run_of("success")}, templates=(template,))
    for block, path in [({"analysis": an_analysis(*metrics)}, "analysis.metrics"), ({"argo": argo}, "argo")]:
        with pytest.raises(Invalid) as caught:
            planned(block)
        assert [fault.path for fault in caught.value.faults] == [path]
    assert counted_plan(analysis=an_analysis(*metrics[:20])).threshold is not None


def test_checks_are_tried_before_a_start() -> None:
    """What each found against what is wanted; what cannot be told has no verdict."""
    own = {"name": "own", "query": "up", "thresholdRange": {"min": 1}}
    flagger = counted_plan(analysis=an_analysis(RATE, own, {**own, "name": "other"}), metrics=True).threshold
    assert flagger is not None
    tried = check_trials(flagger, [value_of("own", 0.5), value_of("other", "HTTP 400")])
    assert [(one.name, one.said, one.wanted, one.good, one.problem) for one in tried] == [
        ("request-success-rate", "is what SDKs report of the ramp, once it runs", "at least 99", None, None),
        ("own", "is 0.5", "at least 1", False, None),
        ("other", "failed (HTTP 400)", "at least 1", None, "HTTP 400"),
    ]
    assert [one.good for one in check_trials(flagger, [value_of("own", None), value_of("other", 1.0)])[1:]] == [
        False, True
    ]  # fmt: skip

    metric = an_argo_metric(failureCondition="result[0] > 0.4")
    argo = an_argo({"setWeight": 5}, templates=(a_template(metric),), analysis=run_of("success"))
    counted = counted_plan(argo=argo).threshold
    assert counted is not None
    found = [check_trials(counted, [value_of("errors", value)])[0].good for value in (0.01, 0.2, 0.5)]
    assert found == [True, None, False]
