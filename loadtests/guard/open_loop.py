"""Ramps whose exposure goes by a schedule, whatever is decided: what the kill process alone would have done when."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import msgspec

from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import Evidence
from rheostat_server.ramps.ladder import levels, treated_share
from rheostat_server.ramps.model import Plan, State, Status
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.simulation.crowd import Crowd
from rheostat_server.ramps.simulation.rides import LATE_S, Ending, evidence_of, views_of
from rheostat_server.ramps.simulation.stream import Stream, Told, View
from rheostat_server.ramps.transition import moved, start, transition
from rheostat_server.ramps.verdicts import KillRamp, Refuse

Schedule: TypeAlias = tuple[tuple[float, int], ...]
"""(s since the first exposure, index of the step that begins then), ascending."""
Views: TypeAlias = Callable[[Plan, State, float], tuple[View, ...]]
"""How requests are evaluated and reported (plan, state, s since the start); the last view is the present one."""
_FAR_S = 1e12


class Seen(NamedTuple):
    """One block as all rules see it: the treated and the other requests, and those of them that failed."""

    until_s: float
    exposure: float
    treated: int
    treated_bad: int
    others: int
    others_bad: int


def prompt(plan: Plan, state: State, now_s: float) -> tuple[View, ...]:
    """Everybody holds the present state, and all reports come at once."""
    return views_of(plan, state)


def open_ride(
    plan: Plan,
    crowd: Crowd,
    schedule: Schedule,
    *,
    block_s: float = 15.0,
    most_s: float = 3600.0,
    onset_s: float = 0.0,
    views: Views = prompt,
    beside: Callable[[Seen], None] | None = None,
    on: bool = False,
) -> Ending:
    """Run one ramp by the schedule until the rule kills, or for ``most_s`` after the onset (a kill before it is false).

    ``beside`` is shown each block from the first exposure on; with ``on`` it goes on to the end after a kill.
    """
    plan = msgspec.structs.replace(plan, interval_s=max(plan.interval_s, block_s))
    stream = Stream(crowd, [(ppm, treated_share(plan, ppm)) for ppm in levels(plan)])
    state, now_s = start(plan, 0), 0.0
    exposed_s = 0.0 if state.exposed_since_ms is not None else _FAR_S
    underway: deque[tuple[float, Told]] = deque()
    harmed_before, killed_s, why = 0, None, ""
    ahead = list(schedule)
    while now_s < (exposed_s if exposed_s < _FAR_S else plan.preflight_s) + onset_s + most_s:
        until_s = now_s + block_s
        if now_s < exposed_s + onset_s <= until_s:
            harmed_before = stream.harmed
        told = stream.blocks(now_s, until_s, views(plan, state, now_s), exposed_s)
        now_s = until_s
        underway.extend((now_s + one.delay_s, one) for one in told)
        come = [one for at_s, one in underway if at_s <= now_s]
        underway = deque((at_s, one) for at_s, one in underway if at_s > now_s)
        if exposed_s != _FAR_S and beside is not None:
            beside(_seen(told, now_s))
        if killed_s is None:
            state = observe(plan, state, _evidence(plan, now_s, come, stream))
            decision = decide(plan, state, round(now_s * 1000))
            if isinstance(decision, (KillRamp, Refuse)):
                killed_s, why = now_s, decision.why
                harmed = stream.harmed - harmed_before
                if not on:
                    break
            elif exposed_s == _FAR_S:
                state = transition(plan, state, decision, round(now_s * 1000))
                exposed_s = now_s if state.exposed_since_ms is not None else _FAR_S
        while ahead and exposed_s != _FAR_S and now_s >= exposed_s + ahead[0][0]:
            _, step = ahead.pop(0)
            if step != state.step:
                state = moved(plan, state, step, round(now_s * 1000), status=Status.RUNNING, why="by the clock")
    verdict = "open" if killed_s is None else "killed" if exposed_s != _FAR_S else "refused"
    return Ending(
        verdict=verdict,
        seconds=max(0.0, (now_s if killed_s is None else killed_s) - exposed_s - onset_s),
        failed=stream.harmed - harmed_before if killed_s is None else harmed,
        exposure=state.exposure_ppm / 10_000,
        why=why,
    )


def _evidence(plan: Plan, now_s: float, come: list[Told], stream: Stream) -> Evidence:
    # Of a delayed report the interval is long past; what is older than two minutes is no evidence.
    ordered = sorted(come, key=lambda one: (one.block.epoch, one.block.until_ms))
    fresh = [one.block for one in ordered if one.delay_s <= LATE_S]
    return evidence_of(plan, now_s, fresh, stream, [one.block for one in ordered if one.delay_s > LATE_S])


def _seen(told: list[Told], now_s: float) -> Seen:
    blocks = [one.block for one in told]
    return Seen(
        until_s=now_s,
        exposure=blocks[-1].exposure_ppm / 10_000,
        treated=sum(block.treatment.ended for block in blocks),
        treated_bad=sum(block.treatment.bad for block in blocks),
        others=sum(block.control.ended for block in blocks),
        others_bad=sum(block.control.bad for block in blocks),
    )
