"""Conditions of an AnalysisTemplate: ``result[0] >= 0.95``, ``isNaN(result[0]) || result[0] < 5``. Pure.

A part of the expressions that Argo Rollouts takes: comparisons of the result with numbers, put together with and, or,
not and parentheses. What a query returned is a list; ``result`` alone is a number only where a scalar was returned.
"""

import functools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

import msgspec

from rheostat_server.ramps.counting import Bounds

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_FLIPPED: Final[dict[str, str]] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_NEGATED: Final[dict[str, str]] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_WORD: Final = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<op>&&|\|\||<=|>=|==|!=|[<>!()\[\]\-]))"
)
_MOST: Final = 1_000
_DEEPEST: Final = 40
_FORM: Final = "such as result[0] >= 0.95, also with && and ||, isNaN(result[0]) or len(result) == 0"


class ConditionError(ValueError):
    """A condition that is not read. ``hint`` says what is."""

    hint = _FORM


class Value(msgspec.Struct, frozen=True):
    """What is compared: ``result[index]``; ``result`` itself without an index; or ``len(result)``."""

    index: int | None = None
    length: bool = False


class Compare(msgspec.Struct, frozen=True):
    """A value against a number."""

    value: Value
    op: str
    number: float


class NotANumber(msgspec.Struct, frozen=True):
    """``isNaN`` of a value, or ``isInf``."""

    value: Value
    infinite: bool = False


class Not(msgspec.Struct, frozen=True):
    """The contrary."""

    one: "Condition"


class Both(msgspec.Struct, frozen=True):
    """All of them, from left to right."""

    each: tuple["Condition", ...]


class Either(msgspec.Struct, frozen=True):
    """One of them, from left to right."""

    each: tuple["Condition", ...]


Condition: TypeAlias = Compare | NotANumber | Not | Both | Either


@functools.lru_cache(maxsize=256)
def condition_of(text: str) -> Condition:
    """Return the condition that the text is.

    Raises:
        ConditionError: it is none that is read here.
    """
    if len(text) > _MOST:
        raise ConditionError("a condition has at most 1000 characters")
    return _Reader(text).read()


def holds(condition: Condition, result: Sequence[float], *, scalar: bool = False) -> bool | None:
    """Return whether the condition is true of what a query returned; ``None`` where it cannot be asked of it."""
    match condition:
        case Not(one=one):
            inner = holds(one, result, scalar=scalar)
            return None if inner is None else not inner
        case Both(each=each) | Either(each=each):
            ends = isinstance(condition, Either)
            for one in each:
                # The rest is not looked at once it is decided: `len(result) == 0 || result[0] < 5`.
                found = holds(one, result, scalar=scalar)
                if found is None or found is ends:
                    return found
            return not ends
        case NotANumber(value=value, infinite=infinite):
            number = _number(value, result, scalar)
            return None if number is None else math.isinf(number) if infinite else math.isnan(number)
        case _:
            number = _number(condition.value, result, scalar)
            return None if number is None else _COMPARE[condition.op](number, condition.number)


def bounds_of(condition: Condition, *, negate: bool = False) -> Bounds | None:
    """Return the values that fulfil the condition (``negate``: that do not), if they are one range.

    What is asked of an empty result, or of one that is no number, is passed over: it is no value.
    """
    match condition:
        case Not(one=one):
            return bounds_of(one, negate=not negate)
        case Both(each=each) | Either(each=each):
            every = [one for one in each if not _of_nothing(one)]
            if isinstance(condition, Either) is negate or len(every) == 1:
                return _within(bounds_of(one, negate=negate) for one in every)
            return None
        case Compare(value=Value(length=False), op=op, number=number):
            op = _NEGATED[op] if negate else op
            if op in {">", ">="}:
                return Bounds(least=number)
            return Bounds(most=number) if op in {"<", "<="} else None
        case _:
            return None


def _of_nothing(condition: Condition) -> bool:
    match condition:
        case Not(one=one):
            return _of_nothing(one)
        case NotANumber():
            return True
        case Compare(value=value):
            return value.length
        case _:
            return False


def _within(every: Iterable[Bounds | None]) -> Bounds | None:
    least: float | None = None
    most: float | None = None
    for one in every:
        if one is None:
            return None
        if one.least is not None:
            least = one.least if least is None else max(least, one.least)
        if one.most is not None:
            most = one.most if most is None else min(most, one.most)
    return Bounds(least=least, most=most)


def _number(value: Value, result: Sequence[float], scalar: bool) -> float | None:
    if value.length:
        return None if scalar else float(len(result))
    if (value.index is None) is not scalar:
        return None
    index = value.index or 0
    return result[index] if index < len(result) else None


class _Reader:
    """Reads one condition, from left to right: `not` binds closest, then `and`, then `or`."""

    def __init__(self, text: str) -> None:
        self._words: list[str] = []
        at = 0
        while text[at:].strip():
            found = _WORD.match(text, at)
            if found is None:
                raise ConditionError(f"{text[at:].strip()[:20]!r} is not understood")
            self._words.append({"and": "&&", "or": "||", "not": "!"}.get(found[0].strip(), found[0].strip()))
            at = found.end()
        self._at = 0
        self._depth = 0

    def read(self) -> Condition:
        found = self._either()
        if self._next() is not None:
            raise ConditionError(f"{self._next()!r} is one too many")
        return found

    def _next(self) -> str | None:
        return self._words[self._at] if self._at < len(self._words) else None

    def _take(self, wanted: str | None = None) -> str:
        word = self._next()
        if word is None or (wanted is not None and word != wanted):
            raise ConditionError(f"{wanted or 'a value'} is missing" + ("" if word is None else f" before {word!r}"))
        self._at += 1
        return word

    def _took(self, word: str) -> bool:
        if self._next() != word:
            return False
        self._at += 1
        return True

    def _either(self) -> Condition:
        each = [self._both()]
        while self._took("||"):
            each.append(self._both())
        return each[0] if len(each) == 1 else Either(tuple(each))

    def _both(self) -> Condition:
        each = [self._one()]
        while self._took("&&"):
            each.append(self._one())
        return each[0] if len(each) == 1 else Both(tuple(each))

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ConditionError("this is nested too deeply")
        try:
            if self._took("!"):
                return Not(self._one())
            if self._took("("):
                inner = self._either()
                self._take(")")
                return inner
            if self._next() in {"isNaN", "isInf"}:
                infinite = self._take() == "isInf"
                self._take("(")
                value = self._value()
                self._take(")")
                return NotANumber(value, infinite)
            return self._compare()
        finally:
            self._depth -= 1

    def _compare(self) -> Condition:
        left, op = self._side(), self._take()
        if op not in _COMPARE:
            raise ConditionError(f"{op!r} compares nothing")
        right = self._side()
        if isinstance(left, Value) and isinstance(right, float):
            return Compare(left, op, right)
        if isinstance(left, float) and isinstance(right, Value):
            return Compare(right, _FLIPPED[op], left)
        raise ConditionError("the result is compared with a number")

    def _side(self) -> Value | float:
        word = self._next()
        if word == "-" or (word is not None and word[0] in "0123456789."):
            sign = -1.0 if self._took("-") else 1.0
            try:
                return sign * float(self._take())
            except ValueError as error:
                raise ConditionError("- is not before a number") from error
        return self._value()

    def _value(self) -> Value:
        word = self._take()
        if word == "len":
            self._take("(")
            self._take("result")
            self._take(")")
            return Value(length=True)
        if word in {"asFloat", "float"}:
            self._take("(")
            value = self._value()
            self._take(")")
            return value
        if word != "result":
            raise ConditionError(f"{word!r} is not known here")
        if not self._took("["):
            return Value()
        index = self._take()
        if not index.isdigit() or len(index) > 4:
            raise ConditionError(f"result[{index}] is no place in a list")
        self._take("]")
        return Value(index=int(index))
