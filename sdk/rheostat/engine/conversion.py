"""What an attribute of a Python type means, where JSON has no such type. The table is in docs/reference/evaluation.md.

Nothing here is on the way of plain values: it is asked only once a test could make nothing of a value.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

SCALARS: Final = frozenset({str, int, float, bool, type(None)})
"""The types of JSON's plain values: they are what they are."""
_FARTHEST: Final = 400
"""The most digits before or after a Decimal's point: more could make one comparison take seconds."""

Remark = Callable[[str, type], None]
"""Told an attribute's name, and the type of a value of it that means nothing."""


class Strange(Exception):
    """The value means nothing, so that a clause on it is unknown."""


def unheard(attribute: str, kind: type) -> None:
    """Tell nobody."""
    del attribute, kind


def why_strange(kind: type) -> str:
    """Return what is wrong with a value of this type, as the end of "the attribute is …"."""
    if issubclass(kind, datetime):
        return f"a {kind.__name__} without a timezone"
    if issubclass(kind, Decimal):
        return f"a {kind.__name__} of too many digits"
    return f"of type {kind.__name__}, which means nothing to a flag"


def converted(value: Any) -> Any:
    """Return the value made of JSON's types (and of exact fractions, for decimals that no double spells).

    Raises:
        Strange: it means nothing.
    """
    if type(value) in SCALARS:
        return value
    if isinstance(value, Enum):
        return converted(value.value)
    if isinstance(value, (str, int, float, Fraction)):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [_item(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_item(item) for item in value), key=_text)
    if isinstance(value, Mapping):
        return {key: _item(item) for key, item in value.items()}
    raise Strange


def _item(value: Any) -> Any:
    """Return an item of a list or object converted; inner lists and objects, and what means nothing, as they are."""
    if isinstance(value, (list, tuple, set, frozenset, Mapping)):
        return value
    try:
        return converted(value)
    except Strange:
        return value


def _text(value: object) -> str:
    # Sets have no order of their own, and only sets of text are worth comparing with lists.
    return value if isinstance(value, str) else ""


def _number(value: Decimal) -> int | float | Fraction:
    """Return an integer, the double that is written so, or else the exact fraction."""
    if value.is_nan():
        return float("nan")
    if value.is_infinite():
        return float("inf") if value > 0 else float("-inf")
    exponent = value.as_tuple().exponent
    if abs(value.adjusted()) > _FARTHEST or abs(int(exponent)) > _FARTHEST:
        raise Strange
    whole = int(value)
    if whole == value:
        return whole
    nearest = float(value)
    return nearest if Decimal(repr(nearest)) == value else Fraction(value)


def _moment(value: datetime) -> str:
    if value.utcoffset() is None:
        raise Strange
    try:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:  # within a day of the years 1 or 9999
        raise Strange from None
