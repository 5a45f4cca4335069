"""From one snapshot to the next, and rulesets that share what did not change."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.engine import Ruleset, apply_patch
from rheostat.model.context import Context
from rheostat.model.flag import Condition, Operator, Segment
from rheostat.model.kill import Kill, KillScope
from rheostat.model.snapshot import Identity, Removed
from tests.builders import a_clause, a_flag, a_kill, a_patch, a_prerequisite, a_rollout, a_rule, a_snapshot, an_overlay
from tests.strategies import shares


def test_a_patch_replaces_adds_and_removes() -> None:
    """Flags and segments go by key, ramps by id; the rest is kept as the same objects."""
    before = a_snapshot(
        a_flag("a"), a_flag("b"), a_flag("c"), segments=(Segment(key="s"),), ramps=(an_overlay(1), an_overlay(flag="b"))
    )
    patch = a_patch(
        before,
        flags=(a_flag("d"), a_flag("b", version=2)),
        segments=(Segment(key="r"),),
        ramps=(an_overlay(2),),
        removed=Removed(flags=("a", "gone"), segments=("s",), ramps=("ramp-of-b",)),
    )

    after = apply_patch(before, patch)

    assert [(flag.key, flag.version) for flag in after.flags] == [("b", 2), ("c", 1), ("d", 1)]
    assert after.flags[1] is before.flags[2]
    assert [segment.key for segment in after.segments] == ["r"]
    assert after.ramps == (an_overlay(2),)
    assert after.kills is before.kills
    assert after.identity == Identity(1, 2)


def test_an_empty_patch_moves_the_identity_alone() -> None:
    """What a patch does not name stays the same object."""
    before = a_snapshot(a_flag())

    after = apply_patch(before, a_patch(before))

    assert (after.flags, after.revision) == (before.flags, 2)
    assert after.flags is before.flags


@pytest.mark.parametrize(
    ("from_", "to"),
    [(Identity(1, 2), Identity(1, 3)), (Identity(0, 1), Identity(1, 2)), (Identity(1, 1), Identity(0, 9))],
)
def test_a_patch_fits_one_identity_and_leads_forward(from_: Identity, to: Identity) -> None:
    """From elsewhere, or backwards, it is refused."""
    before = a_snapshot()

    with pytest.raises(ValueError, match="patch from"):
        apply_patch(before, msgspec.structs.replace(a_patch(before), from_=from_, to=to))


def test_an_edit_compiles_the_edited_flag_alone() -> None:
    """A patched ruleset shares every flag that did not change, and answers by the new one."""
    ruleset = Ruleset.of(a_snapshot(a_flag("a"), a_flag("b", rollout=a_rollout(0))))

    after = ruleset.with_patch(a_patch(ruleset.snapshot, flags=(a_flag("b", rollout=a_rollout(1_000_000)),)))

    assert after.programs["a"] is ruleset.programs["a"]
    assert after.evaluate("b", Context("u")).variant == "on"
    assert ruleset.evaluate("b", Context("u")).variant == "off"
    assert after.segments is ruleset.segments


def test_a_ramp_that_moves_compiles_its_flag_again() -> None:
    """A change of overlay is a change of the flag it stands over."""
    ruleset = Ruleset.of(a_snapshot(a_flag(rollout=a_rollout()), a_flag("b"), ramps=(an_overlay(0),)))

    after = ruleset.with_patch(a_patch(ruleset.snapshot, ramps=(an_overlay(1_000_000, epoch=2),)))

    assert after.evaluate("checkout", Context("u")).variant == "on"
    assert after.programs["b"] is ruleset.programs["b"]


def test_an_edited_segment_reaches_flags_that_did_not_change() -> None:
    """Flags name segments; they do not hold them."""
    flag = a_flag(rules=(a_rule(when=Condition(segment="beta")),))
    ruleset = Ruleset.of(a_snapshot(flag, segments=(Segment(key="beta"),)))

    after = ruleset.with_patch(a_patch(ruleset.snapshot, segments=(Segment(key="beta", included=("u",)),)))

    assert after.programs["checkout"] is ruleset.programs["checkout"]
    assert after.evaluate("checkout", Context("u")).variant == "on"


def test_a_new_snapshot_shares_equal_flags() -> None:
    """After a resync only what differs is compiled, and 1 differs from true."""
    rule, edited = (a_rule(when=a_clause("n", Operator.IN, value)) for value in (1, True))
    ruleset = Ruleset.of(a_snapshot(a_flag("a"), a_flag("b", rules=(rule,))))

    after = ruleset.with_snapshot(a_snapshot(a_flag("a"), a_flag("b", rules=(edited,)), revision=2))

    assert after.programs["a"] is ruleset.programs["a"]
    assert after.evaluate("b", Context("u", n=True)).variant == "on"
    assert after.evaluate("b", Context("u", n=1)).variant == "off"


names = st.sampled_from(["a", "b", "c"])
flags = st.builds(
    lambda key, exposure, staleness, needed: a_flag(
        key,
        rollout=a_rollout(exposure),
        max_staleness_ms=staleness,
        rules=(a_rule(when=Condition(segment="beta")),),
        prerequisites=() if needed is None else (a_prerequisite(needed, "on", "off"),),
    ),
    names,
    shares,
    st.sampled_from([None, 1]),
    st.none() | names,
)
overlays = st.builds(
    lambda flag, exposure, live, ramp: an_overlay(exposure, flag, live=live, ramp=ramp),
    names,
    shares,
    st.booleans(),
    names,
)
kills = st.builds(
    lambda flag, scope, revived: a_kill(flag, scope, kill_id=f"{flag}-{scope}", revived=revived),
    names,
    st.sampled_from(KillScope),
    st.booleans(),
)
segments = st.builds(lambda units: Segment(key="beta", included=tuple(units)), st.lists(st.sampled_from("uvw")))
edits = st.fixed_dictionaries(
    {},
    optional={
        "flags": st.lists(flags, max_size=2).map(tuple),
        "ramps": st.lists(overlays, max_size=2).map(tuple),
        "kills": st.lists(kills, max_size=2).map(tuple),
        "segments": segments.map(lambda segment: (segment,)),
        "removed": st.builds(Removed, flags=st.lists(names, max_size=1).map(tuple), ramps=st.lists(names).map(tuple)),
    },
)


@given(steps=st.lists(edits, max_size=5), extra=st.lists(kills, max_size=2))
def test_patching_is_compiling_anew(steps: list[dict[str, Any]], extra: list[Kill]) -> None:
    """After any patches a ruleset answers as one made of the whole snapshot."""
    ruleset = Ruleset.of(a_snapshot(), extra)
    for step in steps:
        ruleset = ruleset.with_patch(a_patch(ruleset.snapshot, **step))
        anew = Ruleset.of(ruleset.snapshot, ruleset.extra_kills)

        for unit in ("u", "x"):
            for age_ms in (None, 2):
                assert ruleset.bulk(Context(unit), age_ms=age_ms) == anew.bulk(Context(unit), age_ms=age_ms)
        assert ruleset.overlays == anew.overlays
        assert ruleset.reads_age == anew.reads_age
