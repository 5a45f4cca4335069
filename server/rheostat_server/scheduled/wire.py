"""Scheduled changes on the wire."""

from typing import Any

import msgspec

from rheostat_server.errors import Fault
from rheostat_server.flags.movement_words import MovementView
from rheostat_server.ports.scheduled import ScheduledRow
from rheostat_server.scheduled.change import TargetEdit
from rheostat_server.scheduled.words import local_time
from rheostat_server.web.decoding import Body, Line
from rheostat_server.web.times import rfc3339, rfc3339_or_none


class ScheduleBody(Body, frozen=True):
    """A change of a flag at a time: RFC 3339, or a local time with its IANA ``timezone``.

    ``patch`` is a merge patch of the flag's part of the environment, or without one of its whole document. ``rules``
    are merge patches by the rule's name, ``targets`` units to add and remove by variant.
    """

    at: str
    timezone: str | None = None
    environment: str | None = None
    patch: dict[str, Any] = msgspec.field(default_factory=dict)
    rules: dict[str, dict[str, Any] | None] = msgspec.field(default_factory=dict)
    targets: dict[str, TargetEdit] = msgspec.field(default_factory=dict)
    if_version: int | None = None
    note: Line | None = None


class CancelBody(Body, frozen=True):
    """Why it is cancelled; it may be left out."""

    reason: Line | None = None


class ScheduledView(msgspec.Struct, frozen=True, kw_only=True):
    """A scheduled change, and what became of it: ``pending``, ``done``, ``failed`` or ``cancelled``.

    ``at`` is in UTC, ``local`` the same as the clocks of its timezone show it. ``version`` is the flag's, once the
    change is done. ``change`` is not in lists. In the answer of scheduling, ``moves`` says who would move if it were
    written now, by environment, and ``notes`` what else would be said.
    """

    id: int
    flag: str
    environment: str | None
    at: str
    local: str
    timezone: str | None
    status: str
    summary: str
    change: msgspec.Raw | None
    if_version: int | None
    note: str | None
    scheduled_by: str
    scheduled_at: str
    ended_at: str | None
    ended_by: str | None
    why: str | None
    faults: tuple[Fault, ...]
    version: int | None
    moves: dict[str, MovementView] = {}
    notes: tuple[str, ...] = ()


class ScheduledPage(msgspec.Struct, frozen=True):
    """Scheduled changes by time, pending ones the soonest first, others the latest first.

    ``next`` goes into ``after`` for the following page.
    """

    changes: list[ScheduledView]
    next: int | None = None


def scheduled_view(
    row: ScheduledRow,
    *,
    moves: dict[str, MovementView] | None = None,
    notes: tuple[str, ...] = (),
) -> ScheduledView:
    """Return what is shown of a scheduled change."""
    return ScheduledView(
        id=row.id,
        flag=row.flag,
        environment=row.environment,
        at=rfc3339(row.at_ms),
        local=local_time(row.at_ms, row.timezone),
        timezone=row.timezone,
        status=row.status.value,
        summary=row.summary,
        change=None if row.change is None else msgspec.Raw(row.change),
        if_version=row.if_version,
        note=row.note,
        scheduled_by=row.scheduled_by,
        scheduled_at=rfc3339(row.scheduled_at_ms),
        ended_at=rfc3339_or_none(row.ended_at_ms),
        ended_by=row.ended_by,
        why=row.why,
        faults=row.faults,
        version=row.version,
        moves=moves or {},
        notes=notes,
    )
