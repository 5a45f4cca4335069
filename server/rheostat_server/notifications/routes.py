"""HTTP for notification channels and deliveries."""

from typing import Annotated, Any, Literal

from litestar import Router, delete, get, patch, post
from litestar.params import FromPath, FromQuery, QueryParameter, RawBody

from rheostat_server.access.guard import Caller
from rheostat_server.access.model import Scope
from rheostat_server.notifications.service import NotificationService
from rheostat_server.notifications.wire import (
    ChannelBody,
    ChannelChange,
    ChannelList,
    ChannelView,
    DeliveryPage,
    DeliveryView,
    NothingBody,
    RotateSecretBody,
    TestView,
)
from rheostat_server.ports.notifications import DeliveryStatus
from rheostat_server.web.decoding import decode, decode_plain
from rheostat_server.web.openapi import takes

_CHANNELS = "/projects/{project:str}/notification-channels"
_CHANNEL = _CHANNELS + "/{name:str}"
_DELIVERIES = "/projects/{project:str}/notification-deliveries"
_DELIVERY = _DELIVERIES + "/{delivery_id:int}"
_NEWEST = 2**53


def notification_routes(service: NotificationService) -> Router:
    """Return the routes of notification channels and deliveries."""

    @get(_CHANNELS)
    async def list_channels(project: FromPath[str]) -> ChannelList:
        """List a project's notification channels, by name."""
        return await service.channels(project)

    @post(_CHANNELS, operation_class=takes(ChannelBody), scope=Scope.ADMIN)
    async def add_channel(project: FromPath[str], body: RawBody, principal: Caller) -> ChannelView:
        """Add a notification channel; a webhook's secret is in this answer only."""
        return await service.add(project, decode_plain(body), principal)

    @get(_CHANNEL)
    async def get_channel(project: FromPath[str], name: FromPath[str]) -> ChannelView:
        """Get a notification channel."""
        return await service.channel(project, name)

    @patch(_CHANNEL, operation_class=takes(ChannelChange), scope=Scope.ADMIN)
    async def change_channel(
        project: FromPath[str], name: FromPath[str], body: RawBody, principal: Caller
    ) -> ChannelView:
        """Change what is sent of a notification channel; the rest stays."""
        return await service.change(project, name, decode_plain(body), principal)

    @delete(_CHANNEL, status_code=200, scope=Scope.ADMIN)
    async def remove_channel(project: FromPath[str], name: FromPath[str], principal: Caller) -> ChannelView:
        """Remove a notification channel, with its deliveries."""
        return await service.remove(project, name, principal)

    @post(_CHANNEL + "/rotate", operation_class=takes(RotateSecretBody), scope=Scope.ADMIN, status_code=200)
    async def rotate_channel_secret(
        project: FromPath[str], name: FromPath[str], body: RawBody, principal: Caller
    ) -> ChannelView:
        """Make a webhook's secret anew; both sign during the overlap."""
        return await service.rotate(project, name, decode(body, RotateSecretBody).overlap, principal)

    @post(_CHANNEL + "/test", operation_class=takes(NothingBody), status_code=200)
    async def test_channel(project: FromPath[str], name: FromPath[str], body: RawBody, principal: Caller) -> TestView:
        """Send a test message to a channel now, and say what became of it."""
        decode(body, NothingBody)
        return await service.test(project, name, principal)

    @get(_DELIVERIES)
    async def list_deliveries(
        project: FromPath[str],
        *,
        channel: FromQuery[str | None] = None,
        status: FromQuery[Literal["pending", "delivered", "failed"] | None] = None,
        flag: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
        before: Annotated[int | None, QueryParameter(ge=1, le=_NEWEST)] = None,
    ) -> DeliveryPage:
        """List deliveries, the newest first."""
        only = None if status is None else DeliveryStatus(status)
        return await service.deliveries(project, channel=channel, status=only, flag=flag, before=before, limit=limit)

    @get(_DELIVERY)
    async def get_delivery(project: FromPath[str], delivery_id: FromPath[int]) -> DeliveryView:
        """Get a delivery with its message."""
        return await service.delivery(project, delivery_id)

    @post(_DELIVERY + "/resend", operation_class=takes(NothingBody), status_code=200)
    async def resend_delivery(
        project: FromPath[str], delivery_id: FromPath[int], body: RawBody, principal: Caller
    ) -> DeliveryView:
        """Send a delivery again that has ended, with the same id."""
        decode(body, NothingBody)
        return await service.resend(project, delivery_id, principal)

    handlers: list[Any] = [list_channels, add_channel, get_channel, change_channel, remove_channel]
    handlers += [rotate_channel_secret, test_channel, list_deliveries, get_delivery, resend_delivery]
    return Router("/", route_handlers=handlers, tags=["notifications"])
