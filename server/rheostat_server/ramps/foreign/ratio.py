"""Queries that are a share of requests: ``sum(rate(bad)) / sum(rate(all)) * 100`` and the like. Pure.

A guardrail reads two counters sample by sample and judges them by their sizes, not a quotient that somebody else
formed over a window. So of a quotient its two sums are wanted, and what its value means to the share.
"""

from typing import Final

import msgspec
import promql_parser as parser

from rheostat_server.ramps.promql import Matcher, PromqlError, Selector, parsed, selector_of

_WINDOWED: Final = frozenset(("rate", "irate", "increase"))
_HINT: Final = "a share is sum(rate(bad[1m])) / sum(rate(all[1m])), also times 100 or taken from 1 or 100"
_TREATED: Final = Matcher("arm", "=", "treatment")


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A query whose value is ``scale`` · part / whole + ``offset``; both are sums of counters, as PromQL.

    ``armed``: every selector asked for ``arm="treatment"``; the condition is taken out, for a guardrail compares.
    """

    part: str
    whole: str
    part_of_whole: str
    """The whole less the part."""
    scale: float = 1.0
    offset: float = 0.0
    armed: bool = False


class _Sum(msgspec.Struct, frozen=True):
    plus: tuple[Selector, ...]
    minus: tuple[Selector, ...] = ()

    def __str__(self) -> str:
        first, *others = [f"sum({one})" for one in self.plus]
        return "".join((first, *(f" + {one}" for one in others), *(f" - sum({one})" for one in self.minus)))

    def less(self, other: "_Sum") -> "_Sum":
        return _Sum((*self.plus, *other.minus), (*self.minus, *other.plus))


def share_of(text: str) -> Share:
    """Return the share that a query is.

    Raises:
        PromqlError: it does not parse, or is no share of two sums of counters.
    """
    part, whole, scale, offset = _linear(parsed(text))
    selectors = (*part.plus, *part.minus, *whole.plus, *whole.minus)
    armed = all(_TREATED in one.matchers for one in selectors)
    if armed:
        part, whole = _without_arm(part), _without_arm(whole)
    return Share(
        part=str(part),
        whole=str(whole),
        part_of_whole=str(whole.less(part)),
        scale=scale,
        offset=offset,
        armed=armed,
    )


def _linear(found: parser.Expr) -> tuple[_Sum, _Sum, float, float]:
    match found:
        case parser.ParenExpr():
            return _linear(found.expr)
        case parser.BinaryExpr() if str(found.op) in {"*", "+", "-", "/"}:
            op, left, right = str(found.op), _number(found.lhs), _number(found.rhs)
            if left is None and right is None:
                if op != "/":
                    raise PromqlError(f"{op} between two queries is no share", _HINT)
                return _sum(found.lhs), _sum(found.rhs), 1.0, 0.0
            if left is not None and right is not None:
                raise PromqlError("this is a number", _HINT)
            return _scaled(op, found, left, right)
        case _:
            raise PromqlError("this is no share of two sums", _HINT)


def _scaled(
    op: str, found: parser.BinaryExpr, left: float | None, right: float | None
) -> tuple[_Sum, _Sum, float, float]:
    part, whole, scale, offset = _linear(found.rhs if right is None else found.lhs)
    number = right if left is None else left
    assert number is not None
    if op == "*":
        return part, whole, scale * number, offset * number
    if op == "+":
        return part, whole, scale, offset + number
    if op == "/":
        if left is not None or number == 0:
            raise PromqlError("a number divided by a share is none", _HINT)
        return part, whole, scale / number, offset / number
    if left is None:
        return part, whole, scale, offset - number
    return part, whole, -scale, number - offset


def _sum(found: parser.Expr) -> _Sum:
    match found:
        case parser.ParenExpr():
            return _sum(found.expr)
        case parser.BinaryExpr() if str(found.op) == "or" and _is_zero(found.rhs):
            # What selects nothing has counted nothing.
            return _sum(found.lhs)
        case parser.BinaryExpr() if str(found.op) in {"+", "-"}:
            left, right = _sum(found.lhs), _sum(found.rhs)
            if str(found.op) == "-":
                return left.less(right)
            return _Sum((*left.plus, *right.plus), (*left.minus, *right.minus))
        case parser.AggregateExpr() if str(found.op) == "sum":
            if found.modifier is not None:
                raise PromqlError(f"sum {found.modifier} returns many shares", "leave the grouping out")
            return _Sum((_counter(found.expr),))
        case _:
            raise PromqlError("this is no sum of counters", _HINT)


def _counter(found: parser.Expr) -> Selector:
    match found:
        case parser.ParenExpr():
            return _counter(found.expr)
        case parser.VectorSelector():
            return selector_of(found)
        case parser.Call() if found.func.name in _WINDOWED and isinstance(found.args[0], parser.MatrixSelector):
            return selector_of(found.args[0].vector_selector)
        case _:
            raise PromqlError("sum() is not of a counter's rate", _HINT)


def _is_zero(found: parser.Expr) -> bool:
    return isinstance(found, parser.Call) and found.func.name == "vector" and _number(found.args[0]) == 0


def _number(found: parser.Expr) -> float | None:
    while isinstance(found, parser.ParenExpr):
        found = found.expr
    return float(found.val) if isinstance(found, parser.NumberLiteral) else None


def _without_arm(one: _Sum) -> _Sum:
    def bare(selectors: tuple[Selector, ...]) -> tuple[Selector, ...]:
        return tuple(Selector(each.name, tuple(m for m in each.matchers if m != _TREATED)) for each in selectors)

    return _Sum(bare(one.plus), bare(one.minus))
