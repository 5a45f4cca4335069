"""Flags that ask a segment, and what an edit of it moves."""

from typing import Any

from rheostat.engine.evaluate import Ruleset
from rheostat.model.flag import Condition, Flag, Segment
from rheostat_server.flags.moved import movements
from rheostat_server.flags.movement import Movement
from tests.builders import a_flag, a_rule, a_snapshot

VARIANTS = {name: name for name in ("a", "b", "c", "d")}


def a_ruleset(*flags: Flag, **over: Any) -> Ruleset:
    return Ruleset.of(a_snapshot(*flags, **over))


def in_segment(key: str) -> Condition:
    return Condition(segment=key)


def asking(segment: str = "beta", **changes: Any) -> Flag:
    """A flag that serves `on` to the members of a segment."""
    return a_flag(rules=(a_rule("members", in_segment(segment)),), **changes)


def edited(before: Segment, after: Segment, *flags: Flag) -> dict[str, Movement]:
    return movements(a_ruleset(*flags, segments=(before,)), a_ruleset(*flags, segments=(after,)))


def units(found: Movement) -> dict[tuple[str | None, str | None], int]:
    return {(one.from_, one.to): one.units for one in found.units if one.because is None}
