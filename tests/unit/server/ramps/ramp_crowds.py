"""Ramps over a crowd: users of unequal activity, and what the server remembers of each of them.

It tells the rule of each block what the SDK reports of such a crowd would come to: newly failing users, samples by
window, arrivals. Light enough for hundreds of hours in a minute.
"""

import random
from bisect import bisect
from collections.abc import Callable
from itertools import accumulate

from rheostat_server.ramps.evidence import ArmTotals, Block, Evidence, Reading, Sight
from rheostat_server.ramps.ladder import drawn_ppm, levels, treated_share
from rheostat_server.ramps.model import LIVE, Measure, Plan, State
from rheostat_server.ramps.transition import start
from tests.unit.server.ramps.ramp_builders import MINUTE, SECOND, poisson, tick
from tests.unit.server.ramps.ramp_rides import Ride

WINDOW_MS = 5 * MINUTE
COOLDOWN_MS = 5 * MINUTE

Chance = Callable[[int, bool, int], float]
"""How likely a request goes wrong: of which user, exposed (not while arming), at what time (wall ms)."""


class Crowd:
    """Users with their places on the line, and the memory of them."""

    def __init__(self, draw: random.Random, users: int, *, shape: float | None = 1.2) -> None:
        self.draw = draw
        self.places = [draw.random() for _ in range(users)]
        # Heavy-tailed, so that a few users make most of the requests; ``None``: all are as active.
        weights = [1.0 if shape is None else min(200.0, draw.paretovariate(shape)) for _ in range(users)]
        self._cumulated = list(accumulate(weights))
        self._failed: set[int] = set()
        self._last_failure: dict[int, int] = {}
        self._times: dict[int, int] = {}
        self._sampled_bad: set[int] = set()
        self._window: dict[int, int] = {}
        self._epoch: dict[int, int] = {}
        self.arrivals: dict[int, int] = {}
        self.in_step: dict[int, int] = {}

    def marked(self, share: float) -> set[int]:
        """About this share of the users."""
        return {user for user in range(len(self.places)) if self.draw.random() < share}

    def block(
        self,
        plan: Plan,
        state: State,
        until_ms: int,
        *,
        seconds: float,
        per_s: float,
        chance: Chance,
        lost: float = 0.0,
    ) -> Block:
        """What became of the requests of the last seconds; of the exposed ones a share is ``lost`` without a trace."""
        ppm = drawn_ppm(plan, state)
        x, arming = treated_share(plan, ppm), state.exposed_since_ms is None
        counted: tuple[dict[str, int], dict[str, int]] = ({}, {})
        last = self._cumulated[-1]
        for _ in range(poisson(self.draw, per_s * seconds)):
            user = bisect(self._cumulated, self.draw.random() * last)
            treated = self.places[user] < x
            exposed = treated and not arming
            if exposed and lost and self.draw.random() < lost:
                continue
            bad = self.draw.random() < chance(user, exposed, until_ms)
            self._count(counted[0 if treated else 1], plan, state, user, bad=bad, now_ms=until_ms)
        if not arming:
            self.in_step[state.epoch] = self.in_step.get(state.epoch, 0) + counted[0].get("units", 0)
        return Block(
            from_ms=until_ms - int(seconds * SECOND),
            until_ms=until_ms,
            epoch=state.epoch,
            exposure_ppm=ppm,
            treatment=ArmTotals(**counted[0]),
            control=ArmTotals(**counted[1]),
        )

    def _count(self, arm: dict[str, int], plan: Plan, state: State, user: int, *, bad: bool, now_ms: int) -> None:
        def add(name: str, times: int = 1) -> None:
            arm[name] = arm.get(name, 0) + times

        add("ended")
        window = now_ms // WINDOW_MS
        known = user in self._window
        if bad:
            add("bad")
            if user not in self._failed:
                self._failed.add(user)
                add("failing")
                add("active_failed", known)
            if now_ms - self._last_failure.get(user, -COOLDOWN_MS) >= COOLDOWN_MS:
                self._times[user] = self._times.get(user, 0) + 1
                add("recounted")
                add("recounted_squares", 2 * self._times[user] - 1)
            self._last_failure[user] = now_ms
        if self._epoch.get(user) != state.epoch:
            self._epoch[user] = state.epoch
            add("units")
            add("units_bad", bad)
        if self._window.get(user) == window:
            return
        add("seen")
        if self._window.get(user) != window - 1:
            add("arrivals")
            if state.exposed_since_ms is None:
                place = self.places[user]
                level = next((ppm for ppm in levels(plan) if place < treated_share(plan, ppm)), -1)
                self.arrivals[level] = self.arrivals.get(level, 0) + 1
        if not known:
            add("active")
            add("active_failed", user in self._failed)
        if user not in self._sampled_bad:
            add("sampled")
            add("sampled_bad", bad)
            if bad:
                self._sampled_bad.add(user)
        self._window[user] = window


def evidence_from(plan: Plan, crowd: Crowd, state: State, block: Block) -> Evidence:
    """All that the crowd's reports say at this moment."""
    readings = []
    for guardrail in plan.guardrails:
        seen = block
        if guardrail.measure is Measure.LATENCY:
            slow = [_no_failures(arm) for arm in (block.treatment, block.control)]
            seen = Block(
                from_ms=block.from_ms,
                until_ms=block.until_ms,
                epoch=block.epoch,
                exposure_ppm=block.exposure_ppm,
                treatment=slow[0],
                control=slow[1],
            )
        readings.append(Reading(guardrail=guardrail.name, sight=Sight.SEEN, blocks=(seen,)))
    return Evidence(
        at_ms=block.until_ms,
        readings=tuple(readings),
        exposed_units=crowd.in_step.get(state.epoch, 0),
        crowd=(block,),
        arrivals_by_level=tuple(sorted(crowd.arrivals.items())),
        coverage=1.0,
    )


def _no_failures(arm: ArmTotals) -> ArmTotals:
    return ArmTotals(
        ended=arm.ended,
        bad=arm.bad,
        units=arm.units,
        units_bad=arm.units_bad,
        sampled=arm.sampled,
        sampled_bad=arm.sampled_bad,
    )


def crowd_ride(
    plan: Plan,
    crowd: Crowd,
    chance: Chance,
    *,
    per_s: float,
    minutes: float = 60,
    seconds: float = 15.0,
    lost: float = 0.0,
) -> Ride:
    """Run a ramp over the crowd. ``lost`` begins with the first exposure."""
    state, now_ms, failed, since_ms = start(plan, 0), 0, 0, 0
    while state.status in LIVE and now_ms < minutes * MINUTE:
        now_ms += int(seconds * SECOND)
        arming = state.exposed_since_ms is None
        since_ms = now_ms if arming else since_ms
        block = crowd.block(plan, state, now_ms, seconds=seconds, per_s=per_s, chance=chance, lost=lost)
        failed += 0 if arming else block.treatment.bad
        state, _ = tick(plan, state, evidence_from(plan, crowd, state, block))
    return Ride(state, (now_ms - since_ms) / SECOND, failed)
