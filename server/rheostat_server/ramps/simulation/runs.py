"""Many simulated ramps of one plan, and what came of them under each rule. Pure."""

from collections.abc import Sequence

import msgspec

from rheostat_server.ramps.counting import ArgoMetric, ArgoPlan, ArgoStep, Bounds, FlaggerCheck, FlaggerPlan
from rheostat_server.ramps.model import Plan
from rheostat_server.ramps.simulation.crowd import Crowd, Mix
from rheostat_server.ramps.simulation.draws import upper_bound
from rheostat_server.ramps.simulation.rides import Ending, ride, ride_argo, ride_flagger, step_weights

GUARD = "rheostat"
FLAGGER = "flagger"
ARGO = "argo"
RULES = (GUARD, FLAGGER, ARGO)


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """What is simulated: the ramp, its traffic with the harm (``mix``), and the rivals' plans.

    Each run is two: the same crowd with a harmless change, and with the harmful one. ``most_s`` is how long a run is
    watched from its first exposure (harmful: from the onset).
    """

    plan: Plan
    mix: Mix
    flagger: FlaggerPlan
    argo: ArgoPlan
    most_s: float = 3600.0
    seed: int = 0


class Run(msgspec.Struct, frozen=True):
    """How one run ended under each rule, and the exposures (s since the first, percent) of the real one."""

    harmless: dict[str, Ending]
    harmful: dict[str, Ending]
    path: tuple[tuple[float, float], ...]


class RuleSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What came of all runs under one rule. Shares are 0 … 1, times s; ``None`` where nothing came that far.

    ``false_kills`` counts harmless changes killed or refused, ``false_kill_most`` is the greatest share that this many
    allow (95 %, one-sided, exact). ``kill_s`` and ``failed`` are the (10th, 50th, 90th) percentiles of the time from
    the onset to the kill and of the failing requests served meanwhile (without a kill: as long as it was watched).
    ``arrival_s`` are those of the time until a harmless change was at the highest step, ``passed_s`` until it was
    proved there.
    """

    rule: str
    runs: int
    false_kills: int
    false_kill_most: float
    caught: int
    kill_s: tuple[float, float, float] | None
    failed: tuple[float, float, float] | None
    arrived: int
    arrival_s: tuple[float, float, float] | None
    passed: int
    passed_s: tuple[float, float, float] | None


def run_once(simulation: Simulation, index: int) -> Run:
    """Return the run of this number: the same for the same seed, whatever ran before."""
    seed = f"{simulation.seed}:{index}"
    mix = simulation.mix
    harmless = Crowd(msgspec.structs.replace(mix, regression=None).traffic(), seed)
    good, path = ride(simulation.plan, harmless, most_s=simulation.most_s, until_soak=True)
    harmful = harmless.under(mix.traffic())
    bad, _ = ride(simulation.plan, harmful, most_s=simulation.most_s, onset_s=mix.onset_s)
    return Run(
        harmless={GUARD: good, **_rivals(simulation, harmless, 0.0)},
        harmful={GUARD: bad, **_rivals(simulation, harmful, mix.onset_s)},
        path=path.points,
    )


def _rivals(simulation: Simulation, crowd: Crowd, onset_s: float) -> dict[str, Ending]:
    most_s = simulation.most_s
    return {
        FLAGGER: ride_flagger(simulation.flagger, crowd, most_s=most_s, onset_s=onset_s),
        ARGO: ride_argo(simulation.argo, crowd, most_s=most_s, onset_s=onset_s),
    }


def summaries(runs: Sequence[Run]) -> tuple[RuleSummary, ...]:
    """Return what came of the runs, a summary for each rule; none where there are no runs."""
    if not runs:
        return ()
    return tuple(
        summary_of(rule, [run.harmless[rule] for run in runs], [run.harmful[rule] for run in runs]) for rule in RULES
    )


def summary_of(rule: str, harmless: Sequence[Ending], harmful: Sequence[Ending]) -> RuleSummary:
    """Return what came of these runs under one rule."""
    false_kills = sum(one.verdict in {"killed", "refused"} for one in harmless)
    kills = [one.seconds for one in harmful if one.verdict == "killed"]
    arrivals = [one.arrived_s for one in harmless if one.arrived_s is not None]
    passed = [one.proved_s for one in harmless if one.proved_s is not None]
    return RuleSummary(
        rule=rule,
        runs=len(harmless),
        false_kills=false_kills,
        false_kill_most=upper_bound(false_kills, len(harmless)) if harmless else 1.0,
        caught=len(kills),
        kill_s=percentiles(kills),
        failed=percentiles([one.failed for one in harmful]),
        arrived=len(arrivals),
        arrival_s=percentiles(arrivals),
        passed=len(passed),
        passed_s=percentiles(passed),
    )


def percentiles(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Return the 10th, 50th and 90th percentile; ``None`` where there are no values."""
    if not values:
        return None
    ordered = sorted(values)
    tenth, half, most = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.1, 0.5, 0.9))
    return tenth, half, most


def flagger_of(plan: Plan, least_success: float = 99.0, threshold: int = 5, interval_s: float = 60.0) -> FlaggerPlan:
    """Return Flagger's plan for the same steps. Its figures are those of Flagger's own first tutorial (Istio)."""
    return FlaggerPlan(
        checks=(FlaggerCheck(bounds=Bounds(least=least_success)),),
        interval_s=interval_s,
        threshold=threshold,
        step_weights=step_weights(plan),
    )


def argo_of(
    plan: Plan, least_success: float = 0.95, failure_limit: int = 3, interval_s: float = 300.0, pause_s: float = 600.0
) -> ArgoPlan:
    """Return Argo's plan for the same steps. Its figures are those of the first example of Argo's own documentation."""
    return ArgoPlan(
        metrics=(
            ArgoMetric(
                success=Bounds(least=least_success),
                interval_s=interval_s,
                window_s=interval_s,
                initial_delay_s=interval_s,
                failure_limit=failure_limit,
            ),
        ),
        steps=tuple(ArgoStep(weight, pause_s) for weight in step_weights(plan)),
    )
