"""How a canary of Argo Rollouts goes on: weights, pauses, analyses, one thing at each observation. Pure."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from rheostat_server.ramps.checks import (
    ArgoProgress,
    ArgoSchedule,
    Check,
    CheckValue,
    Round,
    ThresholdPlan,
    ThresholdState,
)
from rheostat_server.ramps.counting import ArgoMetric, ArgoResult, Measurement, argo_due, argo_measured
from rheostat_server.ramps.evidence import Evidence
from rheostat_server.ramps.foreign.conditions import condition_of, holds
from rheostat_server.ramps.model import State, Status
from rheostat_server.ramps.threshold_values import numbers_of, said
from rheostat_server.ramps.words import duration

PERCENT_PPM = 10_000
_WAITING = (Round.NONE, Round.PAUSE)
_GOING_UP = (Round.RAISE, Round.PROMOTE)


def begun_argo(now_ms: int) -> ArgoProgress:
    """Return how far a canary is that starts now."""
    return ArgoProgress(stepped_ms=now_ms)


def argo_due_checks(
    counted: ThresholdPlan, schedule: ArgoSchedule, so_far: ThresholdState, at_ms: int
) -> tuple[Check, ...]:
    """Return the checks of the background and of the present step that are to be measured now."""
    progress = _in_background(schedule, so_far.argo or ArgoProgress(), at_ms)
    return tuple(
        counted.checks[place]
        for places, results, since_ms in _runs(schedule, progress)
        for place, result in zip(places, results, strict=True)
        if argo_due(schedule.metrics[place], result, (at_ms - since_ms) / 1000)
    )


def argo_observed(
    counted: ThresholdPlan, schedule: ArgoSchedule, state: State, before: ThresholdState, evidence: Evidence
) -> State:
    """Return the state after an observation: what was due is measured, and at most one weight is due to be set."""
    at_ms = evidence.at_ms
    progress = _in_background(schedule, before.argo or ArgoProgress(), at_ms)
    approved = state.approved_step is not None and state.approved_step == state.step
    anew = before.verdict is Round.PAUSE and approved
    if anew:
        # Who goes on from an inconclusive analysis has it made anew, from the next observation on.
        begun_ms = None if progress.background_ms is None else at_ms
        progress = replace(progress, background=(), background_ms=begun_ms, inline=(), stepped_ms=at_ms)
        state, approved = replace(state, approved_step=None), False
    named = {one.name: one for one in evidence.checks}
    background, inline = (
        tuple(
            result
            if anew
            else _measured(counted.checks[place], schedule.metrics[place], result, named, (at_ms - since_ms) / 1000)
            for place, result in zip(places, results, strict=True)
        )
        for places, results, since_ms in _runs(schedule, progress)
    )
    progress = replace(progress, background=background, inline=inline)
    found = {
        place: result
        for places, results, _ in _runs(schedule, progress)
        for place, result in zip(places, results, strict=True)
    }
    verdict, because = _ended(counted, schedule, found, named)
    if verdict is Round.NONE and state.status is not Status.PAUSED:
        progress, verdict, because, used = _stepped(schedule, progress, state, at_ms, approved=approved)
        if used:
            state = replace(state, approved_step=None)
    return replace(
        state,
        threshold=replace(
            before,
            rounds=before.rounds + bool(evidence.checks),
            failed_checks=sum(result.failed for result in found.values()),
            # What merely goes on waiting is nothing new.
            judged_ms=before.judged_ms if verdict in _WAITING or (state.shut and verdict in _GOING_UP) else at_ms,
            verdict=verdict,
            because=because,
            values=_latest(before.values, evidence.checks),
            argo=progress,
        ),
    )


def argo_waits(schedule: ArgoSchedule, state: State, so_far: ThresholdState) -> str:
    """Return what a person has to go on from; empty where nothing waits for one."""
    if so_far.verdict is Round.PAUSE:
        return f"{so_far.because}; a person has to go on"
    progress = so_far.argo or ArgoProgress()
    if so_far.verdict is Round.NONE and progress.step < len(schedule.steps) and schedule.steps[progress.step].endless:
        return "this pause is ended by a person's approval"
    return ""


def argo_words(schedule: ArgoSchedule, state: State, so_far: ThresholdState, now_ms: int) -> str:
    """Return what the present step does, and what failed so far."""
    progress = so_far.argo or ArgoProgress()
    failed = f"{so_far.failed_checks} failed measurement{'' if so_far.failed_checks == 1 else 's'}"
    if progress.step >= len(schedule.steps):
        return failed
    step = schedule.steps[progress.step]
    at = f"step {progress.step + 1} of {len(schedule.steps)}"
    if step.weight is not None:
        return f"{at}, {failed}"
    if step.metrics is not None:
        return f"{at} measures, {failed}"
    left_s = (step.pause_s or 0.0) - (now_ms - progress.stepped_ms) / 1000
    return f"{at}, {duration(left_s)} of its pause left, {failed}"


def _runs(
    schedule: ArgoSchedule, progress: ArgoProgress
) -> tuple[tuple[Sequence[int], tuple[ArgoResult, ...], int], tuple[Sequence[int], tuple[ArgoResult, ...], int]]:
    """Return the analyses: in the background, and of the present step; with their results and since when."""
    since_ms = progress.background_ms
    behind: Sequence[int] = () if since_ms is None else schedule.background
    step = schedule.steps[progress.step] if progress.step < len(schedule.steps) else None
    here: Sequence[int] = () if step is None or step.metrics is None else step.metrics
    return (
        (behind, progress.background or _fresh(behind), since_ms or 0),
        (here, progress.inline or _fresh(here), progress.stepped_ms),
    )


def _fresh(places: Sequence[int]) -> tuple[ArgoResult, ...]:
    return tuple(ArgoResult() for _ in places)


def _in_background(schedule: ArgoSchedule, progress: ArgoProgress, at_ms: int) -> ArgoProgress:
    if progress.background_ms is None and schedule.background and progress.step >= schedule.starting_step:
        return replace(progress, background_ms=at_ms)
    return progress


def _measured(
    check: Check, metric: ArgoMetric, result: ArgoResult, named: Mapping[str, CheckValue], now_s: float
) -> ArgoResult:
    if not argo_due(metric, result, now_s):
        return result
    return argo_measured(metric, result, measurement_of(check, named.get(check.name)), now_s)


def measurement_of(check: Check, value: CheckValue | None) -> Measurement:
    """Return what an answer means: without conditions all is good, with both neither is inconclusive."""
    if value is None or value.problem:
        return Measurement.ERROR
    numbers = numbers_of(value)
    good = bad = None
    if check.success is not None:
        good = holds(condition_of(check.success), numbers, scalar=value.scalar)
        if good is None:
            return Measurement.ERROR
    if check.failure is not None:
        bad = holds(condition_of(check.failure), numbers, scalar=value.scalar)
        if bad is None:
            return Measurement.ERROR
    if bad or (bad is None and good is False):
        return Measurement.FAILED
    return Measurement.INCONCLUSIVE if good is False else Measurement.SUCCESSFUL


def _ended(
    counted: ThresholdPlan, schedule: ArgoSchedule, found: Mapping[int, ArgoResult], named: Mapping[str, CheckValue]
) -> tuple[Round, str]:
    """Return what an analysis that came to its end means for the ramp."""
    inconclusive = ""
    for place, result in found.items():
        check, metric = counted.checks[place], schedule.metrics[place]
        value = named.get(check.name)
        last = f" (the last {said(check, value)})" if value is not None else ""
        if result.phase is Measurement.FAILED:
            return (
                Round.ROLL_BACK,
                f"{check.name}: {result.failed} failed, {max(0, metric.failure_limit)} are allowed{last}",
            )
        if result.phase is Measurement.ERROR:
            allowed = metric.consecutive_error_limit
            return (
                Round.ROLL_BACK,
                f"{check.name}: {result.consecutive_errors} errors in a row, {allowed} are allowed{last}",
            )
        if result.phase is Measurement.INCONCLUSIVE:
            inconclusive = f"{check.name} is inconclusive"
    return (Round.PAUSE, inconclusive) if inconclusive else (Round.NONE, "")


def _stepped(
    schedule: ArgoSchedule, progress: ArgoProgress, state: State, at_ms: int, *, approved: bool
) -> tuple[ArgoProgress, Round, str, bool]:
    """Return where it has come to, what that asks for, why, and whether a person's approval was used up.

    While the calendar is shut it asks for the next weight, and stays before it.
    """
    set_ppm = 0
    for step in schedule.steps[: progress.step]:
        set_ppm = max(set_ppm, (step.weight or 0) * PERCENT_PPM)
    if set_ppm > state.exposure_ppm:
        # It was to be set, and something kept it from that: the pause after it has not begun.
        stepped = progress if state.shut else replace(progress, stepped_ms=at_ms)
        return stepped, Round.RAISE, f"step {progress.step} of {len(schedule.steps)}", False
    used = False
    while progress.step < len(schedule.steps):
        step = schedule.steps[progress.step]
        after = replace(progress, step=progress.step + 1, stepped_ms=at_ms, inline=())
        if step.weight is not None:
            set_ppm = max(set_ppm, step.weight * PERCENT_PPM)
            if set_ppm > state.exposure_ppm:
                because = f"step {after.step} of {len(schedule.steps)}"
                return progress if state.shut else after, Round.RAISE, because, used
            progress = after
            continue
        # Who advanced it by hand went past what stands before the weight that it has now.
        if set_ppm >= state.exposure_ppm:
            if step.endless:
                if not approved or used:
                    return progress, Round.NONE, "", used
                used = True
            elif step.metrics is not None:
                if any(result.phase is None for result in progress.inline or _fresh(step.metrics)):
                    return progress, Round.NONE, "", used
            elif at_ms - progress.stepped_ms < (step.pause_s or 0.0) * 1000:
                return progress, Round.NONE, "", used
        progress = after
    return progress, Round.PROMOTE, "all steps are done", used


def _latest(before: tuple[CheckValue, ...], now: Sequence[CheckValue]) -> tuple[CheckValue, ...]:
    return tuple({one.name: one for one in (*before, *now)}.values())
