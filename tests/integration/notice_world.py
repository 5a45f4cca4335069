"""What is sent of a world of ramps, by nodes that take turns."""

import asyncio
from collections.abc import Mapping
from typing import Any

from rheostat_server.adapters.notifications.couriers import SlackCourier, WebhookCourier
from rheostat_server.adapters.notifications.http_post import SafePost
from rheostat_server.adapters.notifications.smtp import EmailCourier
from rheostat_server.notifications.addresses import Network, allowed_networks
from rheostat_server.notifications.message import Subject
from rheostat_server.notifications.outbox import notify
from rheostat_server.notifications.sender import NotificationSender
from rheostat_server.notifications.sending import Sending
from rheostat_server.notifications.service import NotificationService
from rheostat_server.notifications.smtp_address import smtp_server
from rheostat_server.notifications.wire import ChannelView, DeliveryView
from rheostat_server.ports.notifications import ChannelKind, Courier
from rheostat_server.ramps.lease import Lease
from rheostat_server.ramps.news import News
from tests.integration.ramp_world import ADMIN, FLAG, PROJECT, RampWorld

LOCAL = allowed_networks("127.0.0.0/8")
PUBLIC_URL = "https://flags.example.com/"


class Notices:
    """Sends the notifications of a world. ``allowed`` are the private networks that it may send to."""

    def __init__(
        self, world: RampWorld, *, smtp: str | None = None, allowed: tuple[Network, ...] = LOCAL, seconds: float = 15.0
    ) -> None:
        self.world = world
        self.clock = world.manual
        post = SafePost(allowed, whole_seconds=seconds)
        couriers: dict[ChannelKind, Courier] = {
            ChannelKind.WEBHOOK: WebhookCourier(post),
            ChannelKind.SLACK: SlackCourier(post),
        }
        if smtp is not None:
            couriers[ChannelKind.EMAIL] = EmailCourier(
                smtp_server(smtp), "Rheostat <flags@example.com>", whole_seconds=seconds
            )
        self.sending = Sending(couriers, PUBLIC_URL)
        self.service = NotificationService(world.storage, world.clock, self.sending)
        self.sender = self.another(world.controller.lease)

    def another(self, lease: Lease) -> NotificationSender:
        """Return the sender of another node."""
        return NotificationSender(self.world.storage, self.world.clock, lease, self.sending, self.world.metrics)

    async def channel(self, name: str = "hook", kind: str = "webhook", **fields: Any) -> ChannelView:
        """Add a channel."""
        return await self.service.add(PROJECT, {"name": name, "kind": kind, **fields}, ADMIN)

    async def tell(self, news: News = News.ADVANCED, flag: str = FLAG, why: str = "because") -> None:
        """Put news of a flag into the outbox."""
        here = self.world.environment
        subject = Subject(environment_id=here.id, project=PROJECT, environment=here.key, flag=flag)
        async with self.world.storage.transaction() as tx:
            await notify(tx, news, subject, at_ms=self.clock.wall_ms(), why=why, actor="ana")

    async def send(self, seconds: float = 0, sender: NotificationSender | None = None) -> None:
        """Let time pass, and all that is due then be sent."""
        self.clock.advance(seconds)
        await asyncio.gather(*await (sender or self.sender).tick())

    async def deliveries(self, **filters: Any) -> list[DeliveryView]:
        """Return the deliveries, oldest first."""
        asked = {"channel": None, "status": None, "flag": None, "before": None, "limit": 100, **filters}
        return list(reversed((await self.service.deliveries(PROJECT, **asked)).deliveries))

    async def became(self, **filters: Any) -> list[tuple[str, int, str | None]]:
        """Return what became of each delivery: status, tries, last error."""
        return [(one.status, one.attempts, one.last_error) for one in await self.deliveries(**filters)]

    def counted(self) -> Mapping[tuple[str, str], float]:
        """Return the tries by kind and outcome, as the metrics have them."""
        return {
            (sample.labels["channel"], sample.labels["outcome"]): sample.value
            for family in self.world.metrics.registry.collect()
            if family.name == "rheostat_notifications"
            for sample in family.samples
        }

    def oldest_s(self) -> float | None:
        """Return how long the oldest waits, as the metrics have it."""
        return self.world.metrics.registry.get_sample_value("rheostat_notification_oldest_seconds")
