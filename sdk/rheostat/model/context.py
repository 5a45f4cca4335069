"""Who or what a flag is being evaluated for."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rheostat.errors import InvalidContext

TARGETING_KEY = "targetingKey"


class Context:
    """The subject of an evaluation: a targeting key and attributes.

    ``Context("user-1", plan="pro", country="ES")``. The targeting key is the default unit for bucketing:
    give a stable id, or the subject moves between variants. Integers become decimal text and UUIDs their
    text; another type raises ``InvalidContext`` here and never in an evaluation. Attributes named in a way
    that Python cannot spell go in by ``Context.of(key, {"first-seen": …})``.
    """

    __slots__ = ("attributes", "targeting_key")

    def __init__(self, targeting_key: str | int | UUID | None = None, /, **attributes: Any) -> None:
        self.targeting_key = None if targeting_key is None else unit_text(targeting_key)
        self.attributes: Mapping[str, Any] = attributes

    @classmethod
    def of(cls, targeting_key: str | int | UUID | None, attributes: Mapping[str, Any]) -> "Context":
        """Return a context whose attributes come from a mapping (taken as it is, not copied)."""
        context = cls(targeting_key)
        context.attributes = attributes
        return context

    def __repr__(self) -> str:
        # Attribute values may be personal data, so a context that lands in a log shows their names only.
        return f"Context({self.targeting_key!r}, attributes={sorted(self.attributes)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Context):
            return NotImplemented
        return self.targeting_key == other.targeting_key and dict(self.attributes) == dict(other.attributes)

    __hash__ = None  # type: ignore[assignment]  # attributes are a mapping


def unit_text(value: object) -> str:
    """Return the text by which a unit is hashed.

    Raises:
        InvalidContext: the value is not text, an integer or a UUID (a boolean is not an integer here).
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, UUID)):
        raise InvalidContext(f"a targeting key is text, an integer or a UUID, not {type(value).__name__}")
    try:
        # An enumeration of integers would else be written by its member's name.
        return str(value) if isinstance(value, UUID) else int.__repr__(value)
    except ValueError:  # Python refuses to write integers of thousands of digits
        raise InvalidContext("a targeting key of thousands of digits is none") from None
