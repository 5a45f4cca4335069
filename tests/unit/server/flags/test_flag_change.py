"""Merge patches and differences."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.model.document import EnvironmentDocument, FlagDocument
from rheostat.model.flag import FlagType
from rheostat_server.errors import Invalid
from rheostat_server.flags.change import changes, check_patch, merge, unified, with_environment, without_environments

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_merges_as_the_rfc_has_it(target: Any, patch: Any, result: Any) -> None:
    """The test cases of RFC 7386, appendix A."""
    assert merge(target, patch) == result


@given(json_values, json_values)
def test_merging_twice_is_merging_once(target: Any, patch: Any) -> None:
    """A patch that was applied changes nothing when it is applied again, and the target is not touched."""
    before = msgspec.json.encode(target)
    once = merge(target, patch)

    assert merge(once, patch) == once
    assert msgspec.json.encode(target) == before


@pytest.mark.parametrize("patch", [[], "x", {"environments": None}, {"environments": {"production": None}}])
def test_a_patch_takes_no_environment_out(patch: Any) -> None:
    """A patch is an object, and no environment is removed by it."""
    with pytest.raises(Invalid):
        check_patch(patch)


def a_flag(**fields: Any) -> FlagDocument:
    return FlagDocument(**{"key": "a", "type": FlagType.BOOLEAN, "variants": {"on": True, "off": False}, **fields})


def test_differences_have_paths() -> None:
    """Each place that differs is told with both sides; 1 and true differ."""
    before = a_flag(metadata={"n": 1}, tags=("x", "y"))
    after = a_flag(metadata={"n": True}, tags=("x", "z"), owner="o")

    assert {(change.path, change.before, change.after) for change in changes(before, after)} == {
        ("metadata.n", 1, True),
        ("tags[1]", "y", "z"),
        ("owner", None, "o"),
    }
    assert changes(before, before) == []
    assert unified(before, before, "1", "2") == []
    assert '+  "owner": "o",' in unified(before, after, "1", "2")


def test_an_environment_comes_and_goes() -> None:
    """An environment that is put in and taken out again leaves the document as it was."""
    flag = a_flag(environments={"production": EnvironmentDocument(enabled=True)})
    more = with_environment(flag, "qa", EnvironmentDocument())

    assert set(more.environments) == {"production", "qa"}
    assert without_environments(more, {"qa"}) == flag
