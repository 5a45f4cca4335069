"""What a new database starts with, and the way back in for who lost the admin token."""

from collections.abc import Sequence

import msgspec

from rheostat_server.access.model import Scope, TokenKind
from rheostat_server.access.secret import hash_secret, make_secret
from rheostat_server.access.service import new_row
from rheostat_server.ports.storage import AuditEntry, EnvironmentRow, Transaction

ADMIN = "admin"
"""The label of the token of the first start, and of those that ``rheostat token reset`` makes."""
FIRST_KEY = "first key"
PROJECT = "default"
ENVIRONMENTS = ("production", "staging", "development")
_ACTOR = "server"


class Seeded(msgspec.Struct, frozen=True, kw_only=True):
    """What was made at this start. A secret is ``None`` where none was; ``notes`` are lines for people."""

    first_start: bool
    admin_token: str | None = None
    sdk_key: str | None = None
    notes: tuple[str, ...] = ()


async def seed(tx: Transaction, *, now_ms: int, admin_token: str | None, sdk_key: str | None) -> Seeded:
    """Make the project, its environments, an admin token and an SDK key of production, unless there is something.

    ``admin_token`` and ``sdk_key`` preset the secrets; one that differs from those stored is added to them.
    """
    # Its row is locked to the commit, so that two nodes on a new database do not both begin it.
    await tx.tokens.raise_access_revision()
    if await tx.projects.all():
        return await _add_presets(tx, now_ms, admin_token, sdk_key)
    project = await tx.projects.add(PROJECT, "Default", now_ms)
    for key in ENVIRONMENTS:
        await tx.projects.add_environment(project.id, key, key.capitalize(), now_ms)
    production = await tx.environments.get(PROJECT, ENVIRONMENTS[0])
    await tx.environments.bump([row.id for row in await tx.environments.of_project(PROJECT)])
    token = admin_token or make_secret(TokenKind.API, Scope.ADMIN)
    key = sdk_key or make_secret(TokenKind.SDK, Scope.SERVER)
    await _add(tx, token, None, ADMIN, now_ms)
    await _add(tx, key, production, FIRST_KEY, now_ms)
    await tx.notify([])
    return Seeded(first_start=True, admin_token=token, sdk_key=key)


async def reset_admin(tx: Transaction, *, now_ms: int) -> str:
    """Revoke the admin tokens of the first start and of earlier resets; return the secret of a new one."""
    for row in await tx.tokens.all():
        if row.kind is TokenKind.API and row.label == ADMIN and row.project is None and row.revoked_at_ms is None:
            await tx.tokens.change(row.id, label=row.label, expires_at_ms=row.expires_at_ms, revoked_at_ms=now_ms)
    secret = make_secret(TokenKind.API, Scope.ADMIN)
    await _add(tx, secret, None, ADMIN, now_ms, action="token.reset")
    await tx.tokens.raise_access_revision()
    await tx.notify([])
    return secret


async def _add_presets(tx: Transaction, now_ms: int, admin_token: str | None, sdk_key: str | None) -> Seeded:
    notes: list[str] = []
    if admin_token is not None:
        notes += await _preset(tx, "RHEOSTAT_ADMIN_TOKEN", admin_token, None, now_ms)
    if sdk_key is not None:
        production = [
            row for row in await tx.environments.all() if (row.project, row.key) == (PROJECT, ENVIRONMENTS[0])
        ]
        notes += await _preset(tx, "RHEOSTAT_SDK_KEY", sdk_key, production, now_ms)
    if notes:
        await tx.notify([])
    return Seeded(first_start=False, notes=tuple(notes))


async def _preset(
    tx: Transaction, variable: str, secret: str, of: Sequence[EnvironmentRow] | None, now_ms: int
) -> list[str]:
    stored = await tx.tokens.by_hash(hash_secret(secret))
    if stored is not None:
        return [] if stored.revoked_at_ms is None else [f"{variable} was revoked, and stays so"]
    if of is None:
        await _add(tx, secret, None, ADMIN, now_ms)
        return [f"{variable} differs from what is stored: added as one more admin token"]
    if not of:
        return [f"{variable} is not used: there is no environment {PROJECT}/{ENVIRONMENTS[0]}"]
    await _add(tx, secret, of[0], FIRST_KEY, now_ms)
    return [f"{variable} differs from what is stored: added as one more SDK key of {of[0].key}"]


async def _add(
    tx: Transaction,
    secret: str,
    environment: EnvironmentRow | None,
    label: str,
    now_ms: int,
    *,
    action: str | None = None,
) -> None:
    kind = TokenKind.API if environment is None else TokenKind.SDK
    of_sdk = Scope.CLIENT if secret.startswith("rhc_") else Scope.SERVER
    scope = Scope.ADMIN if environment is None else of_sdk
    row = new_row(
        secret,
        kind,
        scope,
        label=label,
        project=None if environment is None else environment.project,
        environment=environment,
        now_ms=now_ms,
    )
    await tx.tokens.add(row)
    await tx.audit.add(
        AuditEntry(
            at_ms=now_ms,
            actor=_ACTOR,
            action=action or ("token.create" if environment is None else "key.create"),
            project=row.project,
            environment=row.environment,
            subject=row.id,
            summary=f"made the {scope} {'token' if environment is None else 'key'} {label!r} ({row.hint}…)",
        )
    )
