"""A change as the command line gives it."""

import datetime
from typing import Any

import pytest

from rheostat_server.cli.change_given import change_in, joined, patch_of, targets_of
from rheostat_server.cli.connection import CommandFailed


def test_assignments_make_a_patch() -> None:
    """Values are YAML: numbers, truth, text, lists, and null for taking away; an equals sign may be in a value."""
    patch = patch_of(
        ["enabled=true", "default.serve=null", "default.rollout.exposure=50", "owner=a=b", "tags=[a, b]", "salt="]
    )

    assert patch == {
        "enabled": True,
        "default": {"serve": None, "rollout": {"exposure": 50}},
        "owner": "a=b",
        "tags": ["a", "b"],
        "salt": None,
    }


@pytest.mark.parametrize(
    ("assignments", "word"),
    [
        (["enabled"], "a field and its value"),
        (["=true"], "a field and its value"),
        (["a..b=1"], "a field and its value"),
        (["a=1", "a.b=2"], "a value of its own"),
        (["a.b=1", "a=2"], "gives a too"),
        (["a=[1"], "not YAML"),
        (["a=2026-12-01T09:00:00Z"], "put it in quotes"),
    ],
)
def test_assignments_that_cannot_be_meant_are_refused(assignments: list[str], word: str) -> None:
    """Without a value, at odds with another, or a date that YAML would change."""
    with pytest.raises(CommandFailed, match=word):
        patch_of(assignments)


def test_units_are_given_by_variant() -> None:
    """A unit may have an equals sign in it, a variant may not."""
    assert targets_of(["on=ann", "on=b=c"], ["off=ann"]) == {"on": {"add": ["ann", "b=c"]}, "off": {"remove": ["ann"]}}
    with pytest.raises(CommandFailed, match="--remove-target ann"):
        targets_of([], ["ann"])


def test_two_patches_become_one() -> None:
    """What takes away still does, what both write merges, and the second has the last word."""
    first = {"default": {"serve": None, "rollout": {"exposure": 5}}, "enabled": True, "rules": [1]}
    second = {"default": {"rollout": {"salt": "a", "exposure": None}}, "enabled": False, "rules": {"a": 1}}

    assert joined(first, second) == {
        "default": {"serve": None, "rollout": {"exposure": None, "salt": "a"}},
        "enabled": False,
        "rules": {"a": 1},
    }


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ([1], "a change is an object"),
        ({"kind": "flag", "key": "a"}, "whole document"),
        ({"key": "a", "variants": {}}, "whole document"),
        ({"at": datetime.datetime(2026, 12, 1, 9, tzinfo=datetime.UTC)}, "put it in quotes"),
        ({"patch": {"metadata": {"until": [datetime.date(2026, 12, 1)]}}}, "metadata: until"),
    ],
)
def test_a_file_that_is_no_change_is_refused(data: Any, word: str) -> None:
    """A whole document, a list, a date."""
    with pytest.raises(CommandFailed, match=word):
        change_in(data, "change.yaml")


def test_a_file_holds_a_change() -> None:
    """It is what the API takes."""
    change = {"at": "2026-12-01T09:00", "patch": {"enabled": True}, 5: "a key that the server refuses"}

    assert change_in(change, "change.yaml") == change
