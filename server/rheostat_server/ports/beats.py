"""Where is kept that controllers look at ramps. Adapter: postgres."""

from collections.abc import Collection
from typing import Protocol

import msgspec


class BeatRow(msgspec.Struct, frozen=True):
    """A live ramp's beat; 0 before the first."""

    ramp_id: str
    beat: int


class BeatStore(Protocol):
    """A number for each ramp, which goes up when a controller has looked at it. It knows no time."""

    async def beat(self, ramp_ids: Collection[str]) -> None:
        """Raise the beats of these ramps."""
        ...

    async def of_live(self) -> list[BeatRow]:
        """Return the beats of all live ramps, by id."""
        ...

    async def forget(self) -> None:
        """Forget the beats of ramps that are over."""
        ...

    async def alarm(self, seen: BeatRow) -> bool:
        """Keep that somebody was told that this ramp stands still at this beat.

        Returns whether it still stands there and nobody had been told.
        """
        ...
