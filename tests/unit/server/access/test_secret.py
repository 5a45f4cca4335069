"""Secrets and what principals may do."""

import pytest

from rheostat_server.access.model import Principal, Scope, TokenKind
from rheostat_server.access.secret import hash_secret, hint_of, make_secret
from rheostat_server.errors import Forbidden


@pytest.mark.parametrize(
    ("kind", "scope", "prefix"),
    [
        (TokenKind.API, Scope.ADMIN, "rht_"),
        (TokenKind.SDK, Scope.SERVER, "rhs_"),
        (TokenKind.SDK, Scope.CLIENT, "rhc_"),
        (TokenKind.EDGE, Scope.SERVER, "rhe_"),
    ],
)
def test_a_secret_tells_its_kind_and_nothing_else(kind: TokenKind, scope: Scope, prefix: str) -> None:
    """The prefix tells the kind; 32 random characters follow; two are never the same."""
    first, second = make_secret(kind, scope), make_secret(kind, scope)

    assert first.startswith(prefix)
    assert len(first) == 36
    assert first != second
    assert len(hash_secret(first)) == 32
    assert hash_secret(first) != hash_secret(second)


def test_the_hint_of_a_short_secret_gives_little_away() -> None:
    """At most a quarter of a chosen secret is shown."""
    assert hint_of("sixteen-letters!") == "sixt"
    assert len(hint_of(make_secret(TokenKind.API, Scope.READ))) == 8


@pytest.mark.parametrize("held", [Scope.READ, Scope.WRITE, Scope.ADMIN])
@pytest.mark.parametrize("needed", [Scope.READ, Scope.WRITE, Scope.ADMIN])
def test_each_scope_includes_those_before(held: Scope, needed: Scope) -> None:
    """admin includes write, write includes read, and never the other way."""
    order = [Scope.READ, Scope.WRITE, Scope.ADMIN]
    principal = Principal(kind=TokenKind.API, scope=held, token_id="t", label="l")
    if order.index(held) >= order.index(needed):
        principal.require(needed)
    else:
        with pytest.raises(Forbidden):
            principal.require(needed)
