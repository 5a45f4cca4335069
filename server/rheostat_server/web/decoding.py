"""How request bodies are read: strictly, with the place of what is wrong."""

import re
from typing import Annotated, Any, TypeVar

import msgspec

from rheostat_server.errors import Fault, Invalid, Malformed

T = TypeVar("T")

MAX_BODY_BYTES = 1 << 20

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
        Invalid: a field is unknown, missing or of another type; the fault has its path.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind, strict=True)
    except msgspec.ValidationError as error:
        raise Invalid([fault_of(error)], "the request") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(body, error) from error


def decode_plain(body: bytes) -> Any:
    """Return a request body as plain data, for a validator that names every fault at once.

    Raises:
        Malformed: it is not JSON; the message says where.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(body, error) from error


def fault_of(error: msgspec.ValidationError) -> Fault:
    """Return the fault that msgspec found, with its path in our form (``rules[0].serve``)."""
    text = str(error)
    place = _AT_PATH.search(text)
    message = text[: place.start()] if place else text
    return Fault(place[2] if place else "", message[:1].lower() + message[1:])


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
