"""What each operator says of one attribute value: true, false or unknown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from math import isnan
from operator import eq, ge, gt, le, lt
from typing import Any, Final

from rheostat.engine.equality import Equality
from rheostat.engine.matcher import Matches, PatternError, matcher
from rheostat.engine.networks import address, holds, network
from rheostat.engine.semver import version_key
from rheostat.model.flag import Operator
from rheostat.model.moment import moment_ns

Test = Callable[[Any], bool | None]
"""Judges a value that is there (never ``None``)."""
_Order = Callable[[Any, Any], bool]


VERSION_ORDERS: Final[Mapping[Operator, _Order]] = {
    Operator.SEMVER_EQ: eq,
    Operator.SEMVER_LT: lt,
    Operator.SEMVER_LE: le,
    Operator.SEMVER_GT: gt,
    Operator.SEMVER_GE: ge,
}
"""How the operators on versions compare the context's with the clause's."""


def compile_test(operator: Operator, values: Sequence[Any]) -> Test:
    """Return the test of a clause. Values of a type that the operator cannot use make it unknown, never true.

    ``in`` and ``equals`` are false on a value of another type. All others are unknown on another type
    and on what does not parse, so that ``not`` cannot turn nonsense into a match. All are unknown on a type that
    JSON does not have.
    """
    return _COMPILERS[operator](values)


def _in(values: Sequence[Any]) -> Test:
    return Equality(values).holds


def _not_in(values: Sequence[Any]) -> Test:
    found = Equality(values).holds

    def test(value: Any) -> bool | None:
        truth = found(value)
        return None if truth is None else not truth

    return test


def _contains(values: Sequence[Any]) -> Test:
    texts = _texts(values)
    return lambda value: any(text in value for text in texts) if isinstance(value, str) else None


def _starts_with(values: Sequence[Any]) -> Test:
    texts = _texts(values)
    return lambda value: value.startswith(texts) if isinstance(value, str) else None


def _ends_with(values: Sequence[Any]) -> Test:
    texts = _texts(values)
    return lambda value: value.endswith(texts) if isinstance(value, str) else None


def _matches(values: Sequence[Any]) -> Test:
    """True if a pattern matches, else unknown if one cannot be read, else false."""
    searches: list[Matches] = []
    for pattern in values:
        # One that validation would have refused. Merely left out, it would let ``not`` match.
        with suppress(PatternError):
            searches += [matcher(pattern)] if isinstance(pattern, str) else []
    otherwise = False if searches and len(searches) == len(values) else None

    def test(value: Any) -> bool | None:
        if not isinstance(value, str):
            return None
        for search in searches:
            if search(value):
                return True
        return otherwise

    return test


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str))


def _exists(values: Sequence[Any]) -> Test:
    del values
    return lambda _: True


def number(value: object) -> int | float | Fraction | None:
    """Return the value if it is a number; booleans and NaN are not."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Fraction)):
        return None
    return None if isinstance(value, float) and isnan(value) else value


def _ordered(parse: Callable[[Any], Any], order: _Order) -> Callable[[Sequence[Any]], Test]:
    def compiler(values: Sequence[Any]) -> Test:
        bound = parse(values[0]) if len(values) == 1 else None

        def test(value: Any) -> bool | None:
            found = parse(value)
            return None if found is None or bound is None else order(found, bound)

        return test

    return compiler


def _in_cidr(values: Sequence[Any]) -> Test:
    blocks = [block for block in map(network, values) if block is not None]

    def test(value: Any) -> bool | None:
        found = address(value)
        return None if found is None or not blocks else holds(blocks, found)

    return test


def _any_of(values: Sequence[Any]) -> Test:
    found = Equality(values).holds
    return lambda value: _some(map(found, value)) if isinstance(value, _LISTS) else None


def _all_of(values: Sequence[Any]) -> Test:
    wanted = [Equality([value]).holds for value in values]

    def test(value: Any) -> bool | None:
        if not isinstance(value, _LISTS):
            return None
        truths = [_some(map(equal, value)) for equal in wanted]
        return False if False in truths else None if None in truths else True

    return test


def _some(truths: Iterable[bool | None]) -> bool | None:
    """Return true if one is true, else unknown if one is unknown, else false."""
    result: bool | None = False
    for truth in truths:
        if truth:
            return True
        if truth is None:
            result = None
    return result


_LISTS = (list, tuple, set, frozenset)
_COMPILERS: dict[Operator, Callable[[Sequence[Any]], Test]] = {
    Operator.IN: _in,
    Operator.NOT_IN: _not_in,
    Operator.EQUALS: _in,
    Operator.CONTAINS: _contains,
    Operator.STARTS_WITH: _starts_with,
    Operator.ENDS_WITH: _ends_with,
    Operator.MATCHES: _matches,
    Operator.EXISTS: _exists,
    Operator.LT: _ordered(number, lt),
    Operator.LE: _ordered(number, le),
    Operator.GT: _ordered(number, gt),
    Operator.GE: _ordered(number, ge),
    Operator.BEFORE: _ordered(moment_ns, lt),
    Operator.AFTER: _ordered(moment_ns, gt),
    **{operator: _ordered(version_key, order) for operator, order in VERSION_ORDERS.items()},
    Operator.IN_CIDR: _in_cidr,
    Operator.ANY_OF: _any_of,
    Operator.ALL_OF: _all_of,
}
