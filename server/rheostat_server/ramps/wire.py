"""Ramps and kills as the API shows them."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from rheostat.model.document import RampDocument
from rheostat.model.kill import KillScope
from rheostat.model.shares import ppm_to_percent
from rheostat_server.outcomes.cover import coverage_of
from rheostat_server.outcomes.model import ServiceCover
from rheostat_server.ports.ramps import DecisionRow, RampRow
from rheostat_server.ramps.kill_wire import KillView, ReadbackView
from rheostat_server.ramps.ladder import compares
from rheostat_server.ramps.legality import allowed
from rheostat_server.ramps.model import Action, Plan
from rheostat_server.ramps.records import DecisionRecord
from rheostat_server.ramps.rolling import stage_words
from rheostat_server.ramps.standing import GuardrailStanding, Standing, standing
from rheostat_server.ramps.standing_threshold import CheckTrial, CountingStanding, counting_standing
from rheostat_server.ramps.watching import Watched, now_lines
from rheostat_server.web.decoding import Body, Text
from rheostat_server.web.times import rfc3339, rfc3339_or_none

Reason = Annotated[Text, msgspec.Meta(min_length=1, max_length=1000)]


class ActionBody(Body, frozen=True, kw_only=True):
    """Why somebody does something to a ramp."""

    reason: Annotated[Text, msgspec.Meta(max_length=1000)] = ""


class KillBody(Body, frozen=True, kw_only=True):
    """What to take back, and why. Without ``scope``: the ramping rollout where a ramp is live, else the flag."""

    reason: Reason
    scope: KillScope | None = None
    to_code_default: bool = False


class RestartBody(Body, frozen=True, kw_only=True, rename={"first": "from"}):
    """With which step (its exposure in percent) to begin, and why it is started again. Without: with its first step."""

    first: int | float | None = None
    reason: Annotated[Text, msgspec.Meta(max_length=1000)] = ""


class ReviveBody(Body, frozen=True, kw_only=True):
    """Why a killed flag may serve again."""

    reason: Reason


class ServiceReport(msgspec.Struct, frozen=True, kw_only=True):
    """How often a service evaluated the flag in the last 5 min, and whether it reported what became of it."""

    service: str
    evaluations: int
    reports: bool


class Reporting(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the flag's traffic is reported.

    ``coverage`` is the share, 0 … 1, of single evaluations in the last 5 min that come from services which report;
    ``None`` where nobody evaluated. ``vanished`` are the services of instances that fell silent without a goodbye
    since the ramp began, one entry an instance.
    """

    coverage: float | None = None
    services: tuple[ServiceReport, ...] = ()
    vanished: tuple[str, ...] = ()


class RampView(msgspec.Struct, frozen=True, kw_only=True):
    """A ramp. Exposures are percentages; ``step`` counts from 0, -1 is before the first.

    ``exposure`` is in force by this ramp while it is live or promoted; ``declared`` is what the flag's document said
    when it started. ``actions`` are what a person may do to it now; ``kill`` and ``revive`` are done to its flag.
    ``reporting`` is told of one ramp that is live, and not in lists.
    ``proof`` is ``randomised`` where users of both arms are compared at a step at least, else ``none``.
    ``strategy`` says where the steps come from. ``start_at`` is when a draft starts; till then ``started_at`` is when
    it was made.

    ``document`` is what it was started from, as it was given (``null``: from before documents were kept), and
    ``digest`` tells it from others; ``template`` is what that took. ``restart_of`` is the ramp that this one starts
    again, with the step ``started_from``.
    ``at`` is the moment of which all this is told, ``entered_at`` when the present exposure began.
    ``counting`` is how a ramp by ``rule: threshold`` stands, which has no guardrails and states no error.
    Of a rolling ramp ``exposure`` is that of the ``stage`` (from 0) of ``stages`` that it is at; of a comparison
    ``baseline`` is a variant.
    ``attended`` is false for a live one at which no controller has looked for ``silent_s``; ``None`` where that is not
    known. ``kill`` is the read-back of the kill that ended one ramp.
    """

    id: str
    project: str
    environment: str
    flag: str
    rollout: str
    status: str
    step: int
    steps: tuple[float, ...]
    exposure: float
    declared: float
    in_force: bool
    epoch: int
    started_at: str
    started_by: str
    ended_at: str | None
    at: str
    entered_at: str
    proof: str
    guarded: bool
    holdback: float
    standing: Standing
    guardrails: tuple[GuardrailStanding, ...]
    why: str
    plan: Plan
    stage: int | None = None
    stages: tuple[str, ...] = ()
    baseline: str | None = None
    notes: tuple[str, ...] = ()
    reporting: Reporting | None = None
    attended: bool | None = None
    silent_s: float | None = None
    kill: ReadbackView | None = None
    actions: tuple[Action, ...] = ()
    strategy: str = "canary"
    start_at: str | None = None
    document: dict[str, Any] | None = None
    digest: str | None = None
    template: str | None = None
    template_version: int | None = None
    restart_of: str | None = None
    started_from: float | None = None
    rule: str = "guard"
    counting: CountingStanding | None = None


class TranslationView(msgspec.Struct, frozen=True, kw_only=True):
    """A ramp document without Flagger's or Argo Rollouts' block, and what changes in meaning, a line each.

    With ``rule: threshold`` the block stays, for it is counted by it.
    """

    document: RampDocument
    changes: tuple[str, ...]


class TrialArm(msgspec.Struct, frozen=True, kw_only=True):
    """What an arm showed lately. ``rate`` is bad of requests, 0 … 1."""

    series: int
    requests: int
    bad: int
    rate: float | None


class TrialView(msgspec.Struct, frozen=True, kw_only=True):
    """What a guardrail's queries return now, over the last ``seconds``.

    ``path`` is its place in the document. ``problem`` would keep the ramp from starting, where series are there.
    ``absent`` are selectors that select nothing; ``unmapped`` values of the arm's label that no arm is given for. φ is
    measured on ``history_minutes``, or assumed, and ``unmeasured`` says why. ``lines`` say all this for people.
    """

    path: str
    name: str
    family: str
    measure: str
    bound_ms: int | None
    may_kill: bool
    phi: float
    history_minutes: int
    unmeasured: str | None
    seconds: int
    series: int
    arms: dict[str, TrialArm]
    absent: tuple[str, ...]
    unmapped: tuple[str, ...]
    problem: str | None
    hints: tuple[str, ...]
    lines: tuple[str, ...]


class TrialList(msgspec.Struct, frozen=True):
    """The guardrails that read queries, in the document's order; by ``rule: threshold`` its checks in their place."""

    guardrails: tuple[TrialView, ...]
    checks: tuple[CheckTrial, ...] = ()


class RampList(msgspec.Struct, frozen=True):
    """Ramps, newest first."""

    ramps: tuple[RampView, ...]


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """One decision. ``detail`` is the stored record: with the evidence, the same decision follows from it again."""

    seq: int
    at: str
    kind: str
    why: str
    detail: DecisionRecord


class DecisionList(msgspec.Struct, frozen=True):
    """Decisions in order. ``next`` goes into ``after`` for those that follow; ``null`` where there are none yet."""

    decisions: tuple[DecisionView, ...]
    next: int | None = None


class KillAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The kills in force after a kill or a revive; ``notes`` say what came of it."""

    kills: tuple[KillView, ...]
    notes: tuple[str, ...] = ()


def ramp_view(row: RampRow, now_ms: int, notes: tuple[str, ...] = ()) -> RampView:
    """Return the view of a ramp at this moment."""
    plan, state = row.plan, row.state
    stands = standing(plan, state, now_ms)
    return RampView(
        id=row.id,
        project=plan.project,
        environment=plan.environment,
        flag=row.flag,
        rollout=row.rollout,
        status=state.status.value,
        step=state.step,
        steps=tuple(ppm_to_percent(step.exposure_ppm) for step in plan.steps),
        exposure=ppm_to_percent(state.exposure_ppm),
        declared=ppm_to_percent(row.declared_ppm),
        in_force=row.overlaid,
        epoch=state.epoch,
        started_at=rfc3339(row.started_at_ms),
        started_by=row.started_by,
        ended_at=rfc3339_or_none(row.ended_at_ms),
        at=rfc3339(now_ms),
        entered_at=rfc3339(state.entered_ms),
        proof="randomised" if compares(plan) else "none",
        guarded=plan.guarded,
        holdback=ppm_to_percent(plan.holdback_ppm),
        standing=msgspec.structs.replace(stands, guardrails=()),
        guardrails=stands.guardrails,
        why=state.why,
        plan=plan,
        stage=state.stage if plan.stages else None,
        stages=tuple(stage_words(plan, stage) for stage in range(len(plan.stages))),
        baseline=plan.baseline,
        notes=notes,
        actions=allowed(plan, state),
        strategy=plan.strategy,
        start_at=rfc3339_or_none(state.starts_ms),
        **_origin(row),
        rule=plan.rule,
        counting=counting_standing(plan, state, now_ms),
    )


def _origin(row: RampRow) -> dict[str, Any]:
    origin = row.origin
    if origin is None:
        return {}
    return {
        "document": origin.document,
        "digest": origin.digest,
        "template": origin.template,
        "template_version": origin.template_version,
        "restart_of": origin.restart_of,
        "started_from": None if origin.from_ppm is None else ppm_to_percent(origin.from_ppm),
    }


def reporting_view(services: Sequence[ServiceCover], vanished: Sequence[str]) -> Reporting:
    """Return the view of who evaluates, reports, and fell silent."""
    return Reporting(
        coverage=coverage_of(services),
        services=tuple(
            ServiceReport(service=each.service, evaluations=each.evaluations, reports=each.reports) for each in services
        ),
        vanished=tuple(vanished),
    )


def trial_view(one: Watched) -> TrialView:
    """Return the view of what a guardrail's queries return now."""
    guardrail, look = one.guardrail, one.look
    return TrialView(
        path=f"guardrails[{one.index}]",
        name=guardrail.name,
        family=guardrail.family.value,
        measure=guardrail.measure.value,
        bound_ms=guardrail.bound_ms,
        may_kill=guardrail.may_kill,
        phi=guardrail.phi,
        history_minutes=one.minutes,
        unmeasured=one.unmeasured,
        seconds=look.seconds,
        series=look.series,
        arms={
            arm: TrialArm(
                series=seen.series,
                requests=seen.requests,
                bad=seen.bad,
                rate=seen.bad / seen.requests if seen.requests else None,
            )
            for arm, seen in sorted(look.arms.items())
        },
        absent=look.absent,
        unmapped=look.values,
        problem=look.problem,
        hints=look.hints,
        lines=now_lines(one),
    )


def decision_view(row: DecisionRow) -> DecisionView:
    """Return the view of a decision."""
    record = msgspec.json.decode(row.body, type=DecisionRecord)
    return DecisionView(seq=row.seq, at=rfc3339(row.at_ms), kind=row.kind, why=record.why, detail=record)
