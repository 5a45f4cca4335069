"""Segments, layers and templates on the wire."""

from collections.abc import Sequence

import msgspec

from rheostat_server.flags.wire import VersionView
from rheostat_server.ports.shared import SharedRow
from rheostat_server.segments.references import Use
from rheostat_server.web.times import rfc3339


class SharedView(msgspec.Struct, frozen=True, kw_only=True):
    """A segment, layer or template: the document as written, and each place that uses it."""

    kind: str
    key: str
    document: msgspec.Raw
    version: int
    created_at: str
    updated_at: str
    used_by: Sequence[Use]
    notes: Sequence[str] = ()


class SharedPage(msgspec.Struct, frozen=True):
    """Segments or layers in byte order of their keys; ``next`` goes into ``after`` for the following page."""

    items: list[SharedView]
    next: str | None = None


class SharedHistory(msgspec.Struct, frozen=True):
    """The versions of a segment or layer, newest first, also of one that was deleted."""

    versions: list[VersionView]


def shared_view(row: SharedRow, used_by: Sequence[Use], notes: Sequence[str] = ()) -> SharedView:
    """Return what is shown of a segment or layer."""
    return SharedView(
        kind=row.kind,
        key=row.key,
        document=msgspec.Raw(row.document),
        version=row.version,
        created_at=rfc3339(row.created_at_ms),
        updated_at=rfc3339(row.updated_at_ms),
        used_by=used_by,
        notes=notes,
    )
