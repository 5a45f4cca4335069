"""How one message is handed to the courier of its channel."""

from collections.abc import Mapping

import msgspec
import structlog

from rheostat_server.notifications.message import Message
from rheostat_server.ports.notifications import Channel, ChannelKind, Courier, DeliveryRow, SendFailed

log = structlog.get_logger()
_MESSAGE = msgspec.json.Decoder(Message)


class Sending:
    """Hands messages to couriers. ``public_url`` is where people reach this server: links lead there."""

    def __init__(self, couriers: Mapping[ChannelKind, Courier], public_url: str) -> None:
        self.couriers = couriers
        self._public_url = public_url.rstrip("/")

    def message(self, row: DeliveryRow) -> Message:
        """Return what a delivery says, as it is sent."""
        message = _MESSAGE.decode(row.body or b"{}")
        return msgspec.structs.replace(message, link=self.link(message.link), repeats=row.repeats)

    def link(self, path: str) -> str:
        """Return the URL of a path of this server."""
        return f"{self._public_url}{path}"

    async def send(self, channel: Channel, message: Message, now_ms: int) -> str | None:
        """Hand a message over; return what should be known although it arrived.

        Raises:
            SendFailed: it did not arrive, as far as we know.
        """
        courier = self.couriers.get(channel.kind)
        if courier is None:
            raise SendFailed("this node has no SMTP server: set RHEOSTAT_SMTP_URL", unreachable=True)
        try:
            return await courier.send(channel.target, message, now_ms)
        except SendFailed:
            raise
        except Exception as error:
            # A defect of ours in one message must not keep the others of its channel.
            log.exception("notification_not_sent", channel=channel.name, notification=message.id)
            raise SendFailed("the server made a mistake; its log says more") from error

    async def close(self) -> None:
        """Let go of what the couriers hold."""
        for courier in self.couriers.values():
            await courier.close()
