"""From a request's JSON to a context."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat_server.evaluation.context import DEPTH, BadRequest, read_context


def a_body(context: Any) -> bytes:
    return json.dumps({"context": context, "later": 1}).encode()


def test_a_context_is_taken_as_it_is() -> None:
    """The targeting key is apart; attributes keep their types, nested ones and lists of texts too."""
    sent = {"targetingKey": "u", "age": 3, "vip": True, "roles": ["a"], "account": {"tier": {"name": "x"}}}

    context, echoed = read_context(a_body(sent))

    assert context.targeting_key == "u"
    assert dict(context.attributes) == {key: value for key, value in sent.items() if key != "targetingKey"}
    assert echoed == sent


def test_an_integer_key_is_its_decimal_text() -> None:
    """A numeric user id gives the same unit as in the SDK."""
    assert read_context(a_body({"targetingKey": 42}))[0].targeting_key == "42"


def test_nesting_has_an_end() -> None:
    """Attributes may be nested 32 deep, and not more."""
    deep: Any = 1
    for _ in range(DEPTH):
        deep = {"a": deep}
    read_context(a_body({"a": deep}))

    with pytest.raises(BadRequest, match="account: an attribute is nested more than 32 deep"):
        read_context(a_body({"account": {"a": deep}}))


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"", "it is empty"), (b'{"context": {"a": "\xff"}}', "it is not UTF-8"), (b"[" * 60_000, "nested too deeply")],
)
def test_what_cannot_be_read_is_said_in_plain_words(body: bytes, words: str) -> None:
    """What JSON's reader says of the rest has a place in it."""
    with pytest.raises(BadRequest, match=words) as caught:
        read_context(body)
    assert caught.value.code == "PARSE_ERROR"


@given(st.binary(max_size=300) | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(a_body))
def test_any_bytes_give_a_context_or_a_bad_request(body: bytes) -> None:
    """Nothing else comes of a body, whatever it holds."""
    refused: BadRequest | None = None
    try:
        context, _ = read_context(body)
        assert "targetingKey" not in context.attributes
    except BadRequest as error:
        refused = error

    assert refused is None or (refused.code in ("PARSE_ERROR", "INVALID_CONTEXT") and refused.details)
