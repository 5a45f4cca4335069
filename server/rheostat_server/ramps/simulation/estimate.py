"""What to expect of a ramp that starts: a few quick runs for the kill, a formula for the way up. Pure."""

import msgspec

from rheostat_server.ramps.few import HARM, USUAL
from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.memory import Proof
from rheostat_server.ramps.model import Plan
from rheostat_server.ramps.observe import STRICTEST_ACCEPTABLE
from rheostat_server.ramps.simulation.crowd import Crowd, Mix
from rheostat_server.ramps.simulation.rides import ride
from rheostat_server.ramps.simulation.runs import percentiles
from rheostat_server.ramps.stats import requests_needed
from rheostat_server.ramps.words import about, duration, exposure

USUAL_RPS = 100.0
"""At which rate it is tried where nobody says one: in requests, instead of time, the answer hardly depends on it."""
_RUNS = 7
_MOST_S = 1800.0
_UNKNOWN_USERS = 20_000


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What a ramp would do at ``rps`` if ``harm`` of the treated requests failed instead of ``usual`` (0 … 1).

    ``kill_s`` and ``failed`` are medians: the time to the kill and the failing requests until then; ``None`` where most
    runs had no kill within half an hour. ``proofs`` are by step (exposure in ppm, treated requests until it is proved,
    s until it is left), of steps that have a control, if the change does no harm.
    """

    rps: float
    usual: float
    harm: float
    kill_s: float | None
    treated: float | None
    failed: float | None
    proofs: tuple[tuple[int, float, float], ...]


def expectation(plan: Plan, rps: float, usual: float = USUAL, harm: float = HARM) -> Expectation:
    """Return what to expect, in a few tenths of a second.

    It supposes users of equal activity, no broken accounts, and no pre-flight.
    """
    mix = Mix(rps=rps, users=max(2, plan.users or _UNKNOWN_USERS), baseline=usual, regression=harm)
    quick = msgspec.structs.replace(plan, preflight_s=0.0)
    kills = []
    for seed in range(_RUNS):
        ending, path = ride(quick, Crowd(mix.traffic(), seed), most_s=_MOST_S)
        if ending.verdict == "killed":
            steps = [(0.0, plan.steps[0].exposure_ppm / 10_000), *path.points]
            kills.append((ending.seconds, _treated(plan, steps, ending.seconds, rps), ending.failed))
    middles = [percentiles([kill[i] for kill in kills]) for i in range(3)] if 2 * len(kills) > _RUNS else [None] * 3
    kill_s, treated, failed = (None if spread is None else spread[1] for spread in middles)
    return Expectation(
        rps=rps,
        usual=usual,
        harm=harm,
        kill_s=kill_s,
        treated=treated,
        failed=failed,
        proofs=tuple(_proofs(plan, rps, usual)),
    )


def outlook(plan: Plan, rps: float | None) -> tuple[str, ...]:
    """Return what a person is told before lunch, in lines; nothing of a plan that has no guardrail, or no proofs.

    Without ``rps`` it is told in requests instead of time.
    """
    if not plan.guarded or plan.baseline is not None:
        return ()
    found = expectation(plan, USUAL_RPS if rps is None else rps)
    if_harmful = f"if {100 * found.harm:g} % of treated requests fail instead of {100 * found.usual:g} %"
    lines = []
    if found.kill_s is None or found.failed is None or found.treated is None:
        lines.append(f"{if_harmful}: most likely not killed within {duration(_MOST_S)}")
    elif rps is None:
        lines.append(
            f"{if_harmful}: killed after {about(found.treated)} treated requests, {about(found.failed)} of them failing"
        )
    else:
        lines.append(
            f"{if_harmful}: killed after ~{duration(found.kill_s)} at {rps:g} requests/s, "
            f"{about(found.failed)} failing requests"
        )
    if found.proofs:
        first_ppm, needed, _ = found.proofs[0]
        last_ppm = found.proofs[-1][0]
        if rps is None:
            lines.append(f"if it is harmless: {exposure(first_ppm)} is proved after {about(needed)} treated requests")
        else:
            total_s = sum(seconds for _, _, seconds in found.proofs)
            # Of the last step there is nothing to be past of.
            far = "every step is proved" if last_ppm == plan.steps[-1].exposure_ppm else f"past {exposure(last_ppm)}"
            lines.append(f"if it is harmless: {far} after ~{duration(total_s)}, as proof comes")
    return tuple(lines)


def _treated(plan: Plan, steps: list[tuple[float, float]], until_s: float, rps: float) -> float:
    total = 0.0
    for (since_s, percent), (then_s, _) in zip(steps, [*steps[1:], (until_s, 0.0)], strict=True):
        total += max(0.0, min(then_s, until_s) - since_s) * rps * treated_share(plan, round(percent * 10_000))
    return total


def _proofs(plan: Plan, rps: float, usual: float) -> list[tuple[int, float, float]]:
    judges = [guardrail for guardrail in plan.guardrails if guardrail.may_kill] or list(plan.guardrails)
    phi = max((guardrail.phi for guardrail in judges), default=1.0)
    acceptable = plan.acceptable or STRICTEST_ACCEPTABLE
    found = []
    for step in plan.steps:
        share = treated_share(plan, step.exposure_ppm)
        if 0 < share < 1:
            needed = requests_needed(Proof(), bad_rate=usual, event_rate=usual, acceptable=acceptable, x=share, phi=phi)
            found.append((step.exposure_ppm, needed, max(step.min_dwell_s, needed / (rps * share))))
    return found
