"""Which values a variant may have, by the type of its flag. Pure."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from rheostat.model.document import FlagDocument, LayerDocument, SegmentDocument, TemplateDocument
from rheostat.model.flag import FlagType
from rheostat_server.faults import QUOTE_IT, Faults, below, is_number, plain_number, spelled, type_name

WHOLE_CHARACTERS: Final = "half of a surrogate pair, such as \\ud800, stands alone: take it out"
DEEPEST: Final = 16
"""The most levels of objects and lists within one value, and of conditions within one rule."""
LARGEST_VALUE: Final = 256 * 1024
"""The most bytes of one value as JSON."""
LARGEST_DOCUMENT: Final = 1024 * 1024
"""The most bytes of a document as JSON."""
_INT64: Final = 1 << 63

D = TypeVar("D", FlagDocument, SegmentDocument, LayerDocument, TemplateDocument)


def check_value(kind: FlagType, value: Any, path: str, faults: Faults) -> Any:
    """Return the value as the flag's type has it (10 of a float flag is 10.0); a fault when it is of another type."""
    match kind:
        case FlagType.BOOLEAN if isinstance(value, bool):
            return value
        case FlagType.STRING if isinstance(value, str):
            return _sized(str(value), path, faults)
        case FlagType.INTEGER if is_number(value) and value == int(value):
            return _integer(int(value), path, faults)
        case FlagType.FLOAT if is_number(value):
            return _float(value, path, faults)
        case FlagType.OBJECT if isinstance(value, Mapping):
            plain = json_value(value, path, faults)
            return _sized(plain, path, faults)
    hint = _WANTED[kind]
    if kind is FlagType.STRING and isinstance(value, (bool, int, float)):
        hint = QUOTE_IT
    elif kind is FlagType.BOOLEAN and isinstance(value, str) and value.lower() in {"on", "off", "yes", "no"}:
        hint = f"in YAML 1.2 {value} is text; write true or false"
    shown = type_name(value) if isinstance(value, (Mapping, list, tuple, str)) else spelled(value)
    faults.add(path, f"a value of {_ARTICLE[kind]} flag cannot be {shown}", hint)
    return None


_WANTED: Final = {
    FlagType.BOOLEAN: "true or false",
    FlagType.STRING: 'text, such as "blue"',
    FlagType.INTEGER: "a whole number, such as 10",
    FlagType.FLOAT: "a number, such as 0.5",
    FlagType.OBJECT: "an object, such as {limit: 10}",
}
_ARTICLE = {kind: f"{'an' if kind.value[0] in 'aeiou' else 'a'} {kind.value}" for kind in FlagType}


def _integer(value: int, path: str, faults: Faults) -> int:
    if not -_INT64 <= value < _INT64:
        faults.add(path, "a whole number has at most 64 bits", "a larger one goes as text, or into a float")
        return 0
    return value


def _float(value: int | float, path: str, faults: Faults) -> float | None:
    try:
        return float(value)
    except OverflowError:
        faults.add(path, "this number is too large", "at most 1.7e308, either way")
        return None


def json_value(value: Any, path: str, faults: Faults, depth: int = 1) -> Any:
    """Return the value made of JSON's types alone; a fault at each place that JSON cannot say or that is too deep."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if is_number(value):
        number = plain_number(value)
        return _integer(number, path, faults) if isinstance(number, int) else number
    if isinstance(value, (Mapping, list, tuple)) and depth > DEEPEST:
        faults.add(path, f"this is nested more than {DEEPEST} levels deep", "flatten it, or keep it as text")
        return None
    if isinstance(value, Mapping):
        plain: dict[str, Any] = {}
        for key, item in value.items():
            where = below(path, key)
            if isinstance(key, str):
                plain[str(key)] = json_value(item, where, faults, depth + 1)
            else:
                faults.add(where, f"a key is text, not {type_name(key)}", QUOTE_IT)
        return plain
    if isinstance(value, (list, tuple)):
        return [json_value(item, f"{path}[{index}]", faults, depth + 1) for index, item in enumerate(value)]
    hint = QUOTE_IT if hasattr(value, "isoformat") else "write it as text, or leave it out"
    faults.add(path, f"JSON has no {type_name(value) if not isinstance(value, float) else spelled(value)}", hint)
    return None


def _sized(value: Any, path: str, faults: Faults) -> Any:
    try:
        size = len(msgspec.json.encode(value))
    except UnicodeEncodeError:
        faults.add(path, "this is not text that UTF-8 can say", WHOLE_CHARACTERS)
        return value
    if size > LARGEST_VALUE:
        faults.add(path, f"this value is {size:,} bytes; the most is {LARGEST_VALUE:,}", "serve where it is kept")
    return value


def checked(document: D, faults: Faults, what: str) -> D:
    """Return the document, its size looked at too, or raise all its faults. ``what`` is its kind, such as ``flag``.

    Raises:
        Invalid: it has faults.
    """
    named = f"the {what} {document.key}" if document.key else f"the {what} document"
    # Only a document that is otherwise right is worth measuring: one with faults was filled up with stand-ins.
    faults.raise_any(named)
    _check_size(document, faults)
    faults.raise_any(named)
    return document


def _check_size(document: msgspec.Struct, faults: Faults) -> None:
    """Note a fault when a document is too large, or holds text that cannot be kept."""
    try:
        size = len(msgspec.json.encode(document))
    except UnicodeEncodeError:
        faults.add("", "the document holds text that UTF-8 cannot say", WHOLE_CHARACTERS)
        return
    if size > LARGEST_DOCUMENT:
        hint = "long lists of users belong in segments, large values elsewhere"
        faults.add("", f"the document is {size:,} bytes; the most is {LARGEST_DOCUMENT:,}", hint)
