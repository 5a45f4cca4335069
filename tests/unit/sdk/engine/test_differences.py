"""Which flags are answered in another way after an edit."""

import pytest

from rheostat.engine.differences import may_differ
from rheostat.engine.evaluate import Ruleset
from rheostat.model.flag import Condition, Flag, Operator, Prerequisite, Segment
from tests.builders import a_clause, a_flag, a_rule, a_snapshot

BETA = Segment(key="beta", conditions=(Condition(segment="staff"), Condition(segment="gone")))
STAFF = Segment(key="staff", included=("user-1",))
OTHER = Segment(key="other")


def of_segment(key: str, segment: str) -> Flag:
    """Return a flag with a rule for a segment."""
    return a_flag(key, rules=(a_rule(when=Condition(segment=segment)),))


def needing(key: str, *others: str) -> Flag:
    """Return a flag that needs others."""
    return a_flag(key, prerequisites=tuple(Prerequisite(other, ("on",)) for other in others))


FLAGS = (
    a_flag("alone"),
    a_flag("clause", rules=(a_rule(when=a_clause("plan", Operator.IN, "pro")),)),
    of_segment("direct", "staff"),
    of_segment("nested", "beta"),
    needing("far", "nested", "far", "missing"),
    needing("further", "far"),
    needing("upon", "alone"),
)
BEFORE = Ruleset.of(a_snapshot(*FLAGS, segments=(BETA, STAFF, OTHER)))


def after(*flags: Flag, segments: tuple[Segment, ...] = (BETA, STAFF, OTHER)) -> Ruleset:
    """Return the ruleset with these flags in the place of those of their keys."""
    changed = {flag.key: flag for flag in flags}
    kept = tuple(changed.get(flag.key, flag) for flag in FLAGS)
    return BEFORE.with_snapshot(a_snapshot(*kept, segments=segments))


def told(ruleset: Ruleset) -> set[str]:
    """Return the flags that may differ."""
    return {flag.key for flag in FLAGS if may_differ(BEFORE, ruleset, flag.key)}


def test_nothing_differs_where_nothing_was_edited() -> None:
    """A snapshot of the same flags and segments changes no answer; of all that is new everything does."""
    assert told(BEFORE) == told(after()) == set()
    assert may_differ(None, BEFORE, "alone")
    assert not may_differ(None, BEFORE, "missing")
    assert not may_differ(BEFORE, BEFORE, "missing")


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ((BETA, Segment(key="staff", included=("user-2",)), OTHER), {"direct", "nested", "far", "further"}),
        ((BETA, OTHER), {"direct", "nested", "far", "further"}),
        ((Segment(key="beta"), STAFF, OTHER), {"nested", "far", "further"}),
        ((BETA, STAFF), set()),
        ((BETA, STAFF, OTHER, Segment(key="gone")), {"nested", "far", "further"}),
    ],
)
def test_an_edited_segment_is_heard_by_the_flags_that_lead_to_it(
    segments: tuple[Segment, ...], expected: set[str]
) -> None:
    """Through other segments and through prerequisites, and by no other flag."""
    assert told(after(segments=segments)) == expected


def test_an_edited_flag_is_heard_by_those_that_need_it() -> None:
    """However far away they are; also one that was taken away."""
    assert told(after(a_flag("alone", version=9))) == {"alone", "upon"}
    assert told(after(a_flag("nested", enabled=False))) == {"nested", "far", "further"}
    gone = BEFORE.with_snapshot(a_snapshot(*FLAGS[1:], segments=(BETA, STAFF, OTHER)))
    assert told(gone) == {"alone", "upon"}
