"""How a client stands: what it answers from, how old that is, and how the feed does."""

import msgspec

from rheostat.feed.serving import Source
from rheostat.model.snapshot import Identity


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A moment's view of a client.

    ``age_ms`` is the time since the server last confirmed, end to end, what is being served; ``None`` where
    nobody knows. ``stream`` is ``starting``, ``streaming``, ``polling``, ``refused``, ``offline`` (no server is
    configured) or ``closed``.
    """

    identity: Identity
    source: Source
    age_ms: int | None
    stale: bool
    stream: str
    last_error: str | None
    instance: str
    flags: int
    kills: int
