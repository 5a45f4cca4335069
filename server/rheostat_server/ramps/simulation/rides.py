"""Whole ramps over simulated requests: the rule itself, and beside it what thresholds would have done. Pure.

The rule is the real one (``observe``, ``decide``, ``transition``); nothing of it is written again here. Each run has a
crowd of its own, drawn from the run's seed, and the rivals ramp the flag for the very same crowd.

Blocks are as long as the ramp's interval right after a change of exposure, and grow to a tenth of the time since then,
at most 15 s: a time to a kill is off by a tenth at the most.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from rheostat.model.shares import TOTAL_PPM, ppm_to_percent
from rheostat_server.ramps.counting import (
    ArgoPlan,
    ArgoState,
    FlaggerPlan,
    FlaggerState,
    Phase,
    argo_round,
    argo_weight,
    flagger_round,
)
from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import ArmTotals, Block, Evidence, Reading, Sight
from rheostat_server.ramps.ladder import is_last, levels, treated_share
from rheostat_server.ramps.model import LIVE, Measure, Plan, State, Status
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.simulation.crowd import Crowd, Moment
from rheostat_server.ramps.simulation.draws import poisson
from rheostat_server.ramps.simulation.stream import Stream, View, failure_rate
from rheostat_server.ramps.transition import start, transition

COARSEST_S = 15.0
PACE = 0.1
RIVAL_CHUNK_S = 10.0
LATE_S = 120.0
"""What is reported later than this is no evidence."""
_FAR_S = 1e12


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How one run ended. Times are s since the first exposure, or since the onset of the harm where it began later.

    ``failed`` are the requests with the variant that failed until then, from the first exposure (or the onset) on.
    ``arrived_s`` is when the highest step was entered, ``proved_s`` when it was left, both since the first exposure;
    ``exposure`` is the percentage at the end, ``highest`` the highest there was, ``why`` the rule's own reason.
    """

    verdict: str
    seconds: float
    failed: float
    exposure: float
    highest: float = 0.0
    arrived_s: float | None = None
    proved_s: float | None = None
    why: str = ""


class Path(msgspec.Struct, frozen=True):
    """A run's exposures: (s since the first exposure, percent), in order."""

    points: tuple[tuple[float, float], ...]


def views_of(plan: Plan, state: State) -> tuple[View, ...]:
    """Return as what all requests are evaluated where the ramp stands; while arming the arms are the first step's."""
    in_force = treated_share(plan, state.exposure_ppm)
    if state.exposed_since_ms is not None:
        return (View(epoch=state.epoch, exposure_ppm=state.exposure_ppm, drawn=in_force, served=in_force),)
    first_ppm = plan.steps[0].exposure_ppm
    drawn = treated_share(plan, first_ppm)
    return (View(epoch=state.epoch, exposure_ppm=first_ppm, drawn=drawn, served=in_force),)


def stream_of(plan: Plan, crowd: Crowd) -> Stream:
    """Return the crowd's requests as the plan's levels see them."""
    shares = [(ppm, treated_share(plan, ppm)) for ppm in levels(plan)]
    return Stream(crowd, shares)


def evidence_of(
    plan: Plan, at_s: float, blocks: Sequence[Block], stream: Stream, late: Sequence[Block] = ()
) -> Evidence:
    """Return what is known at an observation, each guardrail and the crowd told the same blocks.

    To a guardrail on latency no request was slow: the simulated change makes requests fail, and no slower.
    """
    told = {Measure.ERRORS: (tuple(blocks), tuple(late))}
    if any(guardrail.measure is Measure.LATENCY for guardrail in plan.guardrails):
        told[Measure.LATENCY] = (tuple(map(_fast, blocks)), tuple(map(_fast, late)))
    return Evidence(
        at_ms=round(at_s * 1000),
        readings=tuple(
            Reading(
                guardrail=guardrail.name,
                sight=Sight.SEEN,
                blocks=told[guardrail.measure][0],
                late=told[guardrail.measure][1],
            )
            for guardrail in plan.guardrails
        ),
        exposed_units=int(stream.exposed_units / stream.limit),
        crowd=tuple(blocks),
        crowd_cursor=str(round(at_s * 1000)),
        arrivals_by_level=stream.arrivals_by_level,
        coverage=1.0,
    )


def _fast(block: Block) -> Block:
    return msgspec.structs.replace(block, treatment=_none_bad(block.treatment), control=_none_bad(block.control))


def _none_bad(totals: ArmTotals) -> ArmTotals:
    return msgspec.structs.replace(totals, bad=0, failing=0, units_bad=0, sampled_bad=0, active_failed=0)


def ride(
    plan: Plan,
    crowd: Crowd,
    *,
    most_s: float = 7200.0,
    onset_s: float = 0.0,
    until_soak: bool = False,
) -> tuple[Ending, Path]:
    """Run one ramp to its end, or for ``most_s`` after its first exposure; ``until_soak`` ends it with its last step.

    ``onset_s`` is when harm begins, after the first exposure: from then on times and failures are counted.
    """
    plan = msgspec.structs.replace(plan, interval_s=max(plan.interval_s, COARSEST_S))
    finest_s = min(1.0, plan.interval_s)
    stream = stream_of(plan, crowd)
    state, now_s, since_s = start(plan, 0), 0.0, 0.0
    exposed_s = 0.0 if state.exposed_since_ms is not None else _FAR_S
    begun, harmed_before = False, 0
    arrived_s: float | None = None
    proved_s: float | None = None
    points: list[tuple[float, float]] = []
    # A pre-flight that nothing ends is watched for as long as a ramp is.
    while state.status in LIVE and now_s < (exposed_s if exposed_s < _FAR_S else plan.preflight_s) + onset_s + most_s:
        block_s = COARSEST_S if exposed_s == _FAR_S else min(COARSEST_S, max(finest_s, PACE * (now_s - since_s)))
        until_s = now_s + block_s
        if not begun and now_s < exposed_s + onset_s <= until_s:
            until_s = exposed_s + onset_s
        if not begun and now_s >= exposed_s + onset_s:
            begun, harmed_before, since_s = True, stream.harmed, now_s
        told = stream.blocks(now_s, until_s, views_of(plan, state), exposed_s)
        now_s = until_s
        blocks = [one.block for one in told]
        before = state
        evidence = evidence_of(plan, now_s, blocks, stream)
        state = observe(plan, state, evidence)
        state = transition(plan, state, decide(plan, state, evidence.at_ms), evidence.at_ms)
        if exposed_s == _FAR_S and state.exposed_since_ms is not None:
            exposed_s = now_s
        if state.exposure_ppm != before.exposure_ppm:
            since_s = now_s
            points.append((max(0.0, now_s - exposed_s), ppm_to_percent(state.exposure_ppm)))
        if arrived_s is None and exposed_s != _FAR_S and is_last(plan, state):
            arrived_s = now_s - exposed_s
        if proved_s is None and state.soaking_since_ms is not None:
            proved_s = now_s - exposed_s
            if until_soak:
                break
    return (
        Ending(
            verdict=_verdict(state, exposed=exposed_s != _FAR_S),
            seconds=max(0.0, now_s - min(exposed_s, now_s) - onset_s),
            failed=stream.harmed - harmed_before if begun else 0,
            exposure=ppm_to_percent(state.exposure_ppm),
            highest=max((percent for _, percent in points), default=0.0),
            arrived_s=arrived_s,
            proved_s=proved_s,
            why=state.why,
        ),
        Path(tuple(points)),
    )


def _verdict(state: State, *, exposed: bool) -> str:
    if state.status is Status.KILLED:
        return "killed"
    if state.status is Status.ABORTED:
        return "refused"
    if state.status in {Status.PROMOTED, Status.SOAKING}:
        return "passed"
    return "open" if exposed else "arming"


class _Volumes:
    """Requests with the variant, good and bad, counted as a metric would: the rivals' view of the crowd."""

    def __init__(self, crowd: Crowd, what: str, keep_s: float) -> None:
        self._crowd = crowd
        self._draw = crowd.chance(what)
        self._keep_s = keep_s
        self._seen: deque[tuple[float, int, int]] = deque()
        self.failed = 0

    def add(self, from_s: float, until_s: float, share: float) -> None:
        crowd, traffic = self._crowd, self._crowd.traffic
        at = Moment((from_s + until_s) / 2, (from_s + until_s) / 2)
        seconds = (until_s - from_s) * traffic.factor(at.t_s) * (1 - traffic.vanished)
        good = bad = 0
        treated = crowd.treated_volumes(share) if share else (0.0,) * len(traffic.groups)
        for group, volume in zip(traffic.groups, treated, strict=True):
            rate = failure_rate(group, at, True)
            good += poisson(self._draw, volume * seconds * (1 - rate))
            bad += poisson(self._draw, volume * seconds * rate)
        self.failed += bad
        self._seen.append((until_s, good, bad))
        while self._seen[0][0] <= until_s - self._keep_s:
            self._seen.popleft()

    def success_share(self, now_s: float, window_s: float) -> float | None:
        good = bad = 0
        for until_s, one_good, one_bad in self._seen:
            if until_s > now_s - window_s:
                good += one_good
                bad += one_bad
        return good / (good + bad) if good + bad else None


def ride_flagger(plan: FlaggerPlan, crowd: Crowd, *, most_s: float = 7200.0, onset_s: float = 0.0) -> Ending:
    """Ramp the same crowd by Flagger's counting; its checks are of the success rate in percent."""
    volumes = _Volumes(crowd, "flagger", max(check.window_s for check in plan.checks))
    state = flagger_round(plan, FlaggerState(), [None] * len(plan.checks))
    now_s, due_s, harmed_before = 0.0, plan.every_s, 0
    arrived_s: float | None = None
    promoted_s: float | None = None
    while now_s < onset_s + most_s:
        until_s = min(due_s, now_s + RIVAL_CHUNK_S)
        volumes.add(now_s, until_s, state.weight / 100)
        if now_s < onset_s <= until_s:
            harmed_before = volumes.failed
        now_s = until_s
        if now_s < due_s:
            continue
        due_s += plan.every_s
        values = [
            None if (share := volumes.success_share(now_s, check.window_s)) is None else 100 * share
            for check in plan.checks
        ]
        before, state = state, flagger_round(plan, state, values)
        if state.phase is Phase.ROLLED_BACK:
            break
        if arrived_s is None and state.weight >= plan.most_weight:
            arrived_s = now_s
        if state.phase is Phase.PROMOTED and before.phase is not Phase.PROMOTED:
            promoted_s = now_s
    return Ending(
        verdict=_rival_verdict(state.phase),
        seconds=max(0.0, now_s - onset_s),
        failed=volumes.failed - harmed_before,
        exposure=state.weight,
        arrived_s=arrived_s,
        proved_s=promoted_s,
    )


def ride_argo(plan: ArgoPlan, crowd: Crowd, *, most_s: float = 7200.0, onset_s: float = 0.0) -> Ending:
    """Ramp the same crowd by Argo Rollouts' steps and background analysis; its metrics are success shares, 0 … 1."""
    volumes = _Volumes(crowd, "argo", max(metric.window_s for metric in plan.metrics))
    state = ArgoState()
    now_s, harmed_before = 0.0, 0
    arrived_s: float | None = None
    promoted_s: float | None = None
    while now_s < onset_s + most_s:
        until_s = now_s + RIVAL_CHUNK_S
        volumes.add(now_s, until_s, argo_weight(plan, state) / 100)
        if now_s < onset_s <= until_s:
            harmed_before = volumes.failed
        now_s = until_s
        values = [volumes.success_share(now_s, metric.window_s) for metric in plan.metrics]
        before, state = state, argo_round(plan, state, values, now_s)
        if state.phase is Phase.ROLLED_BACK:
            break
        if arrived_s is None and state.step == len(plan.steps) - 1:
            arrived_s = now_s
        if state.phase is Phase.PROMOTED and before.phase is not Phase.PROMOTED:
            promoted_s = now_s
    return Ending(
        verdict=_rival_verdict(state.phase),
        seconds=max(0.0, now_s - onset_s),
        failed=volumes.failed - harmed_before,
        exposure=argo_weight(plan, state),
        arrived_s=arrived_s,
        proved_s=promoted_s,
    )


def _rival_verdict(phase: Phase) -> str:
    return {Phase.ROLLED_BACK: "killed", Phase.PROMOTED: "passed"}.get(phase, "open")


def step_weights(plan: Plan) -> tuple[float, ...]:
    """Return the plan's steps as weights in percent, the last one at most 100."""
    return tuple(min(100.0, step.exposure_ppm * 100 / TOTAL_PPM) for step in plan.steps)
