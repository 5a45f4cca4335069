"""Keys, contexts and defaults that nobody should give: the application gets an answer, and goes on."""

import enum
from collections.abc import Callable
from typing import Any

import pytest

from rheostat import ErrorCode, Rheostat
from rheostat.testing import FakeRheostat

GETTERS = ("boolean", "string", "integer", "float", "object", "evaluate", "explain")


class Hostile:
    """Raises whatever it is asked."""

    def __hash__(self) -> int:
        raise RuntimeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Strange(str):
    """Finds its flag's place in a dict, and then raises."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash("switch")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")


class Theme(enum.StrEnum):
    DARK = "dark"


class Size(enum.IntEnum):
    SMALL = 1


KEYS: dict[str, Any] = {
    "raises": Hostile(),
    "raises when compared": Strange(),
    "list": [],
    "bytes": b"switch",
    "none": None,
    "surrogate": "\ud800",
    "long": "x" * 100_000,
}


@pytest.fixture
def flags() -> FakeRheostat:
    return FakeRheostat(
        {"switch": True, "colour": "teal", "limit": 5, "rate": 0.5, "huge": 10**400, "layout": {"a": 1}}, strict=False
    )


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("getter", GETTERS)
def test_no_key_raises(name: str, getter: str, flags: FakeRheostat) -> None:
    """The default is served, before the first snapshot too, and an explanation says why."""
    with Rheostat(url=None, sdk_key=None) as unready:
        for client in (flags, unready):
            if getter == "explain":
                assert client.explain(KEYS[name]).evaluation.error_code is not None
            elif getter == "evaluate":
                assert client.evaluate(KEYS[name], 3).value == 3
                assert client.evaluate(KEYS[name], {3}).value == {3}
            else:
                default = object()
                assert getattr(client, getter)(KEYS[name], default) is default


def test_an_integer_that_no_float_holds_is_of_another_type(flags: FakeRheostat) -> None:
    """The default is served in its place, and such a default is served as it is."""
    assert flags.float("huge", 1.5) == 1.5
    assert flags.evaluate("huge", 1.5).error_code is ErrorCode.TYPE_MISMATCH
    assert flags.float("rate", 10**400) == 0.5
    assert flags.float("gone", 10**400) == 10**400


def test_what_is_in_an_object_default_is_not_looked_at(flags: FakeRheostat) -> None:
    """It is the application's: the default may hold anything, itself too."""
    circle: dict[str, Any] = {"any": object()}
    circle["self"] = circle

    assert flags.object("layout", circle) == flags.evaluate("layout", circle).value == {"a": 1}
    assert flags.object("gone", circle) is circle


@pytest.mark.parametrize(
    ("ask", "value"),
    [
        (lambda flags: flags.string("colour", Theme.DARK), "teal"),
        (lambda flags: flags.evaluate("colour", Theme.DARK).value, "teal"),
        (lambda flags: flags.integer("limit", Size.SMALL), 5),
        (lambda flags: flags.evaluate("limit", Size.SMALL).value, 5),
        (lambda flags: flags.float("rate", Size.SMALL), 0.5),
    ],
)
def test_a_default_may_be_of_a_type_made_of_the_flags(ask: Callable[[Rheostat], object], value: object) -> None:
    """An application's ``StrEnum`` is text and its ``IntEnum`` an integer, however it is asked; strict mode agrees."""
    assert ask(FakeRheostat({"colour": "teal", "limit": 5, "rate": 0.5}, strict=True)) == value
