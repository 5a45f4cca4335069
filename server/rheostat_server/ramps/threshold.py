"""``rule: threshold``: a ramp that counts failed checks, as Flagger and Argo Rollouts do. Pure.

It states no error: how often it takes back what is harmless, or lets through what is not, nobody says. What Flagger
counts is in ``counting.flagger_round``, what Argo Rollouts does in ``threshold_argo``; here is what comes of it.
"""

from msgspec.structs import replace

from rheostat_server.ramps.checks import Check, CheckValue, Round, ThresholdPlan, ThresholdState
from rheostat_server.ramps.counting import Bounds, FlaggerPlan, FlaggerState, Phase, flagger_round
from rheostat_server.ramps.evidence import Evidence
from rheostat_server.ramps.ladder import START, is_last, step_at
from rheostat_server.ramps.model import LIVE, Gate, Plan, State, Status
from rheostat_server.ramps.threshold_argo import argo_due_checks, argo_observed, argo_waits, argo_words, begun_argo
from rheostat_server.ramps.threshold_values import number_of, said
from rheostat_server.ramps.verdicts import Advance, Decision, Hold, KillRamp, Promote
from rheostat_server.ramps.waiting import shut_words
from rheostat_server.ramps.words import duration, exposure

PERCENT_PPM = 10_000
NAME = "checks"


def begun(plan: Plan, counted: ThresholdPlan, now_ms: int) -> State:
    """Return the state of a ramp that starts now: nobody new is exposed before the first round."""
    flagger = counted.flagger
    return State(
        status=Status.RUNNING,
        step=START,
        epoch=1,
        exposure_ppm=plan.start_ppm,
        entered_ms=now_ms,
        started_ms=now_ms,
        exposed_since_ms=now_ms,
        exposed_epoch=1,
        threshold=ThresholdState(
            next_ms=now_ms + (0 if flagger is None else _every_ms(flagger)),
            argo=None if counted.argo is None else begun_argo(now_ms),
        ),
        why="the first round raises the weight from 0",
    )


def due_checks(plan: Plan, state: State, at_ms: int) -> tuple[Check, ...]:
    """Return what is to be looked at now; nothing where no round is due, or one that looks at nothing."""
    counted, so_far = plan.threshold, state.threshold
    if counted is None or so_far is None or state.status not in LIVE:
        return ()
    if counted.argo is not None:
        return argo_due_checks(counted, counted.argo, so_far, at_ms)
    flagger = counted.flagger
    if flagger is None or at_ms < so_far.next_ms or state.exposure_ppm == 0:
        return ()
    return () if so_far.failed_checks >= max(1, flagger.threshold) else counted.checks


def observe_threshold(counted: ThresholdPlan, state: State, evidence: Evidence) -> State:
    """Return the state after an observation: the round judged, if one was due; status and step as they were."""
    before = state.threshold or ThresholdState()
    seen = replace(state, observed_ms=evidence.at_ms, observations=state.observations + 1, shut=evidence.shut)
    if counted.argo is not None:
        return argo_observed(counted, counted.argo, seen, before, evidence)
    if counted.flagger is None or evidence.at_ms < before.next_ms:
        return seen
    return replace(seen, threshold=_flagger_judged(counted, counted.flagger, state, before, evidence))


def decide_threshold(plan: Plan, state: State, now_ms: int) -> Decision:
    """Return what to do at ``now_ms``. A failed round moves nothing; the one after the last allowed takes it back.

    A person's pause keeps it from going up, and never from going back. What the calendar keeps from going up is asked
    for again: by Flagger's rule at the next good round, by that of Argo Rollouts at once when it opens.
    """
    so_far = state.threshold or ThresholdState()
    fresh = so_far.judged_ms == now_ms
    # Argo's step does not move while the calendar is shut, and asks for the same each time.
    asks = fresh or (so_far.argo is not None and state.shut is not None)
    if fresh and so_far.verdict is Round.ROLL_BACK:
        return KillRamp(NAME, so_far.because)
    if state.status is Status.PAUSED:
        return Hold(Status.PAUSED, state.why)
    at = exposure(state.exposure_ppm)
    if state.soaking_since_ms is not None:
        return Promote(f"{at}: a person ended the last step")
    if waits := _waits(plan, state, so_far):
        return Hold(Status.AWAITING_APPROVAL, f"{at}: {waits}")
    if so_far.verdict is Round.PROMOTE and is_last(plan, state) and (asks or not _judged_here(state, so_far)):
        return Promote(f"{at}: {so_far.because}")
    if asks and so_far.verdict in {Round.RAISE, Round.PROMOTE}:
        to_step = len(plan.steps) - 1 if so_far.verdict is Round.PROMOTE else state.step + 1
        return Advance(to_step, f"{at}: {so_far.because}; going to {exposure(plan.steps[to_step].exposure_ppm)}")
    shut = shut_words(state, now_ms)
    return Hold(Status.RUNNING, f"{at}: {standing_words(plan, state, now_ms)}" + (f"; {shut}" if shut else ""))


def standing_words(plan: Plan, state: State, now_ms: int) -> str:
    """Return how the counting stands, in words."""
    counted, so_far = plan.threshold, state.threshold or ThresholdState()
    if counted is None:
        return ""
    if counted.argo is not None:
        return argo_words(counted.argo, state, so_far, now_ms)
    if counted.flagger is None:
        return ""
    failed = f"{so_far.failed_checks} of {max(1, counted.flagger.threshold)} failed checks"
    told = f"; the last round: {so_far.because}" if so_far.because else ""
    return f"next round in {duration((so_far.next_ms - now_ms) / 1000)}, {failed}{told}"


def next_round_s(plan: Plan, state: State, now_ms: int) -> float | None:
    """Return in how many seconds the next round is due; ``None`` where rounds have no time, or there are none."""
    counted, so_far = plan.threshold, state.threshold
    if counted is None or counted.flagger is None or so_far is None or state.status not in LIVE:
        return None
    return max(0.0, (so_far.next_ms - now_ms) / 1000)


def bounds_words(bounds: Bounds) -> str:
    """Return ``at least 99``, ``at most 500``, or both."""
    least = [] if bounds.least is None else [f"at least {bounds.least:g}"]
    most = [] if bounds.most is None else [f"at most {bounds.most:g}"]
    return " and ".join(least + most) or "anything"


def _waits(plan: Plan, state: State, so_far: ThresholdState) -> str:
    """Return what a person has to let through; empty where nothing waits for one."""
    counted = plan.threshold
    if counted is not None and counted.argo is not None:
        return argo_waits(counted.argo, state, so_far)
    gated = step_at(plan, state.step).gate is Gate.MANUAL and state.approved_step != state.step
    if gated and _judged_here(state, so_far) and so_far.verdict in {Round.RAISE, Round.PROMOTE}:
        return f"{so_far.because}; this step is left by a person's approval"
    return ""


def _judged_here(state: State, so_far: ThresholdState) -> bool:
    """Whether the last round was at the present step, and not the one that led to it."""
    return so_far.judged_ms is not None and so_far.judged_ms > state.entered_ms


def _every_ms(flagger: FlaggerPlan) -> int:
    return round(flagger.every_s * 1000)


def _flagger_judged(
    counted: ThresholdPlan, flagger: FlaggerPlan, state: State, before: ThresholdState, evidence: Evidence
) -> ThresholdState:
    named = {one.name: one for one in evidence.checks}
    values = tuple(named.get(check.name, _unseen(check)) for check in counted.checks)
    weight = state.exposure_ppm / PERCENT_PPM
    was = FlaggerState(weight=weight, failed_checks=before.failed_checks)
    now = flagger_round(
        flagger, was, [number_of(check, value) for check, value in zip(counted.checks, values, strict=True)]
    )
    verdict, because = _verdict(counted, flagger, was, now, values)
    every_ms = _every_ms(flagger)
    next_ms = before.next_ms + every_ms
    return replace(
        before,
        # As a ticker does: a round that was missed is not made up for.
        next_ms=next_ms if next_ms > evidence.at_ms else evidence.at_ms + every_ms,
        rounds=before.rounds + 1,
        failed_checks=now.failed_checks,
        judged_ms=evidence.at_ms,
        verdict=verdict,
        because=because
        if verdict is not Round.ROLL_BACK or not before.because
        else f"{because} (the last: {before.because})",
        values=values if weight and verdict is not Round.ROLL_BACK else before.values,
    )


def _verdict(
    counted: ThresholdPlan, flagger: FlaggerPlan, was: FlaggerState, now: FlaggerState, values: tuple[CheckValue, ...]
) -> tuple[Round, str]:
    limit = max(1, flagger.threshold)
    if now.phase is Phase.ROLLED_BACK:
        return Round.ROLL_BACK, f"{was.failed_checks} failed check{'s' if was.failed_checks != 1 else ''}, the limit"
    if now.failed_checks > was.failed_checks:
        bad = [
            f"{check.name} {said(check, value)}, {bounds_words(one.bounds)}"
            for check, value, one in zip(counted.checks, values, flagger.checks, strict=True)
            if (number := number_of(check, value)) is None or not one.bounds.hold(number)
        ]
        return Round.FAILED, f"failed check {now.failed_checks} of {limit}: {'; '.join(bad)}"
    good = "every check is good" if was.weight and values else "nothing to check"
    if now.phase is Phase.PROMOTED:
        return Round.PROMOTE, good
    return (Round.RAISE, good) if now.weight > was.weight else (Round.NONE, good)


def _unseen(check: Check) -> CheckValue:
    return CheckValue(name=check.name, problem="nobody looked")
