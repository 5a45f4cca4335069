"""Whether a condition holds for a context: true, false or unknown (Kleene's three values).

A clause on a missing attribute is unknown, and so is what depends on it. A rule matches only on true,
so an exclusion never lets through a context of which nothing is known.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from rheostat.engine.attributes import is_plain, path_remark, reader, tell_if_strange, unit_reader, unit_remark
from rheostat.engine.conversion import SCALARS, Remark, Strange, converted
from rheostat.engine.operators import VERSION_ORDERS, Test, compile_test
from rheostat.engine.semver import LONGEST, parsed, version_key
from rheostat.model.context import Context
from rheostat.model.flag import Condition, Operator, Segment


class Segments(Protocol):
    """Where a condition finds the segments that it names, so that it outlives their edits."""

    @property
    def segments(self) -> Mapping[str, "CompiledCondition"]: ...

    @property
    def strange(self) -> Remark:
        """Told of attributes whose type means nothing."""
        ...


CompiledCondition = Callable[[Context, Segments], bool | None]
"""Judges a context; ``None`` is unknown."""


def compile_condition(condition: Condition) -> CompiledCondition:
    """Return a function that judges contexts. A condition that says nothing is unknown."""
    if condition.operator is not None and condition.attribute is not None:
        return _clause(condition.attribute, condition.operator, condition.values)
    if condition.all is not None:
        return _all([compile_condition(part) for part in condition.all])
    if condition.any is not None:
        return _any([compile_condition(part) for part in condition.any])
    if condition.not_ is not None:
        return _not(compile_condition(condition.not_))
    if condition.segment is not None:
        return _segment(condition.segment)
    return unknown


def unknown(context: Context, segments: Segments) -> bool | None:
    """Return ``None``: nothing is known."""
    del context, segments
    return None


def _clause(attribute: str, operator: Operator, values: Sequence[object]) -> CompiledCondition:
    if operator is Operator.EXISTS:
        read = reader(attribute)
        return lambda context, _: read(context) is not None
    judge = _Judge(attribute, operator, values)
    if is_plain(attribute):
        return (
            _of_text(attribute, operator, values, judge)
            or _of_version(attribute, operator, values, judge)
            or _of_plain(attribute, judge.test(), judge)
        )
    judge.test()
    read, tell_of_path = reader(attribute), path_remark(attribute)

    def nested(context: Context, segments: Segments) -> bool | None:
        value = read(context)
        if value is None:
            tell_of_path(context, segments.strange)
            return None
        return judge(value, segments)

    return nested


class _Judge:
    """Judges a value (which may be ``None``) as it is, and by what it converts to if the test makes nothing of it.

    Its test is made when it is first needed: clauses on text hardly ever meet another type, and there are many.
    """

    __slots__ = ("_attribute", "_operator", "_test", "_values")

    def __init__(self, attribute: str, operator: Operator, values: Sequence[object]) -> None:
        self._attribute = attribute
        self._operator = operator
        self._values = values
        self._test: Test | None = None

    def test(self) -> Test:
        """Return the clause's test."""
        if self._test is None:
            self._test = compile_test(self._operator, self._values)
        return self._test

    def __call__(self, value: object, segments: Segments) -> bool | None:
        if value is None:
            return None
        test = self.test()
        truth = test(value)
        if truth is not None or type(value) in SCALARS:
            return truth
        try:
            plain = converted(value)
        except Strange:
            segments.strange(self._attribute, type(value))
            return None
        if plain is None:
            return None
        truth = test(plain)
        if truth is None and isinstance(plain, list):
            for item in plain:
                tell_if_strange(f"{self._attribute}[]", item, segments.strange)
        return truth


# Most clauses compare a plain attribute with texts. Written out, with no call in between, they take half the time.


def _of_text(attribute: str, operator: Operator, values: Sequence[object], judge: _Judge) -> CompiledCondition | None:
    """Return the clause for the operators of which text is judged by one expression; ``None`` for the others."""
    write = _WRITTEN.get(operator)
    if write is None:
        return None
    texts = tuple(value for value in values if isinstance(value, str))
    # The flag's own, where they are the same: there are many clauses.
    return write(attribute, values if isinstance(values, tuple) and values == texts else texts, judge)


def _among(attribute: str, texts: tuple[str, ...], judge: _Judge) -> CompiledCondition:
    known = frozenset(texts)

    def among(context: Context, segments: Segments) -> bool | None:
        value = context.attributes.get(attribute)
        return value in known if type(value) is str else judge(value, segments)

    return among


def _begins(attribute: str, texts: tuple[str, ...], judge: _Judge) -> CompiledCondition:
    def begins(context: Context, segments: Segments) -> bool | None:
        value = context.attributes.get(attribute)
        return value.startswith(texts) if type(value) is str else judge(value, segments)

    return begins


def _ends(attribute: str, texts: tuple[str, ...], judge: _Judge) -> CompiledCondition:
    def ends(context: Context, segments: Segments) -> bool | None:
        value = context.attributes.get(attribute)
        return value.endswith(texts) if type(value) is str else judge(value, segments)

    return ends


_WRITTEN: dict[Operator, Callable[[str, tuple[str, ...], _Judge], CompiledCondition]] = {
    Operator.IN: _among,
    Operator.EQUALS: _among,
    Operator.STARTS_WITH: _begins,
    Operator.ENDS_WITH: _ends,
}


def _of_version(
    attribute: str, operator: Operator, values: Sequence[object], judge: _Judge
) -> CompiledCondition | None:
    """Return the clause for the operators on versions, if it names one; ``None`` for all else."""
    order, bound = VERSION_ORDERS.get(operator), version_key(values[0]) if len(values) == 1 else None
    if order is None or bound is None:
        return None

    def compares(context: Context, segments: Segments) -> bool | None:
        value = context.attributes.get(attribute)
        if type(value) is not str or len(value) > LONGEST:
            return judge(value, segments)
        found = parsed(value)
        return None if found is None else order(found, bound)

    return compares


def _of_plain(attribute: str, test: Test, judge: _Judge) -> CompiledCondition:
    def plain(context: Context, segments: Segments) -> bool | None:
        value = context.attributes.get(attribute)
        if value is None:
            return None
        truth = test(value)
        return judge(value, segments) if truth is None else truth

    return plain


def _all(parts: list[CompiledCondition]) -> CompiledCondition:
    """False if one is false, else unknown if one is unknown, else true."""

    def every(context: Context, segments: Segments) -> bool | None:
        result: bool | None = True
        for part in parts:
            truth = part(context, segments)
            if truth is False:
                return False
            if truth is None:
                result = None
        return result

    return every


def _any(parts: list[CompiledCondition]) -> CompiledCondition:
    """True if one is true, else unknown if one is unknown, else false."""

    def some(context: Context, segments: Segments) -> bool | None:
        result: bool | None = False
        for part in parts:
            truth = part(context, segments)
            if truth:
                return True
            if truth is None:
                result = None
        return result

    return some


def _not(part: CompiledCondition) -> CompiledCondition:
    """The opposite; unknown stays unknown."""

    def opposite(context: Context, segments: Segments) -> bool | None:
        truth = part(context, segments)
        return None if truth is None else not truth

    return opposite


def _segment(key: str) -> CompiledCondition:
    return lambda context, segments: segments.segments.get(key, unknown)(context, segments)


def compile_segment(segment: Segment) -> CompiledCondition:
    """Return whether a context's unit is in the segment: excluded, then included, then all conditions.

    Unknown without a unit. A segment without conditions holds its included units only.
    """
    unit_of, strange_unit = unit_reader(segment.unit), unit_remark(segment.unit)
    excluded, included = frozenset(segment.excluded), frozenset(segment.included)
    rest = _all([compile_condition(part) for part in segment.conditions]) if segment.conditions else _nobody

    def member(context: Context, segments: Segments) -> bool | None:
        unit = unit_of(context)
        if unit is None:
            strange_unit(context, segments.strange)
            return None
        if unit in excluded:
            return False
        return unit in included or rest(context, segments)

    return member


def _nobody(context: Context, segments: Segments) -> bool | None:
    del context, segments
    return False


def compile_segments(segments: Iterable[Segment]) -> dict[str, CompiledCondition]:
    """Compile segments by key. Those that contain themselves, however far round, are unknown."""
    by_key = {segment.key: segment for segment in segments}
    compiled: dict[str, CompiledCondition] = {}
    named: dict[str, set[str]] = {}
    for key, segment in by_key.items():
        try:
            named[key] = {name for part in segment.conditions for name in names(part)}
            compiled[key] = compile_segment(segment)
        except RecursionError:  # conditions nested too deeply
            compiled[key] = unknown
    for key in _in_circles(named):
        compiled[key] = unknown
    return compiled


def _in_circles(named: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the keys from which a way leads back to themselves: Tarjan's strongly connected components.

    On a stack of its own, and each link is gone once: a hostile snapshot may chain thousands.
    """
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    pending: list[str] = []
    on_way: set[str] = set()
    found: list[str] = []
    for start in named:
        if start in number:
            continue
        open_ends = [(start, iter(named[start]))]
        while open_ends:
            key, links = open_ends[-1]
            if key not in number:
                number[key] = lowest[key] = len(number)
                pending.append(key)
                on_way.add(key)
            for other in links:
                if other in on_way:
                    lowest[key] = min(lowest[key], number[other])
                elif other not in number and other in named:
                    open_ends.append((other, iter(named[other])))
                    break
            else:
                open_ends.pop()
                if open_ends:
                    above = open_ends[-1][0]
                    lowest[above] = min(lowest[above], lowest[key])
                if lowest[key] == number[key]:
                    component = [pending.pop()]
                    while component[-1] != key:
                        component.append(pending.pop())
                    on_way.difference_update(component)
                    if len(component) > 1 or key in named[key]:
                        found += component
    return found


def names(condition: Condition) -> set[str]:
    """Return the keys of the segments that a condition names."""
    found = {condition.segment} if condition.segment is not None else set()
    parts = (*(condition.all or ()), *(condition.any or ()), *((condition.not_,) if condition.not_ else ()))
    return found.union(*map(names, parts))
