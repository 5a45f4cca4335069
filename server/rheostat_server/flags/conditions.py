"""Whether a condition says something that can be judged. Pure."""

from collections.abc import Iterator
from typing import Any, Final

from rheostat.engine.matcher import PatternError, matcher
from rheostat.engine.networks import is_block, network
from rheostat.engine.semver import version_key
from rheostat.model.flag import Condition, Operator
from rheostat.model.moment import moment_ns
from rheostat_server.faults import QUOTE_IT, Faults, Fields, is_number, items_at, spelled, type_name
from rheostat_server.flags.keys import is_key, key_fault
from rheostat_server.flags.values import DEEPEST, json_value

_ONE_VALUE: Final = frozenset(
    {
        Operator.EQUALS,
        Operator.LT,
        Operator.LE,
        Operator.GT,
        Operator.GE,
        Operator.BEFORE,
        Operator.AFTER,
        Operator.SEMVER_EQ,
        Operator.SEMVER_LT,
        Operator.SEMVER_LE,
        Operator.SEMVER_GT,
        Operator.SEMVER_GE,
    }
)
_TEXTS: Final = frozenset({Operator.CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH})
_NUMBERS: Final = frozenset({Operator.LT, Operator.LE, Operator.GT, Operator.GE})
_MOMENTS: Final = frozenset({Operator.BEFORE, Operator.AFTER})
_OPERATORS: Final = tuple(operator.value for operator in Operator)
_KINDS: Final = ("attribute", "all", "any", "not", "segment")


def check_condition(data: object, path: str, faults: Faults, depth: int = 1) -> Condition:
    """Return the condition; faults where it is none. An empty one stands for what is faulty."""
    if depth > DEEPEST:
        faults.add(path, f"conditions are nested more than {DEEPEST} levels deep", "name a part of them as a segment")
        return Condition()
    fields = Fields(data, path, faults, (*_KINDS, "operator", "values"))
    given = [kind for kind in _KINDS if kind in fields]
    if len(given) != 1:
        if isinstance(data, dict):
            faults.add(path, f"a condition has exactly one of {', '.join(_KINDS)}")
        return Condition()
    if given != ["attribute"]:
        for name in ("operator", "values"):
            if name in fields:
                fields.fault(name, "only a condition on an attribute has this")
    match given[0]:
        case "all":
            return Condition(all=_parts(fields, "all", depth))
        case "any":
            return Condition(any=_parts(fields, "any", depth))
        case "not":
            return Condition(not_=check_condition(fields.raw("not"), fields.at("not"), faults, depth + 1))
        case "segment":
            return Condition(segment=_segment(fields))
        case _:
            return _clause(fields)


def _parts(fields: Fields, name: str, depth: int) -> tuple[Condition, ...]:
    items = items_at(fields.raw(name), fields.at(name), fields.faults)
    parts = tuple(check_condition(item, where, fields.faults, depth + 1) for where, item in items)
    if fields.raw(name) == []:
        fields.fault(name, "this has no condition")
    return parts


def _segment(fields: Fields) -> str | None:
    key = fields.text("segment")
    if "segment" in fields and fields.raw("segment") is None:
        fields.fault("segment", "a segment is named by its key")
    elif key is not None and not is_key(key):
        fields.fault("segment", key_fault("segment"))
    return key


def _clause(fields: Fields) -> Condition:
    attribute = fields.text("attribute", longest=256)
    if not attribute and not isinstance(fields.raw("attribute"), (bool, int, float, list, dict)):
        fields.fault("attribute", "an attribute has a name")
    fields.required("operator")
    name = fields.choice("operator", _OPERATORS)
    if name is None:
        return Condition(attribute=attribute)
    operator = Operator(name)
    if operator is Operator.EXISTS:
        if fields.raw("values"):
            fields.fault("values", "exists takes no values")
        return Condition(attribute=attribute, operator=operator)
    fields.required("values")
    values: list[Any] = []
    if "values" in fields:
        raw = fields.raw("values")
        hint = "write it as a list of one: [value]"
        if not isinstance(raw, (list, tuple)):
            fields.fault("values", f"this is {type_name(raw)}, not a list", hint)
        elif not raw or (operator in _ONE_VALUE and len(raw) != 1):
            number = "exactly one value" if operator in _ONE_VALUE else "at least one value"
            fields.fault("values", f"{operator.value} takes {number}")
        else:
            for where, value in items_at(raw, fields.at("values"), fields.faults):
                values.append(json_value(value, where, fields.faults))
                _check_operand(operator, value, where, fields.faults)
    return Condition(attribute=attribute, operator=operator, values=tuple(values))


def _check_operand(operator: Operator, value: object, path: str, faults: Faults) -> None:
    """Note a fault when the operator can never hold with this value."""
    if operator in _TEXTS:
        if not isinstance(value, str):
            faults.add(path, f"{operator.value} compares with text, not {type_name(value)}", QUOTE_IT)
    elif operator is Operator.MATCHES:
        _check_pattern(value, path, faults)
    elif operator in _NUMBERS:
        if not is_number(value):
            hint = "semver_lt and its kin compare versions, before and after dates" if isinstance(value, str) else None
            faults.add(path, f"{operator.value} compares with a number, not {type_name(value)}", hint)
    elif operator in _MOMENTS:
        if moment_ns(value) is None:
            hint = 'as RFC 3339 writes it, in quotes: "2026-11-27T00:00:00Z"'
            faults.add(path, f"{spelled(value)} is not a date and time", hint)
    elif operator is Operator.IN_CIDR:
        if not is_block(value):
            block = network(value)
            hint = "such as 10.0.0.0/8 or 2001:db8::/32" if block is None else f"did you mean {block}?"
            faults.add(path, f"{spelled(value)} is not an IP address or CIDR block", hint)
    elif operator.value.startswith("semver") and version_key(value) is None:
        faults.add(path, f"{spelled(value)} is not a semantic version", "such as 1.4.0 or 2.0.0-beta.1, in quotes")


def _check_pattern(value: object, path: str, faults: Faults) -> None:
    if not isinstance(value, str):
        faults.add(path, f"a pattern is text, not {type_name(value)}", QUOTE_IT)
        return
    try:
        matcher(value)
    except PatternError as error:
        faults.add(path, f"this is no pattern: {error}", error.hint)


def parts_of(condition: Condition, path: str) -> Iterator[tuple[str, Condition]]:
    """Yield the condition and all within it, each with its path."""
    yield path, condition
    for name, parts in (("all", condition.all), ("any", condition.any)):
        for index, part in enumerate(parts or ()):
            yield from parts_of(part, f"{path}.{name}[{index}]")
    if condition.not_ is not None:
        yield from parts_of(condition.not_, f"{path}.not")


def segments_named(condition: Condition, path: str) -> list[tuple[str, str]]:
    """Return the path and the key of each segment that a condition names."""
    return [(where, part.segment) for where, part in parts_of(condition, path) if part.segment is not None]
