"""The reference names what there is."""

import inspect
from pathlib import Path

import pytest

import rheostat
from rheostat import EvaluationDetails, Rheostat, Status

TEXT = (Path(__file__).parents[4] / "docs" / "reference" / "sdk.md").read_text()
METHODS = [name for name, _ in inspect.getmembers(Rheostat, inspect.isfunction) if not name.startswith("_")]
ARGUMENTS = [name for name in inspect.signature(Rheostat).parameters if name != "self"]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_documented(name: str) -> None:
    """Who reads the reference misses no call."""
    assert f"flags.{name}(" in TEXT


@pytest.mark.parametrize("name", [*ARGUMENTS, *EvaluationDetails.__struct_fields__, *Status.__struct_fields__])
def test_every_setting_and_field_is_documented(name: str) -> None:
    """Arguments, and the fields of what is returned, are named."""
    assert f"`{name}`" in TEXT


def test_what_is_exported_exists() -> None:
    """``from rheostat import …`` works for each name that is promised."""
    assert all(hasattr(rheostat, name) for name in rheostat.__all__)
