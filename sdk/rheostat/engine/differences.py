"""Whether a flag is answered in another way by another ruleset."""

from collections.abc import Collection, Mapping

from rheostat.engine.conditions import names
from rheostat.engine.evaluate import Ruleset
from rheostat.model.flag import Flag, Segment


def may_differ(before: Ruleset | None, after: Ruleset, key: str) -> bool:
    """Return whether the flag's answers may differ: it is another, or something is that it leads to.

    It leads to its prerequisites, and to the segments of its conditions, however far away. Windows are another matter:
    they turn without a new ruleset.
    """
    if before is None:
        return key in after.programs
    segments = _changed_segments(before, after)
    met: set[str] = set()
    waiting = [key]
    while waiting:
        flag = waiting.pop()
        if flag in met:
            continue
        met.add(flag)
        compiled = after.programs.get(flag)
        if compiled is not before.programs.get(flag):
            return True
        if compiled is None:
            continue
        if segments and _leads_to(after, compiled.flag, segments):
            return True
        waiting.extend(prerequisite.flag for prerequisite in compiled.flag.prerequisites)
    return False


def _changed_segments(before: Ruleset, after: Ruleset) -> set[str]:
    if before.segments is after.segments:
        return set()
    old, new = _by_key(before), _by_key(after)
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def _by_key(ruleset: Ruleset) -> Mapping[str, Segment]:
    return {segment.key: segment for segment in ruleset.snapshot.segments}


def _leads_to(ruleset: Ruleset, flag: Flag, segments: Collection[str]) -> bool:
    known = _by_key(ruleset)
    met: set[str] = set()
    waiting = [name for rule in flag.rules for name in names(rule.when)]
    while waiting:
        name = waiting.pop()
        if name in segments:
            return True
        if name in met or name not in known:
            continue
        met.add(name)
        waiting.extend(other for condition in known[name].conditions for other in names(condition))
    return False
