"""The guard's oracle runs: ``python -m loadtests.guard`` (``make bench-guard``) prints one table of each kind.

``--share 0.1`` runs a tenth of the runs, ``--only TEXT`` the scenarios whose names hold the text.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec
from loadtests.guard.open_loop import open_ride
from loadtests.guard.rivals import Rivals
from loadtests.guard.scenarios import CLIMB, HOUR, MANY, Scenario, a_plan, harmful, harmless

from rheostat_server.cli.simulation_pool import run_all
from rheostat_server.cli.simulation_report import clock
from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.model import Plan
from rheostat_server.ramps.phi import phi_of
from rheostat_server.ramps.simulation.crowd import Activity, Crowd, Group, Traffic, regression
from rheostat_server.ramps.simulation.draws import upper_bound
from rheostat_server.ramps.simulation.rides import Ending, ride, ride_argo, ride_flagger, stream_of
from rheostat_server.ramps.simulation.runs import argo_of, flagger_of, percentiles
from rheostat_server.ramps.simulation.stream import View
from rheostat_server.ramps.words import count

SCENARIOS = {scenario.name: scenario for scenario in (*harmless(), *harmful())}


class Outcome(NamedTuple):
    """One run under each rule; the rivals' are ``None`` where they were not asked."""

    guard: Ending
    flagger: Ending | None
    argo: Ending | None


def run_one(name: str, index: int, *, rivals: bool = True) -> Outcome:
    """Return a run of a scenario, the same for the same number; without its rivals where nobody asks for them."""
    scenario = SCENARIOS[name]
    seed = f"{name}:{index}"
    crowd = Crowd(scenario.traffic, seed)
    most_s, onset_s = scenario.most_s, scenario.onset_s
    plan = measured(scenario.plan, crowd, scenario.history_s) if scenario.history_s else scenario.plan
    if scenario.schedule is None:
        guard, _ = ride(plan, crowd, most_s=most_s, onset_s=onset_s, until_soak=not scenario.harmful)
    else:
        guard = open_ride(
            plan,
            crowd,
            scenario.schedule,
            block_s=scenario.block_s,
            most_s=most_s,
            onset_s=onset_s,
            views=scenario.views,
        )
    if not (rivals and scenario.rivals):
        return Outcome(guard, None, None)
    return Outcome(
        guard,
        ride_flagger(flagger_of(scenario.plan), crowd, most_s=most_s, onset_s=onset_s),
        ride_argo(argo_of(scenario.plan), crowd, most_s=most_s, onset_s=onset_s),
    )


def measured(plan: Plan, crowd: Crowd, history_s: float) -> Plan:
    """Return the plan with φ as the hours before show it: of whole minutes of the same crowd, nobody exposed."""
    stream = stream_of(plan, crowd)
    nobody = View(epoch=0, exposure_ppm=0, drawn=treated_share(plan, plan.steps[0].exposure_ppm), served=0.0)
    minutes = []
    for minute in range(round(history_s / 60)):
        told = stream.blocks(60.0 * minute, 60.0 * (minute + 1), [nobody], math.inf)
        arms = [arm for one in told for arm in (one.block.treatment, one.block.control)]
        minutes.append((sum(arm.ended for arm in arms), sum(arm.bad for arm in arms)))
    phi = phi_of(minutes)
    assert phi is not None, "the history is too short"
    guardrails = tuple(msgspec.structs.replace(guardrail, phi=phi) for guardrail in plan.guardrails)
    return msgspec.structs.replace(plan, guardrails=guardrails)


def outcomes(scenario: Scenario, share: float) -> list[Outcome]:
    """Return this share of a scenario's runs, on all cores."""
    runs = max(1, round(scenario.runs * share))
    return [one for portion in run_all(partial(run_one, scenario.name), runs) for one in portion]


def is_kept(scenario: Scenario, found: Sequence[Outcome]) -> bool:
    """Whether the runs agree with what is promised of the scenario.

    A share of kills is refuted when so many would come with a probability below 1 %.
    """
    kills = [one.guard for one in found if one.guard.verdict in {"killed", "refused"}]
    if scenario.most_kills is not None and not _allows(len(kills), len(found), scenario.most_kills):
        return False
    if scenario.least_kills is not None and len(kills) < scenario.least_kills * len(found):
        return False
    if scenario.within_s is not None:
        middle = percentiles([one.guard.seconds for one in found])
        if middle is None or middle[1] > scenario.within_s:
            return False
    return not (scenario.stays and any(_went_up(scenario, one.guard) for one in found))


def _went_up(scenario: Scenario, one: Ending) -> bool:
    return one.highest > scenario.plan.steps[0].exposure_ppm / 10_000


def _allows(kills: int, runs: int, share: float) -> bool:
    """Whether ``kills`` of ``runs`` are not too many for a true share of at most ``share``."""
    return kills == 0 or 1 - upper_bound(runs - kills, runs, 0.99) <= share


def _false_kill_row(scenario: Scenario, found: Sequence[Outcome]) -> str:
    ours = [one.guard for one in found]
    bad = sum(one.verdict in {"killed", "refused"} for one in ours)
    cells = [
        f"{scenario.name} | {count(len(ours))} | {_share(bad, len(ours))} ({100 * upper_bound(bad, len(ours)):.2g} %)",
        _killed([one.flagger for one in found]),
        _killed([one.argo for one in found]),
        "yes" if is_kept(scenario, found) else "**no**",
    ]
    return "| " + " | ".join(cells) + " |"


def _harm_row(scenario: Scenario, found: Sequence[Outcome]) -> str:
    ours = [one.guard for one in found]
    killed = [one for one in ours if one.verdict == "killed"]
    went_up = sum(_went_up(scenario, one) for one in ours)
    spread = percentiles([one.seconds for one in killed])
    cells = [
        f"{scenario.name} | {count(len(ours))} | {_share(len(killed), len(ours))}",
        "" if spread is None else f"{clock(spread[1])} ({clock(spread[0])} – {clock(spread[2])})",
        "" if scenario.within_s is None else f"≤ {clock(scenario.within_s)}",
        _failed(ours),
        f"{_share(went_up, len(ours))}, to {max(one.highest for one in ours):.3g} %"
        if scenario.schedule is None
        else "",
        _rival(scenario, [one.flagger for one in found]),
        _rival(scenario, [one.argo for one in found]),
        "yes" if is_kept(scenario, found) else "**no**",
    ]
    return "| " + " | ".join(cells) + " |"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.3g} %"


def _killed(endings: Sequence[Ending | None]) -> str:
    there = [one for one in endings if one is not None]
    return _share(sum(one.verdict == "killed" for one in there), len(there)) if there else ""


def _failed(endings: Sequence[Ending]) -> str:
    spread = percentiles([one.failed for one in endings])
    return "" if spread is None else count(spread[1])


def _rival(scenario: Scenario, endings: Sequence[Ending | None]) -> str:
    there = [one for one in endings if one is not None]
    if not there:
        return ""
    killed = [one.seconds for one in there if one.verdict == "killed"]
    middle = percentiles(killed)
    after = "never" if middle is None else f"{_share(len(killed), len(there))} after {clock(middle[1])}"
    return f"{after}; {_failed(there)} failed"


def thresholds(rps: float, harm: float, index: int) -> dict[str, tuple[float, float]]:
    """Return, of one run, (s, failing requests) till each rule killed; rules that did not are missing."""
    seed = f"thresholds:{rps}:{harm}:{index}"
    traffic = Traffic(rps, MANY, (Group(1.0, regression(0.005, harm)),), Activity.EQUAL)
    rivals = Rivals(0.005, harm)
    ending = open_ride(a_plan(), Crowd(traffic, seed), CLIMB, beside=rivals.see, on=True)
    killed: dict[str, tuple[float, float]] = dict(rivals.killed)
    if ending.verdict == "killed":
        killed["guard"] = (ending.seconds, ending.failed)
    killed["all"] = (HOUR, rivals.failed)
    return killed


RULES = {
    "flagger": "success rate ≥ 99 %, 5 failed checks, 60 s (Flagger)",
    "argo": "success rate ≥ 95 %, limit 3, 60 s (Argo Rollouts)",
    "z": "z-test at 1 %, looked at every 15 s",
    "guard": "**the rule**",
    "sprt": "best possible (knows the effect)",
}


def _print_thresholds(share: float) -> None:
    runs = max(1, round(400 * share))
    print(
        "\nThe same streams, by the clock (5 min each at 1, 5, 10, 25 %, then 50 %), control error 0.5 %, 100 req/s:\n"
    )
    print("| rule | kills a harmless change | kills 2 % | after | failing requests | harmless, 10 req/s |")
    print("|---|---|---|---|---|---|")

    def of(rps: float, harm: float) -> list[dict[str, tuple[float, float]]]:
        return [one for portion in run_all(partial(thresholds, rps, harm), runs) for one in portion]

    good, bad, few = of(100, 0.005), of(100, 0.02), of(10, 0.005)
    for rule, name in RULES.items():
        times = percentiles([one[rule][0] for one in bad if rule in one])
        served = percentiles([one.get(rule, one["all"])[1] for one in bad])
        cells = (
            name,
            _share(sum(rule in one for one in good), runs),
            _share(sum(rule in one for one in bad), runs),
            "never" if times is None else clock(times[1]),
            "" if served is None else count(served[1]),
            _share(sum(rule in one for one in few), runs),
        )
        print("| " + " | ".join(cells) + " |")
    print(f"\n{runs} runs of each.")


def main() -> int:
    """Print the tables; return 1 where something promised does not hold."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.guard", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="share of the runs, 0 … 1")
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--no-thresholds", action="store_true", help="leave out the table of other rules")
    asked = parser.parse_args()
    began, kept = time.process_time(), True
    print("| harmless | runs | killed or refused (at most, 95 %) | Flagger | Argo | within 1 % |")
    print("|---|---|---|---|---|---|")
    for scenario in harmless():
        if asked.only in scenario.name:
            found = outcomes(scenario, asked.share)
            kept &= is_kept(scenario, found)
            print(_false_kill_row(scenario, found), flush=True)
    print("\n| harmful | runs | killed | after (10 – 90) | promised | failing | went up | Flagger | Argo | holds |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for scenario in harmful():
        if asked.only in scenario.name:
            found = outcomes(scenario, asked.share)
            kept &= is_kept(scenario, found)
            print(_harm_row(scenario, found), flush=True)
    if not asked.no_thresholds and not asked.only:
        _print_thresholds(asked.share)
    print(f"\n{time.process_time() - began:.0f} s of this process's own", file=sys.stderr)
    return 0 if kept else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
