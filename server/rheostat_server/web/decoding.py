"""How request bodies are read: strictly, with the place of what is wrong."""

import json
import re
from typing import Annotated, Any, TypeVar

import msgspec

from rheostat_server.errors import Fault, Invalid, Malformed

T = TypeVar("T")

MAX_BODY_BYTES = 1 << 20
DOCUMENT_BODY_BYTES = 2 << 20
"""Of one document: more than it may have, so that one that is too large is told so as any other fault is."""
DOCUMENTS_BODY_BYTES = 16 << 20
"""Of all documents of a project at once."""

Key = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,128}\Z")]
"""What people name flags, projects and environments by."""
Line = Annotated[str, msgspec.Meta(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
"""One line of text for people. PostgreSQL does not store a NUL."""
Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*\Z")]
"""Text for people, of several lines perhaps; give it a ``max_length``."""

_AT_BYTE = re.compile(r" \(byte (\d+)\)$")
_AT_PATH = re.compile(r" - at `(key in )?\$\.?(.*)`$", re.DOTALL)


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every request body: an unknown field is a mistake and not ignored."""


def decode(body: bytes, kind: type[T]) -> T:
    """Return a request body as ``kind``; no body stands for ``{}``.

    Raises:
        Malformed: it is not JSON; the message says where.
        Invalid: a field is unknown, missing, twice there or of another type; the fault has its path.
    """
    try:
        decoded = msgspec.json.decode(body or b"{}", type=kind, strict=True)
        _refuse_duplicates(body or b"{}")
        return decoded
    except msgspec.ValidationError as error:
        raise Invalid([fault_of(error)], "the request") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(body, error) from error


def decode_plain(body: bytes) -> Any:
    """Return a request body as plain data, for a validator that names every fault at once.

    Raises:
        Malformed: it is not JSON; the message says where.
        Invalid: an object has a field twice.
    """
    try:
        decoded = msgspec.json.decode(body)
        _refuse_duplicates(body)
        return decoded
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(body, error) from error


def fault_of(error: msgspec.ValidationError) -> Fault:
    """Return the fault that msgspec found, with its path in our form (``rules[0].serve``)."""
    text = str(error)
    place = _AT_PATH.search(text)
    message = text[: place.start()] if place else text
    return Fault(place[2] if place else "", message[:1].lower() + message[1:])


def _refuse_duplicates(body: bytes) -> None:
    """Refuse an object with a field twice: readers take the one or the other, so nobody knows what was meant."""
    # Numbers stay text: a long one takes long to read, and is of no interest here.
    json.loads(body.decode(), object_pairs_hook=_unique, parse_int=str, parse_float=str)


def _unique(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise Invalid([Fault(name[:128], "this field is twice in one object")], "the request")
        seen.add(name)


def _malformed(body: bytes, error: Exception) -> Malformed:
    if not body:
        return Malformed("the request has no body")
    if isinstance(error, RecursionError):
        return Malformed("the body is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Malformed("the body is not UTF-8")
    text = str(error)
    place = _AT_BYTE.search(text)
    if place is None:
        return Malformed(f"the body is not JSON: {text}")
    before = body[: int(place[1])]
    line = before.count(b"\n") + 1
    column = len(before) - (before.rfind(b"\n") + 1) + 1
    return Malformed(f"the body is not JSON, line {line}, column {column}: {text[: place.start()]}")
