"""Hooks on the wire."""

from typing import Annotated

import msgspec

from rheostat_server.hooks.service import AlertResult
from rheostat_server.ports.hooks import HookRow
from rheostat_server.web.decoding import Body, Key, Line
from rheostat_server.web.errors import Problem
from rheostat_server.web.times import rfc3339, rfc3339_or_none

Keys = Annotated[tuple[Key, ...], msgspec.Meta(max_length=100)]


class HookBody(Body, frozen=True):
    """A hook to make. Without ``environments`` or ``flags`` it is of any. At most one of the expiries."""

    label: Annotated[Line, msgspec.Meta(min_length=1)]
    environments: Keys = ()
    flags: Keys = ()
    expires_at: str | None = None
    expires_in: str | None = None


class HookView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A hook. ``secret`` is in the answer that makes it, and never again."""

    id: str
    project: str
    label: str
    hint: str
    environments: tuple[str, ...]
    flags: tuple[str, ...]
    created_at: str
    expires_at: str | None = None
    last_used_at: str | None = None
    revoked_at: str | None = None
    secret: str | None = None


class HookList(msgspec.Struct, frozen=True):
    """The hooks of a project."""

    hooks: list[HookView]


class AlertsDone(msgspec.Struct, frozen=True):
    """What was done about each alert."""

    alerts: list[AlertResult]


class AlertsProblem(Problem, frozen=True, kw_only=True):
    """Some alerts could not be carried out; ``alerts`` say what was done about each."""

    alerts: list[AlertResult]


def hook_view(row: HookRow, secret: str | None = None) -> HookView:
    """Return what may be shown of a hook."""
    return HookView(
        id=row.id,
        project=row.project,
        label=row.label,
        hint=row.hint,
        environments=row.environments,
        flags=row.flags,
        created_at=rfc3339(row.created_at_ms),
        expires_at=rfc3339_or_none(row.expires_at_ms),
        last_used_at=rfc3339_or_none(row.last_used_at_ms),
        revoked_at=rfc3339_or_none(row.revoked_at_ms),
        secret=secret,
    )
