"""Which values answer a question for a boolean, a string, an integer, a float or an object."""

from typing import Any, Final

import msgspec

from rheostat.model.evaluation import CODE_DEFAULT
from rheostat.model.flag import FlagType

MISMATCH: Final = object()
"""Stands for "this value is of another type"."""


def type_of(value: object) -> FlagType | None:
    """Return the flag type that a default asks for; ``None`` for one that asks for no type (``None``).

    Raises:
        TypeError: no flag has values of this type.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return FlagType.BOOLEAN
    if isinstance(value, str):
        return FlagType.STRING
    if isinstance(value, int):
        return FlagType.INTEGER
    if isinstance(value, float):
        return FlagType.FLOAT
    if isinstance(value, (dict, list)):
        return FlagType.OBJECT
    raise TypeError(f"no flag has values of type {type(value).__name__}")


def as_type(value: Any, wanted: FlagType | None) -> Any:
    """Return the value as the type asked for, or ``MISMATCH``.

    An integer answers a question for a float, as OpenFeature's numbers do; a float never one for an integer,
    nor a boolean one for a number. Objects are copies, so that changing one changes no later answer.
    """
    kind = type(value)
    match wanted:
        case FlagType.BOOLEAN:
            fits = kind is bool
        case FlagType.STRING:
            fits = kind is str
        case FlagType.INTEGER:
            fits = kind is int
        case FlagType.FLOAT:
            return _as_float(value) if kind is int or kind is float else MISMATCH
        case FlagType.OBJECT:
            fits = kind is dict or kind is list
        case None:
            fits = value is not CODE_DEFAULT
    if not fits:
        return MISMATCH
    return msgspec.to_builtins(value) if kind is dict or kind is list else value


def fits(default: Any, wanted: FlagType) -> bool:
    """Return whether a default may stand for a value of this type, as ``as_type`` says of values.

    A default of a type made of it is one too: an application's ``StrEnum`` is text. Nothing is copied.
    """
    try:
        kind = type_of(default)
    except TypeError:
        return False
    return kind is wanted or (kind is FlagType.INTEGER and wanted is FlagType.FLOAT)


def _as_float(value: int | float) -> Any:
    try:
        return float(value)
    except OverflowError:  # an integer that no double comes near
        return MISMATCH
