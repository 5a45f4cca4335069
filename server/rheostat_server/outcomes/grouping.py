"""How a group of batches adds up, by ramp, epoch and arm. Pure."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from rheostat.model.evaluation import Arm
from rheostat.model.outcome import HELD, NEVER, RAW, Batch, Orphan, Row, SampledUnit
from rheostat_server.outcomes.model import (
    BadlySampled,
    FailingMemory,
    FailingRow,
    Failure,
    Increment,
    OrphanKey,
    RampRow,
    SampledMemory,
    SampledRow,
    UnitCount,
    UnitKey,
)
from rheostat_server.outcomes.raw_units import UnitRule
from rheostat_server.outcomes.sampling import LEAST_SHARE, Sampling
from rheostat_server.outcomes.tally import ArmTally, Tally

LATE_MS = 120_000
"""A row that is older on arrival goes to totals and to the memory of units, never into evidence."""
WINDOW_MS = 300_000
COOLDOWN_MS = 300_000
"""A failing unit is counted again when it had not failed for so long."""
NO_LEVEL = -1
"""Stands for the level of units that no level exposes."""

_HASHES = 1 << 64
_HALF = 1 << 32
_NO_RULES: Mapping[str, UnitRule] = {}
_NEW_FAILURE = FailingMemory()
_NEW_SAMPLE = SampledMemory()


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
    as is one that is not live: its batch is acknowledged all the same, or it would be sent for ever. ``orphans`` are
    those that had not been counted before; ``rules`` are those of ramps that have units sent as they are.
    """

    def __init__(
        self,
        arrivals: Iterable[Arrival],
        ramps: Mapping[str, RampRow],
        orphans: Collection[OrphanKey] = (),
        rules: Mapping[str, UnitRule] = _NO_RULES,
    ) -> None:
        self._ramps = ramps
        self._rules = rules
        self._blocks: dict[Block, Tally] = {}
        self._failures: dict[UnitKey, list[Failure]] = {}
        self._sampled: dict[tuple[UnitKey, int, int], SampledRow] = {}
        self._orphans = set(orphans)
        # Exposures that batches say, for epochs that the ramp's own history lacks.
        self._said: dict[tuple[str, int], int] = {}
        self._now_ms = 0
        self.late_rows = 0
        self.failing: list[FailingRow] = []
        """What is to be remembered of failing units, after ``settle``."""
        self.sampled: list[SampledRow] = []
        """The samples that are to be remembered, after ``settle``."""
        self.badly_sampled: list[BadlySampled] = []
        """What is new of units that had a bad sample which grade 2 kept, one row a ramp and unit, after ``settle``."""
        self.arming_arrivals: Counter[tuple[str, int]] = Counter()
        """Units that arrived while arming, by ramp and the level (ppm) that exposes them first."""
        self._units: defaultdict[tuple[str, int, str], list[float]] = defaultdict(list)
        self.sampling: dict[str, Sampling] = {}
        """How ramps whose units were sampled are sampled from now on."""
        for arrival in sorted(arrivals, key=lambda arrival: arrival.at_ms):
            self._now_ms = max(self._now_ms, arrival.at_ms)
            self._add(arrival)

    @property
    def failing_units(self) -> list[UnitKey]:
        """The units that failed."""
        return list(self._failures)

    @property
    def samples(self) -> list[SampledRow]:
        """The samples that came, one a ramp, unit, window and epoch; windows ascending, then as they came."""
        return sorted(self._sampled.values(), key=lambda row: row.window)

    @property
    def units(self) -> list[UnitCount]:
        """The units that are new to their epoch, after ``settle``, ascending."""
        return [UnitCount(*key, len(each), sum(each)) for key, each in sorted(self._units.items())]

    def settle(self, failing: Mapping[UnitKey, FailingMemory], sampled: Mapping[SampledRow, SampledMemory]) -> None:
        """Count the units, given what is remembered of them; of those that are left out nothing is."""
        active = self._settle_sampled(sampled)
        for key, failures in self._failures.items():
            self._settle_failing(key, sorted(failures), failing.get(key, _NEW_FAILURE), key in active)

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
                    slow=tally.slow(),
                    reporters=len(tally.reporters),
                    late=block.late,
                )
            )
        return increments

    # --- what came ---

    def _add(self, arrival: Arrival) -> None:
        batch = arrival.batch
        for row in batch.rows:
            if self._counts(row.ramp, arrival):
                self._add_row(row, arrival)
        for ramp, failing in batch.failing.items():
            if self._counts(ramp, arrival):
                for unit in failing.units:
                    named = self._named(ramp, unit.unit, unit.entry)
                    if named is not None and (arm := self._arm(ramp, named[1], unit.epoch)) is not None:
                        self._add_failure(UnitKey(ramp, named[0]), unit.epoch, arm, arrival, unit.age_ms)
        for ramp, sampled in batch.sampled.items():
            if self._counts(ramp, arrival):
                for seen in sampled.units:
                    self._add_seen(ramp, seen, sampled.limit)
        for dead in batch.orphans:
            for orphan in dead.requests:
                key_of_orphan = OrphanKey(orphan.ramp, dead.instance, orphan.note)
                if self._counts(orphan.ramp, arrival) and key_of_orphan in self._orphans:
                    self._orphans.discard(key_of_orphan)
                    self._add_orphan(orphan, arrival)

    def _counts(self, ramp: str, arrival: Arrival) -> bool:
        known = self._ramps.get(ramp)
        return known is not None and known.environment_id == arrival.environment_id

    def _add_row(self, row: Row, arrival: Arrival) -> None:
        oldest, newest = (age + arrival.age_ms for age in row.ages)
        late = oldest > LATE_MS or self._unheard_of(row.ramp, row.epoch)
        self.late_rows += late
        self._said.setdefault((row.ramp, row.epoch), row.exposure_ppm)
        tally = self._blocks.setdefault(Block(row.ramp, row.epoch, row.exposure_ppm, late), Tally())
        tally.add(row.arm, ended=row.ended, bad=row.bad, timeouts=row.timeouts, slow=row.slow)
        tally.cover(arrival.at_ms - oldest, arrival.at_ms - newest)
        tally.reporters.add(arrival.batch.instance)

    def _add_failure(self, key: UnitKey, epoch: int, arm: str, arrival: Arrival, age_ms: int) -> None:
        age_ms += arrival.age_ms
        failure = Failure(arrival.at_ms - age_ms, epoch, arm, age_ms > LATE_MS)
        self._failures.setdefault(key, []).append(failure)

    def _add_seen(self, ramp: str, seen: SampledUnit, limit: float) -> None:
        named = self._named(ramp, seen.unit, seen.entry)
        if named is None or (arm := self._arm(ramp, named[1], seen.epoch)) is None:
            return
        if seen.unit.startswith(RAW):
            # Who cannot hash cannot thin.
            limit = self._ramps[ramp].sampling.share
            if not _is_below(named[0], limit):
                return
        stands_for = 1 / max(limit, LEAST_SHARE)
        self._add_sample(
            SampledRow(ramp, named[0], seen.window, seen.epoch, arm, seen.bad, named[1], seen.slow, stands_for)
        )

    def _named(self, ramp: str, unit: str, entry: int) -> tuple[bytes, int] | None:
        """Return the unit's hash and entry."""
        if not unit.startswith(RAW):
            return bytes.fromhex(unit), entry
        rule = self._rules.get(ramp)
        return None if rule is None else rule.named(unit.removeprefix(RAW))

    def _add_sample(self, row: SampledRow) -> None:
        self._sampled.setdefault((UnitKey(row.ramp, row.unit), row.window, row.epoch), row)

    def _add_orphan(self, orphan: Orphan, arrival: Arrival) -> None:
        """Count a request that never ended because its process died: bad, and slower than any bound."""
        arm = self._arm(orphan.ramp, orphan.entry, orphan.epoch)
        if arm is None:
            return
        ramp, unit = self._ramps[orphan.ramp], bytes.fromhex(orphan.unit)
        age_ms = orphan.age_ms + arrival.age_ms
        at_ms = arrival.at_ms - age_ms
        tally = self._tally(orphan.ramp, orphan.epoch, age_ms > LATE_MS)
        slow = {str(bound): 1 for bound in ramp.slow_bounds_ms}
        tally.add(arm, ended=1, bad=1, timeouts=0, slow=slow)
        tally.cover(at_ms, at_ms)
        self._add_failure(UnitKey(orphan.ramp, unit), orphan.epoch, arm, arrival, orphan.age_ms)
        # Who reported it knows no limit of the dead; more of one arm must not be sampled than of the other.
        share = ramp.sampling.share
        if _is_below(unit, share):
            window, every = at_ms // WINDOW_MS, (1 << len(slow)) - 1
            self._add_sample(
                SampledRow(orphan.ramp, unit, window, orphan.epoch, arm, True, orphan.entry, every, 1 / share)
            )

    # --- what is new of it ---

    def _settle_sampled(self, memory: Mapping[SampledRow, SampledMemory]) -> set[UnitKey]:
        """Count the samples; return the units that are sampled here."""
        units: set[UnitKey] = set()
        epochs: set[tuple[UnitKey, int]] = set()
        windows: set[tuple[UnitKey, int]] = set()
        below: Counter[tuple[str, int]] = Counter()
        bad: dict[UnitKey, int] = {}
        for row in self.samples:
            key, known = UnitKey(row.ramp, row.unit), memory.get(row, _NEW_SAMPLE)
            in_window, in_epoch = (key, row.window), (key, row.epoch)
            if not known.row:
                self.sampled.append(row)
                new = SampledMemory(
                    ramp=not known.ramp and key not in units,
                    epoch=not known.epoch and in_epoch not in epochs,
                    before=not known.before and (key, row.window - 1) not in windows,
                    window=not known.window and in_window not in windows,
                    failed=known.failed,
                    bad=known.bad | bad.get(key, 0),
                )
                late = (row.window + 1) * WINDOW_MS < self._now_ms - LATE_MS
                if newly := self._count_sample(row, new, late):
                    bad[key] = bad.get(key, 0) | newly
                if new.window and _is_below(row.unit, self._ramps[row.ramp].sampling.share):
                    below[row.ramp, row.window] += 1
            units.add(key)
            epochs.add(in_epoch)
            windows.add(in_window)
        self.badly_sampled = [BadlySampled(*key, measures) for key, measures in bad.items()]
        for (ramp, window), count in sorted(below.items()):
            if window <= self._now_ms // WINDOW_MS:  # a sender whose clock runs ahead does not begin the next one
                self.sampling[ramp] = self.sampling.get(ramp, self._ramps[ramp].sampling).after(window, count)
        return units

    def _count_sample(self, row: SampledRow, new: SampledMemory, late: bool) -> int:
        """Count the sample; return the measures to which it is the first bad one of its unit that is kept."""
        tally, newly = self._tally(row.ramp, row.epoch, late), 0
        count = tally.arm(row.arm)
        # Rounded up as often as down, by bits of the hash that the limit does not look at.
        count.seen += int(row.stands_for + int.from_bytes(row.unit[4:], "big") / _HALF)
        if new.epoch:
            self._units[row.ramp, row.epoch, row.arm].append(row.stands_for)
            count.units += 1
            count.units_bad += row.bad
            for bound in self._slow_bounds(row):
                count.slower(bound).units += 1
        if new.window:
            newly = self._keep(count, row, new.bad)
        if new.window and new.before:
            count.arrivals += 1
            if not late and row.epoch == self._ramps[row.ramp].arming_epoch:
                self.arming_arrivals[row.ramp, self._level(row)] += 1
        if new.ramp:
            count.active += 1
            count.active_failed += new.failed
        if not tally.covers:
            tally.cover(self._now_ms, self._now_ms)
        return newly

    def _keep(self, count: ArmTally, row: SampledRow, before: int) -> int:
        """Count a sample that grade 2 keeps in the measures to which its unit had no bad one ``before``.

        Returns those of them to which this one is bad.
        """
        bounds = self._ramps[row.ramp].slow_bounds_ms
        newly = (row.bad | row.slow % (1 << len(bounds)) << 1) & ~before
        if not before & 1:
            count.sampled += 1
            count.sampled_bad += newly & 1
        for place, bound in enumerate(bounds, 1):
            slower = count.slower(str(bound))
            if not before >> place & 1:
                slower.sampled += 1
                slower.sampled_bad += newly >> place & 1
        return newly

    def _settle_failing(self, key: UnitKey, failures: list[Failure], known: FailingMemory, sampled: bool) -> None:
        first, last_ms, k = failures[0], known.last_ms, known.k
        if known.last_ms is None:
            count = self._count_failure(key, first)
            count.failing += 1
            count.active_failed += known.sampled or sampled
        for failure in failures:
            if last_ms is None or failure.at_ms - last_ms >= COOLDOWN_MS:
                k += 1
                count = self._count_failure(key, failure)
                count.recounted += 1
                count.recounted_squares += 2 * k - 1
            last_ms = failure.at_ms if last_ms is None else max(last_ms, failure.at_ms)
        assert last_ms is not None
        self.failing.append(FailingRow(key.ramp, key.unit, first.arm, first.epoch, first.at_ms, last_ms, k))

    def _count_failure(self, key: UnitKey, failure: Failure) -> ArmTally:
        tally = self._tally(key.ramp, failure.epoch, failure.late)
        tally.cover(failure.at_ms, failure.at_ms)
        return tally.arm(failure.arm)

    # --- where it belongs ---

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

    def _level(self, row: SampledRow) -> int:
        return self._ramps[row.ramp].levels[row.entry] if row.entry >= 0 else NO_LEVEL

    def _slow_bounds(self, row: SampledRow) -> list[str]:
        bounds = self._ramps[row.ramp].slow_bounds_ms
        return [str(bound) for place, bound in enumerate(bounds) if row.slow >> place & 1]

    def _tally(self, ramp: str, epoch: int, late: bool) -> Tally:
        exposure = self._exposure(ramp, epoch)
        if exposure is None:  # held or never, in an epoch that nobody else told of
            exposure = 0
        late = late or self._unheard_of(ramp, epoch)
        # Units join the rows that they belong to; only these can tell an exposure other than the epoch's own.
        return self._blocks.setdefault(Block(ramp, epoch, exposure, late), Tally())


def _is_below(unit: bytes, share: float) -> bool:
    return int.from_bytes(unit, "big") < share * _HASHES
