"""Reading what was sent, and collecting every fault in it rather than stopping at the first."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from rheostat.model.duration import duration_ms
from rheostat.model.shares import percent_to_ppm
from rheostat_server.errors import Fault, Invalid

QUOTE_IT: Final = 'YAML reads true, false, numbers and dates as such; put it in quotes to make it text: "true"'

AN_OBJECT: Final = "an object is {name: value}, or lines of name: value"
A_LIST: Final = "a list is [one, two], or lines that begin with a dash"
A_LENGTH_OF_TIME: Final = "such as 60s, 10m or 1h30m"
A_SHARE: Final = "a percentage from 0 to 100 with at most four decimals, such as 12.5"


class Faults:
    """The faults found so far."""

    def __init__(self) -> None:
        self._found: list[Fault] = []

    def add(self, path: str, message: str, hint: str | None = None) -> None:
        """Note a fault."""
        self._found.append(Fault(path, message, hint))

    @property
    def found(self) -> tuple[Fault, ...]:
        """What was found, in the order of discovery."""
        return tuple(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def raise_any(self, what: str) -> None:
        """Raise all faults at once, in the order of their paths' discovery, if there are any.

        Raises:
            Invalid: at least one fault was noted.
        """
        if self._found:
            raise Invalid(self._found, what)


def did_you_mean(word: str, known: Collection[str]) -> str | None:
    """Return a hint when the word is close to a known one; else the known ones, if they are few."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"one of: {', '.join(known)}" if 0 < len(known) <= 16 else None


def type_name(value: object) -> str:
    """Return what a person calls the type of a JSON or YAML value."""
    if value is None:
        return "null"
    names: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", str: "text"}
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    return names.get(type(value), type(value).__name__)


def spelled(value: object) -> str:
    """Return a scalar as a document spells it; a long one is cut."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    try:
        text = str(value)
    except ValueError:  # Python refuses to write integers of thousands of digits
        return "a very long number"
    return text if len(text) <= 80 else f"{text[:77]}…"


def below(path: str, key: object) -> str:
    """Return the path of a field of the object at ``path``."""
    name = spelled(key)
    return f"{path}.{name}" if path else name


def object_at(data: object, path: str, faults: Faults) -> dict[str, Any]:
    """Return the object's fields; a fault when it is none, or where a key is not text."""
    if not isinstance(data, Mapping):
        faults.add(path, f"this is {type_name(data)}, not an object", AN_OBJECT)
        return {}
    fields: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(key, str):
            fields[str(key)] = value
        else:
            faults.add(below(path, key), f"a key is text, not {type_name(key)}", QUOTE_IT)
    return fields


def items_at(data: object, path: str, faults: Faults) -> Iterator[tuple[str, Any]]:
    """Yield each item of the list with its path; a fault when it is no list."""
    if not isinstance(data, (list, tuple)):
        faults.add(path, f"this is {type_name(data)}, not a list", A_LIST)
        return
    for index, value in enumerate(data):
        yield f"{path}[{index}]", value


class Fields:
    """The fields of one object, read by name and type. What is wrong becomes a fault and reads as the default."""

    def __init__(self, data: object, path: str, faults: Faults, known: Collection[str]) -> None:
        self.path = path
        self.faults = faults
        self._fields = object_at(data, path, faults)
        for name in self._fields:
            if name not in known:
                faults.add(below(path, name), "there is no such field", did_you_mean(name, known))

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def at(self, name: str) -> str:
        """Return the path of a field."""
        return below(self.path, name)

    def raw(self, name: str) -> Any:
        """Return a field as it was sent; ``None`` where it is absent."""
        return self._fields.get(name)

    def fault(self, name: str, message: str, hint: str | None = None) -> None:
        """Note a fault of a field."""
        self.faults.add(self.at(name), message, hint)

    def required(self, *names: str) -> None:
        """Note a fault for each of these fields that is absent."""
        for name in names:
            if name not in self._fields:
                self.fault(name, "this field is required", f"add {name}")

    def text(self, name: str, longest: int = 4096) -> str | None:
        """Return text, or ``None`` where the field is absent, null or faulty."""
        value = self._fields.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.fault(name, f"this is {type_name(value)}, not text", QUOTE_IT)
            return None
        if len(value) > longest:
            self.fault(name, f"this is longer than {longest} characters", "shorten it")
            return None
        return str(value)

    def boolean(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self._fields.get(name, default)
        if not isinstance(value, bool):
            self.fault(name, f"this is {type_name(value)}, not true or false", "true or false, without quotes")
            return default
        return value

    def number(self, name: str) -> int | float | None:
        """Return a finite number, or ``None`` where the field is absent, null or faulty."""
        value = self._fields.get(name)
        if value is None:
            return None
        if not is_number(value):
            self.fault(name, f"this is {type_name(value)}, not a finite number", "such as 5, without quotes")
            return None
        return plain_number(value)

    def count(self, name: str, least: int = 1) -> int | None:
        """Return a whole number of at least ``least``, or ``None`` where the field is absent, null or faulty."""
        value = self.number(name)
        if value is None:
            return None
        if value != int(value) or value < least:
            self.fault(name, f"{spelled(value)} is not a whole number of at least {least}", f"such as {least}")
            return None
        return int(value)

    def percent(self, name: str, most: float = 100) -> int | float | None:
        """Return a share of 0 … ``most`` percent with at most four decimals, or ``None``."""
        value = self.number(name)
        if value is None:
            return None
        if fault := share_fault(value):
            self.fault(name, fault, A_SHARE)
            return None
        if value > most:
            self.fault(name, f"{spelled(value)} is above {most}", f"at most {most}")
            return None
        return value

    def duration(self, name: str, *, zero: bool = False) -> str | None:
        """Return a length of time above 0 (``zero``: or 0) as it was written, or ``None``."""
        value = self._fields.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.fault(name, f"a length of time is text such as 60s or 10m, not {type_name(value)}", A_LENGTH_OF_TIME)
            return None
        try:
            length = duration_ms(value)
        except ValueError:
            self.fault(name, f"{spelled(value)} is not a length of time", A_LENGTH_OF_TIME)
            return None
        if length == 0 and not zero:
            self.fault(name, "a length of time is above 0 here", A_LENGTH_OF_TIME)
            return None
        return value

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        """Return one of the choices, or ``None`` where the field is absent, null or faulty."""
        value = self.text(name)
        if value is None or value in choices:
            return value
        self.fault(
            name,
            f"there is no {name} {spelled(value)}",
            did_you_mean(value, choices) or f"one of: {', '.join(choices)}",
        )
        return None


def plain_number(value: int | float) -> int | float:
    """Return the number as Python's own type: YAML readers that keep the form give subclasses, which JSON refuses."""
    return int(value) if isinstance(value, int) else float(value)


def share_fault(percent: int | float) -> str | None:
    """Return what is wrong with a percentage; ``None`` for 0 … 100 with at most four decimals."""
    if not 0 <= percent <= 100:
        return f"{spelled(percent)} is not between 0 and 100"
    try:
        percent_to_ppm(percent)
    except ValueError as error:
        return str(error)
    return None


def is_number(value: object) -> bool:
    """Return whether the value is a finite number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, int) or value - value == 0
