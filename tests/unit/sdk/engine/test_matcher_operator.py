"""The operator ``matches`` in a clause."""

from typing import Any

import pytest

from rheostat.engine.matcher.literals import needle, plain_search
from rheostat.engine.matcher.parser import parse
from rheostat.engine.operators import compile_test
from rheostat.model.flag import Operator


@pytest.mark.parametrize(
    ("values", "value", "truth"),
    [
        (("^a", "b$"), "xb", True),
        (("^a", "b$"), "xbx", False),
        (("^a",), 1, None),
        (("1",), 1, None),
        (("^a",), ["a"], None),
        (("a", "(b"), "a", True),
        (("a", "(b"), "c", None),
        (("(b",), "b", None),
        ((1,), "1", None),
        (("a", None), "b", None),
        ((), "a", None),
    ],
)
def test_matches(values: tuple[Any, ...], value: object, truth: bool | None) -> None:
    """True if one pattern matches, false if none does; unknown of anything but text, or if one cannot be read."""
    assert compile_test(Operator.MATCHES, values)(value) is truth


@pytest.mark.parametrize(
    ("pattern", "plain"),
    [
        ("^user-", True),
        (r"@example\.(com|org)$", True),
        ("^(a|b)c?$", True),
        ("a|bc", True),
        (".*beta.*", True),
        ("(ab){2}", True),
        ("(a|b.)c", False),
        ("^[a-z]{2}$", False),
        ("a[0-9]{2}", False),
        ("(a|b|c|d|e|f|gh)(a|b|c|d|e|f|gh)", False),
        ("aa|[a-z]|[b-z]", False),
        ("^.*a", False),
    ],
)
def test_plain_text_needs_no_search(pattern: str, plain: bool) -> None:
    """A few texts, perhaps at an edge, are left to Python's own text methods."""
    assert (plain_search(parse(pattern)) is not None) is plain


@pytest.mark.parametrize(
    ("pattern", "piece"),
    [(r"\d+@example\.com", "@example.com"), ("ab.cde.f", "cde"), ("(?i)ab", ""), ("(ab|c.)", ""), ("(ab)c.", "abc")],
)
def test_a_piece_of_text_that_every_match_has(pattern: str, piece: str) -> None:
    """Texts without the piece are refused at once."""
    assert needle(parse(pattern)) == piece
