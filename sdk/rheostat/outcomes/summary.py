"""What the requests of ramping flags came to since the last batch. No I/O and no clock: times are arguments.

Monotonic times are in seconds; a window is the number of a 5-min window on the server's clock.
"""

import threading
from collections.abc import Mapping
from itertools import islice
from typing import Final, TypeAlias

import msgspec

from rheostat.model.evaluation import Arm
from rheostat.model.outcome import FailingUnit, FailingUnits, Outcome, Row, SampledUnit, SampledUnits
from rheostat.model.ramp import RampOverlay
from rheostat.outcomes.thinning import ALL, is_below, limit_for
from rheostat.outcomes.touch import Touch

DEADLINE_S: Final = 30.0
"""A request that has not ended this long after it first touched the flag counts as a timeout."""
REMEMBERED_UNITS: Final = 65_536
"""Units an epoch and window that are remembered as sampled. Beyond, some are reported again, which counts once."""
SAMPLED_A_BATCH: Final = 5_000
"""Sampled units of one ramp that a batch carries; the others wait for the next, so that no batch is too large."""

_BAD: Final = frozenset((Outcome.ERROR, Outcome.TIMEOUT))
_Key: TypeAlias = tuple[str, int, int, Arm, str]


class Parts(msgspec.Struct, frozen=True):
    """What a batch carries of this summary."""

    rows: tuple[Row, ...] = ()
    failing: dict[str, FailingUnits] = {}
    sampled: dict[str, SampledUnits] = {}

    def __bool__(self) -> bool:
        return bool(self.rows or self.failing or self.sampled)


class _Cell(msgspec.Struct):
    """The counts of one row; times are monotonic seconds."""

    oldest: float
    newest: float
    started: int = 0
    ended: int = 0
    bad: int = 0
    timeouts: int = 0
    slow: dict[int, int] = {}


class _Sampled:
    """The units of one ramp that were sampled since the last batch, by hash, epoch and window."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        """The lowest that was in force meanwhile."""
        self.units: dict[tuple[str, int, int], SampledUnit] = {}

    def part(self) -> "tuple[SampledUnits, _Sampled]":
        """Return what a batch carries, and what is left for the next."""
        if self.limit < ALL:
            self.units = {key: seen for key, seen in self.units.items() if is_below(key[0], self.limit)}
        left = _Sampled(self.limit)
        left.units = dict(islice(self.units.items(), SAMPLED_A_BATCH, None))
        return SampledUnits(self.limit, tuple(islice(self.units.values(), SAMPLED_A_BATCH))), left


class _Failing:
    """The failing units of one ramp since the last batch, never many more than fit into one."""

    def __init__(self) -> None:
        self.limit = ALL
        self.units: dict[str, tuple[int, int, float]] = {}

    def add(self, touch: Touch, unit: str, now: float) -> None:
        if unit in self.units or not is_below(unit, self.limit):
            return
        self.units[unit] = (touch.entry, touch.overlay.epoch, now)
        # Thinning early leaves what thinning at the end would: all hashes below the limit are still here.
        if len(self.units) > 2 * touch.overlay.failing_limit:
            self.thin(touch.overlay.failing_limit)

    def thin(self, most: int) -> None:
        self.limit = min(self.limit, limit_for(self.units, most))
        self.units = {unit: seen for unit, seen in self.units.items() if is_below(unit, self.limit)}

    def part(self, most: int, now: float) -> FailingUnits:
        self.thin(most)
        units = tuple(
            FailingUnit(unit, entry, epoch, _age_ms(now, at)) for unit, (entry, epoch, at) in self.units.items()
        )
        return FailingUnits(self.limit, units)


class Summary:
    """Counts starts and ends by (ramp, epoch, exposure, arm, variant), and the units behind them.

    Each touch that was begun is ended once: by ``end``, by ``expire`` after the deadline, or taken back by
    ``withdraw``. Safe to use from many threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cells: dict[_Key, _Cell] = {}
        self._met: dict[str, RampOverlay] = {}
        self._open: dict[Touch, None] = {}
        self._failing: dict[str, _Failing] = {}
        self._failing_most: dict[str, int] = {}
        self._sampled: dict[str, _Sampled] = {}
        self._limits: dict[str, float] = {}
        self._window = 0
        self._seen: dict[tuple[str, int], set[str]] = {}

    @property
    def outstanding(self) -> int:
        """The number of touches that have begun and not ended."""
        return len(self._open)

    def begin(self, touch: Touch) -> None:
        """Count a start. The deadline runs from ``touch.at``."""
        with self._lock:
            self._open[touch] = None
            self._cell(touch, touch.at).started += 1

    def meet(self, overlay: RampOverlay) -> None:
        """Say in the next batch, by a row without a count, that requests which meet this ramp are watched here."""
        with self._lock:
            self._met[overlay.ramp] = overlay

    def withdraw(self, touch: Touch) -> bool:
        """Take the start back: the request belongs to no arm. A touch that is closed stays as it was counted.

        Return whether it was open.

        A start that a batch has carried already is taken from the next ones of its row.
        """
        with self._lock:
            if touch.closed:
                return False
            touch.closed = True
            self._open.pop(touch, None)
            self._cell(touch, touch.at).started -= 1
            return True

    def end(self, touch: Touch, outcome: Outcome, now: float, window: int, duration_s: float = 0.0) -> Outcome | None:
        """Count how the request ended; after the deadline that is a timeout, whatever the outcome.

        ``duration_s`` is what is compared with the ramp's bounds; a timeout is slower than any. Return what was
        counted, or ``None`` when the touch had been closed before.
        """
        with self._lock:
            if touch.closed:
                return None
            counted = Outcome.TIMEOUT if now >= touch.at + DEADLINE_S else outcome
            self._open.pop(touch, None)
            self._close(touch, counted, now, window, duration_s)
            return counted

    def expire(self, now: float, window: int) -> list[Touch]:
        """Count the touches whose deadline has passed as timeouts, and return them."""
        expired: list[Touch] = []
        with self._lock:
            # Nearly in the order of their deadlines: two threads may swap neighbours, which the next call mends.
            for touch in self._open:
                if now < touch.at + DEADLINE_S:
                    break
                expired.append(touch)
            for touch in expired:
                del self._open[touch]
                self._close(touch, Outcome.TIMEOUT, now, window, DEADLINE_S)
        return expired

    def drain(self, now: float) -> Parts:
        """Return what came together since the last call; ages count back from ``now``."""
        with self._lock:
            cells, failing, met = self._cells, self._failing, self._met
            self._met = {}
            # A start taken back after a batch carried it is owed to the row's next starts.
            self._cells = {
                key: _Cell(now, now, started=cell.started) for key, cell in cells.items() if cell.started < 0
            }
            self._failing = {}
            sampled = self._take_sampled()
            most = dict(self._failing_most)
        rows = tuple(_row(key, cell, now) for key, cell in cells.items() if cell.started > 0 or cell.ended)
        counted = {row.ramp for row in rows}
        rows += tuple(_empty_row(overlay) for ramp, overlay in met.items() if ramp not in counted)
        return Parts(
            rows,
            {ramp: units.part(most[ramp], now) for ramp, units in failing.items()},
            sampled,
        )

    def limit_samples(self, limits: Mapping[str, float]) -> None:
        """Sample from now on only units whose hash is below these limits, by ramp."""
        with self._lock:
            for ramp, limit in limits.items():
                self._limits[ramp] = limit
                if ramp in self._sampled:
                    self._sampled[ramp].limit = min(self._sampled[ramp].limit, limit)

    def forget(self, ramps: set[str]) -> None:
        """Drop what is remembered of ramps other than these (which are live)."""
        with self._lock:
            for ramp in self._limits.keys() - ramps:
                del self._limits[ramp]
            for key in [key for key in self._seen if key[0] not in ramps]:
                del self._seen[key]
            for ramp in self._failing_most.keys() - ramps - self._failing.keys():
                del self._failing_most[ramp]
            for row in [row for row, cell in self._cells.items() if _is_debt(cell) and row[0] not in ramps]:
                del self._cells[row]

    def _cell(self, touch: Touch, now: float) -> _Cell:
        overlay = touch.overlay
        key = (overlay.ramp, overlay.epoch, overlay.arm_ppm, touch.arm, touch.variant)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = _Cell(now, now)
        cell.oldest, cell.newest = min(cell.oldest, now), max(cell.newest, now)
        return cell

    def _close(self, touch: Touch, outcome: Outcome, now: float, window: int, duration_s: float) -> None:
        touch.closed = True
        bad = outcome in _BAD
        cell = self._cell(touch, now)
        cell.ended += 1
        cell.bad += bad
        cell.timeouts += outcome is Outcome.TIMEOUT
        slow = 0
        for place, bound in enumerate(touch.overlay.slow_bounds_ms):
            if outcome is Outcome.TIMEOUT or duration_s * 1000 > bound:
                slow |= 1 << place
                cell.slow[bound] = cell.slow.get(bound, 0) + 1
        self._sample(touch, bad, slow, window)
        if bad and (unit := touch.unit_name) is not None:
            ramp = touch.overlay.ramp
            self._failing_most[ramp] = touch.overlay.failing_limit
            self._failing.setdefault(ramp, _Failing()).add(touch, unit, now)

    def _sample(self, touch: Touch, bad: bool, slow: int, window: int) -> None:
        """Note the unit's first finished request of the window, anew in each epoch: a step has its own units."""
        if window != self._window:
            self._window = window
            self._seen = {}
        ramp, epoch = touch.overlay.ramp, touch.overlay.epoch
        seen = self._seen.setdefault((ramp, epoch), set())
        # By the raw unit: hashing each request's would cost more than all else here.
        if touch.unit is None or touch.unit in seen or (unit := touch.unit_name) is None:
            return
        if len(seen) >= REMEMBERED_UNITS:
            seen.clear()
        seen.add(touch.unit)
        limit = self._limits.get(ramp, ALL)
        if limit < ALL and not is_below(unit, limit):
            return
        if (sampled := self._sampled.get(ramp)) is None:
            sampled = self._sampled[ramp] = _Sampled(limit)
        if len(sampled.units) < REMEMBERED_UNITS:
            seen_here = SampledUnit(unit, touch.entry, epoch, window, bad=bad, slow=slow)
            sampled.units.setdefault((unit, epoch, window), seen_here)

    def _take_sampled(self) -> dict[str, SampledUnits]:
        parts = {ramp: units.part() for ramp, units in self._sampled.items()}
        self._sampled = {ramp: left for ramp, (_, left) in parts.items() if left.units}
        return {ramp: part for ramp, (part, _) in parts.items()}


def _is_debt(cell: _Cell) -> bool:
    return cell.started < 0 and not cell.ended


def _empty_row(overlay: RampOverlay) -> Row:
    return Row(ramp=overlay.ramp, epoch=overlay.epoch, exposure_ppm=overlay.arm_ppm, arm=Arm.CONTROL, variant="")


def _row(key: _Key, cell: _Cell, now: float) -> Row:
    ramp, epoch, exposure_ppm, arm, variant = key
    return Row(
        ramp=ramp,
        epoch=epoch,
        exposure_ppm=exposure_ppm,
        arm=arm,
        variant=variant,
        ages=(_age_ms(now, cell.oldest), _age_ms(now, cell.newest)),
        started=max(0, cell.started),
        ended=cell.ended,
        bad=cell.bad,
        timeouts=cell.timeouts,
        slow={str(bound): count for bound, count in cell.slow.items()},
    )


def _age_ms(now: float, at: float) -> int:
    # A batch may be made at a `now` read just before the last request's.
    return max(0, round((now - at) * 1000))
