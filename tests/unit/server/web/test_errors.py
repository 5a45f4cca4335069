"""The one table of statuses."""

import msgspec
import pytest

from rheostat_server import errors
from rheostat_server.errors import Fault, Invalid, Malformed, NotFound, RheostatServerError
from rheostat_server.web.decoding import Body, Key, decode, decode_plain
from rheostat_server.web.errors import STATUS, problem_of, status_for

ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, RheostatServerError) and kind is not RheostatServerError
]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_has_a_row(kind: type[RheostatServerError]) -> None:
    """Each error, or one of its ancestors, has a status of its own."""
    assert any(ancestor in STATUS for ancestor in kind.__mro__)


def test_the_nearest_ancestor_gives_the_status() -> None:
    """A faulty document is 422, a moved version 412 and not the 409 of its parent, the unknown 500."""
    assert status_for(Invalid([])) == 422
    assert status_for(errors.VersionConflict()) == 412
    assert status_for(errors.Conflict()) == 409
    assert status_for(errors.StorageUnavailable()) == 503
    assert status_for(RheostatServerError()) == 500


def test_a_problem_names_every_fault() -> None:
    """The wire form has type, title, status, words, and each fault with its path."""
    problem = problem_of(Invalid([Fault("a.b", "is wrong", "do c")], "the flag x"))

    assert msgspec.json.decode(msgspec.json.encode(problem)) == {
        "type": "urn:rheostat:problem:invalid",
        "title": "Invalid",
        "status": 422,
        "detail": "the flag x has 1 fault",
        "faults": [{"path": "a.b", "message": "is wrong", "hint": "do c"}],
    }
    assert problem_of(NotFound("no x")).title == "Not found"


class Inner(Body, frozen=True):
    """A part of a body."""

    on: bool = False


class Outer(Body, frozen=True):
    """A body."""

    key: Key
    inner: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"key": "a", "inner": [{"on": 1}]}', "inner[0].on"),
        (b'{"key": "a", "inner": [{"off": true}]}', "inner[0]"),
        (b'{"key": "a", "keey": "b"}', ""),
        (b'{"key": "a\\n"}', "key"),
        (b"{}", ""),
        (b"", ""),
    ],
)
def test_bodies_are_read_strictly(body: bytes, path: str) -> None:
    """1 is not true, an unknown field is a fault, and the fault has its path."""
    with pytest.raises(Invalid) as caught:
        decode(body, Outer)
    assert [fault.path for fault in caught.value.faults] == [path]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a": 1,\n  "b": x}', "line 2, column 8"),
        (b'{"a"', "not JSON"),
        (b"", "no body"),
        (b'"\xff"', "UTF-8"),
    ],
)
def test_what_is_not_json_is_said_with_its_place(body: bytes, words: str) -> None:
    """A body that is not JSON is malformed, and the message says where."""
    with pytest.raises(Malformed, match=words):
        decode_plain(body)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"key": "a", "key": "b"}', "key"),
        (b'{"k\\u0065y": 1, "key": 1}', "key"),
        (b'{"key": "a", "inner": [1, {"on": true, "on": false}]}', "inner[1].on"),
        (b'[[0, {"a": {"b": {"on": 1, "on": 2}}}]]', "[0][1].a.b.on"),
    ],
)
def test_a_field_twice_is_a_fault(body: bytes, path: str) -> None:
    """Readers disagree on which of two equal fields counts, so neither is taken."""
    with pytest.raises(Invalid) as caught:
        decode_plain(body)
    assert [(fault.path, "twice" in fault.message) for fault in caught.value.faults] == [(path, True)]


def test_equal_fields_of_different_objects_are_no_duplicates() -> None:
    """The same name may be in many objects, however many digits the numbers beside it have."""
    assert decode_plain(b'[{"a": 1}, {"a": {"a": 1e5}}]') == [{"a": 1}, {"a": {"a": 1e5}}]
    assert decode(b'{"key": "a", "inner": [{"on": true}, {"on": false}]}', Outer).inner[1].on is False


def test_a_body_nested_too_deeply_is_malformed() -> None:
    """Nesting never exhausts the stack."""
    with pytest.raises(Malformed):
        decode_plain(b"[" * 100_000 + b"]" * 100_000)
