"""A line of units that several flags share without overlapping."""

from collections.abc import Mapping
from typing import Final

import msgspec

from rheostat.model.context import TARGETING_KEY


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """What its rollouts have in common: the unit, and the salt that gives each unit its place.

    Each flag in a layer owns a range of its own, so that no unit is exposed by two of them.
    """

    key: str
    unit: str = TARGETING_KEY
    salt: str


NO_LAYERS: Final[Mapping[str, Layer]] = {}


def default_salt(key: str) -> str:
    """Return the salt of a layer whose document names none. No flag has it: a key has no colon."""
    return f"layer:{key}"
