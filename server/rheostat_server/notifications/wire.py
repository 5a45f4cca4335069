"""Notification channels and deliveries on the wire."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from rheostat_server.notifications.message import Message
from rheostat_server.ports.notifications import Channel, ChannelKind, DeliveryRow, DeliveryStatus
from rheostat_server.web.decoding import Body
from rheostat_server.web.times import rfc3339, rfc3339_or_none


class ChannelBody(Body, frozen=True, kw_only=True):
    """A channel to add. ``url`` is of webhooks and of Slack, ``secret`` of webhooks (without: one is made), ``to`` of
    e-mail. Without a filter it gets everything; with ``flags`` and ``tags`` either is enough."""

    name: str
    kind: str
    url: str | None = None
    secret: str | None = None
    to: list[str] | None = None
    environments: list[str] | None = None
    events: list[str] | None = None
    flags: list[str] | None = None
    tags: list[str] | None = None


class ChannelChange(Body, frozen=True, kw_only=True):
    """What to change of a channel; what is left out stays. ``null`` takes a filter away."""

    url: str | None = None
    secret: str | None = None
    to: list[str] | None = None
    environments: list[str] | None = None
    events: list[str] | None = None
    flags: list[str] | None = None
    tags: list[str] | None = None


class ChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """A channel. ``secret`` is in the answer that makes it only; of ``url`` no more is shown than its host.

    ``old_secret_until`` is until when the secret before the present one signs as well.
    """

    name: str
    kind: str
    url: str | None
    to: tuple[str, ...]
    environments: tuple[str, ...]
    events: tuple[str, ...]
    flags: tuple[str, ...]
    tags: tuple[str, ...]
    created_by: str
    created_at: str
    updated_at: str
    old_secret_until: str | None = None
    secret: str | None = None
    notes: tuple[str, ...] = ()


class ChannelList(msgspec.Struct, frozen=True):
    """A project's channels, by name."""

    channels: list[ChannelView]


class RotateSecretBody(Body, frozen=True, kw_only=True):
    """How long the former secret goes on signing beside the new one."""

    overlap: str = "24h"


class NothingBody(Body, frozen=True, kw_only=True):
    """Nothing has to be said."""


class TestView(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a test message. ``detail`` is what went wrong, or what to know although it arrived."""

    delivered: bool
    detail: str | None


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery: ``pending``, ``delivered`` or ``failed``.

    ``notification`` is the message's id, the same to every channel. ``next_attempt`` is set while it is pending.
    ``message`` is what is sent; it is not in lists.
    """

    id: int
    channel: str
    kind: str
    notification: str
    event: str
    environment: str
    flag: str
    at: str
    status: str
    attempts: int
    last_error: str | None
    next_attempt: str | None
    ended_at: str | None
    message: Message | None = None


class DeliveryPage(msgspec.Struct, frozen=True):
    """Deliveries, the newest first; ``next`` goes into ``before`` for the following page."""

    deliveries: list[DeliveryView]
    next: int | None = None


def channel_view(channel: Channel, now_ms: int, *, secret: str | None = None, notes: Sequence[str] = ()) -> ChannelView:
    """Return what is shown of a channel."""
    target, filters = channel.target, channel.filters
    old = target.old_secret_until_ms if target.old_secret and target.old_secret_until_ms > now_ms else None
    return ChannelView(
        name=channel.name,
        kind=channel.kind.value,
        url=shown_url(target.url) if target.url else None,
        to=target.to,
        environments=filters.environments,
        events=filters.events,
        flags=filters.flags,
        tags=filters.tags,
        created_by=channel.created_by,
        created_at=rfc3339(channel.created_at_ms),
        updated_at=rfc3339(channel.updated_at_ms),
        old_secret_until=rfc3339_or_none(old),
        secret=secret,
        notes=tuple(notes),
    )


def shown_url(url: str) -> str:
    """Return what may be shown of an address: those of incoming webhooks are secrets from the path on."""
    parts = urlsplit(url)
    rest = "/…" if parts.path.strip("/") or parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{rest}"


def delivery_view(row: DeliveryRow, message: Message | None = None) -> DeliveryView:
    """Return what is shown of a delivery."""
    return DeliveryView(
        id=row.id,
        channel=row.channel,
        kind=ChannelKind(row.kind).value,
        notification=row.notification,
        event=row.event,
        environment=row.environment,
        flag=row.flag,
        at=rfc3339(row.at_ms),
        status=row.status.value,
        attempts=row.attempts,
        last_error=row.last_error,
        next_attempt=rfc3339(row.next_at_ms) if row.status is DeliveryStatus.PENDING else None,
        ended_at=rfc3339_or_none(row.ended_at_ms),
        message=message,
    )
