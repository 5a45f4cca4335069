"""From the document to the plan."""

from typing import Any

import pytest
from msgspec.structs import replace

from rheostat.model.document import GuardrailDocument, RampDocument, StepDocument
from rheostat.model.flag import Rollout
from rheostat_server.errors import Fault, Invalid
from rheostat_server.ramps.few import can_tell_harm
from rheostat_server.ramps.model import Family, Gate, Guardrail, Measure, Plan, Step
from rheostat_server.ramps.plan import default_steps, plan_of
from rheostat_server.ramps.remarks import remarks, users_to_kill
from rheostat_server.ramps.terms import Queries, Term

ROLLOUT = Rollout(exposure_ppm=0, split={"on": 1.0}, salt="checkout-v2", fallback="off")
RATE = "request-success-rate"


def a_document(*percents: float, **changes: Any) -> RampDocument:
    """A ramp document with these steps."""
    fields: dict[str, Any] = {
        "flag": "checkout-v2",
        "environment": "production",
        "steps": tuple(StepDocument(exposure=percent) for percent in percents),
    }
    return RampDocument(**{**fields, **changes})


def planned(document: RampDocument, **changes: Any) -> Plan:
    """The plan of the document on a server with Prometheus."""
    given: dict[str, Any] = {
        "project": "default",
        "rollout": ROLLOUT,
        "start_ppm": 0,
        "family": Family.REPORTED_METRICS,
    }
    return plan_of(document, **{**given, **changes})


def faults(document: RampDocument, **changes: Any) -> tuple[Fault, ...]:
    """What is wrong with it."""
    with pytest.raises(Invalid) as caught:
        planned(document, **changes)
    return caught.value.faults


def test_shortest_document_gets_every_default() -> None:
    """A flag and an environment are enough for a guarded ramp over the whole ladder."""
    plan = planned(a_document())

    assert [step.exposure_ppm for step in plan.steps] == [10_000, 50_000, 100_000, 250_000, 500_000, 1_000_000]
    assert {(step.min_dwell_s, step.max_dwell_s, step.gate) for step in plan.steps} == {(60.0, None, Gate.NONE)}
    assert plan.guardrails == (Guardrail(name="errors", family=Family.REPORTED_METRICS, grade=1),)
    assert (plan.alpha, plan.budget_parts, plan.acceptable, plan.min_units) == (0.01, 2, 0.005, 20)
    assert (plan.missing_kill, plan.min_coverage) == (True, 0.8)
    assert (plan.soak_s, plan.preflight_s, plan.interval_s, plan.blind_limit_s) == (3_600, 600, 15, 900)
    assert (plan.guarded, plan.manual, plan.low_evidence, plan.users) == (True, False, False, None)
    assert (plan.on_blind, plan.on_inconclusive, plan.kill_scope) == ("hold", "hold", "rollout")


def test_document_is_taken_at_its_word() -> None:
    """Every figure that the document gives is the plan's."""
    plan = planned(
        a_document(
            steps=(StepDocument(exposure=5, min_dwell="2m", max_dwell="1h", gate="manual"), StepDocument(exposure=50)),
            holdback=1.5,
            keep_holdback=True,
            soak="2h",
            preflight="30s",
            alpha=0.02,
            on_inconclusive="advance",
            on_blind="retreat",
            min_units=5,
            acceptable=2,
            min_dwell="3s",
            max_dwell="10m",
            interval="1s",
            users=5_000,
        ),
        rollout=Rollout(exposure_ppm=0, split={"on": 1.0}, salt="s", fallback="off", low=100_000, high=600_000),
    )

    assert plan.steps == (
        Step(exposure_ppm=50_000, min_dwell_s=120, max_dwell_s=3_600, gate=Gate.MANUAL),
        Step(exposure_ppm=500_000, min_dwell_s=3, max_dwell_s=600),
    )
    assert (plan.holdback_ppm, plan.keep_holdback, plan.soak_s, plan.preflight_s) == (15_000, True, 7_200, 30)
    assert (plan.alpha, plan.min_units, plan.acceptable, plan.interval_s, plan.users) == (0.02, 5, 0.02, 1, 5_000)
    assert (plan.on_inconclusive, plan.on_blind) == ("advance", "retreat")
    assert (plan.low_ppm, plan.width_ppm) == (100_000, 500_000)


def test_steps_at_or_below_the_exposure_in_force_are_skipped() -> None:
    """A ramp from 25 % goes on with the first step above it; if there is none it is refused."""
    plan = planned(a_document(5, 25, 50), start_ppm=250_000)

    assert [step.exposure_ppm for step in plan.steps] == [500_000]
    assert faults(a_document(5, 25), start_ppm=250_000) == (
        Fault("steps", "every step is at or below the exposure in force, 25 %"),
    )


@pytest.mark.parametrize(
    ("source", "family"),
    [(None, Family.REPORTED_METRICS), ("reported", Family.REPORTED), ("prometheus", Family.REPORTED_METRICS)],
)
def test_success_rate_configures_the_guardrail_that_is_always_on(source: Any, family: Family) -> None:
    """A success rate says where failing users are read, whether they may kill, and what is acceptable."""
    watched = GuardrailDocument(metric=RATE, threshold=99, source=source)
    plan = planned(a_document(guardrails=(watched,)))
    advisory = planned(a_document(guardrails=(GuardrailDocument(metric=RATE, source=source, kill=False),)))

    assert plan.guardrails == (Guardrail(name="errors", family=family, grade=1, ceiling=0.01),)
    assert plan.acceptable == 0.01
    assert not advisory.guardrails[0].may_kill
    assert (advisory.budget_parts, advisory.missing_kill) == (1, False)
    assert advisory.acceptable == 0.005


@pytest.mark.parametrize(("kill", "may_kill", "parts"), [(None, False, 2), (False, False, 2), (True, True, 3)])
def test_application_counters_are_a_stream_of_their_own(kill: bool | None, may_kill: bool, parts: int) -> None:
    """The application's requests are grade 3: advisory unless asked to kill, and then they share the budget."""
    watched = GuardrailDocument(metric=RATE, source="application", kill=kill)
    plan = planned(a_document(guardrails=(watched,)))

    assert [guardrail.name for guardrail in plan.guardrails] == ["errors", "application-errors"]
    assert plan.guardrails[1] == Guardrail(
        name="application-errors", family=Family.APPLICATION, grade=3, may_kill=may_kill, phi=5.0
    )
    assert plan.budget_parts == parts
    assert any("application-errors" in line and "φ = 5" in line for line in remarks(plan))
    assert any("does not kill" in line for line in remarks(plan)) is not may_kill


@pytest.mark.parametrize("minutes", [0, 360])
def test_guardrails_that_were_looked_up_are_taken_as_they_are(minutes: int) -> None:
    """A guardrail on queries stands in the plan as it was looked up, and the remarks say whence its φ is."""
    asked = (GuardrailDocument(metric=RATE), GuardrailDocument(name="own", bad="a", total="b"))
    own = Guardrail(name="own", family=Family.QUERIES, grade=3, phi=2.5, history_minutes=minutes)

    plan = planned(a_document(guardrails=asked), watched={1: own})

    assert plan.guardrails[1] is own
    [said] = [line for line in remarks(plan) if line.startswith("own")]
    assert said.endswith("φ = 2.5")
    assert ("360 min" in said) is (minutes > 0)


@pytest.mark.parametrize("kill", [None, False])
def test_a_whole_service_is_never_the_only_proof(kill: bool | None) -> None:
    """A guardrail without arms stands beside one that may kill, or the ramp is refused."""
    asked = (GuardrailDocument(metric=RATE, kill=kill), GuardrailDocument(name="own", bad="a", total="b", arms="none"))
    whole = Queries(terms=(Term(selector="a", of="bad"), Term(selector="b", of="total")))
    own = Guardrail(name="own", family=Family.QUERIES, grade=3, phi=5.0, may_kill=False, queries=whole)
    document = a_document(guardrails=asked)

    if kill is None:
        assert planned(document, watched={1: own}).guardrails[1] is own
    else:
        assert [fault.path for fault in faults(document, watched={1: own})] == ["guardrails"]


@pytest.mark.parametrize(
    ("source", "interval", "observed_s"),
    [(None, None, 1.0), ("prometheus", None, 15.0), ("application", None, 15.0), ("prometheus", "5s", 5.0)],
)
def test_a_ramp_is_observed_as_often_as_its_sources_have_something_new(
    source: Any, interval: str | None, observed_s: float
) -> None:
    """Reports come each second; one guardrail on Prometheus makes the ramp wait for scrapes."""
    document = a_document(guardrails=(GuardrailDocument(metric=RATE, source=source),), interval=interval)

    plan = planned(document, family=Family.REPORTED, interval_s=1.0, scrape_s=15.0)

    assert plan.guardrails[0].family is (Family.REPORTED_METRICS if source == "prometheus" else Family.REPORTED)
    assert plan.interval_s == observed_s


def test_acceptable_of_the_document_goes_before_the_ceiling() -> None:
    """A document that names what is acceptable, or ``auto``, does not take it from a threshold."""
    watched = (GuardrailDocument(metric=RATE, threshold=99),)

    assert planned(a_document(guardrails=watched, acceptable=0.2)).acceptable == 0.002
    assert planned(a_document(guardrails=watched, acceptable="auto")).acceptable is None


@pytest.mark.parametrize("source", ["prometheus", "application"])
def test_prometheus_sources_need_a_prometheus(source: Any) -> None:
    """A guardrail on Prometheus is refused where none is configured."""
    found = faults(a_document(guardrails=(GuardrailDocument(metric=RATE, source=source),)), family=Family.REPORTED)

    assert [fault.path for fault in found] == ["guardrails[0].source"]


def test_what_cannot_be_watched_is_refused_and_not_left_out() -> None:
    """A guardrail that this version cannot watch is a fault, for a ramp must not look guarded where it is not."""
    watched = (
        GuardrailDocument(metric="request-duration", threshold=500, source="application"),
        GuardrailDocument(name="checkout", bad="a", total="b"),
        GuardrailDocument(),
        GuardrailDocument(metric="request-duration", threshold=500, source="prometheus"),
        GuardrailDocument(metric="request-duration"),
    )

    assert [(fault.path, fault.message) for fault in faults(a_document(guardrails=watched))] == [
        ("guardrails[0]", "request-duration cannot be watched yet"),
        ("guardrails[1]", "checkout cannot be watched yet"),
        ("guardrails[2]", "this guardrail cannot be watched yet"),
        ("guardrails[3].source", "durations are not among what is read back"),
        ("guardrails[4].threshold", "a duration has a threshold"),
    ]


def test_a_duration_is_a_share_of_requests_above_its_bound() -> None:
    """``request-duration: 500`` may be exceeded by 1 % of requests; users' samples are compared, and may kill."""
    asked = GuardrailDocument(metric="request-duration", threshold=499.6, min_difference=0.3)
    advisory = replace(asked, name="slow", kill=False, source="reported", min_difference=None)
    plan = planned(a_document(guardrails=(asked, advisory)), family=Family.REPORTED)

    assert plan.guardrails[1:] == (
        Guardrail(
            name="request-duration",
            family=Family.REPORTED,
            grade=2,
            measure=Measure.LATENCY,
            bound_ms=500,
            ceiling=0.01,
            min_difference=0.003,
        ),
        Guardrail(
            name="slow",
            family=Family.REPORTED,
            grade=2,
            may_kill=False,
            measure=Measure.LATENCY,
            bound_ms=500,
            ceiling=0.01,
        ),
    )
    assert plan.budget_parts == 3
    lines = remarks(plan)
    assert any(line.startswith("request-duration: above 1 % it holds") for line in lines)
    assert "at most 1 % of harmless ramps are killed, by the 3 ways to kill together" in lines


def test_guardrails_that_were_looked_up_share_the_budget() -> None:
    """What a guardrail on queries reads is found beforehand; it stands in its place, and may share the budget."""
    found = Guardrail(name="checkout", family=Family.QUERIES, grade=3, phi=2.0, ceiling=0.02)
    asked = (GuardrailDocument(metric=RATE, threshold=99.9), GuardrailDocument(name="checkout", bad="a", total="b"))
    plan = planned(a_document(guardrails=asked), watched={1: found})

    assert plan.guardrails[0].ceiling == 0.001
    assert plan.guardrails[1] == found
    assert plan.budget_parts == 3


def test_missing_users_have_a_part_of_the_budget_where_they_kill() -> None:
    """By default users who stay away can kill, and the others' line is higher; ``hold`` gives the part back."""
    hold = planned(a_document(missing_users="hold", min_coverage=50))

    assert (hold.missing_kill, hold.budget_parts, hold.min_coverage) == (False, 1, 0.5)
    assert any("stay away" in line for line in remarks(planned(a_document())))
    assert not any("stay away" in line for line in remarks(hold))


def test_same_requests_are_not_watched_twice() -> None:
    """Two sources for the guardrail that is always on, or two guardrails of one name, are refused."""
    twice = (GuardrailDocument(metric=RATE), GuardrailDocument(metric=RATE, name="b", source="reported"))
    assert [fault.path for fault in faults(a_document(guardrails=twice))] == ["guardrails[1]"]
    same = (GuardrailDocument(metric=RATE, source="application", name="errors"),)
    assert [fault.path for fault in faults(a_document(guardrails=same))] == ["guardrails"]


def test_unguarded_ramp_moves_by_time_alone_and_says_so() -> None:
    """An unguarded ramp has no guardrail and no pre-flight, and its first remark names it."""
    plan = planned(a_document(unguarded=True, preflight="10m", users=20))

    assert (plan.guarded, plan.manual, plan.guardrails, plan.preflight_s) == (False, False, (), 0)
    assert plan.budget_parts == 1
    assert remarks(plan)[0].startswith("unguarded")


@pytest.mark.parametrize(
    ("document", "rollout", "path"),
    [
        (a_document(), Rollout(exposure_ppm=0, split={"on": 1.0}, salt="s"), "rollout"),
        (a_document(alpha=0.06), ROLLOUT, "alpha"),
        (a_document(alpha=0.0), ROLLOUT, "alpha"),
        (a_document(acceptable=100), ROLLOUT, "acceptable"),
        (a_document(acceptable=0), ROLLOUT, "acceptable"),
        (a_document(5, 5), ROLLOUT, "steps"),
        (a_document(25, 5), ROLLOUT, "steps"),
    ],
)
def test_plans_that_cannot_work_are_refused(document: RampDocument, rollout: Rollout, path: str) -> None:
    """Without a fallback, a budget, an acceptable rate or ascending steps there is no plan; the fault names it."""
    assert [fault.path for fault in faults(document, rollout=rollout)] == [path]


def test_holdback_takes_the_variant_from_nobody() -> None:
    """A holdback that reaches into the exposed is refused; one that just touches them is not."""
    assert [fault.path for fault in faults(a_document(holdback=2), start_ppm=990_000)] == ["holdback"]
    assert planned(a_document(holdback=1), start_ppm=990_000).holdback_ppm == 10_000


@pytest.mark.parametrize(
    ("users", "percents"),
    [
        (None, [1, 5, 10, 25, 50, 100]),
        (500, [1, 5, 10, 25, 50, 100]),
        (200, [5, 10, 25, 50, 100]),
        (50, [20, 50, 100]),
        (12, [83.3333, 100]),
        (8, [100]),
        (0, [100]),
    ],
)
def test_few_users_begin_higher(users: int | None, percents: list[float]) -> None:
    """With fewer than 500 users the first step exposes ten of them, and the next ones about twice as many each."""
    assert [ppm / 10_000 for ppm in default_steps(users)] == percents


@pytest.mark.parametrize(
    ("users", "low", "manual"), [(500, False, False), (499, True, False), (50, True, False), (49, True, True)]
)
def test_few_users_are_low_evidence_and_fewer_move_by_hand(users: int, low: bool, manual: bool) -> None:
    """Below 500 users the ramp is called low evidence, below 50 a person moves each step."""
    plan = planned(a_document(25, 100, users=users))

    assert (plan.low_evidence, plan.manual) == (low, manual)
    assert any(line.startswith("low evidence") for line in remarks(plan)) is low
    assert any("a person moves each step" in line for line in remarks(plan)) is manual


def test_without_preflight_and_users_the_evidence_is_low() -> None:
    """With neither a pre-flight nor a number of users nobody knows how many there are."""
    assert planned(a_document(preflight="0s")).low_evidence
    assert not planned(a_document(preflight="0s", users=1_000)).low_evidence


def test_users_of_a_former_ramp_go_before_the_guess() -> None:
    """What a former ramp counted is better than what the document supposes."""
    assert planned(a_document(users=100), users=900).users == 900


def test_step_that_exposes_too_few_to_kill_is_refused() -> None:
    """A step with fewer users than it needs to kill is refused, and the first usable one is named."""
    found = faults(a_document(0.5, 1, 5, 50, users=200))

    assert [fault.path for fault in found] == ["steps[0]", "steps[1]"]
    assert found[1].message == "1 % exposes 2 of 200 users, and can kill only after 3 failing ones"
    assert found[1].hint == "the first usable step is 1.5 %"
    skipped = faults(a_document(0.5, 1, 5, users=200), start_ppm=5_000)
    assert [fault.path for fault in skipped] == ["steps[1]"]


def test_too_few_users_for_any_step_are_told_so() -> None:
    """Where no step can kill, the refusal says that it can only be started unguarded."""
    hint = "no step is usable; it can be started unguarded"
    assert [(fault.path, fault.hint) for fault in faults(a_document(10, 50, 100, users=4))] == [
        ("steps[0]", hint),
        ("steps[1]", hint),
    ]
    assert [(fault.path, fault.hint) for fault in faults(a_document(users=20))] == [("users", hint)]
    assert planned(a_document(50, 100, users=4, unguarded=True)).steps[0].exposure_ppm == 500_000


def test_person_is_told_after_how_many_users_each_step_can_kill() -> None:
    """The remarks give the figure for each step, and say where there is nobody to compare with."""
    plan = planned(a_document(1, 10, 50, 100, missing_users="hold"))

    assert remarks(plan) == (
        "1 % can kill after 3 failing users",
        "10 % can kill after 4 failing users",
        "50 % can kill after 11 failing users",
        "100 % leaves nobody to compare with",
    )
    assert users_to_kill(planned(a_document(100, holdback=5, missing_users="hold")), 1_000_000) == 142
    thin = planned(a_document(100, holdback=0.1))
    assert users_to_kill(thin, 1_000_000) is None
    assert "100 % leaves too few to compare with" in remarks(thin)
    shared = planned(a_document(50, guardrails=(GuardrailDocument(metric=RATE, threshold=99),)))
    assert (users_to_kill(plan, 500_000), users_to_kill(shared, 500_000)) == (11, 13)


def test_person_is_told_where_a_regression_would_rather_be_held() -> None:
    """Where it is known how many users there are, the steps that expose too few to kill 2 % are named beforehand."""

    def told(*steps: float, **changes: Any) -> list[str]:
        lines = remarks(planned(a_document(*steps, **changes)))
        return [line for line in lines if "rather be held" in line]

    assert told(1, 5, 10, 25, 50, 100, users=2_000) == [
        "2 % failing requests instead of 0.5 % would rather be held than killed at 1 %: "
        "20 of 2 000 users are too few to tell"
    ]
    assert told(5, 10, 25, 50, 100, users=500)[0].endswith("at 5 %, 10 %: 25, 50 of 500 users are too few to tell")
    assert told(1, 5, 100, users=6_400) == told(5, 100, users=2_000) == []
    assert told(1, 5, 100) == told(1, 5, 100, users=2_000, unguarded=True) == told(50, users=40) == []


@pytest.mark.parametrize(("x", "users"), [(0.01, 63), (0.05, 67), (0.25, 89), (0.5, 143)])
def test_users_to_tell_a_regression(x: float, users: int) -> None:
    """It takes more users the fewer are left to compare them with, and the higher the kill line is."""
    assert not can_tell_harm(users - 2, x, 0.01, 2)
    assert can_tell_harm(users + 2, x, 0.01, 2)
    assert can_tell_harm(users - 2, x, 0.01, 1)


def test_nobody_is_told_when_errors_that_only_hold_would_kill() -> None:
    """Where `errors` may not kill, no number of failing users is given."""
    advisory = planned(a_document(1, 10, guardrails=(GuardrailDocument(metric=RATE, kill=False),)))

    assert not any("failing users" in line for line in remarks(advisory))


def test_holdback_does_not_forbid_the_last_step() -> None:
    """At 100 % the held-back users are too few to kill on; the step is allowed as it is without a holdback."""
    assert planned(a_document(20, 50, 100, users=60, holdback=5)).steps[-1].exposure_ppm == 1_000_000
