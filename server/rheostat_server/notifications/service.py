"""The keeping of notification channels, and what people do with deliveries."""

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from rheostat.clock import Clock
from rheostat_server.access.model import Principal
from rheostat_server.errors import Conflict, Fault, Invalid, Refused
from rheostat_server.notifications.message import Message
from rheostat_server.notifications.sending import Sending
from rheostat_server.notifications.signature import SECRET_BYTES, secret_of
from rheostat_server.notifications.validate import changed_channel, new_channel
from rheostat_server.notifications.wire import (
    ChannelList,
    ChannelView,
    DeliveryPage,
    DeliveryView,
    TestView,
    channel_view,
    delivery_view,
)
from rheostat_server.notifications.words import TEST
from rheostat_server.ports.notifications import Channel, ChannelKind, DeliveryStatus, SendFailed, Target
from rheostat_server.ports.projects import ProjectRow
from rheostat_server.ports.storage import AuditEntry, Storage, Transaction
from rheostat_server.ramps.identifiers import time_ordered_id
from rheostat_server.web.times import read_duration, rfc3339

MOST_CHANNELS = 100
MOST_OVERLAP_MS = 30 * 86_400_000
_WHAT = "the notification channel"
_NO_SMTP = Fault("kind", "this server has no SMTP server", "the operator sets RHEOSTAT_SMTP_URL and RHEOSTAT_SMTP_FROM")
_DONE = {
    "add": "added the {kind} channel {name}",
    "change": "changed the {kind} channel {name}",
    "rotate": "made the secret of the {kind} channel {name} anew",
    "remove": "removed the {kind} channel {name}",
}


class NotificationService:
    """Notification channels of projects, and their deliveries. What is due is sent by ``NotificationSender``."""

    def __init__(self, storage: Storage, clock: Clock, sending: Sending) -> None:
        self._storage = storage
        self._clock = clock
        self._sending = sending

    async def channels(self, project: str) -> ChannelList:
        """Return a project's channels, by name, or raise ``NotFound``."""
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            rows = await tx.channels.of_project(home.id)
        now_ms = self._clock.wall_ms()
        return ChannelList([channel_view(row, now_ms) for row in rows])

    async def channel(self, project: str, name: str) -> ChannelView:
        """Return one, or raise ``NotFound``."""
        _, row = await self._found(project, name)
        return channel_view(row, self._clock.wall_ms())

    async def add(self, project: str, data: Any, principal: Principal) -> ChannelView:
        """Keep a new channel; the answer to a webhook has its secret.

        Raises:
            Invalid: it has faults, or leads where nothing may be sent; all are listed.
            Conflict: the project has one of this name.
            Refused: the project has 100.
            NotFound: there is no such project.
        """
        document, faults = new_channel(data, await self._environments(project))
        found = list(faults.found)
        notes: tuple[str, ...] = ()
        secret = None
        if document is not None and not found:
            if document.kind is ChannelKind.WEBHOOK:
                secret = document.target.secret or secret_of(secrets.token_bytes(SECRET_BYTES))
                target = msgspec.structs.replace(document.target, secret=secret)
                document = msgspec.structs.replace(document, target=target)
            more, notes = await self._checked(document.kind, document.target)
            found += more
        if found or document is None:
            raise Invalid(found, _WHAT)
        described = document

        async def work(tx: Transaction) -> Channel:
            home = await tx.projects.lock(project)
            if len(await tx.channels.of_project(home.id)) >= MOST_CHANNELS:
                raise Refused(f"the project {project} has {MOST_CHANNELS} notification channels; remove one first")
            at_ms = self._clock.wall_ms()
            row = await tx.channels.add(
                Channel(
                    project_id=home.id,
                    name=described.name,
                    kind=described.kind,
                    target=described.target,
                    filters=described.filters,
                    created_by=principal.actor,
                    created_at_ms=at_ms,
                    updated_at_ms=at_ms,
                )
            )
            await self._audit(tx, home, row, "add", principal)
            return row

        row = await self._storage.run(work)
        return channel_view(row, self._clock.wall_ms(), secret=secret, notes=notes)

    async def change(self, project: str, name: str, data: Any, principal: Principal) -> ChannelView:
        """Change what was sent of a channel; the rest stays.

        Raises:
            Invalid: the change has faults; all are listed and nothing is changed.
            Conflict: somebody else changed it meanwhile.
            NotFound: there is no such project or channel.
        """
        environments = await self._environments(project)
        _, before = await self._found(project, name)
        target, filters, faults = changed_channel(data, before.kind, before.target, before.filters, environments)
        found = list(faults.found)
        notes: tuple[str, ...] = ()
        if target != before.target and not found:
            more, notes = await self._checked(before.kind, target)
            found += more
        if found:
            raise Invalid(found, _WHAT)

        async def work(tx: Transaction) -> Channel:
            home = await tx.projects.lock(project)
            row = await tx.channels.get(home.id, name)
            if row != before:
                raise Conflict(f"the notification channel {name!r} was changed by somebody else; look at it again")
            changed = msgspec.structs.replace(row, target=target, filters=filters, updated_at_ms=self._clock.wall_ms())
            await tx.channels.save(changed)
            await self._audit(tx, home, changed, "change", principal)
            return changed

        return channel_view(await self._storage.run(work), self._clock.wall_ms(), notes=notes)

    async def rotate(self, project: str, name: str, overlap: str, principal: Principal) -> ChannelView:
        """Make a webhook's secret anew; during the overlap both sign.

        Raises:
            Invalid: the overlap is no length of time up to 30 days.
            Refused: it is no webhook.
            NotFound: there is no such project or channel.
        """
        overlap_ms = read_duration(overlap, "overlap")
        if overlap_ms > MOST_OVERLAP_MS:
            raise Invalid([Fault("overlap", f"{overlap} is longer than 30 days", "such as 24h")], "the request")
        secret = secret_of(secrets.token_bytes(SECRET_BYTES))

        async def work(tx: Transaction) -> Channel:
            home = await tx.projects.lock(project)
            row = await tx.channels.get(home.id, name)
            if row.kind is not ChannelKind.WEBHOOK:
                raise Refused(f"the {row.kind} channel {name!r} has no secret; change its url instead")
            now_ms = self._clock.wall_ms()
            target = Target(
                url=row.target.url,
                secret=secret,
                old_secret=row.target.secret,
                old_secret_until_ms=now_ms + overlap_ms,
            )
            changed = msgspec.structs.replace(row, target=target, updated_at_ms=now_ms)
            await tx.channels.save(changed)
            await self._audit(tx, home, changed, "rotate", principal)
            return changed

        return channel_view(await self._storage.run(work), self._clock.wall_ms(), secret=secret)

    async def remove(self, project: str, name: str, principal: Principal) -> ChannelView:
        """Remove a channel, with its deliveries, or raise ``NotFound``. What waits for it is not sent."""

        async def work(tx: Transaction) -> Channel:
            home = await tx.projects.lock(project)
            row = await tx.channels.get(home.id, name)
            await tx.channels.remove(row.id)
            await self._audit(tx, home, row, "remove", principal)
            return row

        return channel_view(await self._storage.run(work), self._clock.wall_ms())

    async def test(self, project: str, name: str, principal: Principal) -> TestView:
        """Send a test message now, once, whatever the channel's filters say. It is not among the deliveries.

        Raises:
            NotFound: there is no such project or channel.
        """
        home, channel = await self._found(project, name)
        now_ms = self._clock.wall_ms()
        message = Message(
            event=TEST,
            id=time_ordered_id(now_ms),
            at=rfc3339(now_ms),
            project=home.key,
            environment="",
            flag="",
            why=f"{principal.actor} tries the channel {channel.name}. Nothing happened to any flag.",
            actor=principal.actor,
            link=self._sending.link(f"/api/v1/projects/{home.key}/notification-channels/{channel.name}"),
        )
        try:
            return TestView(delivered=True, detail=await self._sending.send(channel, message, now_ms))
        except SendFailed as error:
            return TestView(delivered=False, detail=str(error))

    async def deliveries(
        self,
        project: str,
        *,
        channel: str | None,
        status: DeliveryStatus | None,
        flag: str | None,
        before: int | None,
        limit: int,
    ) -> DeliveryPage:
        """Return deliveries, the newest first, or raise ``NotFound``."""
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            if channel is not None:
                await tx.channels.get(home.id, channel)
            rows = await tx.outbox.page(
                home.id, channel=channel, status=status, flag=flag, before=before, limit=limit + 1
            )
        following = rows[limit - 1].id if len(rows) > limit else None
        return DeliveryPage([delivery_view(row) for row in rows[:limit]], following)

    async def delivery(self, project: str, delivery_id: int) -> DeliveryView:
        """Return one, with its message, or raise ``NotFound``."""
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            row = await tx.outbox.get(home.id, delivery_id)
        return delivery_view(row, self._sending.message(row))

    async def resend(self, project: str, delivery_id: int, principal: Principal) -> DeliveryView:
        """Send again what was delivered or has failed, with the same id.

        Raises:
            Conflict: it is still tried.
            NotFound: there is no such project or delivery.
        """

        async def work(tx: Transaction) -> DeliveryView:
            home = await tx.projects.get(project)
            row = await tx.outbox.get(home.id, delivery_id)
            now_ms = self._clock.wall_ms()
            if not await tx.outbox.resend(row.id, now_ms):
                raise Conflict(f"the delivery {row.id} is pending; the next try is at {rfc3339(row.next_at_ms)}")
            summary = f"sent the notification of {row.flag} ({row.event}) to {row.channel} again"
            entry = AuditEntry(
                at_ms=now_ms,
                actor=principal.actor,
                action="notification.resend",
                project=project,
                environment=row.environment,
                subject=row.channel,
                summary=summary,
            )
            await tx.audit.add(entry)
            again = await tx.outbox.get(home.id, delivery_id)
            return delivery_view(again, self._sending.message(again))

        return await self._storage.run(work)

    async def _checked(self, kind: ChannelKind, target: Target) -> tuple[tuple[Fault, ...], tuple[str, ...]]:
        courier = self._sending.couriers.get(kind)
        return ((_NO_SMTP,), ()) if courier is None else await courier.check(target)

    async def _environments(self, project: str) -> list[str]:
        async with self._storage.transaction(snapshot=True) as tx:
            await tx.projects.get(project)
            return [row.key for row in await tx.environments.of_project(project)]

    async def _found(self, project: str, name: str) -> tuple[ProjectRow, Channel]:
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            return home, await tx.channels.get(home.id, name)

    async def _audit(self, tx: Transaction, home: ProjectRow, row: Channel, verb: str, principal: Principal) -> None:
        detail: Mapping[str, Any] = {"kind": row.kind.value, "to": row.target.to, "filters": row.filters}
        await tx.audit.add(
            AuditEntry(
                at_ms=self._clock.wall_ms(),
                actor=principal.actor,
                action=f"channel.{verb}",
                project=home.key,
                subject=row.name,
                summary=_DONE[verb].format(kind=row.kind.value, name=row.name),
                detail=msgspec.Raw(msgspec.json.encode(detail)),
            )
        )
