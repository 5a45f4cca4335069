"""Whole ramps over simulated traffic, from arming to their end."""

import random
from collections.abc import Callable

import msgspec

from rheostat_server.ramps.ladder import treated_share
from rheostat_server.ramps.model import LIVE, Plan, State
from rheostat_server.ramps.transition import start
from tests.unit.server.ramps.ramp_builders import MINUTE, SECOND, a_block, a_reading, evidence_of, tick

Rate = Callable[[int], float]
"""The error rate at a time (wall ms)."""


class Ride(msgspec.Struct, frozen=True):
    """How a ramp ended, how long after its first exposure (s), and how many treated requests failed until then."""

    state: State
    seconds: float
    failed: int


def ride(plan: Plan, seed: int, *, per_s: float, usual: Rate, exposed: Rate, minutes: int = 60) -> Ride:
    """Run a ramp on independent requests: ``usual`` in control and before the first exposure, then ``exposed``."""
    draw = random.Random(seed)
    state, now_ms, failed = start(plan, 0), 0, 0
    since_ms = 0
    while state.status in LIVE and now_ms < minutes * MINUTE:
        now_ms += 15 * SECOND
        arming = state.exposed_since_ms is None
        since_ms = now_ms if arming else since_ms
        x = treated_share(plan, plan.steps[0].exposure_ppm if arming else state.exposure_ppm)
        rates = (usual(now_ms) if arming else exposed(now_ms), usual(now_ms))
        block = a_block(draw, state, now_ms, seconds=15, per_s=per_s, x=x, rates=rates)
        failed += 0 if arming else block.treatment.bad
        state, _ = tick(plan, state, evidence_of(now_ms, a_reading(block), units=1_000))
    return Ride(state, (now_ms - since_ms) / SECOND, failed)
