"""Which couriers a node has for notifications, by its settings."""

from rheostat_server.adapters.notifications.couriers import SlackCourier, WebhookCourier
from rheostat_server.adapters.notifications.http_post import SafePost
from rheostat_server.adapters.notifications.smtp import EmailCourier
from rheostat_server.notifications.addresses import allowed_networks
from rheostat_server.notifications.sending import Sending
from rheostat_server.notifications.smtp_address import smtp_server
from rheostat_server.ports.notifications import ChannelKind, Courier
from rheostat_server.settings import Settings


def sending_of(settings: Settings, url: str | None = None) -> Sending:
    """Return what sends notifications. ``url`` is where this node listens: links lead there unless settings say."""
    post = SafePost(allowed_networks(settings.notify_allow_private))
    couriers: dict[ChannelKind, Courier] = {
        ChannelKind.WEBHOOK: WebhookCourier(post),
        ChannelKind.SLACK: SlackCourier(post),
    }
    if settings.smtp_url is not None:
        couriers[ChannelKind.EMAIL] = EmailCourier(smtp_server(settings.smtp_url), settings.smtp_from or "")
    own = url or f"http://{settings.host}:{settings.port}"
    return Sending(couriers, settings.public_url or own)
