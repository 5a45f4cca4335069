"""What goes over a stream, as bytes: encoded once, written to many. Pure."""

from collections.abc import Iterable

import msgspec

from rheostat.model.snapshot import Beat, Identity, Removed, Resync
from rheostat_server.ports.storage import ServedRow
from rheostat_server.streaming.contents import lists_of


def patch_event(before: Identity, after: Identity, rows: Iterable[ServedRow]) -> bytes:
    """Return a ``patch`` with these rows; each body is one line of JSON."""
    rows = list(rows)
    parts = [b'"from":%s,"to":%s' % (msgspec.json.encode(before), msgspec.json.encode(after))]
    if lists := lists_of(rows, always=False):
        parts.append(lists)
    gone: dict[str, tuple[str, ...]] = {}
    for kind, field in (("flag", "flags"), ("segment", "segments"), ("ramp", "ramps")):
        if keys := tuple(row.key for row in rows if row.kind == kind and row.body is None):
            gone[field] = keys
    if gone:
        parts.append(b'"removed":%s' % msgspec.json.encode(Removed(**gone)))
    return _event(b"patch", b"{%s}" % b",".join(parts), after)


def resync_event(to: Identity, spread_ms: int) -> bytes:
    """Return a ``resync``."""
    return _event(b"resync", msgspec.json.encode(Resync(to=to, spread_ms=spread_ms)), to)


def kill_event(body: bytes) -> bytes:
    """Return a ``kill`` of this entry (JSON). It has no id: it moves nobody's identity."""
    return _event(b"kill", body, None)


def beat_event(beat: Beat) -> bytes:
    """Return a ``beat``."""
    return _event(b"beat", msgspec.json.encode(beat), None)


def retry_event(wait_ms: int) -> bytes:
    """Return the order to wait so long before connecting again."""
    return b"retry: %d\n\n" % wait_ms


def _event(name: bytes, data: bytes, identity: Identity | None) -> bytes:
    place = b"" if identity is None else b"id: %s\n" % str(identity).encode()
    return b"event: %s\n%sdata: %s\n\n" % (name, place, data)
