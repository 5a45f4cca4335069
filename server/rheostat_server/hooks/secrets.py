"""The secrets by which other systems may kill: made, listed, revoked, recognised."""

import base64
import binascii
import secrets
from uuid import uuid4

import msgspec

from rheostat.clock import Clock
from rheostat_server.access.model import Principal
from rheostat_server.access.secret import hash_secret, hint_of
from rheostat_server.errors import Fault, Invalid, Refused, Unauthenticated
from rheostat_server.hooks.alertmanager import Target
from rheostat_server.ports.hooks import HookRow
from rheostat_server.ports.storage import AuditEntry, Storage, Transaction

PREFIX = "rhh"
NOTE_MS = 60_000
"""``last used`` is written at most this often."""
_LONGEST_SECRET = 512
_BYTES = 24


class HookSecrets:
    """Secrets of hooks. They are looked up in the database, without which a hook could not kill either."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    async def all(self, project: str) -> list[HookRow]:
        """Return a project's, revoked ones too, oldest first, or raise ``NotFound``."""
        async with self._storage.transaction(snapshot=True) as tx:
            await tx.projects.get(project)
            return await tx.hooks.of_project(project)

    async def make(
        self,
        principal: Principal,
        project: str,
        *,
        label: str,
        environments: tuple[str, ...],
        flags: tuple[str, ...],
        expires_at_ms: int | None,
    ) -> tuple[HookRow, str]:
        """Make one; return it with its secret, which is kept nowhere.

        Raises:
            NotFound: there is no such project.
            Invalid: it has no such environment.
            Refused: it would have expired already.
        """
        now_ms = self._clock.wall_ms()
        if expires_at_ms is not None and expires_at_ms <= now_ms:
            raise Refused("it would have expired already")
        secret = f"{PREFIX}_{secrets.token_urlsafe(_BYTES)}"
        row = HookRow(
            id=str(uuid4()),
            project=project,
            environments=environments,
            flags=flags,
            hash=hash_secret(secret),
            hint=hint_of(secret),
            label=label,
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
        )

        async def work(tx: Transaction) -> None:
            await tx.projects.get(project)
            there = {each.key for each in await tx.environments.of_project(project)}
            faults = [
                Fault(
                    f"environments[{index}]",
                    f"there is no environment {key!r}",
                    f"there are {', '.join(sorted(there))}",
                )
                for index, key in enumerate(environments)
                if key not in there
            ]
            if faults:
                raise Invalid(faults, "the hook")
            await tx.hooks.add(row)
            await self._record(tx, principal, row, "create", "made")

        await self._storage.run(work)
        return row, secret

    async def revoke(self, principal: Principal, project: str, hook_id: str) -> HookRow:
        """Refuse one from now on; doing it twice is no error. Raises ``NotFound``."""
        now_ms = self._clock.wall_ms()

        async def work(tx: Transaction) -> HookRow:
            row = await tx.hooks.lock(project, hook_id)
            if row.revoked_at_ms is not None:
                return row
            await tx.hooks.revoke(row.id, now_ms)
            await self._record(tx, principal, row, "revoke", "revoked")
            return msgspec.structs.replace(row, revoked_at_ms=now_ms)

        return await self._storage.run(work)

    async def holder(self, authorization: str | None) -> HookRow:
        """Return whose secret came with a request.

        Raises:
            Unauthenticated: none came, or one that is unknown, expired or revoked.
            StorageUnavailable: nobody can tell.
        """
        secret = secret_in(authorization)
        digest = hash_secret(secret)
        now_ms = self._clock.wall_ms()

        async def work(tx: Transaction) -> HookRow | None:
            row = await tx.hooks.by_hash(digest)
            if row is not None and _is_valid(row, now_ms) and now_ms - (row.last_used_at_ms or 0) >= NOTE_MS:
                await tx.hooks.used(row.id, now_ms)
            return row

        row = await self._storage.run(work)
        if row is None or row.revoked_at_ms is not None:
            raise Unauthenticated("the hook's secret is unknown or revoked")
        if not _is_valid(row, now_ms):
            raise Unauthenticated(f"the secret of the hook {row.label!r} has expired")
        return row

    async def _record(self, tx: Transaction, principal: Principal, row: HookRow, verb: str, done: str) -> None:
        await tx.audit.add(
            AuditEntry(
                at_ms=self._clock.wall_ms(),
                actor=principal.actor,
                action=f"hook.{verb}",
                subject=row.id,
                project=row.project,
                summary=f"{done} the hook {row.label!r} ({row.hint}…), which may kill {scope_words(row)}",
            )
        )


def secret_in(authorization: str | None) -> str:
    """Return the secret in a header: a bearer token, or the password of basic authentication.

    Raises:
        Unauthenticated: there is none.
    """
    scheme, _, given = (authorization or "").strip().partition(" ")
    secret = given.strip()
    if scheme.lower() == "basic":
        try:
            _, _, secret = base64.b64decode(secret, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Unauthenticated("the Authorization header is not `Basic …` with a user and a password") from error
    elif scheme.lower() != "bearer":
        secret = ""
    if not secret or len(secret) > _LONGEST_SECRET:
        raise Unauthenticated(
            "no hook's secret came: send `Authorization: Bearer …`, or it as the password of basic authentication"
        )
    return secret


def covers(row: HookRow, target: Target) -> bool:
    """Return whether a hook may kill this flag there."""
    return (
        target.project == row.project
        and (not row.environments or target.environment in row.environments)
        and (not row.flags or target.flag in row.flags)
    )


def scope_words(row: HookRow) -> str:
    """Return what a hook may kill, in words."""
    flags = f"the flags {', '.join(row.flags)}" if row.flags else "any flag"
    return f"{flags} in {', '.join(row.environments) if row.environments else 'any environment'}"


def _is_valid(row: HookRow, now_ms: int) -> bool:
    return row.revoked_at_ms is None and (row.expires_at_ms is None or row.expires_at_ms > now_ms)
