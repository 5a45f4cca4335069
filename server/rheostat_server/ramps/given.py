"""A ramp document as somebody gave it: how it is kept, and what tells it from another. Pure."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

_EXACT = 2.0**53


def as_given(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document as it is kept: its kind before all else, whole numbers without a fraction."""
    return {"kind": "ramp", **{name: _plain(value) for name, value in data.items() if name != "kind"}}


def digest_of(given: Mapping[str, Any]) -> str:
    """Return what tells the document from others: of its canonical JSON, so that no order and no 5.0 for 5 counts.

    A field that is written out with its default value counts: beside a template it has a meaning.
    """
    return sha256(msgspec.json.encode(as_given(given), order="sorted")).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    # Above 2^53 a float is not sure of its last digits, and there is nothing to make equal.
    whole = isinstance(value, float) and value.is_integer() and abs(value) < _EXACT
    return int(value) if whole else value
