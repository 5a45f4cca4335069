"""Where reported outcomes are counted, each batch once. Adapter: postgres."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from rheostat_server.outcomes.model import (
    BadlySampled,
    BatchKey,
    EvaluationCount,
    FailingMemory,
    FailingRow,
    InboxRow,
    Increment,
    OrphanKey,
    RampReport,
    RampRow,
    Reporter,
    SampledMemory,
    SampledRow,
    ServiceCover,
    UnitCount,
    UnitKey,
)
from rheostat_server.outcomes.raw_units import UnitRule
from rheostat_server.outcomes.sampling import Sampling


class OutcomeStore(Protocol):
    """Batches, units, increments, evaluations. Its promises are tested in tests/integration/test_outcomes_store.py.

    To count a group of batches in one transaction: ``claim``, ``lock_ramps``, then the rest in the order in which it
    stands here: what is recalled of a locked ramp's units stays so until commit. All rows are locked in ascending key
    order, whatever the order of the arguments.
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

    async def unit_rules(self, ramps: Collection[str]) -> dict[str, UnitRule]:
        """Return how these ramps name units, by id; those of which it cannot be told are left out."""
        ...

    async def claim_orphans(self, keys: Collection[OrphanKey]) -> set[OrphanKey]:
        """Keep these orphaned requests as counted; return those that were not before. Their ramps must be locked."""
        ...

    async def recall_failing(self, units: Collection[UnitKey]) -> dict[UnitKey, FailingMemory]:
        """Return what is known of these units that fail, those of whom anything is."""
        ...

    async def recall_sampled(self, rows: Sequence[SampledRow]) -> dict[SampledRow, SampledMemory]:
        """Return what is known of the units of these samples, those of whom anything is."""
        ...

    async def remember_failing(self, rows: Sequence[FailingRow]) -> None:
        """Remember failing units, one row a ramp and unit. The first failure that was ever remembered stands."""
        ...

    async def remember_sampled(self, rows: Sequence[SampledRow]) -> None:
        """Remember samples, one row a ramp, unit, window and epoch."""
        ...

    async def remember_badly_sampled(self, rows: Sequence[BadlySampled]) -> None:
        """Remember what these units were bad to, beside what is remembered; one row a ramp and unit."""
        ...

    async def note_sampling(
        self,
        sampling: Mapping[str, Sampling],
        arming_arrivals: Mapping[tuple[str, int], int],
        units: Sequence[UnitCount],
    ) -> None:
        """Keep how ramps are sampled; add arrivals while arming, by ramp and level (ppm), and units of epochs."""
        ...

    async def note_reports(self, reports: Sequence[RampReport]) -> None:
        """Note who sent rows of which ramp (to 10 s); one row a ramp and instance, ascending."""
        ...

    async def append(self, ramp: str, increments: Sequence[Increment], at_ms: int) -> None:
        """Append to the ramp's inbox, in commit order. The ramp must be locked."""
        ...

    async def seen(self, reporters: Sequence[Reporter]) -> None:
        """Note that these instances reported; one row an environment and instance."""
        ...

    async def said_goodbye(self, instances: Collection[tuple[int, str]]) -> None:
        """Note that these instances (environment, instance) ended in good order, though not by their own word."""
        ...

    async def count_evaluations(self, counts: Sequence[EvaluationCount]) -> None:
        """Add to the counts; one row a key. Those of ramping flags are kept by the minute too, for a while."""
        ...

    async def prune(
        self, *, batches_before_ms: int, instances_before_ms: int, minutes_before_ms: int, limit: int
    ) -> int:
        """Forget batches received, instances last heard of and minutes of evaluations before these times.

        So many of each at most. Returns how many of that of which there were most; so do the others that forget.
        """
        ...

    async def forget_inbox(self, ramp_id: str, up_to_seq: int | None, limit: int) -> int:
        """Forget increments up to this one (``None``: all), so many at most; return how many."""
        ...

    async def forget_inbox_before(self, ramp_id: str, before_ms: int, limit: int) -> int:
        """Forget increments that were appended before this time, so many at most; return how many."""
        ...

    async def forget_units(self, ended_before_ms: int, limit: int) -> int:
        """Forget the units, reporters and increments of ramps that ended before this time, so many of each at most."""
        ...

    async def forget_evaluations(self, before_day: int, limit: int) -> int:
        """Forget the counts of days before this one, so many at most."""
        ...

    async def inbox_after(self, ramp_id: str, seq: int, limit: int = 1000) -> list[InboxRow]:
        """Return the increments after this one, in commit order."""
        ...

    async def exposed_requests(self, ramp_id: str, since_ms: int) -> tuple[int, int]:
        """Return how many requests of exposed users ended, and how many badly, in what was reported since then.

        What covers nothing later than ``since_ms``, or came too late to be evidence, is left out.
        """
        ...

    async def inbox_head(self, ramp_id: str) -> int:
        """Return the number of the ramp's newest increment; 0 before there is one."""
        ...

    async def arming_arrivals(self, ramp_id: str) -> tuple[tuple[int, int], ...]:
        """Return, by level (ppm; −1: none) ascending, how many units that arrived while arming it exposes first."""
        ...

    async def cover(self, environment_id: int, flag: str, since_ms: int) -> list[ServiceCover]:
        """Return the services that evaluated the flag since then (to a minute), by name.

        One reports that sent a row of any ramp of the flag since then.
        """
        ...

    async def count_vanished(self, ramp_id: str, now_ms: int) -> int:
        """Return how many instances that sent rows of the ramp ever fell silent without a goodbye.

        Who does so by now is marked, and stays marked.
        """
        ...

    async def vanished(self, ramp_id: str) -> list[str]:
        """Return the services of those instances, one entry an instance, by name."""
        ...

    async def distinct_exposed_units(self, ramp_id: str, epoch: int, arm: str = "treatment") -> int:
        """Return how many units of this arm finished a request in this epoch. Its cost does not grow.

        Where units are thinned it is an estimate.
        """
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
