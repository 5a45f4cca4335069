"""Who gets a notification, and which are left out because a ramp goes to and fro. Pure."""

from collections.abc import Collection

import msgspec

from rheostat_server.ports.notifications import Filters, Told, Unsettled
from rheostat_server.ramps.news import LIMITED

QUIET_MS = 600_000
"""How long after a limited kind was told of a subject the next of that kind waits."""


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of a notification: it is sent, left out, or waits to see whether it stays true."""

    send: bool = False
    mute: bool = False


SEND, MUTE, WAIT = Settlement(send=True), Settlement(mute=True), Settlement()


def wants(filters: Filters, environment: str, event: str, flag: str, tags: Collection[str]) -> bool:
    """Return whether a channel with these filters gets the notification."""
    if filters.environments and environment not in filters.environments:
        return False
    if filters.events and event not in filters.events:
        return False
    if not filters.flags and not filters.tags:
        return True
    return flag in filters.flags or not set(filters.tags).isdisjoint(tags)


def settlement(one: Unsettled, last: Told | None, *, outdated: bool, now_ms: int) -> Settlement:
    """Return what is to become of a notification, ``last`` being the last of its kind that was sent.

    A kind that is limited is told at most once in 10 min. What comes sooner waits: if something newer happens
    meanwhile it is left out, and else told at the end of the 10 min, for then it is how the ramp stands.
    """
    if one.event not in LIMITED or last is None or one.at_ms - last.at_ms >= QUIET_MS:
        return SEND
    if outdated:
        return MUTE
    return SEND if now_ms - last.at_ms >= QUIET_MS else WAIT
