"""Couriers over HTTP: webhooks, and what takes Slack's payloads."""

import json

import msgspec

from rheostat_server.adapters.notifications.http_post import ALLOW, SafePost, Unresolved
from rheostat_server.errors import Fault
from rheostat_server.notifications.message import Message
from rheostat_server.notifications.signature import signed_headers
from rheostat_server.notifications.slack import slack_payload
from rheostat_server.ports.notifications import Target


class WebhookCourier:
    """Fulfils ``Courier`` for signed webhooks. Holds nothing of its own."""

    def __init__(self, post: SafePost) -> None:
        self._post = post

    async def check(self, target: Target) -> tuple[tuple[Fault, ...], tuple[str, ...]]:
        """Return what is wrong with the address, and what people should know of it."""
        return await _check(self._post, target.url)

    async def send(self, target: Target, message: Message, now_ms: int) -> str | None:
        """POST the message, signed for this moment."""
        body = msgspec.json.encode(message)
        secrets = [target.secret]
        if target.old_secret and now_ms < target.old_secret_until_ms:
            secrets.append(target.old_secret)
        headers = signed_headers(tuple(secrets), message.id, now_ms // 1000, body)
        await self._post.post(target.url, body, headers, now_ms)
        return None

    async def close(self) -> None:
        """Close all connections."""
        await self._post.close()


class SlackCourier:
    """Fulfils ``Courier`` for incoming webhooks of Slack, Mattermost and the like."""

    def __init__(self, post: SafePost) -> None:
        self._post = post

    async def check(self, target: Target) -> tuple[tuple[Fault, ...], tuple[str, ...]]:
        """Return what is wrong with the address, and what people should know of it."""
        return await _check(self._post, target.url)

    async def send(self, target: Target, message: Message, now_ms: int) -> str | None:
        """POST the message in words."""
        # ASCII alone: some receivers take another encoding for granted.
        await self._post.post(target.url, json.dumps(slack_payload(message)).encode(), {}, now_ms)
        return None

    async def close(self) -> None:
        """Close all connections."""
        await self._post.close()


async def _check(post: SafePost, url: str) -> tuple[tuple[Fault, ...], tuple[str, ...]]:
    notes = [] if url.startswith("https:") else ["what is sent there is not encrypted: it is http"]
    try:
        why = await post.refusal(url)
    except Unresolved as error:
        return (), (*notes, f"{error}; it is tried all the same when there is something to send")
    if why is not None:
        return (Fault("url", f"{why}: nothing is sent there", ALLOW),), ()
    return (), tuple(notes)
