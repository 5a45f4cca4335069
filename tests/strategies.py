"""What hypothesis draws: units, shares, contexts, conditions, flags."""

from typing import Any

from hypothesis import strategies as st

from rheostat.model.context import Context
from rheostat.model.flag import (
    DEFAULT_ROLLOUT,
    Answer,
    Condition,
    Flag,
    FlagType,
    Operator,
    Prerequisite,
    Rollout,
    Rule,
    Segment,
)
from rheostat.model.kill import Kill, KillScope
from rheostat.model.ramp import Cells, RampOverlay
from rheostat.model.shares import TOTAL_PPM
from rheostat.model.snapshot import FORMAT, Snapshot
from rheostat.model.window import Window

units = st.text(min_size=0, max_size=24)
"""Targeting keys; lone surrogates too."""
any_units = st.one_of(units, st.text(alphabet=st.characters(), max_size=8), st.just("a\ud800b"))
shares = st.integers(min_value=0, max_value=TOTAL_PPM)
places = st.integers(min_value=0, max_value=TOTAL_PPM - 1)
keys = st.text(alphabet="abcXYZ019._-", min_size=1, max_size=12)
weights = st.floats(min_value=0.001, max_value=1000, allow_nan=False)
truths = st.sampled_from([True, False, None])

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["", "1", "true", "pro", "1.2.3", "2.0.0-rc.1", "10.0.0.1", "2026-11-27T00:00:00Z", "\ud800"]),
    st.text(max_size=12),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
attribute_names = st.sampled_from(["plan", "user.plan", "user", "targetingKey", "age", "tags", "gone"])
contexts = st.builds(
    Context.of, st.one_of(st.none(), any_units), st.dictionaries(attribute_names, json_values, max_size=5)
)

clauses = st.builds(
    Condition,
    attribute=attribute_names,
    operator=st.sampled_from(list(Operator)),
    values=st.lists(json_values, max_size=3).map(tuple),
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    st.one_of(clauses, st.builds(Condition, segment=st.sampled_from(["beta", "gone", "round"])), st.just(Condition())),
    lambda inner: st.one_of(
        st.builds(Condition, all=st.lists(inner, max_size=3).map(tuple)),
        st.builds(Condition, any=st.lists(inner, max_size=3).map(tuple)),
        st.builds(Condition, not_=inner),
    ),
    max_leaves=6,
)

# Times around which windows open and close; few, so that they meet.
times = st.integers(min_value=0, max_value=6)
windows = st.builds(Window, st.one_of(st.none(), times), st.one_of(st.none(), times))
variants = st.sampled_from(["on", "off"])
flag_keys = st.sampled_from(["one", "two", "three", "gone"])
rollouts = st.builds(
    lambda bounds, **fields: Rollout(low=min(bounds), high=max(bounds), **fields),
    st.sampled_from([(0, TOTAL_PPM), (0, TOTAL_PPM), (250_000, 500_000), (0, 0)]),
    exposure_ppm=st.one_of(st.just(TOTAL_PPM), shares),
    split=st.dictionaries(variants, st.one_of(st.just(0.0), weights), max_size=2),
    salt=st.sampled_from(["one", "layer:l"]),
    fallback=st.one_of(st.none(), variants),
    bucket_by=st.sampled_from(["targetingKey", "targetingKey", "age", "user.plan"]),
)
answers = st.one_of(st.builds(Answer, serve=variants), st.builds(Answer, rollout=rollouts), st.just(Answer()))
rules = st.lists(
    st.tuples(st.one_of(conditions, st.just(Condition(all=()))), answers, st.one_of(st.none(), windows)), max_size=3
).map(
    lambda drawn: tuple(
        Rule(name=f"rule-{number}", when=when, answer=answer, active=active)
        for number, (when, answer, active) in enumerate(drawn, 1)
    )
)


def flags(key: str) -> st.SearchStrategy[Flag]:
    """Return flags with this key, most of them enabled, some unreadable."""
    return st.builds(
        Flag,
        key=st.just(key),
        type=st.just(FlagType.BOOLEAN),
        variants=st.sampled_from([{"on": True, "off": False}] * 9 + [{"on": True}]),
        version=st.just(1),
        enabled=st.sampled_from([True, True, True, False]),
        off_variant=st.one_of(st.none(), st.just("off")),
        max_staleness_ms=st.one_of(st.none(), st.none(), times),
        prerequisites=st.lists(st.builds(Prerequisite, flag_keys, st.just(("on",))), max_size=2).map(tuple),
        targets=st.dictionaries(variants, st.just(("user-1",)), max_size=1),
        rules=rules,
        default=answers,
        needs=st.sampled_from([None] * 9 + [FORMAT + 1]),
    )


segments = st.dictionaries(
    st.sampled_from(["beta", "round"]),
    st.tuples(st.lists(conditions, max_size=2).map(tuple), st.sampled_from(["targetingKey", "plan"])),
).map(
    lambda drawn: tuple(
        Segment(key=key, unit=unit, included=("user-1",), excluded=("user-2",), conditions=parts)
        for key, (parts, unit) in drawn.items()
    )
)
rollout_names = st.sampled_from([DEFAULT_ROLLOUT, "rule-1"])
ramps = st.builds(
    lambda exposure_ppm, **fields: RampOverlay(
        ramp="r", epoch=1, levels=(0, exposure_ppm), exposure_ppm=exposure_ppm, **fields
    ),
    exposure_ppm=shares,
    flag=flag_keys,
    rollout=rollout_names,
    arming_ppm=st.one_of(st.none(), shares),
    holdback_ppm=st.one_of(st.just(0), shares),
    plain_live=st.booleans(),
    live_with=st.sampled_from([(), ("cells",), ("baseline",), ("cells", "moon"), ("cells", "baseline")]),
    cells=st.one_of(
        st.none(),
        st.builds(
            Cells,
            attribute=st.sampled_from(["plan", "user.plan", "targetingKey"]),
            done=st.lists(st.sampled_from(["pro", "free", 1, True, "user-1"]), max_size=2).map(tuple),
            now=st.lists(st.sampled_from(["pro", "free", 1, True, "user-2"]), max_size=2).map(tuple),
            rest=st.booleans(),
            done_ppm=shares,
            exposure_ppm=shares,
            arming_ppm=st.one_of(st.none(), shares),
        ),
    ),
    baseline=st.sampled_from([None, None, "on", "off"]),
)
kills = st.builds(
    Kill,
    kill_id=st.just("k"),
    project=st.just("default"),
    environment=st.just("production"),
    flag=flag_keys,
    scope=st.sampled_from(list(KillScope)),
    rollout=rollout_names,
    source=st.just("person"),
    at_ms=st.just(0),
)
snapshots = st.builds(
    Snapshot,
    format=st.just(FORMAT),
    generation=st.just(1),
    revision=st.just(1),
    project=st.just("default"),
    environment=st.just("production"),
    flags=st.tuples(flags("one"), flags("two"), flags("three")),
    segments=segments,
    ramps=st.lists(ramps, max_size=1).map(tuple),
    kills=st.lists(kills, max_size=1).map(tuple),
)
"""Environments of three flags, which need one another at times."""
