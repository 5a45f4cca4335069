"""How a group of batches adds up, by ramp, epoch and arm. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from rheostat.model.evaluation import Arm
from rheostat.model.outcome import HELD, NEVER, Batch, FailingUnit, Row
from rheostat_server.outcomes.model import (
    EvaluationCount,
    FailingRow,
    Increment,
    RampRow,
    Reporter,
    SampledRow,
)
from rheostat_server.outcomes.tally import Tally

LATE_MS = 120_000
"""A row that is older on arrival goes to totals and to the memory of units, never into evidence."""
WINDOW_MS = 300_000
DAY_MS = 86_400_000


class Arrival(NamedTuple):
    """A batch, the environment of the key that it came with, when it came (wall ms), and its age then (ms).

    The batch's own ages count back from when it was made: one that is sent again stays as it is.
    """

    environment_id: int
    batch: Batch
    at_ms: int
    age_ms: int = 0


class Block(NamedTuple):
    """What one increment is about."""

    ramp: str
    epoch: int
    exposure_ppm: int
    late: bool


class Group:
    """The sum of some batches that are counted together, in one transaction.

    ``ramps`` are the live ramps that they name, by id. A ramp of another environment than the batch's is ignored,
    as is one that is not live: its batch is acknowledged all the same, or it would be sent for ever.
    """

    def __init__(self, arrivals: Iterable[Arrival], ramps: dict[str, RampRow]) -> None:
        self._ramps = ramps
        self._blocks: dict[Block, Tally] = {}
        self._failing: dict[tuple[str, bytes], FailingRow] = {}
        self._late_failing: set[tuple[str, bytes]] = set()
        self._sampled: dict[tuple[str, bytes, int, int], SampledRow] = {}
        # Exposures that batches say, for epochs that the ramp's own history lacks.
        self._said: dict[tuple[str, int], int] = {}
        self._now_ms = 0
        self.late_rows = 0
        for arrival in sorted(arrivals, key=lambda arrival: arrival.at_ms):
            self._now_ms = max(self._now_ms, arrival.at_ms)
            self._add(arrival)

    @property
    def failing(self) -> list[FailingRow]:
        """Failing units, one row a ramp and unit."""
        return list(self._failing.values())

    @property
    def sampled(self) -> list[SampledRow]:
        """Sampled units, one row a ramp, unit, window and epoch."""
        return list(self._sampled.values())

    def settle(self, newly_failing: set[tuple[str, bytes]], newly_sampled: Iterable[SampledRow]) -> None:
        """Count the units that the store had not seen before."""
        for key in newly_failing:
            first = self._failing[key]
            tally = self._tally(first.ramp, first.epoch, key in self._late_failing)
            tally.arm(first.arm).failing += 1
            tally.cover(first.first_ms, first.first_ms)
        for row in newly_sampled:
            late = (row.window + 1) * WINDOW_MS < self._now_ms - LATE_MS
            tally = self._tally(row.ramp, row.epoch, late)
            count = tally.arm(row.arm)
            count.units += 1
            count.units_bad += row.bad
            if not tally.covers:
                tally.cover(self._now_ms, self._now_ms)

    def tallies(self) -> list[tuple[Block, Tally]]:
        """Return what was counted, by ramp, epoch and exposure, ascending."""
        return sorted(self._blocks.items())

    def increments(self) -> dict[str, list[Increment]]:
        """Return the inbox rows by ramp, ramps and epochs ascending."""
        increments: dict[str, list[Increment]] = {}
        for block, tally in self.tallies():
            increments.setdefault(block.ramp, []).append(
                Increment(
                    epoch=block.epoch,
                    exposure_ppm=block.exposure_ppm,
                    from_ms=tally.from_ms,
                    until_ms=tally.until_ms,
                    treatment=tally.arm(Arm.TREATMENT).totals(),
                    control=tally.arm(Arm.CONTROL).totals(),
                    holdback=tally.arm(Arm.HOLDBACK).totals(),
                    reporters=len(tally.reporters),
                    late=block.late,
                )
            )
        return increments

    def _add(self, arrival: Arrival) -> None:
        batch = arrival.batch
        for row in batch.rows:
            if self._counts(row.ramp, arrival):
                self._add_row(row, arrival)
        for ramp, failing in batch.failing.items():
            if self._counts(ramp, arrival):
                for unit in failing.units:
                    if (arm := self._arm(ramp, unit.entry, unit.epoch)) is not None:
                        self._add_failing(ramp, unit, arm, arrival)
        for ramp, sampled in batch.sampled.items():
            if self._counts(ramp, arrival):
                for seen in sampled.units:
                    if (arm := self._arm(ramp, seen.entry, seen.epoch)) is not None:
                        hashed = bytes.fromhex(seen.unit)
                        first = SampledRow(ramp, hashed, seen.window, seen.epoch, arm, seen.bad)
                        self._sampled.setdefault((ramp, hashed, seen.window, seen.epoch), first)

    def _counts(self, ramp: str, arrival: Arrival) -> bool:
        known = self._ramps.get(ramp)
        return known is not None and known.environment_id == arrival.environment_id

    def _add_row(self, row: Row, arrival: Arrival) -> None:
        oldest, newest = (age + arrival.age_ms for age in row.ages)
        late = oldest > LATE_MS or self._unheard_of(row.ramp, row.epoch)
        self.late_rows += late
        self._said.setdefault((row.ramp, row.epoch), row.exposure_ppm)
        tally = self._blocks.setdefault(Block(row.ramp, row.epoch, row.exposure_ppm, late), Tally())
        tally.add(row.arm, ended=row.ended, bad=row.bad, timeouts=row.timeouts)
        tally.cover(arrival.at_ms - oldest, arrival.at_ms - newest)
        tally.reporters.add(arrival.batch.instance)

    def _add_failing(self, ramp: str, unit: FailingUnit, arm: str, arrival: Arrival) -> None:
        key = (ramp, bytes.fromhex(unit.unit))
        age_ms = unit.age_ms + arrival.age_ms
        at_ms = arrival.at_ms - age_ms
        row = FailingRow(ramp, key[1], arm, unit.epoch, at_ms, at_ms, 1)
        before = self._failing.get(key)
        if before is not None:
            first = row if at_ms < before.first_ms else before
            last_ms = max(at_ms, before.last_ms)
            self._failing[key] = first._replace(last_ms=last_ms, k=before.k + 1)
            if first is before:
                return
        else:
            self._failing[key] = row
        if age_ms > LATE_MS:
            self._late_failing.add(key)
        else:
            self._late_failing.discard(key)

    def _unheard_of(self, ramp: str, epoch: int) -> bool:
        """Whether the ramp never had this epoch: a mistake, or a database restored to before it. No evidence."""
        return epoch not in self._ramps[ramp].exposures

    def _exposure(self, ramp: str, epoch: int) -> int | None:
        known = self._ramps[ramp].exposures.get(epoch)
        return self._said.get((ramp, epoch)) if known is None else known

    def _arm(self, ramp: str, entry: int, epoch: int) -> str | None:
        """Return the arm that was drawn at this epoch's exposure; ``None`` where that cannot be told."""
        if entry == HELD:
            return Arm.HOLDBACK
        if entry == NEVER:
            return Arm.CONTROL
        levels = self._ramps[ramp].levels
        exposure = self._exposure(ramp, epoch)
        if exposure is None or not 0 <= entry < len(levels):
            return None
        return Arm.TREATMENT if levels[entry] <= exposure else Arm.CONTROL

    def _tally(self, ramp: str, epoch: int, late: bool) -> Tally:
        exposure = self._exposure(ramp, epoch)
        if exposure is None:  # held or never, in an epoch that nobody else told of
            exposure = 0
        late = late or self._unheard_of(ramp, epoch)
        # Units join the rows that they belong to; only these can tell an exposure other than the epoch's own.
        return self._blocks.setdefault(Block(ramp, epoch, exposure, late), Tally())


def ramps_of(arrivals: Iterable[Arrival]) -> set[str]:
    """Return every ramp that these batches name."""
    named: set[str] = set()
    for arrival in arrivals:
        named.update(row.ramp for row in arrival.batch.rows)
        named.update(arrival.batch.failing, arrival.batch.sampled)
    return named


def reporters_of(arrivals: Iterable[Arrival]) -> list[Reporter]:
    """Return who reported, one row an environment and instance, as the highest sequence says."""
    last: dict[tuple[int, str], tuple[int, Reporter]] = {}
    for environment_id, batch, at_ms, _ in arrivals:
        # What it has applied is newer than what its requests were evaluated by.
        held = max((batch.applied.generation, batch.applied.revision), _evaluated_by(batch))
        reporter = Reporter(environment_id, batch.instance, batch.service, *held, batch.goodbye, at_ms)
        key = (environment_id, batch.instance)
        if key not in last or last[key][0] < batch.sequence:
            last[key] = (batch.sequence, reporter)
    return [reporter for _, reporter in last.values()]


def _evaluated_by(batch: Batch) -> tuple[int, int]:
    """Return the identity that the batch's requests were evaluated by."""
    return (batch.identity.generation, batch.identity.revision)


def evaluations_of(arrivals: Iterable[Arrival]) -> list[EvaluationCount]:
    """Return how often flags were evaluated, one row a key."""
    counts: dict[tuple[int, str, str, str, int], EvaluationCount] = {}
    for environment_id, batch, at_ms, _ in arrivals:
        for flag, variants in batch.evaluations.items():
            for variant, count in variants.items():
                key = (environment_id, flag, variant, batch.service, at_ms // DAY_MS)
                before = counts[key].times if key in counts else 0
                counts[key] = EvaluationCount(*key, before + count, at_ms)
    return list(counts.values())
