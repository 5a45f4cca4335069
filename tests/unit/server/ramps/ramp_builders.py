"""Plans, states and evidence of which a test says only what it is about."""

import math
import random
from typing import Any

from msgspec.structs import replace

from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import ArmTotals, Block, Evidence, Reading, Sight
from rheostat_server.ramps.memory import KillProcess
from rheostat_server.ramps.model import Family, Guardrail, GuardrailState, Plan, State, Step
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.transition import start, transition
from rheostat_server.ramps.verdicts import Decision

ERRORS = Guardrail(name="errors", family=Family.REPORTED, grade=1)
REQUESTS = Guardrail(name="application-errors", family=Family.APPLICATION, grade=3, phi=5.0)
SECOND = 1_000
MINUTE = 60 * SECOND


def a_plan(*exposures: int, **changes: Any) -> Plan:
    """A plan over these exposures in percent."""
    steps = tuple(Step(exposure_ppm=percent * 10_000) for percent in exposures or (5, 25, 50, 100))
    fields: dict[str, Any] = {
        "project": "default",
        "environment": "production",
        "flag": "checkout-v2",
        "rollout": "default",
        "start_ppm": 0,
        "steps": steps,
        "guardrails": (ERRORS,),
        "preflight_s": 60.0,
        "soak_s": 120.0,
    }
    return Plan(**{**fields, **changes})


def a_reading(*blocks: Block, guardrail: str = "errors", sight: Sight = Sight.SEEN, **changes: Any) -> Reading:
    """What a source said."""
    return Reading(guardrail=guardrail, sight=sight, blocks=blocks, **changes)


def evidence_of(at_ms: int, *readings: Reading, units: int = 100) -> Evidence:
    """What was known at that time."""
    return Evidence(at_ms=at_ms, readings=readings, exposed_units=units)


def crowd_of(
    treatment: ArmTotals = ArmTotals(),  # noqa: B008 - frozen
    control: ArmTotals = ArmTotals(),  # noqa: B008 - frozen
    *,
    until_s: int = 15,
    epoch: int = 1,
    percent: int = 5,
    **changes: Any,
) -> Evidence:
    """A block of 15 s of the crowd, with a guardrail that sees and has nothing to say."""
    block = Block(
        from_ms=(until_s - 15) * SECOND,
        until_ms=until_s * SECOND,
        epoch=epoch,
        exposure_ppm=percent * 10_000,
        treatment=treatment,
        control=control,
    )
    return replace(evidence_of(until_s * SECOND, a_reading()), crowd=(block,), **changes)


def running(plan: Plan, now_ms: int = 0, step: int = 0) -> State:
    """A ramp that was exposed at 0 and has just come to this step."""
    state = start(replace(plan, preflight_s=0.0), 0)
    for index in range(1, step + 1):
        state = replace(
            state, step=index, epoch=state.epoch + 1, exposure_ppm=plan.steps[index].exposure_ppm, entered_ms=now_ms
        )
    return state


def seeing(state: State, name: str = "errors", **changes: Any) -> State:
    """The state with this guardrail's last observation at the state's own time."""
    seen = replace(state.guardrails.get(name, GuardrailState()), **{"sight": Sight.SEEN, **changes})
    return replace(state, guardrails={**state.guardrails, name: seen})


def over_the_line(failing: int = 30) -> dict[str, Any]:
    """A process that has crossed the kill line of α = 1 %."""
    return {"log_m": math.log(150), "holding": True, "kill": KillProcess(treatment_events=failing)}


def poisson(draw: random.Random, mean: float) -> int:
    """A Poisson draw; normal above 200, where nobody can tell."""
    if mean > 200:
        return max(0, round(draw.gauss(mean, math.sqrt(mean))))
    product, count, least = draw.random(), 0, math.exp(-mean)
    while product > least:
        product *= draw.random()
        count += 1
    return count


def a_block(
    draw: random.Random,
    state: State,
    until_ms: int,
    *,
    seconds: float,
    per_s: float,
    x: float,
    rates: tuple[float, float],
) -> Block:
    """A block of independent requests, each of a user of its own: failing users are bad requests."""
    arms = []
    for share, rate in zip((x, 1 - x), rates, strict=True):
        ended = poisson(draw, per_s * seconds * share)
        bad = min(ended, poisson(draw, ended * rate))
        arms.append(ArmTotals(ended=ended, bad=bad, failing=bad, units=ended, units_bad=bad))
    return Block(
        from_ms=until_ms - int(seconds * SECOND),
        until_ms=until_ms,
        epoch=state.epoch,
        exposure_ppm=round(x * 1e6),
        treatment=arms[0],
        control=arms[1],
    )


def tick(plan: Plan, state: State, evidence: Evidence) -> tuple[State, Decision]:
    """One round of the controller."""
    seen = observe(plan, state, evidence)
    decision = decide(plan, seen, evidence.at_ms)
    return transition(plan, seen, decision, evidence.at_ms), decision
