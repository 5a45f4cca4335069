"""How the counting of failed checks stands, in figures for people. Pure."""

from collections.abc import Iterator, Sequence

import msgspec

from rheostat_server.ramps.checks import Check, CheckValue, Round, ThresholdPlan, ThresholdState
from rheostat_server.ramps.counting import FlaggerPlan, Measurement
from rheostat_server.ramps.model import Plan, State
from rheostat_server.ramps.threshold import bounds_words, next_round_s
from rheostat_server.ramps.threshold_argo import measurement_of
from rheostat_server.ramps.threshold_values import number_of, said
from rheostat_server.ramps.words import count, duration


class CheckStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One check. ``wanted`` is what is good, ``said`` what was found last; ``query`` is ``None`` for SDKs' reports."""

    name: str
    query: str | None
    wanted: str
    said: str


class CheckTrial(msgspec.Struct, frozen=True, kw_only=True):
    """A check that was looked at once, before a ramp starts. ``said`` is what was found, ``wanted`` what is good.

    ``good`` is ``None`` where nothing can be told: what SDKs report of a ramp is there once it runs (``query`` is
    ``None``), or an analysis is inconclusive. ``problem`` says why it could not be looked at.
    """

    name: str
    query: str | None
    wanted: str
    said: str
    good: bool | None
    problem: str | None = None


class CountingStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How a ramp by ``rule: threshold`` stands.

    ``like`` says whose counting it is. ``failed_checks`` of ``limit`` (``None``: each metric has its own) have failed.
    The next round is in ``next_s``, where rounds have a time; ``verdict`` is what the last came to, in a word.
    """

    like: str
    failed_checks: int
    limit: int | None
    rounds: int
    next_s: float | None
    verdict: str
    because: str
    checks: tuple[CheckStanding, ...]


def counting_standing(plan: Plan, state: State, now_ms: int) -> CountingStanding | None:
    """Return how the counting stands; ``None`` for a ramp that the guard decides."""
    counted, so_far = plan.threshold, state.threshold or ThresholdState()
    if counted is None:
        return None
    flagger = counted.flagger
    found = {value.name: value for value in so_far.values}
    return CountingStanding(
        like="argo-rollouts" if flagger is None else "flagger",
        failed_checks=so_far.failed_checks,
        limit=None if flagger is None else max(1, flagger.threshold),
        rounds=so_far.rounds,
        next_s=next_round_s(plan, state, now_ms),
        verdict="" if so_far.verdict is Round.NONE else so_far.verdict.value,
        because=so_far.because,
        checks=tuple(
            CheckStanding(
                name=check.name,
                query=check.query,
                wanted=_wanted(counted, place),
                said=_said(check, found.get(check.name)),
            )
            for place, check in enumerate(counted.checks)
        ),
    )


def check_trials(counted: ThresholdPlan, values: Sequence[CheckValue]) -> tuple[CheckTrial, ...]:
    """Return what each check found against what is wanted. ``values`` are of the checks that have a query."""
    found = {value.name: value for value in values}
    return tuple(_trial(counted, place, check, found.get(check.name)) for place, check in enumerate(counted.checks))


def _trial(counted: ThresholdPlan, place: int, check: Check, value: CheckValue | None) -> CheckTrial:
    wanted = _wanted(counted, place)
    if value is None:
        said_now = "is what SDKs report of the ramp, once it runs"
        return CheckTrial(name=check.name, query=check.query, wanted=wanted, said=said_now, good=None)
    if counted.flagger is not None:
        number = number_of(check, value)
        good: bool | None = number is not None and counted.flagger.checks[place].bounds.hold(number)
    else:
        measured = measurement_of(check, value)
        good = None if measured is Measurement.INCONCLUSIVE else measured is Measurement.SUCCESSFUL
    return CheckTrial(
        name=check.name,
        query=check.query,
        wanted=wanted,
        said=said(check, value),
        good=None if value.problem else good,
        problem=value.problem or None,
    )


def threshold_remarks(plan: Plan, counted: ThresholdPlan) -> Iterator[str]:
    """Yield what a person should know before such a ramp starts, a line each."""
    yield "rule: threshold: no stated error; nobody says how often it takes back what is harmless"
    flagger = counted.flagger
    if flagger is not None:
        yield from _flagger_remarks(plan, flagger)
    for place, check in enumerate(counted.checks):
        where = "what SDKs report" if check.query is None else check.query
        yield f"{check.name}: {_wanted(counted, place)}, from {where}"


def _flagger_remarks(plan: Plan, flagger: FlaggerPlan) -> Iterator[str]:
    limit = max(1, flagger.threshold)
    every = duration(flagger.every_s)
    yield (
        f"a round each {every}; {count(limit)} failed check{'s' if limit > 1 else ''} in all, and the next round goes "
        "back. A check without a value fails"
    )
    weights = sum(step.min_dwell_s > 0 for step in plan.steps)
    yield f"without a failed check it is promoted after {duration((weights + 1) * flagger.every_s)}"


def _wanted(counted: ThresholdPlan, place: int) -> str:
    if counted.flagger is not None:
        return bounds_words(counted.flagger.checks[place].bounds)
    check = counted.checks[place]
    good = [] if check.success is None else [f"good if {check.success}"]
    bad = [] if check.failure is None else [f"failed if {check.failure}"]
    return ", ".join(good + bad) or "anything"


def _said(check: Check, value: CheckValue | None) -> str:
    return "not looked at yet" if value is None else said(check, value)
