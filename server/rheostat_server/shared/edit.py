"""One edit of a segment, layer or template: what is stored, what is served, what is told of it."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from rheostat.model.document import SegmentDocument
from rheostat_server.flags.change import changes
from rheostat_server.ports.shared import SharedKind, SharedRow
from rheostat_server.ports.storage import AuditEntry, Transaction
from rheostat_server.shared.documents import SharedDocument, place_of, same, served_form


class SharedEdit(msgspec.Struct, frozen=True, kw_only=True):
    """One edit. ``before`` is ``None`` for a new document, ``after`` for one that is deleted."""

    before: SharedDocument | None
    after: SharedDocument | None
    action: str
    summary: str

    @property
    def document(self) -> SharedDocument:
        """What is stored: of a deleted one, what it was."""
        document = self.before if self.after is None else self.after
        assert document is not None, "an edit has one side at least"
        return document

    @property
    def kind(self) -> SharedKind:
        """Of which kind the document is."""
        return place_of(self.document)[0]

    @property
    def key(self) -> str:
        """The document's key."""
        return self.document.key

    def units_in_words(self) -> tuple[str, ...]:
        """Return a line for each list of a segment in which units come or go."""
        return tuple(
            f"{one['path']}: {one['added']} added, {one['removed']} removed"
            for one in _units_counted(self.before, self.after)
        )

    def served(self) -> list[bytes | None]:
        """Return what every environment serves from now on: one body (``None`` removes), or nothing new.

        A layer is served nowhere: the rollouts in it are, with its salt and unit. A template is for ramps that start.
        """
        if self.kind != "segment" or same(served_form(self.before), served_form(self.after)):
            return []
        return [None if self.after is None else msgspec.json.encode(served_form(self.after))]


async def store_shared(tx: Transaction, project_id: int, edit: SharedEdit, *, actor: str, at_ms: int) -> SharedRow:
    """Keep the edit as the next version."""
    return await tx.shared.write(
        project_id,
        edit.kind,
        edit.key,
        msgspec.json.encode(edit.document),
        deleted_at_ms=at_ms if edit.after is None else None,
        action=edit.action,
        actor=actor,
        at_ms=at_ms,
    )


def shared_entry(
    project: str, edit: SharedEdit, row: SharedRow, *, actor: str, at_ms: int, flags: Iterable[str]
) -> AuditEntry:
    """Return the line of the audit log; ``flags`` are those that it concerns."""
    detail = {"version": row.version, "changes": _changes(edit.before, edit.after), "flags": sorted(flags)}
    return AuditEntry(
        at_ms=at_ms,
        actor=actor,
        action=f"{edit.kind}.{edit.action}",
        project=project,
        subject=edit.key,
        summary=f"{edit.summary}, version {row.version}",
        detail=msgspec.Raw(msgspec.json.encode(detail)),
    )


def _changes(before: SharedDocument | None, after: SharedDocument | None) -> Sequence[Any]:
    """Return each place that changed. Of lists of units only how many came and went: they can be very long."""
    if not isinstance(before, SegmentDocument | None) or not isinstance(after, SegmentDocument | None):
        return changes(before, after)
    return [*changes(_without_units(before), _without_units(after)), *_units_counted(before, after)]


def _units_counted(before: SharedDocument | None, after: SharedDocument | None) -> list[dict[str, Any]]:
    counted = []
    for name in ("included", "excluded"):
        old, new = (set[str](getattr(side, name, ())) for side in (before, after))
        if old != new:
            counted.append({"path": name, "added": len(new - old), "removed": len(old - new)})
    return counted


def _without_units(document: SegmentDocument | None) -> SegmentDocument | None:
    return None if document is None else msgspec.structs.replace(document, included=(), excluded=())
