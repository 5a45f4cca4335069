"""How a scheduled change comes to its end, and how the audit log tells of it."""

from typing import Any

import msgspec

from rheostat_server.errors import Fault
from rheostat_server.ports.scheduled import ScheduledRow, ScheduledStatus
from rheostat_server.ports.storage import AuditEntry, Transaction
from rheostat_server.web.times import rfc3339

_MOST_FAULTS = 50
"""What is kept of the faults of one that failed; a document may have a hundred thousand."""


async def cancel(tx: Transaction, row: ScheduledRow, *, why: str | None, actor: str, at_ms: int) -> ScheduledRow:
    """Cancel a pending change, visibly; return it."""
    ended = msgspec.structs.replace(row, status=ScheduledStatus.CANCELLED, ended_at_ms=at_ms, ended_by=actor, why=why)
    await tx.scheduled.end(ended)
    because = f": {why}" if why else ""
    summary = f"cancelled the change of {row.flag} that was scheduled for {rfc3339(row.at_ms)} ({row.id}){because}"
    await tx.audit.add(audit_entry(ended, "flag.unschedule", summary, actor=actor, at_ms=at_ms))
    return ended


async def cancel_pending(
    tx: Transaction,
    project_id: int,
    *,
    flag: str | None = None,
    environment: str | None = None,
    why: str,
    actor: str,
    at_ms: int,
) -> tuple[str, ...]:
    """Cancel all that is pending of a flag, or of an environment that goes; return a line for each."""
    rows = await tx.scheduled.pending_of(project_id, flag=flag, environment=environment)
    for row in rows:
        await cancel(tx, row, why=why, actor=actor, at_ms=at_ms)
    return tuple(
        f"the change that was scheduled for {rfc3339(row.at_ms)} ({row.id}: {row.summary}) is cancelled" for row in rows
    )


async def fail(
    tx: Transaction, row: ScheduledRow, *, why: str, faults: tuple[Fault, ...], actor: str, at_ms: int
) -> None:
    """Keep that a pending change could not be made, and why: the line, and the first 50 faults."""
    ended = msgspec.structs.replace(
        row, status=ScheduledStatus.FAILED, ended_at_ms=at_ms, ended_by=actor, why=why, faults=faults[:_MOST_FAULTS]
    )
    await tx.scheduled.end(ended)
    summary = f"the change of {row.flag} that was scheduled for {rfc3339(row.at_ms)} ({row.id}) failed: {why}"
    entry = audit_entry(ended, "flag.scheduled-change-failed", summary, actor=actor, at_ms=at_ms)
    await tx.audit.add(entry)


def audit_entry(row: ScheduledRow, action: str, summary: str, *, actor: str, at_ms: int) -> AuditEntry:
    """Return the audit's entry of something that happened to a scheduled change: found by the flag."""
    said: dict[str, Any] = {
        "scheduled_change": row.id,
        "at": rfc3339(row.at_ms),
        "summary": row.summary,
        "scheduled_by": row.scheduled_by,
        "status": row.status.value,
        "why": row.why,
        "faults": row.faults,
        "note": row.note,
    }
    return AuditEntry(
        at_ms=at_ms,
        actor=actor,
        action=action,
        project=row.project,
        environment=row.environment,
        subject=row.flag,
        summary=summary,
        detail=msgspec.Raw(msgspec.json.encode(said)),
    )
