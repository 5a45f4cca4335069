"""The making, changing and revoking of keys and tokens."""

from typing import TypeVar
from uuid import uuid4

import msgspec
from msgspec import UNSET, UnsetType

from rheostat.clock import Clock
from rheostat_server.access.keyring import KeyRing
from rheostat_server.access.model import Principal, Scope, TokenKind
from rheostat_server.access.secret import hash_secret, hint_of, make_secret
from rheostat_server.errors import Forbidden, NotFound, Refused
from rheostat_server.ports.access import TokenRow
from rheostat_server.ports.storage import AuditEntry, EnvironmentRow, Storage, Transaction

T = TypeVar("T")


class Made(msgspec.Struct, frozen=True):
    """A new key or token, and its secret, which is kept nowhere."""

    row: TokenRow
    secret: str


class AccessService:
    """Keys and tokens. What it does holds on this node when it returns, elsewhere within a poll."""

    def __init__(self, storage: Storage, keyring: KeyRing, clock: Clock) -> None:
        self._storage = storage
        self._keyring = keyring
        self._clock = clock

    async def keys(self, project: str, environment: str) -> list[TokenRow]:
        """Return an environment's SDK keys, revoked ones too, oldest first.

        Raises:
            NotFound: there is no such environment.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            here = await tx.environments.get(project, environment)
            return [row for row in await tx.tokens.all() if row.environment_id == here.id]

    async def tokens(self, principal: Principal) -> list[TokenRow]:
        """Return the API tokens that this one may see, oldest first."""
        async with self._storage.transaction(snapshot=True) as tx:
            rows = [row for row in await tx.tokens.all() if row.kind is TokenKind.API]
        return [row for row in rows if principal.project in (None, row.project)]

    async def make_key(
        self,
        principal: Principal,
        project: str,
        environment: str,
        *,
        label: str,
        scope: Scope,
        expires_at_ms: int | None,
    ) -> Made:
        """Make an SDK key.

        Raises:
            NotFound: there is no such environment.
            Refused: it would have expired already.
        """

        async def work(tx: Transaction) -> Made:
            here = await tx.environments.get(project, environment)
            made = self._new(
                TokenKind.SDK, scope, label=label, expires_at_ms=expires_at_ms, project=project, environment=here
            )
            await self._add(tx, principal, made, f"made {_named(made.row)} for {environment}")
            return made

        return await self._changed(await self._storage.run(work))

    async def make_token(
        self, principal: Principal, *, label: str, scope: Scope, project: str | None, expires_at_ms: int | None
    ) -> Made:
        """Make an API token.

        Raises:
            NotFound: there is no such project.
            Forbidden: the token that asks is bound to another project.
            Refused: it would have expired already.
        """
        if principal.project is not None and project != principal.project:
            raise Forbidden(f"the token {principal.label!r} makes tokens of the project {principal.project!r} only")

        async def work(tx: Transaction) -> Made:
            if project is not None:
                await tx.projects.get(project)
            made = self._new(
                TokenKind.API, scope, label=label, expires_at_ms=expires_at_ms, project=project, environment=None
            )
            await self._add(tx, principal, made, f"made {_named(made.row)}")
            return made

        return await self._changed(await self._storage.run(work))

    async def change(
        self,
        principal: Principal,
        token_id: str,
        *,
        within: tuple[str, str] | None,
        label: str | UnsetType = UNSET,
        expires_at_ms: int | UnsetType | None = UNSET,
    ) -> TokenRow:
        """Change a label or an expiry. ``within`` is the project and environment of a key, ``None`` for tokens.

        Raises:
            NotFound: there is no such key or token there.
            Refused: it is revoked.
        """

        async def work(tx: Transaction) -> TokenRow:
            row = await self._locked(tx, principal, token_id, within)
            if row.revoked_at_ms is not None:
                raise Refused("it is revoked; make a new one")
            changed = msgspec.structs.replace(
                row,
                label=row.label if label is UNSET else label,
                expires_at_ms=row.expires_at_ms if expires_at_ms is UNSET else expires_at_ms,
            )
            await self._save(tx, principal, changed, "change", f"changed {_named(changed)}")
            return changed

        return await self._changed(await self._storage.run(work))

    async def revoke(self, principal: Principal, token_id: str, *, within: tuple[str, str] | None) -> TokenRow:
        """Refuse a key or token from now on. Doing it twice is no error.

        Raises:
            NotFound: there is no such key or token there.
        """

        async def work(tx: Transaction) -> TokenRow:
            row = await self._locked(tx, principal, token_id, within)
            if row.revoked_at_ms is not None:
                return row
            changed = msgspec.structs.replace(row, revoked_at_ms=self._clock.wall_ms())
            await self._save(tx, principal, changed, "revoke", f"revoked {_named(changed)}")
            return changed

        return await self._changed(await self._storage.run(work))

    async def rotate(
        self, principal: Principal, token_id: str, *, within: tuple[str, str] | None, overlap_ms: int
    ) -> Made:
        """Make a successor; the old one stays valid for the overlap and no longer.

        Raises:
            NotFound: there is no such key or token there.
            Refused: it is revoked or has expired.
        """

        async def work(tx: Transaction) -> Made:
            row = await self._locked(tx, principal, token_id, within)
            now_ms = self._clock.wall_ms()
            if row.revoked_at_ms is not None or (row.expires_at_ms is not None and row.expires_at_ms <= now_ms):
                raise Refused("it is valid no longer; make a new one")
            end_ms = now_ms + overlap_ms
            old = msgspec.structs.replace(
                row, expires_at_ms=end_ms if row.expires_at_ms is None else min(row.expires_at_ms, end_ms)
            )
            here = None if within is None else await tx.environments.get(*within)
            made = self._new(
                row.kind, row.scope, label=row.label, expires_at_ms=None, project=row.project, environment=here
            )
            await self._save(tx, principal, old, "rotate", f"rotated {_named(row)}: {made.row.hint}… follows it")
            await tx.tokens.add(made.row)
            return made

        return await self._changed(await self._storage.run(work))

    def _new(
        self,
        kind: TokenKind,
        scope: Scope,
        *,
        label: str,
        expires_at_ms: int | None,
        project: str | None,
        environment: EnvironmentRow | None,
    ) -> Made:
        now_ms = self._clock.wall_ms()
        if expires_at_ms is not None and expires_at_ms <= now_ms:
            raise Refused("it would have expired already")
        secret = make_secret(kind, scope)
        row = new_row(
            secret,
            kind,
            scope,
            label=label,
            project=project,
            environment=environment,
            now_ms=now_ms,
            expires_at_ms=expires_at_ms,
        )
        return Made(row, secret)

    async def _locked(
        self, tx: Transaction, principal: Principal, token_id: str, within: tuple[str, str] | None
    ) -> TokenRow:
        if within is not None:
            await tx.environments.get(*within)
        row = await tx.tokens.get(token_id)
        if within is None:
            here = row.kind is TokenKind.API and principal.project in (None, row.project)
        else:
            here = row.kind is TokenKind.SDK and (row.project, row.environment) == within
        if not here:
            raise NotFound(f"there is no key or token {token_id!r}")
        return row

    async def _add(self, tx: Transaction, principal: Principal, made: Made, summary: str) -> None:
        await tx.tokens.add(made.row)
        await self._record(tx, principal, made.row, "create", summary)

    async def _save(self, tx: Transaction, principal: Principal, row: TokenRow, verb: str, summary: str) -> None:
        await tx.tokens.change(
            row.id, label=row.label, expires_at_ms=row.expires_at_ms, revoked_at_ms=row.revoked_at_ms
        )
        await self._record(tx, principal, row, verb, summary)

    async def _record(self, tx: Transaction, principal: Principal, row: TokenRow, verb: str, summary: str) -> None:
        await tx.tokens.raise_access_revision()
        await tx.audit.add(
            AuditEntry(
                at_ms=self._clock.wall_ms(),
                actor=principal.actor,
                action=f"{'token' if row.kind is TokenKind.API else 'key'}.{verb}",
                project=row.project,
                environment=row.environment,
                subject=row.id,
                summary=summary,
            )
        )
        await tx.notify([])

    async def _changed(self, result: T) -> T:
        # So that whoever got the answer can use a new key, and not a revoked one, on this node at once.
        await self._keyring.refresh_soon()
        return result


def new_row(
    secret: str,
    kind: TokenKind,
    scope: Scope,
    *,
    label: str,
    project: str | None,
    environment: EnvironmentRow | None,
    now_ms: int,
    expires_at_ms: int | None = None,
) -> TokenRow:
    """Return what is stored of a secret. ``environment`` is for SDK keys."""
    return TokenRow(
        id=str(uuid4()),
        kind=kind,
        scope=scope,
        hash=hash_secret(secret),
        hint=hint_of(secret),
        label=label,
        project=project,
        environment_id=None if environment is None else environment.id,
        environment=None if environment is None else environment.key,
        created_at_ms=now_ms,
        expires_at_ms=expires_at_ms,
    )


def _named(row: TokenRow) -> str:
    what = f"{row.scope} token" if row.kind is TokenKind.API else f"{row.scope} key"
    return f"the {what} {row.label!r} ({row.hint}…)" if row.label else f"the {what} {row.hint}…"
