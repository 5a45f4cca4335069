"""Simulated ramps go by the real rule, and their rivals by their own counting, for the same users."""

import msgspec
import pytest
from msgspec.structs import replace

from rheostat_server.ramps.counting import ArgoMetric, ArgoPlan, ArgoStep, Bounds, FlaggerCheck, FlaggerPlan
from rheostat_server.ramps.model import Measure, Plan, Status
from rheostat_server.ramps.simulation.crowd import Group, Mix, regression, steady
from rheostat_server.ramps.simulation.rides import (
    Ending,
    evidence_of,
    ride,
    ride_argo,
    ride_flagger,
    step_weights,
    views_of,
)
from rheostat_server.ramps.simulation.runs import (
    ARGO,
    FLAGGER,
    GUARD,
    RULES,
    Simulation,
    argo_of,
    flagger_of,
    percentiles,
    run_once,
    summaries,
    summary_of,
)
from rheostat_server.ramps.simulation.stream import Stream
from rheostat_server.ramps.transition import start
from tests.unit.server.ramps.ramp_builders import ERRORS, a_plan, running
from tests.unit.server.ramps_simulation.simulated import PARETO, a_crowd

BROKEN = Group(1.0, regression(0.001, 0.9))
FLAGGER_PLAN = FlaggerPlan(checks=(FlaggerCheck(bounds=Bounds(least=99.0)),), threshold=2, step_weights=(10, 50))
ARGO_PLAN = ArgoPlan(
    metrics=(ArgoMetric(success=Bounds(least=0.95), interval_s=60, window_s=60, initial_delay_s=60, failure_limit=1),),
    steps=(ArgoStep(10, 300.0), ArgoStep(50, 300.0)),
)


def a_short_plan() -> Plan:
    return a_plan(10, 50, preflight_s=120.0, soak_s=60.0, interval_s=1.0)


def ridden(*groups: Group, most_s: float = 7200.0, onset_s: float = 0.0) -> Ending:
    crowd = a_crowd(*groups, users=5_000)
    ending, _ = ride(a_short_plan(), crowd, most_s=most_s, onset_s=onset_s)
    return ending


def test_views_while_arming() -> None:
    """While arming the arms are the first step's, and nobody has the variant; then those who have it are treated."""
    plan = a_short_plan()
    (arming,) = views_of(plan, start(plan, 0))
    (exposed,) = views_of(plan, running(plan, step=1))

    assert (arming.drawn, arming.served, arming.exposure_ppm) == (0.1, 0.0, 100_000)
    assert (exposed.drawn, exposed.served, exposed.exposure_ppm) == (0.5, 0.5, 500_000)


def test_a_broken_change_is_killed_at_once() -> None:
    """Where nine of ten treated requests fail the kill comes within seconds of the first exposure."""
    ending = ridden(BROKEN)

    assert (ending.verdict, ending.highest) == ("killed", 10)
    assert ending.seconds <= 15
    assert 3 <= ending.failed <= 300


def test_times_count_from_the_onset() -> None:
    """Of a fault that begins later the delay, and what failed meanwhile, count from there."""
    ending = ridden(Group(1.0, regression(0.001, 0.9, onset_s=50.0)), onset_s=50.0)

    assert ending.verdict == "killed"
    assert ending.seconds <= 15
    assert ending.failed <= 3_000


def test_a_harmless_change_arrives() -> None:
    """A change that fails hardly anybody is proved step by step, soaked and promoted."""
    ending, path = ride(a_short_plan(), a_crowd(Group(1.0, steady(0.0005))))

    assert ending.verdict == "passed"
    assert [percent for _, percent in path.points] == [10, 50]
    assert ending.arrived_s is not None
    assert ending.proved_s is not None
    assert 60 <= ending.arrived_s < ending.proved_s <= ending.seconds
    assert ride(a_short_plan(), a_crowd(Group(1.0, steady(0.0005))), until_soak=True)[0].proved_s == (ending.proved_s)


def test_a_ramp_is_watched_for_so_long() -> None:
    """What is undecided when the time is over is open."""
    ending = ridden(Group(1.0, steady(0.02)), most_s=60.0)

    assert ending.verdict == "open"
    assert 60 <= ending.seconds < 75


def test_a_cohort_that_differs_is_refused() -> None:
    """Where the first step's users fail already while arming, the ramp is refused and nobody was exposed."""
    crowd = a_crowd(Group(1.0, steady(0.0)), users=1_000)
    # Exactly the users of the first step are broken.
    crowd.traffic = crowd.traffic._replace(groups=(Group(0.1, steady(1.0)), Group(0.9, steady(0.0))))
    ordered = sorted(range(1_000), key=crowd.place)
    rates = [crowd.place(user) for user in ordered]
    crowd._placed = rates
    crowd._ends = [100, 1_000]
    ending, _ = ride(a_short_plan(), crowd)

    assert (ending.verdict, ending.failed, ending.highest) == ("refused", 0, 0)
    assert "differs" in ending.why


def test_flagger_rides() -> None:
    """Flagger takes a broken change back a round after its second failed check, and lets a good one pass."""
    bad = ride_flagger(FLAGGER_PLAN, a_crowd(BROKEN))
    good = ride_flagger(FLAGGER_PLAN, a_crowd(Group(1.0, steady(0.0))), most_s=600)

    assert (bad.verdict, bad.seconds, bad.exposure) == ("killed", 180, 0)
    assert bad.failed == pytest.approx(0.9 * 10 * 180, rel=0.2)
    assert (good.verdict, good.arrived_s, good.proved_s, good.exposure) == ("passed", 60, 120, 100)


def test_argo_rides() -> None:
    """Argo Rollouts aborts at the second failed measurement, and passes a good change after its pauses."""
    bad = ride_argo(ARGO_PLAN, a_crowd(BROKEN))
    good = ride_argo(ARGO_PLAN, a_crowd(Group(1.0, steady(0.0))), most_s=900)

    assert (bad.verdict, bad.seconds, bad.exposure) == ("killed", 120, 0)
    assert (good.verdict, good.arrived_s, good.proved_s) == ("passed", 300, 600)


def test_rivals_count_from_the_onset_too() -> None:
    """Failures before the onset are not the harm's."""
    late = a_crowd(Group(1.0, regression(0.05, 0.9, onset_s=0.0)))
    whole = ride_argo(ARGO_PLAN, late, most_s=60).failed

    assert ride_flagger(FLAGGER_PLAN, a_crowd(), most_s=60, onset_s=600).failed < whole


def test_latency_is_not_what_fails() -> None:
    """To a guardrail on latency no simulated request is slow; the one on errors sees them all."""
    plan = replace(
        a_short_plan(),
        guardrails=(ERRORS, replace(ERRORS, name="latency", grade=2, measure=Measure.LATENCY, bound_ms=500)),
    )
    crowd = a_crowd(BROKEN)
    (told,) = Stream(crowd).blocks(0, 15, views_of(plan, running(plan)), 0.0)
    errors, latency = evidence_of(plan, 15, [told.block], Stream(crowd)).readings

    assert errors.blocks == (told.block,)
    assert latency.blocks[0].treatment.ended == told.block.treatment.ended
    assert told.block.treatment.bad > latency.blocks[0].treatment.bad == latency.blocks[0].treatment.sampled_bad == 0


def a_simulation(**changes: object) -> Simulation:
    plan = a_short_plan()
    mix = Mix(rps=50, users=1_000, baseline=0.002, regression=0.3, broken=0.003, activity=PARETO)
    base = Simulation(plan=plan, mix=mix, flagger=flagger_of(plan), argo=argo_of(plan), most_s=300)
    return msgspec.structs.replace(base, **changes)


def test_a_run_is_its_seed_s() -> None:
    """The same seed and number give the same run; another seed another."""
    assert run_once(a_simulation(), 3) == run_once(a_simulation(), 3)
    assert run_once(a_simulation(), 3) != run_once(a_simulation(seed=1), 3)


def test_summaries_add_up() -> None:
    """Each rule has a summary of all runs; none where there were none."""
    runs = [run_once(a_simulation(), index) for index in range(4)]
    found = summaries(runs)

    assert summaries([]) == ()
    assert [one.rule for one in found] == list(RULES) == [GUARD, FLAGGER, ARGO]
    assert all(one.runs == 4 for one in found)
    assert found[0].caught == 4
    assert found[0].kill_s is not None


def an_ending(verdict: str, seconds: float = 1.0, arrived_s: float | None = None) -> Ending:
    return Ending(verdict=verdict, seconds=seconds, failed=seconds, exposure=1, arrived_s=arrived_s)


def test_a_refused_pre_flight_is_a_false_kill() -> None:
    """A harmless change that is killed or refused counts as wrongly stopped; times are of kills alone."""
    harmless = [an_ending("killed"), an_ending("refused"), an_ending("open"), an_ending("passed", arrived_s=5.0)]
    found = summary_of("x", harmless, [an_ending("killed", 7.0), an_ending("open", 99.0)])

    assert (found.false_kills, found.runs, found.caught, found.arrived) == (2, 4, 1, 1)
    assert found.kill_s == (7.0, 7.0, 7.0)
    assert found.failed == (7.0, 99.0, 99.0)
    assert found.passed_s is None
    assert 0.5 < found.false_kill_most < 1


def test_percentiles() -> None:
    """They are the values a tenth, a half and nine tenths of the way up."""
    assert percentiles([float(value) for value in range(100)]) == (10, 50, 90)
    assert percentiles([]) is None


def test_rivals_have_the_plan_s_steps() -> None:
    """Flagger and Argo Rollouts ramp through the plan's own exposures."""
    plan = a_plan(1, 50, 100)

    assert step_weights(plan) == flagger_of(plan).step_weights == (1, 50, 100)
    assert [step.weight for step in argo_of(plan).steps] == [1, 50, 100]
    assert start(plan, 0).status is Status.ARMING
