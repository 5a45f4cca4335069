"""Where reported outcomes are counted, each batch once. Adapter: postgres."""

from collections.abc import Collection, Sequence
from typing import Protocol

from rheostat_server.outcomes.model import (
    BatchKey,
    EvaluationCount,
    FailingRow,
    InboxRow,
    Increment,
    RampRow,
    Reporter,
    SampledRow,
)


class OutcomeStore(Protocol):
    """Batches, units, increments, evaluations. Its promises are tested in tests/integration/test_outcomes_store.py.

    To count a group of batches in one transaction: ``claim``, ``lock_ramps``, then the rest in any order. All
    rows are locked in ascending key order, whatever the order of the arguments.
    """

    async def claim(self, keys: Collection[BatchKey], at_ms: int) -> set[BatchKey]:
        """Keep these batches as counted; return those that were not before."""
        ...

    async def existing_environments(self, ids: Collection[int]) -> set[int]:
        """Return those of these environments that exist, and keep them from being deleted until commit."""
        ...

    async def lock_ramps(self, ramps: Collection[str]) -> dict[str, RampRow]:
        """Lock, until commit, those of these ramps that are live; return them by id. Others are left out."""
        ...

    async def add_failing(self, rows: Sequence[FailingRow]) -> set[tuple[str, bytes]]:
        """Remember failing units (one row a ramp and unit); return (ramp, unit) of those that never failed before."""
        ...

    async def add_sampled(self, rows: Sequence[SampledRow]) -> list[SampledRow]:
        """Remember sampled units; return the rows of units that had none in that epoch before, one a unit and epoch.

        The first row of a ramp, unit and window stands.
        """
        ...

    async def append(self, ramp: str, increments: Sequence[Increment], at_ms: int) -> None:
        """Append to the ramp's inbox, in commit order, and count the units in them. The ramp must be locked."""
        ...

    async def seen(self, reporters: Sequence[Reporter]) -> None:
        """Note that these instances reported; one row an environment and instance."""
        ...

    async def count_evaluations(self, counts: Sequence[EvaluationCount]) -> None:
        """Add to the counts; one row a key."""
        ...

    async def prune(self, *, batches_before_ms: int, instances_before_ms: int, limit: int) -> int:
        """Forget batches received, and instances last heard of, before these times, so many of each at most.

        Returns how many of that of which there were most; so do the others that forget.
        """
        ...

    async def forget_inbox(self, ramp_id: str, up_to_seq: int | None, limit: int) -> int:
        """Forget increments up to this one (``None``: all), so many at most; return how many."""
        ...

    async def forget_units(self, ended_before_ms: int, limit: int) -> int:
        """Forget the units and increments of ramps that ended before this time, so many of each kind at most."""
        ...

    async def forget_evaluations(self, before_day: int, limit: int) -> int:
        """Forget the counts of days before this one, so many at most."""
        ...

    async def inbox_after(self, ramp_id: str, seq: int, limit: int = 1000) -> list[InboxRow]:
        """Return the increments after this one, in commit order."""
        ...

    async def distinct_exposed_units(self, ramp_id: str, epoch: int, arm: str = "treatment") -> int:
        """Return how many units of this arm finished a sampled request in this epoch. Its cost does not grow."""
        ...

    async def reporters(self, environment_id: int, since_ms: int) -> list[Reporter]:
        """Return the instances that reported since then, by service and instance; also those that said goodbye."""
        ...

    async def anyone_reports(self, environment_id: int, since_ms: int) -> bool:
        """Whether any instance reported since then."""
        ...

    async def evaluated_since(self, project: str, flag: str, since_ms: int) -> list[str]:
        """Return the services that evaluated the flag since then in any environment, by name."""
        ...
