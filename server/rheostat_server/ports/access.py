"""Where keys and tokens are kept, hashed. Adapter: postgres."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from rheostat_server.access.model import Scope, TokenKind


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key or token as stored. Times are ms since the epoch.

    ``project`` is ``None`` for an API token of every project; an SDK key has ``environment_id`` and
    ``environment``. ``id`` is a UUID as text.
    """

    id: str
    kind: TokenKind
    scope: Scope
    hash: bytes
    hint: str
    label: str
    project: str | None
    environment_id: int | None
    environment: str | None
    created_at_ms: int
    expires_at_ms: int | None = None
    last_used_at_ms: int | None = None
    revoked_at_ms: int | None = None


class TokenStore(Protocol):
    """Keys and tokens. Nothing is ever deleted but with its project or environment: revoked ones stay listed."""

    async def all(self) -> list[TokenRow]:
        """Return every one, oldest first."""
        ...

    async def get(self, token_id: str) -> TokenRow:
        """Return one, locked to the end of the transaction.

        Raises:
            NotFound: there is none with this id.
        """
        ...

    async def by_hash(self, digest: bytes) -> TokenRow | None:
        """Return the one with this hash."""
        ...

    async def add(self, row: TokenRow) -> None:
        """Keep a new one.

        Raises:
            Conflict: one with this hash is there.
        """
        ...

    async def change(self, token_id: str, *, label: str, expires_at_ms: int | None, revoked_at_ms: int | None) -> None:
        """Write what can change about one."""
        ...

    async def used(self, at_ms: Mapping[str, int]) -> None:
        """Note when each was last used, by id; never an earlier time than the one noted."""
        ...

    async def raise_access_revision(self) -> int:
        """Raise the number that tells every node to read the keys again; its row is locked to the commit."""
        ...
