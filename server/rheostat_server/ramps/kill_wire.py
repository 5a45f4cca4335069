"""Kills, and their read-back, as the API shows them."""

import msgspec

from rheostat_server.ports.ramps import KillRow
from rheostat_server.ramps.readback import Readback, Straggler, line_of, straggler_line
from rheostat_server.web.times import rfc3339, rfc3339_or_none


class KillView(msgspec.Struct, frozen=True, kw_only=True):
    """A kill: in force, or revived."""

    kill_id: str
    flag: str
    scope: str
    rollout: str | None
    ramp: str | None
    source: str
    actor: str
    reason: str
    at: str
    revived_at: str | None = None
    revived_by: str | None = None


class KillList(msgspec.Struct, frozen=True):
    """Kills, newest first."""

    kills: tuple[KillView, ...]


class StragglerView(msgspec.Struct, frozen=True, kw_only=True):
    """An instance that has not applied a kill, as far as it says.

    ``state``: it ``reports`` without the kill, it is ``silent``, its report is ``awaited``, or it is ``mute``: it
    reports, and never says what it applied. ``line`` says it for people.
    """

    instance: str
    service: str
    state: str
    heard_at: str
    silent_ms: int
    line: str


class ReadbackView(msgspec.Struct, frozen=True, kw_only=True):
    """How far a kill has come.

    ``known`` instances applied it or are expected to; ``complete`` is that all did, and that there are any. The delays
    are from the kill until it was applied, of the instances that had been heard of before. ``gone`` ended without it.
    ``unconfirmed`` are instances that still expose users after ``confirm_within_ms``, or report without the kill;
    ``escalated_at`` is when people were told. ``line`` says it for people.
    """

    kill: KillView
    line: str
    known: int
    applied: int
    complete: bool
    p50_ms: int | None
    p99_ms: int | None
    stragglers: tuple[StragglerView, ...]
    gone: int
    unconfirmed: tuple[str, ...]
    confirm_within_ms: int
    escalated_at: str | None


def readback_view(
    kill: KillRow, seen: Readback, now_ms: int, *, bound_ms: int, escalated_ms: int | None
) -> ReadbackView:
    """Return the view of a kill's read-back."""
    return ReadbackView(
        kill=kill_view(kill),
        line=line_of(seen),
        known=seen.known,
        applied=seen.applied,
        complete=seen.complete,
        p50_ms=seen.delay_ms(0.5),
        p99_ms=seen.delay_ms(0.99),
        stragglers=tuple(_straggler(one, now_ms) for one in seen.stragglers),
        gone=seen.gone,
        unconfirmed=seen.unconfirmed,
        confirm_within_ms=bound_ms,
        escalated_at=rfc3339_or_none(escalated_ms),
    )


def _straggler(one: Straggler, now_ms: int) -> StragglerView:
    return StragglerView(
        instance=one.instance,
        service=one.service,
        state=one.state,
        heard_at=rfc3339(one.heard_ms),
        silent_ms=max(0, now_ms - one.heard_ms),
        line=straggler_line(one, now_ms),
    )


def kill_view(row: KillRow) -> KillView:
    """Return the view of a kill."""
    return KillView(
        kill_id=row.kill_id,
        flag=row.flag,
        scope=row.scope.value,
        rollout=row.rollout,
        ramp=row.ramp_id,
        source=row.source,
        actor=row.actor,
        reason=row.reason,
        at=rfc3339(row.at_ms),
        revived_at=rfc3339_or_none(row.revived_at_ms),
        revived_by=row.revived_by,
    )
