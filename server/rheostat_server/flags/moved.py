"""Who moves by a change of an environment: by each flag that it touches, directly or over prerequisites. Pure."""

from collections.abc import Mapping

import msgspec

from rheostat.engine.evaluate import Ruleset
from rheostat_server.flags.changed import MOST_UNITS, changed_segments
from rheostat_server.flags.listed_units import unit_movements
from rheostat_server.flags.movement import Movement, movement

MOST_STEPS = 200_000
"""So many times, about, is it asked what a flag gives a listed unit: all in all some seconds."""
_LEAST_UNITS = 100


def movements(before: Ruleset, after: Ruleset, *, most_units: int = MOST_UNITS) -> dict[str, Movement]:
    """Return who moves between two states of an environment, by the flags that move anybody, in order of their keys.

    What a flag gives depends on its own rules, the segments that they ask, and the flags that it needs; those that
    are in neither state count as unchanged. ``most_units``: so many of those that come into, or go from, the lists of
    one segment are followed.
    """
    found = _Environment(before, after, most_units)
    moved = {key: found.of(key) for key in sorted(before.programs.keys() | after.programs.keys())}
    return {key: one for key, one in moved.items() if one.moves}


class _Environment:
    def __init__(self, before: Ruleset, after: Ruleset, most_units: int) -> None:
        self._before = before
        self._after = after
        self._changed = changed_segments(before.snapshot.segments, after.snapshot.segments, most_units=most_units)
        self._found: dict[str, Movement] = {}

    def of(self, key: str) -> Movement:
        if key not in self._found:
            # In a circle of flags, each takes the others for unchanged: none of them gives anything.
            self._found[key] = Movement(rollouts=[], targets=[], values=[], least=0, most=0)
            changed = msgspec.structs.replace(self._changed, flags=self._prerequisites(key))
            found = movement(self._before, self._after, key, changed)
            if changed.listed and self._is_on(self._before, key) and self._is_on(self._after, key):
                units = unit_movements(self._before, self._after, key, changed)
                found = msgspec.structs.replace(found, units=units)
            self._found[key] = found
        return self._found[key]

    @staticmethod
    def _is_on(side: Ruleset, key: str) -> bool:
        """Return whether rules decide. Where they do on one side only, they say by themselves who moves."""
        return key in side.programs and not side.programs[key].off

    def _prerequisites(self, key: str) -> frozenset[str]:
        """Return the flags that it needs, before and after, and that may pass somebody on one side only."""
        needed: dict[str, set[str]] = {}
        for side in (self._before, self._after):
            flag = side.flag(key)
            for prerequisite in () if flag is None else flag.prerequisites:
                needed.setdefault(prerequisite.flag, set()).update(prerequisite.variants)
        return frozenset(one for one, variants in needed.items() if self._passes_others(one, variants))

    def _passes_others(self, key: str, variants: set[str]) -> bool:
        if self._is_on(self._before, key) != self._is_on(self._after, key):
            # A flag that is off passes nobody, whatever it gives.
            return True
        found = self.of(key)
        pairs = [(move.from_, move.to) for row in found.rollouts for move in row.moves]
        # Where nobody can tell who moves, or the rules decide of who was a target, it may be anybody. Units of segments
        # are followed by themselves, over prerequisites too.
        unclear = any(row.because for row in found.rollouts)
        return unclear or bool(found.targets) or any((one in variants) != (other in variants) for one, other in pairs)


Sides = Mapping[str, Ruleset]
"""What environments serve of some flags, by environment key."""


def movements_by_flag(before: Sides, after: Sides) -> dict[str, dict[str, Movement]]:
    """Return who moves by each flag in each environment, where anybody does."""
    found: dict[str, dict[str, Movement]] = {}
    flags = sum(len(side.programs) for side in after.values())
    most_units = min(MOST_UNITS, max(_LEAST_UNITS, MOST_STEPS // max(1, flags)))
    for environment in before.keys() & after.keys():
        for key, one in movements(before[environment], after[environment], most_units=most_units).items():
            found.setdefault(key, {})[environment] = one
    return {key: dict(sorted(found[key].items())) for key in sorted(found)}
