"""What an edit of segments means to conditions: for whom they may hold now, and which listed units come or go. Pure."""

from collections.abc import Iterable, Mapping

import msgspec

from rheostat.engine.conditions import names
from rheostat.model.flag import Condition, Segment

MOST_UNITS = 10_000
"""More units than these, that come or go in one segment, are not followed one by one."""


class Listed(msgspec.Struct, frozen=True):
    """Units that come into, or go from, a segment's lists; ``attribute`` names them. ``left`` are not among them."""

    attribute: str
    units: tuple[str, ...]
    left: int = 0


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What changed beside the flag itself.

    ``segments`` have other members than before; ``conditions`` are those of them that may hold for anybody, and not
    for units in ``listed`` alone. ``flags`` are prerequisites that may give another answer.
    """

    segments: frozenset[str] = frozenset()
    conditions: frozenset[str] = frozenset()
    listed: Mapping[str, Listed] = {}
    flags: frozenset[str] = frozenset()

    def is_asked(self, condition: Condition) -> bool:
        """Return whether a condition asks a segment that may hold for other people than before."""
        return bool(self.conditions) and bool(names(condition) & self.conditions)


NOTHING_CHANGED = Changed()


def changed_segments(before: Iterable[Segment], after: Iterable[Segment], *, most_units: int = MOST_UNITS) -> Changed:
    """Return what changed from these segments to those. One that leads to a changed one changed too.

    Of units that come or go no more than ``most_units`` of a segment are named.
    """
    was, now = {one.key: one for one in before}, {one.key: one for one in after}
    listed: dict[str, Listed] = {}
    conditions: set[str] = set()
    for key in was.keys() | now.keys():
        one, other = was.get(key, Segment(key=key)), now.get(key, Segment(key=key))
        same_unit = one.unit == other.unit
        if not same_unit or msgspec.json.encode(one.conditions) != msgspec.json.encode(other.conditions):
            conditions.add(key)
        units = _moved(one.included, other.included) | _moved(one.excluded, other.excluded)
        if units and same_unit:
            followed = tuple(sorted(units))[:most_units]
            listed[key] = Listed(one.unit, followed, len(units) - len(followed))
    named = [
        (key, {name for condition in segment.conditions for name in names(condition)})
        for side in (was, now)
        for key, segment in side.items()
    ]
    return Changed(
        segments=_leading(listed.keys() | conditions, named), conditions=_leading(conditions, named), listed=listed
    )


def _moved(before: tuple[str, ...], after: tuple[str, ...]) -> set[str]:
    return set() if before is after else set(before) ^ set(after)


def _leading(keys: Iterable[str], named: list[tuple[str, set[str]]]) -> frozenset[str]:
    found = set(keys)
    while more := {key for key, others in named if key not in found and others & found}:
        found |= more
    return frozenset(found)
