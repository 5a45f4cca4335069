"""From served rows to what the engine evaluates. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from rheostat.model.flag import Flag, FlagType, Segment
from rheostat.model.kill import Kill
from rheostat.model.ramp import RampOverlay
from rheostat.model.snapshot import FORMAT, Identity, Patch, Removed, Snapshot
from rheostat_server.ports.storage import ServedRow

T = TypeVar("T")


class _PlainFlag(msgspec.Struct):
    """The part of a flag that every format has."""

    key: str
    type: FlagType
    variants: dict[str, Any]
    version: int
    off_variant: str | None = None
    client: bool = False


_FLAG = msgspec.json.Decoder(Flag)
_PLAIN_FLAG = msgspec.json.Decoder(_PlainFlag)
_SEGMENT = msgspec.json.Decoder(Segment)
_RAMP = msgspec.json.Decoder(RampOverlay)
_KILL = msgspec.json.Decoder(Kill)


def one_line(row: ServedRow) -> ServedRow:
    """Return the row with a body that has no line break, which would end an event's data."""
    if row.body is None or (b"\n" not in row.body and b"\r" not in row.body):
        return row
    return msgspec.structs.replace(row, body=msgspec.json.encode(msgspec.json.decode(row.body)))


def in_force(row: ServedRow) -> bool:
    """Return whether a row holds a kill that is not revived."""
    kill = None if row.kind != "kill" or row.body is None else _lenient(_KILL, row.body)
    return kill is not None and not kill.revived


def snapshot_of(rows: Iterable[ServedRow], identity: Identity, project: str, environment: str) -> Snapshot:
    """Return the snapshot of these rows. What cannot be read is left out, a flag made one that says so."""
    present = [row for row in rows if row.body is not None]
    return Snapshot(
        format=FORMAT,
        generation=identity.generation,
        revision=identity.revision,
        project=project,
        environment=environment,
        flags=_flags(present),
        segments=_of_kind(present, "segment", _SEGMENT),
        ramps=_of_kind(present, "ramp", _RAMP),
        kills=_of_kind(present, "kill", _KILL),
    )


def patch_of(rows: Sequence[ServedRow], before: Identity, after: Identity) -> Patch:
    """Return the patch that these rows are."""
    return Patch(
        from_=before,
        to=after,
        flags=_flags(rows),
        segments=_of_kind(rows, "segment", _SEGMENT),
        ramps=_of_kind(rows, "ramp", _RAMP),
        kills=_of_kind(rows, "kill", _KILL),
        removed=Removed(_gone(rows, "flag"), _gone(rows, "segment"), _gone(rows, "ramp")),
    )


def _gone(rows: Iterable[ServedRow], kind: str) -> tuple[str, ...]:
    return tuple(row.key for row in rows if row.kind == kind and row.body is None)


def _of_kind(rows: Iterable[ServedRow], kind: str, decoder: msgspec.json.Decoder[T]) -> tuple[T, ...]:
    found = (_lenient(decoder, row.body) for row in rows if row.kind == kind and row.body is not None)
    return tuple(item for item in found if item is not None)


def _lenient(decoder: msgspec.json.Decoder[T], body: bytes) -> T | None:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def _flags(rows: Iterable[ServedRow]) -> tuple[Flag, ...]:
    flags = (_flag(row.body) for row in rows if row.kind == "flag" and row.body is not None)
    return tuple(flag for flag in flags if flag is not None)


def _flag(body: bytes) -> Flag | None:
    """Read a flag; one of a newer server, with what this one lacks, evaluates to its off variant with an error."""
    flag = _lenient(_FLAG, body)
    if flag is not None or (plain := _lenient(_PLAIN_FLAG, body)) is None:
        return flag
    return Flag(
        key=plain.key,
        type=plain.type,
        variants=plain.variants,
        version=plain.version,
        enabled=True,
        off_variant=plain.off_variant,
        client=plain.client,
        needs=FORMAT + 1,
    )
