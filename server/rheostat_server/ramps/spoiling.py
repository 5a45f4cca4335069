"""Which edits of a flag would spoil the evidence of a ramp on it. Pure."""

from collections.abc import Collection

import msgspec

from rheostat.model.flag import DEFAULT_ROLLOUT, Flag, Rule
from rheostat.model.serving import rollout_of
from rheostat_server.flags.conditions import segments_named


def spoiled_by(before: Flag, after: Flag, rollout: str) -> tuple[str, ...]:
    """Return what an edit changes, in words, that decides who meets the rollout or what they get there.

    Both flags are as one environment serves them, and both have the rollout. Its exposure is no such thing.
    """
    found = []
    was, now = rollout_of(before, rollout), rollout_of(after, rollout)
    if was is not None and now is not None:
        for field, word in (
            ("salt", "salt"),
            ("split", "split"),
            ("bucket_by", "bucket_by"),
            ("fallback", "fallback"),
            ("low", "range"),
            ("high", "range"),
        ):
            if getattr(was, field) != getattr(now, field) and word not in found:
                found.append(word)
    if not _same(before.prerequisites, after.prerequisites):
        found.append("prerequisites")
    if not _same(before.targets, after.targets):
        found.append("targets")
    if not _same(_earlier(before, rollout), _earlier(after, rollout)):
        found.append("earlier rules")
    if rollout != DEFAULT_ROLLOUT and not _same(_rule(before, rollout).when, _rule(after, rollout).when):
        found.append("the rule's condition")
    if rollout != DEFAULT_ROLLOUT and not _same(_rule(before, rollout).active, _rule(after, rollout).active):
        found.append("the rule's window")
    return tuple(found)


def spoiled_by_segments(flag: Flag, rollout: str, segments: Collection[str]) -> tuple[str, ...]:
    """Return which of these segments, of which others are members now, decide who meets the rollout; in words."""
    rules = _earlier(flag, rollout)
    if rollout != DEFAULT_ROLLOUT:
        rules = (*rules, _rule(flag, rollout))
    named = {name for rule in rules for _, name in segments_named(rule.when, "")}
    return tuple(f"the segment {key}" for key in sorted(named & set(segments)))


def _earlier(flag: Flag, rollout: str) -> tuple[Rule, ...]:
    """Return the rules that are asked before the rollout's own."""
    names = [rule.name for rule in flag.rules]
    return flag.rules if rollout == DEFAULT_ROLLOUT else flag.rules[: names.index(rollout)]


def _rule(flag: Flag, rollout: str) -> Rule:
    return next(rule for rule in flag.rules if rule.name == rollout)


def _same(a: object, b: object) -> bool:
    # As JSON, because Python holds 1 and true for equal, and an edit from one to the other is an edit.
    return msgspec.json.encode(a) == msgspec.json.encode(b)
