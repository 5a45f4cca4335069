"""What was sent to be applied: documents of every kind, each checked by itself. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from rheostat.model.document import FlagDocument, RampDocument
from rheostat_server.errors import Fault, Invalid
from rheostat_server.faults import did_you_mean
from rheostat_server.flags.validate import validate_flag
from rheostat_server.ramps.validate import validate_ramp
from rheostat_server.shared.documents import VALIDATE, Place, SharedDocument, place_of

_KINDS = ("flag", "segment", "layer", "template", "ramp")


class SentRamp(msgspec.Struct, frozen=True):
    """A ramp document as it was sent and checked, and at which index it was."""

    document: RampDocument
    data: Mapping[str, Any]
    index: int

    def at(self, fault: Fault) -> Fault:
        """Return a fault of it with the path from the whole."""
        return _at(self.index, fault)


class Sent(msgspec.Struct, frozen=True):
    """The documents, and at which index each of them was."""

    flags: dict[str, FlagDocument]
    shared: dict[Place, SharedDocument]
    ramps: list[SentRamp]
    index: dict[tuple[str, str], int]

    def at(self, kind: str, key: str, fault: Fault) -> Fault:
        """Return the fault of a document with the path from the whole."""
        return _at(self.index[kind, key], fault)


def read_sent(documents: list[Any]) -> Sent:
    """Return the documents.

    Raises:
        Invalid: documents have faults; all of all documents are listed.
    """
    faults: list[Fault] = []
    sent = Sent({}, {}, [], {})
    for index, data in enumerate(documents):
        kind = data.get("kind", "flag") if isinstance(data, dict) else "flag"
        try:
            document = _validate(kind, data)
        except Invalid as error:
            faults += [_at(index, fault) for fault in error.faults]
            continue
        if isinstance(document, RampDocument):
            sent.ramps.append(SentRamp(document, data, index))
            continue
        if (kind, document.key) in sent.index:
            faults.append(
                _at(index, Fault("key", f"another {kind} document has the key {document.key!r} too", "keep one"))
            )
        sent.index[kind, document.key] = index
        if isinstance(document, FlagDocument):
            sent.flags[document.key] = document
        else:
            sent.shared[place_of(document)] = document
    if faults:
        raise Invalid(faults, "what was sent")
    return sent


def _validate(kind: Any, data: Any) -> FlagDocument | SharedDocument | RampDocument:
    if kind == "flag":
        return validate_flag(data)
    if kind == "ramp":
        return validate_ramp(data)
    if kind in ("segment", "layer", "template"):
        return VALIDATE[kind](data)
    hint = did_you_mean(kind if isinstance(kind, str) else "", _KINDS)
    raise Invalid([Fault("kind", f"{kind!r} is not a kind of document", hint)], "what was sent")


def _at(index: int, fault: Fault) -> Fault:
    path = f"documents[{index}]"
    return Fault(f"{path}.{fault.path}" if fault.path else path, fault.message, fault.hint)


def alone(fault: Fault) -> Fault:
    """Return the fault of the only document of several as that of ``document``."""
    return Fault(fault.path.replace("documents[0]", "document", 1), fault.message, fault.hint)
