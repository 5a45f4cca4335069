"""What one observation of a ramp costs: the rule (observe, decide, transition) and the row that is kept of it.

The baseline is to save and restore the state, which a controller does anyway. The target is below 0.2 ms. Each figure
is the best of several rounds, taken in turn, so that other work on the machine disturbs all alike.
"""

import random
import timeit
from collections.abc import Callable

import msgspec

from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.model import Evidence, Plan, State
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.records import decided, worth_keeping
from rheostat_server.ramps.transition import transition
from tests.unit.server.ramps.ramp_builders import ERRORS, REQUESTS, a_block, a_plan, a_reading, evidence_of
from tests.unit.server.ramps.ramp_builders import running as at_step

CALLS, ROUNDS = 50, 200
TARGET_US = 200.0


def observation(plan: Plan, state: State, evidence: Evidence) -> State:
    """Do what the controller does between reading and writing."""
    seen = observe(plan, state, evidence)
    decision = decide(plan, seen, evidence.at_ms)
    after = transition(plan, seen, decision, evidence.at_ms)
    worth_keeping(state, after, evidence.at_ms)
    decided(2, after, evidence, decision)
    return after


def under_way(plan: Plan) -> tuple[State, Evidence]:
    """Return a ramp in the middle of a step, and what is new."""
    draw, state = random.Random(1), at_step(plan, step=1)
    evidence = evidence_of(0)
    for second in range(1, 30):
        now_ms = second * 1_000
        x = treated_share(plan, state.exposure_ppm)
        readings = [
            a_reading(
                a_block(draw, state, now_ms, seconds=1, per_s=100, x=x, rates=(0.01, 0.01)),
                guardrail=guardrail.name,
                cursor='{"seq":12345,"traffic_ms":1767225600000}',
            )
            for guardrail in plan.guardrails
        ]
        evidence = evidence_of(now_ms, *readings)
        state = observation(plan, state, evidence)
    return state, evidence


def microseconds(*calls: Callable[[], object]) -> list[float]:
    """Return the least time of one call of each."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for number, call in enumerate(calls):
            best[number] = min(best[number], timeit.timeit(call, number=CALLS) / CALLS * 1e6)
    return best


def main() -> None:
    """Print the figures."""
    print(f"{'guardrails':<12}{'observation':>14}{'save, restore':>16}{'ratio':>8}   target {TARGET_US:.0f} µs")
    for guardrails in ((ERRORS,), (ERRORS, REQUESTS)):
        plan = a_plan(guardrails=guardrails)
        state, evidence = under_way(plan)
        observed, saved = microseconds(
            lambda: observation(plan, state, evidence),  # noqa: B023 - called at once
            lambda: msgspec.json.decode(msgspec.json.encode(state), type=State),  # noqa: B023 - called at once
        )
        verdict = "met" if observed < TARGET_US else "MISSED"
        print(f"{len(guardrails):<12}{observed:11.0f} µs{saved:13.0f} µs{observed / saved:7.1f} ×   {verdict}")


if __name__ == "__main__":
    main()
