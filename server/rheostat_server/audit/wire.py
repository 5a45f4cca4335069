"""The audit log on the wire."""

import msgspec

from rheostat_server.ports.storage import AuditEntry
from rheostat_server.web.times import rfc3339


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody did; ``summary`` is a line for people, ``detail`` for programs."""

    id: int
    at: str
    actor: str
    action: str
    project: str | None
    environment: str | None
    subject: str
    summary: str
    detail: msgspec.Raw


class AuditPage(msgspec.Struct, frozen=True):
    """Entries, the newest first; ``next`` goes into ``before`` for the following page."""

    entries: list[EntryView]
    next: int | None = None


class ChangeList(msgspec.Struct, frozen=True):
    """What changed what is served since then, the newest first; ``truncated`` says that there was more."""

    since: str
    changes: list[EntryView]
    truncated: bool = False


def entry_view(entry: AuditEntry) -> EntryView:
    """Return what is shown of an entry."""
    return EntryView(
        id=entry.id,
        at=rfc3339(entry.at_ms),
        actor=entry.actor,
        action=entry.action,
        project=entry.project,
        environment=entry.environment,
        subject=entry.subject,
        summary=entry.summary,
        detail=entry.detail,
    )
