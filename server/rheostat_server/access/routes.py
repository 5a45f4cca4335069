"""HTTP for keys and tokens."""

from typing import Any

from litestar import Router, delete, get, patch, post
from litestar.params import FromPath, RawBody
from msgspec import UNSET, UnsetType

from rheostat.clock import Clock
from rheostat_server.access.guard import Caller
from rheostat_server.access.model import Scope
from rheostat_server.access.service import AccessService
from rheostat_server.access.wire import (
    CredentialChange,
    CredentialView,
    KeyBody,
    KeyList,
    RotateBody,
    TokenBody,
    TokenList,
    credential_view,
)
from rheostat_server.errors import Fault, Invalid
from rheostat_server.web.decoding import decode
from rheostat_server.web.openapi import takes
from rheostat_server.web.times import read_duration, read_moment

_KEYS = "/projects/{project:str}/environments/{environment:str}/keys"


def access_routes(service: AccessService, clock: Clock) -> Router:
    """Return the routes of keys and tokens."""

    def expiry(body: KeyBody | TokenBody) -> int | None:
        if body.expires_at is not None and body.expires_in is not None:
            raise Invalid([Fault("expires_in", "give expires_at or expires_in, not both")], "the request")
        if body.expires_in is not None:
            return clock.wall_ms() + read_duration(body.expires_in, "expires_in")
        return None if body.expires_at is None else read_moment(body.expires_at, "expires_at")

    def changed_expiry(body: CredentialChange) -> int | UnsetType | None:
        if body.expires_in is not UNSET:
            if body.expires_at is not UNSET:
                raise Invalid([Fault("expires_in", "give expires_at or expires_in, not both")], "the request")
            return clock.wall_ms() + read_duration(body.expires_in, "expires_in")
        return read_moment(body.expires_at, "expires_at") if isinstance(body.expires_at, str) else body.expires_at

    @get(_KEYS)
    async def list_keys(project: FromPath[str], environment: FromPath[str]) -> KeyList:
        """List an environment's SDK keys."""
        return KeyList([credential_view(row) for row in await service.keys(project, environment)])

    @post(_KEYS, operation_class=takes(KeyBody), scope=Scope.ADMIN)
    async def make_key(
        project: FromPath[str], environment: FromPath[str], body: RawBody, principal: Caller
    ) -> CredentialView:
        """Make an SDK key; its secret is in this answer only."""
        asked = decode(body, KeyBody)
        made = await service.make_key(
            principal, project, environment, label=asked.label, scope=Scope(asked.scope), expires_at_ms=expiry(asked)
        )
        return credential_view(made.row, made.secret)

    @patch(_KEYS + "/{key_id:str}", operation_class=takes(CredentialChange), scope=Scope.ADMIN)
    async def change_key(
        project: FromPath[str], environment: FromPath[str], key_id: FromPath[str], body: RawBody, principal: Caller
    ) -> CredentialView:
        """Change a key's label or expiry."""
        asked = decode(body, CredentialChange)
        row = await service.change(
            principal, key_id, within=(project, environment), label=asked.label, expires_at_ms=changed_expiry(asked)
        )
        return credential_view(row)

    @delete(_KEYS + "/{key_id:str}", status_code=200, scope=Scope.ADMIN)
    async def revoke_key(
        project: FromPath[str], environment: FromPath[str], key_id: FromPath[str], principal: Caller
    ) -> CredentialView:
        """Revoke a key."""
        return credential_view(await service.revoke(principal, key_id, within=(project, environment)))

    @post(_KEYS + "/{key_id:str}/rotate", operation_class=takes(RotateBody), scope=Scope.ADMIN)
    async def rotate_key(
        project: FromPath[str], environment: FromPath[str], key_id: FromPath[str], body: RawBody, principal: Caller
    ) -> CredentialView:
        """Make a key's successor; the old one stays valid for the overlap."""
        overlap_ms = read_duration(decode(body, RotateBody).overlap, "overlap")
        made = await service.rotate(principal, key_id, within=(project, environment), overlap_ms=overlap_ms)
        return credential_view(made.row, made.secret)

    @get("/tokens", scope=Scope.ADMIN)
    async def list_tokens(principal: Caller) -> TokenList:
        """List API tokens."""
        return TokenList([credential_view(row) for row in await service.tokens(principal)])

    @post("/tokens", operation_class=takes(TokenBody), scope=Scope.ADMIN)
    async def make_token(body: RawBody, principal: Caller) -> CredentialView:
        """Make an API token; its secret is in this answer only."""
        asked = decode(body, TokenBody)
        made = await service.make_token(
            principal,
            label=asked.label,
            scope=Scope(asked.scope),
            project=asked.project,
            expires_at_ms=expiry(asked),
        )
        return credential_view(made.row, made.secret)

    @patch("/tokens/{token_id:str}", operation_class=takes(CredentialChange), scope=Scope.ADMIN)
    async def change_token(token_id: FromPath[str], body: RawBody, principal: Caller) -> CredentialView:
        """Change a token's label or expiry."""
        asked = decode(body, CredentialChange)
        row = await service.change(
            principal, token_id, within=None, label=asked.label, expires_at_ms=changed_expiry(asked)
        )
        return credential_view(row)

    @delete("/tokens/{token_id:str}", status_code=200, scope=Scope.ADMIN)
    async def revoke_token(token_id: FromPath[str], principal: Caller) -> CredentialView:
        """Revoke a token."""
        return credential_view(await service.revoke(principal, token_id, within=None))

    @post("/tokens/{token_id:str}/rotate", operation_class=takes(RotateBody), scope=Scope.ADMIN)
    async def rotate_token(token_id: FromPath[str], body: RawBody, principal: Caller) -> CredentialView:
        """Make a token's successor; the old one stays valid for the overlap."""
        overlap_ms = read_duration(decode(body, RotateBody).overlap, "overlap")
        made = await service.rotate(principal, token_id, within=None, overlap_ms=overlap_ms)
        return credential_view(made.row, made.secret)

    handlers: list[Any] = [
        list_keys, make_key, change_key, revoke_key, rotate_key,
        list_tokens, make_token, change_token, revoke_token, rotate_token,
    ]  # fmt: skip
    return Router("/", route_handlers=handlers, tags=["keys and tokens"])
