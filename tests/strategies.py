"""What hypothesis draws: units, shares, contexts, conditions, flags."""

from typing import Any

from hypothesis import strategies as st

from rheostat.model.context import Context
from rheostat.model.flag import Condition, Operator
from rheostat.model.shares import TOTAL_PPM

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
