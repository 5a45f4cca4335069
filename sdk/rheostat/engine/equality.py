"""Equality without conversions: ``"1"`` is not 1, 1 is not true, 1 is 1.0."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from rheostat.engine.conversion import converted


def strictly_equal(one: Any, other: Any) -> bool:
    """Return whether two values are of one kind and equal; lists and objects are compared item by item."""
    if isinstance(one, bool) or isinstance(other, bool):
        return isinstance(one, bool) and isinstance(other, bool) and one == other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(strictly_equal, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(strictly_equal(value, other[key]) for key, value in one.items())
    return one is None and other is None


class Equality:
    """Whether a value strictly equals one of some values: by hash for the common kinds."""

    __slots__ = ("_booleans", "_numbers", "_others", "_texts")

    def __init__(self, values: Iterable[Any]) -> None:
        texts: set[str] = set()
        booleans: set[bool] = set()
        numbers: set[int | float] = set()
        others: list[Any] = []
        for value in values:
            if isinstance(value, str):
                texts.add(value)
            elif isinstance(value, bool):
                booleans.add(value)
            elif isinstance(value, (int, float)):
                numbers.add(value)
            else:
                others.append(value)
        self._texts = frozenset(texts)
        self._booleans = frozenset(booleans)
        self._numbers = frozenset(numbers)
        self._others = others

    def holds(self, value: Any) -> bool | None:
        """Return whether one of the values equals this one; ``None`` for a value that is of none of JSON's types."""
        if isinstance(value, str):
            return value in self._texts
        if isinstance(value, bool):
            return value in self._booleans
        if isinstance(value, (int, float)):
            return value in self._numbers
        if value is None or isinstance(value, (list, tuple, Mapping)):
            if not self._others:
                return False
            plain = converted(value)
            return any(strictly_equal(plain, other) for other in self._others)
        return value in self._numbers if isinstance(value, Fraction) else None
