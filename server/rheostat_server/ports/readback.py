"""Where is kept which instances applied a kill. Adapter: postgres."""

from collections.abc import Collection, Sequence
from typing import Protocol

from rheostat_server.outcomes.model import Acknowledgement, TreatedRow
from rheostat_server.ports.ramps import KillRow
from rheostat_server.ramps.readback import Heard


class ReadbackStore(Protocol):
    """The read-back of kills. Rows are written in ascending key order."""

    async def note_applied(self, rows: Collection[Acknowledgement]) -> None:
        """Keep that instances applied kills, each the first time that it says so; unknown kills are left out.

        Nor is anything kept of an instance that began later than ten minutes after the kill.
        """
        ...

    async def note_treated(self, rows: Collection[TreatedRow]) -> None:
        """Keep that instances showed the variant of a ramp whose rollout or flag is killed, after it was."""
        ...

    async def heard(self, kill: KillRow) -> list[Heard]:
        """Return the instances that a kill concerns, by name."""
        ...

    async def forget(self, killed_before_ms: int, limit: int) -> int:
        """Forget the read-back of kills before this time, so many rows at most; return how many."""
        ...

    async def young(self, since_ms: int) -> list[KillRow]:
        """Return the kills in force that were made since then, oldest first."""
        ...

    async def escalate(self, kill_id: str, at_ms: int) -> bool:
        """Keep that somebody was told of this kill; return whether nobody had been before."""
        ...

    async def escalated(self, kill_ids: Sequence[str]) -> dict[str, int]:
        """Return of which of these kills somebody was told, and when."""
        ...
