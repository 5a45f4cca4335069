"""What the feed's protocol asks its driver to do, and what the driver says of how it went."""

from typing import TypeAlias

import msgspec


class Wait(msgspec.Struct, frozen=True):
    """Do nothing for so many seconds, or until woken."""

    seconds: float


class Fetch(msgspec.Struct, frozen=True):
    """GET the snapshot, with ``If-None-Match`` where there is an etag."""

    etag: str | None = None


class Connect(msgspec.Struct, frozen=True):
    """Open the stream, with ``Last-Event-ID``. One that is open is closed first."""

    last_event_id: str


class Read(msgspec.Struct, frozen=True):
    """Read from the open stream for at most so many seconds."""

    seconds: float


Command: TypeAlias = Wait | Fetch | Connect | Read


class Failure(msgspec.Struct, frozen=True):
    """Why a request or the stream did not work. ``status`` and ``retry_after`` are the answer's, if there was one."""

    message: str
    status: int | None = None
    retry_after: float | None = None
    """Seconds."""

    @property
    def refused(self) -> bool:
        """Whether the server knows us and will not have us: trying again soon is of no use."""
        return self.status in (401, 403)
