"""Which raw counters a PromQL query means. Pure.

A guardrail's query is read by its counters' samples, each used once. So it has to be a sum of counters: a selector, or
sums of selectors added and taken away. A ``rate`` or ``increase`` over a window would count each request once a
reading for as long as the window is.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import promql_parser as parser

MOST_NESTED: Final = 50
MOST_SELECTORS: Final = 20
_WINDOWED: Final = frozenset(("rate", "irate", "increase", "delta", "idelta", "xrate", "xincrease"))
_NAMED: Final = re.compile(r"\$(project|environment|flag|ramp)\b")
_REGEX: Final = frozenset(("=~", "!~"))
_CLOSES: Final = {"(": ")", "[": "]", "{": "}"}
_FORM: Final = 'give counters: requests_total{code=~"5.."}, sum(a_total), or sum(a_total) - sum(b_total)'
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")


class PromqlError(ValueError):
    """A query that cannot be read. ``hint`` says what would do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Matcher(msgspec.Struct, frozen=True, order=True):
    """One condition on a label; ``op`` is ``=``, ``!=``, ``=~`` or ``!~``."""

    label: str
    op: str
    value: str

    def __str__(self) -> str:
        plain = _PLAIN_NAME.fullmatch(self.label)
        return f"{self.label if plain else quoted(self.label)}{self.op}{quoted(self.value)}"


class Selector(msgspec.Struct, frozen=True, order=True):
    """Which series: a metric's name, unless a matcher says it, and conditions on labels."""

    name: str | None
    matchers: tuple[Matcher, ...] = ()

    def __str__(self) -> str:
        matchers, name = self.matchers, self.name or ""
        if name and not _PLAIN_NAME.fullmatch(name):
            matchers, name = (Matcher("__name__", "=", name), *matchers), ""
        inner = ",".join(map(str, matchers))
        return f"{name}{{{inner}}}" if inner or not name else name

    def with_matchers(self, *more: Matcher) -> "Selector":
        """Return the selector with further conditions."""
        return Selector(self.name, (*self.matchers, *more))


class Counters(msgspec.Struct, frozen=True):
    """A sum of counters: what ``plus`` selects, less what ``minus`` selects."""

    plus: tuple[Selector, ...]
    minus: tuple[Selector, ...] = ()


def counters_of(text: str) -> Counters:
    """Return the counters whose sum a query is.

    ``sum``, ``sum by`` and parentheses around selectors change nothing, for each series is read by itself.

    Raises:
        PromqlError: it does not parse, or it is no sum of counters; the message says where, the hint what would do.
    """
    plus: list[Selector] = []
    minus: list[Selector] = []
    _collect(parsed(text), plus, minus, summed=False)
    if len(plus) + len(minus) > MOST_SELECTORS:
        raise PromqlError(f"a query has at most {MOST_SELECTORS} selectors", 'select more at once: {__name__=~"a|b"}')
    return Counters(tuple(plus), tuple(minus))


def matchers_of(text: str) -> tuple[Matcher, ...]:
    """Return the conditions of ``a="b", c=~"d"``, with or without braces.

    Raises:
        PromqlError: it is no list of conditions.
    """
    inner = text.strip().removeprefix("{").removesuffix("}").strip().removesuffix(",")
    if not inner:
        return ()
    try:
        found = parsed(f"x{{{inner}}}")
    except PromqlError as error:
        raise PromqlError(str(error), 'such as: namespace="shop", workload=~"checkout.*"') from error
    if not isinstance(found, parser.VectorSelector):
        raise PromqlError("this is no list of label conditions", 'such as: namespace="shop"')
    return selector_of(found).matchers


def filled_in(selector: Selector, values: dict[str, str]) -> Selector:
    """Return the selector with ``$project``, ``$environment``, ``$flag``, ``$ramp`` replaced where they are known."""

    def fill(matcher: Matcher) -> Matcher:
        def value(found: re.Match[str]) -> str:
            known = values.get(found[1])
            if known is None:
                return found[0]
            return literally(known) if matcher.op in _REGEX else known

        return Matcher(matcher.label, matcher.op, _NAMED.sub(value, matcher.value))

    return Selector(selector.name, tuple(map(fill, selector.matchers)))


def of_any_ramp(selector: Selector) -> Selector:
    """Return the selector without its conditions on ``$ramp``, which is not known before the start."""
    return Selector(selector.name, tuple(one for one in selector.matchers if not re.search(r"\$ramp\b", one.value)))


def each_selector(counters: Counters, change: Callable[[Selector], Selector]) -> Counters:
    """Return the counters with each selector changed."""
    return Counters(tuple(map(change, counters.plus)), tuple(map(change, counters.minus)))


def quoted(text: str) -> str:
    """Return text as a PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def any_of(label: str, values: Iterable[str]) -> Matcher:
    """Return the condition that a label has one of these values."""
    every = sorted(set(values))
    if len(every) == 1:
        return Matcher(label, "=", every[0])
    return Matcher(label, "=~", "|".join(map(literally, every)))


def literally(text: str) -> str:
    """Return the regular expression that is this text alone."""
    return re.sub(r"([^A-Za-z0-9_\x80-\U0010ffff-])", r"\\\1", text)


def parsed(text: str) -> parser.Expr:
    """Return a query's tree.

    Raises:
        PromqlError: it does not parse; the message says where, the hint what would do.
    """
    at = _unclosed(text)
    if at is not None:
        raise PromqlError(
            f"column {at + 1}: {text[at]} is not closed", f"close it with {_CLOSES.get(text[at], text[at])}"
        )
    try:
        return parser.parse(text)
    except ValueError as error:
        said = str(error)
        raise PromqlError(f"{_place(text, said)}{said}", _syntax_hint(text, said)) from error


def _collect(found: parser.Expr, plus: list[Selector], minus: list[Selector], *, summed: bool) -> None:
    match found:
        case parser.ParenExpr():
            _collect(found.expr, plus, minus, summed=summed)
        case parser.VectorSelector():
            plus.append(selector_of(found))
        case parser.AggregateExpr() if str(found.op) == "sum":
            _collect(found.expr, plus, minus, summed=True)
        case parser.AggregateExpr():
            raise PromqlError(f"{found.op}() is no sum of counters", "write sum(…), or the selector alone")
        case parser.BinaryExpr() if str(found.op) in {"+", "-"}:
            for side in (found.lhs, found.rhs):
                if not summed and not _is_sum(side):
                    raise PromqlError(
                        f"{found.op} between selectors joins series by their labels, and what finds no partner is lost",
                        f"write sum(…) {found.op} sum(…)",
                    )
            if summed:
                raise PromqlError(f"{found.op} inside of sum() joins series", f"write sum(…) {found.op} sum(…)")
            _collect(found.lhs, plus, minus, summed=False)
            subtract = str(found.op) == "-"
            _collect(found.rhs, *((minus, plus) if subtract else (plus, minus)), summed=False)
        case parser.Call() if found.func.name in _WINDOWED:
            raise PromqlError(
                f"{found.func.name}() counts over a window, and each request would count again in each reading",
                _without_window(found),
            )
        case parser.MatrixSelector() | parser.SubqueryExpr():
            raise PromqlError("a range is not wanted: samples are read as they come", "leave out the […]")
        case parser.Call():
            raise PromqlError(f"{found.func.name}() is no counter", _FORM)
        case _:
            raise PromqlError("this is no sum of counters", _FORM)


def _is_sum(found: parser.Expr) -> bool:
    while isinstance(found, parser.ParenExpr):
        found = found.expr
    if isinstance(found, parser.BinaryExpr):
        return _is_sum(found.lhs) and _is_sum(found.rhs)
    return isinstance(found, parser.AggregateExpr)


def selector_of(found: parser.VectorSelector) -> Selector:
    """Return what a selector of a query's tree selects.

    Raises:
        PromqlError: it reads another time than now, or joins conditions by ``or``.
    """
    if found.offset is not None or found.at is not None:
        raise PromqlError("offset and @ read another time than now", "leave them out")
    if found.matchers.or_matchers:
        raise PromqlError("`or` between conditions is not read", 'write a regular expression: code=~"500|503"')
    matchers = []
    name = found.name
    for one in found.matchers.matchers:
        matcher = Matcher(one.name, _OPS[str(one.op)], one.value)
        if matcher.label == "__name__" and matcher.op == "=":
            name = matcher.value
        else:
            matchers.append(matcher)
    return Selector(name, tuple(matchers))


_OPS: Final = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


def _without_window(call: parser.Call) -> str:
    [argument] = call.args
    if isinstance(argument, parser.MatrixSelector):
        try:
            return f"give the counter itself: {selector_of(argument.vector_selector)}"
        except PromqlError:
            pass
    return "give the counter itself"


def _unclosed(text: str) -> int | None:
    """Return where a bracket or quote is not closed.

    Raises:
        PromqlError: a bracket closes nothing, or they are nested too deep for the parser, which recurses.
    """
    pairs = {close: begin for begin, close in _CLOSES.items()}
    open_at: list[int] = []
    index, length = 0, len(text)
    while index < length:
        letter = text[index]
        if letter in "\"'`":
            begin = index
            index += 1
            while index < length and text[index] != letter:
                index += 2 if text[index] == "\\" and letter != "`" else 1
            if index >= length:
                return begin
        elif letter == "#":
            index = text.find("\n", index)
            if index < 0:
                break
        elif letter in "([{":
            open_at.append(index)
            if len(open_at) > MOST_NESTED:
                raise PromqlError(f"column {index + 1}: brackets are nested deeper than {MOST_NESTED}", _FORM)
        elif letter in pairs:
            if not open_at or text[open_at[-1]] != pairs[letter]:
                raise PromqlError(f"column {index + 1}: {letter} closes nothing", "take it away, or open it before")
            open_at.pop()
        index += 1
    return open_at[-1] if open_at else None


def _place(text: str, said: str) -> str:
    """Return where the parser's message points, as far as it can be told: it names no place itself."""
    found = re.search(r"'(.+)'", said)
    word = found[1] if found else said.rpartition(" ")[2]
    at = text.find(word) if word else -1
    return f"column {at + 1}: " if at >= 0 else ""


def _syntax_hint(text: str, said: str) -> str:
    if "$" in said or "$__" in text:
        return "$project, $environment, $flag and $ramp stand within quotes; dashboard variables are not known"
    if "unexpected character inside braces" in said:
        return 'a value stands in quotes: {code="500"}'
    if "illegal regex" in said:
        return "regular expressions are RE2's, over the whole value"
    return _FORM
