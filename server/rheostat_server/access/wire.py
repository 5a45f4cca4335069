"""Keys and tokens on the wire."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from rheostat_server.ports.access import TokenRow
from rheostat_server.web.decoding import Body, Key, Line
from rheostat_server.web.times import rfc3339, rfc3339_or_none


class KeyBody(Body, frozen=True):
    """An SDK key to make. At most one of ``expires_at`` and ``expires_in``."""

    label: Line = ""
    scope: Literal["server", "client"] = "server"
    expires_at: str | None = None
    expires_in: str | None = None


class TokenBody(Body, frozen=True):
    """An API token to make. Without ``project`` it is of every project."""

    label: Line
    scope: Literal["admin", "write", "read"] = "read"
    project: Key | None = None
    expires_at: str | None = None
    expires_in: str | None = None


class CredentialChange(Body, frozen=True):
    """What to change; ``expires_at: null`` takes the expiry away."""

    label: Line | UnsetType = UNSET
    expires_at: str | UnsetType | None = UNSET
    expires_in: str | UnsetType = UNSET


class RotateBody(Body, frozen=True):
    """How long the old secret stays valid beside the new one."""

    overlap: str = "24h"


class CredentialView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key or token. ``secret`` is in the answer that makes it, and never again."""

    id: str
    kind: str
    scope: str
    label: str
    hint: str
    created_at: str
    project: str | None = None
    environment: str | None = None
    expires_at: str | None = None
    last_used_at: str | None = None
    revoked_at: str | None = None
    secret: str | None = None


class KeyList(msgspec.Struct, frozen=True):
    """The SDK keys of an environment."""

    keys: list[CredentialView]


class TokenList(msgspec.Struct, frozen=True):
    """API tokens."""

    tokens: list[CredentialView]


def credential_view(row: TokenRow, secret: str | None = None) -> CredentialView:
    """Return what may be shown of a key or token."""
    return CredentialView(
        id=row.id,
        kind=row.kind.value,
        scope=row.scope.value,
        label=row.label,
        hint=row.hint,
        created_at=rfc3339(row.created_at_ms),
        project=row.project,
        environment=row.environment,
        expires_at=rfc3339_or_none(row.expires_at_ms),
        last_used_at=rfc3339_or_none(row.last_used_at_ms),
        revoked_at=rfc3339_or_none(row.revoked_at_ms),
        secret=secret,
    )
