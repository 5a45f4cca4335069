"""Who asks the data plane, and for which environment."""

from collections.abc import Callable, Iterable
from typing import Protocol

from rheostat_server.access.model import Principal, Scope, TokenKind
from rheostat_server.errors import Forbidden


class Keys(Protocol):
    """The part of the key ring that the data plane needs."""

    def principal(self, authorization: str | None, api_key: str | None) -> Principal:
        """Return who sent these headers, or raise ``Unauthenticated``."""
        ...

    def valid(self, token_id: str) -> bool:
        """Say whether a key still opens anything."""
        ...

    def ticket(self, token_id: str, spread: bytes) -> str:
        """Return a short-lived stand-in for a key, for an address."""
        ...

    def ticket_holder(self, ticket: str) -> Principal:
        """Return whose ticket this is, or raise ``Unauthenticated``."""
        ...

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever keys changed."""
        ...


def sdk_caller(keys: Keys, authorization: str | None, api_key: str | None) -> tuple[Principal, int]:
    """Return whose SDK key came with a request, and the id of its environment.

    Raises:
        Unauthenticated: none came, or one that is unknown, expired or revoked.
        Forbidden: it is an API token.
    """
    principal = keys.principal(authorization, api_key)
    if principal.kind is not TokenKind.SDK or principal.environment_id is None:
        raise Forbidden("this is not an SDK key; send the key of an environment (an API token opens the admin API)")
    return principal, principal.environment_id


def server_caller(keys: Keys, authorization: str | None, api_key: str | None) -> tuple[Principal, int]:
    """Return as ``sdk_caller``, for what only server-scoped keys may see.

    Raises:
        Forbidden: it is a client-scoped key too, which gets answers only.
    """
    principal, environment_id = sdk_caller(keys, authorization, api_key)
    if principal.scope is not Scope.SERVER:
        raise Forbidden("a client-scoped key gets OFREP answers only; this needs a server-scoped key")
    return principal, environment_id


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Return a header of an ASGI request, by its lower-case name."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return None
