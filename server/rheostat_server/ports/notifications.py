"""Where notifications, their channels and deliveries are kept, and who carries them.

Adapters: postgres, notifications.
"""

import enum
from collections.abc import Collection
from typing import Protocol

import msgspec

from rheostat_server.errors import Fault
from rheostat_server.notifications.message import Message


class ChannelKind(enum.StrEnum):
    """How a channel is reached."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    EMAIL = "email"


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a channel leads.

    ``url`` is of webhooks and of Slack, ``secret`` of webhooks; ``old_secret`` signs too until ``old_secret_until_ms``.
    ``to`` are the addresses of an e-mail.
    """

    url: str = ""
    secret: str = ""
    old_secret: str = ""
    old_secret_until_ms: int = 0
    to: tuple[str, ...] = ()


class Filters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which notifications a channel gets; nothing given: all. ``flags`` and ``tags``: either is enough."""

    environments: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as stored. ``id`` is 0 until it is."""

    project_id: int
    name: str
    kind: ChannelKind
    target: Target
    filters: Filters
    created_by: str
    created_at_ms: int
    updated_at_ms: int
    id: int = 0


class NewNotification(msgspec.Struct, frozen=True, kw_only=True):
    """What is put into the outbox. ``body`` is a ``Message`` as JSON."""

    id: str
    environment_id: int
    event: str
    flag: str
    ramp: str | None
    at_ms: int
    body: bytes


class Unsettled(msgspec.Struct, frozen=True, kw_only=True):
    """A notification of which nobody has settled yet who gets it. ``subject`` is the ramp, or else the flag."""

    seq: int
    environment_id: int
    environment: str
    project_id: int
    event: str
    flag: str
    subject: str
    at_ms: int


class Told(msgspec.Struct, frozen=True):
    """The last notification of a kind and subject that was not left out."""

    seq: int
    at_ms: int


class DeliveryStatus(enum.StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One notification on its way to one channel. ``body`` is ``None`` where it was not asked for: in lists.

    ``since_ms`` is when it was first to be tried; ``repeats`` is how many of its kind were left out before it.
    """

    id: int
    channel_id: int
    channel: str
    kind: ChannelKind
    notification: str
    event: str
    environment: str
    flag: str
    at_ms: int
    status: DeliveryStatus
    attempts: int
    since_ms: int
    next_at_ms: int
    last_error: str | None
    ended_at_ms: int | None
    repeats: int = 0
    body: bytes | None = None


class ChannelStore(Protocol):
    """Channels. Writers of one project take turns by ``ProjectStore.lock``, before anything else."""

    async def of_project(self, project_id: int) -> list[Channel]:
        """Return a project's, by name."""
        ...

    async def get(self, project_id: int, name: str) -> Channel:
        """Return one.

        Raises:
            NotFound: the project has none of this name.
        """
        ...

    async def by_id(self, channel_id: int) -> Channel | None:
        """Return one, or ``None`` where it is gone."""
        ...

    async def add(self, channel: Channel) -> Channel:
        """Keep a new one; return it with its id.

        Raises:
            Conflict: the project has one of this name.
        """
        ...

    async def save(self, channel: Channel) -> None:
        """Write its target and filters."""
        ...

    async def remove(self, channel_id: int) -> None:
        """Delete it, with its deliveries."""
        ...


class OutboxStore(Protocol):
    """Notifications that are to leave, and what became of each. None of it knows the time by itself."""

    async def add(self, new: NewNotification) -> None:
        """Keep a notification; who gets it is settled later."""
        ...

    async def unsettled(self, after_seq: int, limit: int) -> list[Unsettled]:
        """Return those above ``after_seq`` of which nobody has settled yet who gets them, the oldest first."""
        ...

    async def last_told(self, one: Unsettled) -> Told | None:
        """Return the last settled one of the same kind and subject that was not left out."""
        ...

    async def is_outdated(self, one: Unsettled) -> bool:
        """Return whether anything newer is known of its subject."""
        ...

    async def count_muted(self, one: Unsettled, after_seq: int) -> int:
        """Return how many of its kind and subject were left out between ``after_seq`` and it."""
        ...

    async def settle(self, seq: int, *, at_ms: int, muted: bool = False, repeats: int = 0) -> None:
        """Note that it is settled who gets it."""
        ...

    async def enqueue(self, seq: int, channel_ids: Collection[int], now_ms: int) -> None:
        """Make a pending delivery to each of these channels, due now. One that is there already stays as it is."""
        ...

    async def due_channels(self, now_ms: int) -> list[int]:
        """Return the channels to which something is due, that which waits longest first."""
        ...

    async def due(self, channel_id: int, now_ms: int, limit: int) -> list[DeliveryRow]:
        """Return what is due to a channel in order, with bodies; and before it what else waits of the same subject."""
        ...

    async def delivered(self, delivery_id: int, *, attempts: int, at_ms: int, remark: str | None) -> None:
        """Note that it arrived."""
        ...

    async def failed(self, delivery_id: int, *, attempts: int, at_ms: int, error: str) -> None:
        """Note that it is not tried any more."""
        ...

    async def again(self, delivery_id: int, *, attempts: int, next_at_ms: int, error: str) -> None:
        """Note that it is to be tried again."""
        ...

    async def hold_back(self, channel_id: int, until_ms: int) -> None:
        """Let nothing that waits for a channel be due before then."""
        ...

    async def page(
        self,
        project_id: int,
        *,
        channel: str | None,
        status: DeliveryStatus | None,
        flag: str | None,
        before: int | None,
        limit: int,
    ) -> list[DeliveryRow]:
        """Return deliveries below the id ``before``, newest first."""
        ...

    async def get(self, project_id: int, delivery_id: int) -> DeliveryRow:
        """Return one, with its body.

        Raises:
            NotFound: the project has none with this id.
        """
        ...

    async def resend(self, delivery_id: int, now_ms: int) -> bool:
        """Make one that has ended pending again, due now; return whether it had ended."""
        ...

    async def oldest_pending_ms(self) -> int | None:
        """Return since when the oldest pending delivery is tried; ``None`` where nothing is pending."""
        ...

    async def prune(self, before_ms: int, limit: int) -> int:
        """Delete so many notifications of before then at most, with their deliveries; return how many."""
        ...


class SendFailed(Exception):
    """A message did not arrive. The text is one line without secrets.

    ``final``: trying again would not help. ``unreachable``: the receiver took nothing at all, so that others need not
    be tried now either. ``after_s``: how long it asked us to wait.
    """

    def __init__(
        self, words: str, *, final: bool = False, unreachable: bool = False, after_s: float | None = None
    ) -> None:
        super().__init__(words)
        self.final = final
        self.unreachable = unreachable
        self.after_s = after_s


class Courier(Protocol):
    """Carries messages to channels of one kind."""

    async def check(self, target: Target) -> tuple[tuple[Fault, ...], tuple[str, ...]]:
        """Return what is wrong with a target that somebody wants to save, and what they should know of it."""
        ...

    async def send(self, target: Target, message: Message, now_ms: int) -> str | None:
        """Hand the message over; return what should be known although it arrived.

        Raises:
            SendFailed: it did not arrive, as far as we know.
        """
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...
