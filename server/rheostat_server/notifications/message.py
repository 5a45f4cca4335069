"""What a notification says: everything that a person needs to judge it. Pure."""

import msgspec

from rheostat.model.shares import ppm_to_percent
from rheostat_server.ports.ramps import KillRow, RampRow
from rheostat_server.ramps.model import State
from rheostat_server.ramps.news import News
from rheostat_server.ramps.rolling import stage_words, whom
from rheostat_server.ramps.standing import ArmStanding, GuardrailStanding, standing
from rheostat_server.web.times import rfc3339


class ArmFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What one arm saw since the first exposure; ``rate`` is bad of requests, 0 … 1, ``null`` without any."""

    requests: int
    bad: int
    rate: float | None


class GuardrailFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One guardrail when it happened: both arms, and its processes against their lines."""

    name: str
    sight: str
    may_kill: bool
    treatment: ArmFigures
    control: ArmFigures
    m: float
    kill_line: float
    e: float
    a: float
    advance_line: float
    proved: bool
    ceiling: float | None = None


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """The exposure in percent, before and after."""

    before: float
    after: float


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a rolling ramp is at, in words (``region eu, us``), before and after."""

    before: str
    after: str


class KillFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Which kill it was, what it takes, and where it came from (``controller``, ``person``, …)."""

    id: str
    scope: str
    source: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a notification. ``actor`` is who did it. ``link`` is a path until it is sent, then a URL.

    ``repeats`` is how many of the same kind were left out since the last one that was sent. ``rollout``, ``ramp``,
    ``status`` and ``exposure`` are ``null`` where no ramp is concerned. ``stage`` is set of a rolling ramp that is
    live, or has left its others out; the exposure, before and after, is then that of the users of ``stage.after``.
    """

    event: str
    id: str
    at: str
    project: str
    environment: str
    flag: str
    rollout: str | None = None
    ramp: str | None = None
    status: str | None = None
    exposure: Exposure | None = None
    stage: Stage | None = None
    why: str = ""
    actor: str | None = None
    kill: KillFacts | None = None
    guardrails: tuple[GuardrailFigures, ...] = ()
    repeats: int = 0
    link: str = ""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a notification is about: a flag in an environment."""

    environment_id: int
    project: str
    environment: str
    flag: str


def subject_of(row: RampRow) -> Subject:
    """Return what news of a ramp are about."""
    return Subject(
        environment_id=row.environment_id, project=row.plan.project, environment=row.plan.environment, flag=row.flag
    )


def flag_message(
    news: News,
    subject: Subject,
    *,
    message_id: str,
    at_ms: int,
    why: str,
    actor: str | None,
    kill: KillRow | None = None,
) -> Message:
    """Return what is told of a flag that no ramp turns now."""
    return Message(
        event=news.value,
        id=message_id,
        at=rfc3339(at_ms),
        project=subject.project,
        environment=subject.environment,
        flag=subject.flag,
        rollout=None if kill is None else kill.rollout,
        why=why,
        actor=actor,
        kill=None if kill is None else KillFacts(id=kill.kill_id, scope=kill.scope.value, source=kill.source),
        link=f"/api/v1/projects/{subject.project}/flags/{subject.flag}",
    )


def ramp_message(message: Message, before: RampRow, after: RampRow) -> Message:
    """Return the message with which ramp it is about, how it stands now, and the exposure before and after."""
    path = f"/api/v1/projects/{message.project}/environments/{message.environment}/ramps/{after.id}"
    now, was = after.state, before.state
    stage = whom(after.plan, now)
    # Of users who are not at their stage yet is exposed who was when the ramp started.
    was_ppm = was.exposure_ppm if stage is None or now.stage == was.stage else before.plan.start_ppm
    return msgspec.structs.replace(
        message,
        rollout=after.rollout,
        ramp=after.id,
        status=after.state.status.value,
        exposure=Exposure(before=ppm_to_percent(was_ppm), after=ppm_to_percent(now.exposure_ppm)),
        stage=None if stage is None else Stage(before=stage_words(before.plan, was.stage), after=stage),
        link=path,
    )


def figures(row: RampRow, observed: State, at_ms: int) -> tuple[GuardrailFigures, ...]:
    """Return the ramp's guardrails as they were seen when it happened."""
    return tuple(map(_guardrail, standing(row.plan, observed, at_ms).guardrails))


def _guardrail(seen: GuardrailStanding) -> GuardrailFigures:
    return GuardrailFigures(
        name=seen.name,
        sight=seen.sight,
        may_kill=seen.may_kill,
        treatment=_arm(seen.treatment),
        control=_arm(seen.control),
        m=seen.m,
        kill_line=seen.kill_line,
        e=seen.e,
        a=seen.a,
        advance_line=seen.advance_line,
        proved=seen.proved,
        ceiling=seen.ceiling,
    )


def _arm(seen: ArmStanding) -> ArmFigures:
    return ArmFigures(requests=seen.requests, bad=seen.bad, rate=seen.rate)
