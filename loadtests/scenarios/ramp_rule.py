"""Microseconds of one observation of a ramp: evidence to state to decision, and what the state weighs.

Beside it a bare step of the kill process, which no rule can do without. Processor time, the best of several rounds, so
that other work on the machine disturbs little. From the root: ``python -m loadtests.scenarios.ramp_rule``.
"""

import random
import time
import timeit
from collections.abc import Callable

import msgspec

from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.memory import KillProcess
from rheostat_server.ramps.model import Plan
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.stats import kill_step
from rheostat_server.ramps.transition import start, transition
from tests.proofs.scenarios import SLOW, a_long_plan
from tests.unit.server.ramps.ramp_builders import ERRORS, REQUESTS, SECOND
from tests.unit.server.ramps.ramp_crowds import Crowd, evidence_from

CALLS, ROUNDS = 2_000, 7
PLANS = {
    "errors alone": (ERRORS,),
    "errors with a ceiling": (msgspec.structs.replace(ERRORS, ceiling=0.01),),
    "errors, durations and requests": (
        msgspec.structs.replace(ERRORS, ceiling=0.01),
        msgspec.structs.replace(SLOW, ceiling=0.01),
        REQUESTS,
    ),
}


def microseconds(call: Callable[[], object]) -> float:
    """Return the least time of one call."""
    return min(timeit.repeat(call, timer=time.process_time, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def observed(plan: Plan) -> tuple[float, int]:
    """Return the microseconds of one observation at full memory, and the bytes of the state."""
    crowd, state = Crowd(random.Random(1), 2_000), start(plan, 0)
    for second in range(15, 1_800, 15):
        block = crowd.block(plan, state, second * SECOND, seconds=15, per_s=20, chance=lambda *_: 0.005)
        evidence = evidence_from(plan, crowd, state, block)
        before = state
        state = observe(plan, state, evidence)
        state = transition(plan, state, decide(plan, state, evidence.at_ms), evidence.at_ms)

    def one() -> None:
        after = observe(plan, before, evidence)
        transition(plan, after, decide(plan, after, evidence.at_ms), evidence.at_ms)

    return microseconds(one), len(msgspec.json.encode(state))


def main() -> None:
    """Print the table."""
    bare = microseconds(
        lambda: kill_step(
            KillProcess(log_s=(0.0,) * 6, spent=0.5),
            treatment_events=2,
            control_events=9,
            treatment_n=0.1,
            control_n=0.9,
            t1_s=15.0,
            t2_s=30.0,
        )
    )
    print(f"{'a bare step of the kill process':40} {bare:8.1f} µs")
    for name, guardrails in PLANS.items():
        taken, size = observed(a_long_plan(50, guardrails=guardrails))
        print(f"{name:40} {taken:8.1f} µs  {size:6} bytes of state")


if __name__ == "__main__":
    main()
