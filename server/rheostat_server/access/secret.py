"""The secrets themselves: how they are made, recognised and hashed."""

import hashlib
import secrets

from rheostat_server.access.model import Scope, TokenKind

_HINT = 8
_BYTES = 24


def make_secret(kind: TokenKind, scope: Scope) -> str:
    """Return a new secret of 192 random bits: ``rht_…`` API token, ``rhs_…`` server key, ``rhc_…`` client key."""
    if kind is TokenKind.API:
        prefix = "rht"
    elif kind is TokenKind.EDGE:
        prefix = "rhe"
    else:
        prefix = "rhc" if scope is Scope.CLIENT else "rhs"
    return f"{prefix}_{secrets.token_urlsafe(_BYTES)}"


def hash_secret(secret: str) -> bytes:
    """Return its SHA-256. A slow hash would add nothing: there is nothing to guess in 192 random bits."""
    return hashlib.sha256(secret.encode()).digest()


def hint_of(secret: str) -> str:
    """Return the first characters, by which people recognise it; few of a short one that somebody chose."""
    return secret[: min(_HINT, len(secret) // 4)]
