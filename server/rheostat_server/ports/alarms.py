"""Who is told of what is no transition of a ramp. The one implementation here writes it to the log."""

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    from rheostat_server.ports.storage import Transaction

AlarmKind: TypeAlias = Literal["ramp-unattended", "kill-unconfirmed"]


class AlarmEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that people should look at. ``summary`` is a line for them, ``lines`` say more."""

    kind: AlarmKind
    project: str
    environment: str
    flag: str
    at_ms: int
    summary: str
    lines: tuple[str, ...] = ()
    ramp: str | None = None
    kill_id: str | None = None


class Alarm(Protocol):
    """Is told of each such event once, by whichever node saw it first."""

    async def raised(self, tx: "Transaction", event: AlarmEvent) -> None:
        """Take note, within the transaction that keeps that somebody was told: both are kept, or neither.

        What is done outside the database waits for the commit: the transaction may be run again.
        """
        ...
