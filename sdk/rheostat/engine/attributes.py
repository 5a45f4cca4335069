"""How a clause reads an attribute, and how a rollout reads its unit."""

from collections.abc import Callable, Mapping
from typing import Any

from rheostat.engine.conversion import Remark, Strange, converted
from rheostat.model.context import TARGETING_KEY, Context

Reader = Callable[[Context], Any]
"""Gives an attribute's value; ``None`` where it is missing (null counts as missing)."""
UnitReader = Callable[[Context], str | None]
"""Gives the text that a unit is hashed by; ``None`` where there is none."""


def is_plain(name: str) -> bool:
    """Return whether the name is that of one attribute: neither ``targetingKey`` nor possibly a path."""
    return name != TARGETING_KEY and "." not in name


def reader(name: str) -> Reader:
    """Return what reads this attribute.

    ``targetingKey`` is the targeting key. A name with dots is looked up as it is first, and then as a
    path into nested objects: ``user.plan`` finds ``{"user": {"plan": "pro"}}``.
    """
    if name == TARGETING_KEY:
        return _targeting_key
    if "." not in name:
        return lambda context: context.attributes.get(name)
    first, *rest = name.split(".")

    def nested(context: Context) -> Any:
        value = context.attributes.get(name)
        if value is not None:
            return value
        value = context.attributes.get(first)
        for part in rest:
            if not isinstance(value, Mapping):
                return None
            value = value.get(part)
        return value

    return nested


def unit_reader(name: str) -> UnitReader:
    """Return what reads the unit that this attribute (or ``targetingKey``) names."""
    if name == TARGETING_KEY:
        return _targeting_key
    read = reader(name)
    return lambda context: unit_of(read(context))


def unit_of(value: object) -> str | None:
    """Return the text that a value is hashed by; ``None`` where a value of its type cannot be a unit.

    Integers become decimal text, a whole float the text of its integer, other types what they convert to.
    """
    if type(value) is str:
        return value
    try:
        plain = converted(value)
    except Strange:
        return None
    if isinstance(plain, str):
        return str.__str__(plain)
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    if isinstance(plain, bool) or not isinstance(plain, int):
        return None
    try:
        return int.__repr__(plain)
    except ValueError:  # Python refuses to write integers of thousands of digits
        return None


def unit_remark(name: str) -> Callable[[Context, Remark], None]:
    """Return what tells of a context's value of this attribute if it is there, but of a type that means nothing."""
    read, tell_of_path = reader(name), path_remark(name)

    def tell(context: Context, remark: Remark) -> None:
        value = read(context)
        if value is None:
            tell_of_path(context, remark)
        else:
            tell_if_strange(name, value, remark)

    return tell


def path_remark(name: str) -> Callable[[Context, Remark], None]:
    """Return what tells of an object on the way to a nested attribute that cannot be looked into.

    ``user.plan`` of ``{"user": Account(…)}`` is missing, and nobody would see why.
    """
    first, *rest = name.split(".")

    def tell(context: Context, remark: Remark) -> None:
        value, path = context.attributes.get(first), first
        for part in rest:
            if not isinstance(value, Mapping):
                tell_if_strange(path, value, remark)
                return
            value, path = value.get(part), f"{path}.{part}"

    return tell


def tell_if_strange(name: str, value: object, remark: Remark) -> None:
    """Tell of a value that means nothing."""
    try:
        converted(value)
    except Strange:
        remark(name, type(value))


def _targeting_key(context: Context) -> str | None:
    return context.targeting_key
