"""What each part of a condition says of a context, and of which value."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from rheostat.engine.attributes import reader, unit_reader
from rheostat.engine.conditions import Segments, compile_condition, unknown
from rheostat.engine.conversion import converted
from rheostat.engine.hashing import utf8
from rheostat.model.context import Context
from rheostat.model.explanation import ConditionWalk, Shown, Verdict
from rheostat.model.flag import Condition, Segment

_MOST_VALUES: Final = 20
_LONGEST: Final = 200
_DEEPEST: Final = 32
"""Twice the depth that a document may have: only segments within segments lead further."""

_VERDICTS: Final[dict[bool | None, Verdict]] = {True: Verdict.TRUE, False: Verdict.FALSE, None: Verdict.UNKNOWN}


class ConditionWalker:
    """Walks conditions for one context. Never raises, whatever the context holds."""

    def __init__(self, context: Context, scope: Segments, segments: Mapping[str, Segment]) -> None:
        self._context = context
        self._scope = scope
        self._segments = segments

    def walk(self, condition: Condition, depth: int = 0) -> ConditionWalk:
        """Return the condition's verdict, with those of all its parts."""
        verdict = self._verdict(condition)
        if condition.operator is not None and condition.attribute is not None:
            return ConditionWalk(
                verdict=verdict,
                attribute=condition.attribute,
                operator=condition.operator,
                values=tuple(condition.values[:_MOST_VALUES]),
                value_count=len(condition.values),
                shown=self._shown(condition.attribute),
            )
        for group, inner in (("all", condition.all), ("any", condition.any)):
            if inner is not None:
                return ConditionWalk(verdict=verdict, group=group, parts=self._parts(inner, depth))
        if condition.not_ is not None:
            return ConditionWalk(verdict=verdict, group="not", parts=self._parts((condition.not_,), depth))
        if condition.segment is not None:
            return self._segment(condition.segment, verdict, depth)
        return ConditionWalk(verdict=verdict)

    def _verdict(self, condition: Condition) -> Verdict:
        try:
            return _VERDICTS[compile_condition(condition)(self._context, self._scope)]
        except Exception:  # noqa: BLE001 - an attribute may be any object, and any method of it may raise
            return Verdict.FAILED

    def _parts(self, parts: tuple[Condition, ...], depth: int) -> tuple[ConditionWalk, ...]:
        return tuple(self.walk(part, depth + 1) for part in parts) if depth < _DEEPEST else ()

    def _segment(self, key: str, verdict: Verdict, depth: int) -> ConditionWalk:
        segment = self._segments.get(key)
        if segment is None:
            return ConditionWalk(verdict=verdict, segment=key, because="there is no such segment")
        if self._scope.segments.get(key) is unknown:
            because = "it contains itself, or is nested too deeply"
            return ConditionWalk(verdict=verdict, segment=key, because=because)
        unit = quietly(lambda: unit_reader(segment.unit)(self._context))
        because, parts = "by its conditions", segment.conditions
        if unit is None:
            because, parts = f"the context has no {segment.unit}", ()
        elif unit in segment.excluded:
            because, parts = "excluded by name", ()
        elif unit in segment.included:
            because, parts = "included by name", ()
        elif not parts:
            because = "not included by name, and the segment has no conditions"
        return ConditionWalk(verdict=verdict, segment=key, because=because, parts=self._parts(parts, depth))

    def _shown(self, attribute: str) -> Shown | None:
        value = quietly(lambda: reader(attribute)(self._context))
        return None if value is None else shown(value)


def quietly(ask: Callable[[], Any]) -> Any:
    """Return what this gives; ``None`` where it raises."""
    try:
        return ask()
    except Exception:  # noqa: BLE001 - an attribute may be any object, and any method of it may raise
        return None


def shown(value: object) -> Shown:
    """Return a value's type, as people call it, and its beginning as text."""
    names: dict[type, str] = {str: "text", bool: "boolean", int: "integer", float: "number", list: "list"}
    kind = type(value)
    name = "object" if issubclass(kind, dict) else names.get(kind, kind.__name__)
    text = quietly(lambda: _text(converted(value)))
    return Shown(name, "?" if text is None else text)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
    readable = utf8(text).decode()
    return readable if len(readable) <= _LONGEST else f"{readable[: _LONGEST - 1]}…"
