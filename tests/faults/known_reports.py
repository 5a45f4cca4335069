"""Batches of which the sender knows what they add up to."""

import random

import msgspec

from rheostat.model.evaluation import Arm
from rheostat.model.outcome import NEVER, Batch, FailingUnit, FailingUnits, Row, SampledUnit, SampledUnits
from rheostat_server.ramps.evidence import ArmTotals
from rheostat_server.ramps.model import GuardrailState

FIRST_STEP = 1
"""The entry of units that the first step exposes: the level before it is the start's."""


class KnownReports:
    """Makes batches of an arming ramp whose first step exposes 10 %; both arms fail alike, each failing user once."""

    def __init__(self, ramp: str) -> None:
        self.ramp = ramp
        self.sent = {Arm.TREATMENT: [0, 0], Arm.CONTROL: [0, 0]}
        self._draw = random.Random(3)
        self._sequence = 0
        self._unit = 0

    def batch(self) -> bytes:
        """Return the next one."""
        self._sequence += 1
        rows, failing, sampled = [], [], []
        for arm, entry, ended in ((Arm.TREATMENT, FIRST_STEP, 10), (Arm.CONTROL, NEVER, 90)):
            bad = sum(self._draw.random() < 0.02 for _ in range(ended))
            self.sent[arm][0] += ended
            self.sent[arm][1] += bad
            rows.append(Row(ramp=self.ramp, epoch=1, exposure_ppm=100_000, arm=arm, variant="on", ended=ended, bad=bad))
            for number in range(ended):
                self._unit += 1
                unit = f"{self._unit:016x}"
                sampled.append(SampledUnit(unit, entry, 1, 0, number < bad))
                if number < bad:
                    failing.append(FailingUnit(unit, entry, 1))
        batch = Batch(
            instance="a" * 32,
            sequence=self._sequence,
            service="shop",
            rows=tuple(rows),
            failing={self.ramp: FailingUnits(1.0, tuple(failing))},
            sampled={self.ramp: SampledUnits(1.0, tuple(sampled))},
        )
        return msgspec.json.encode(batch)

    def told(self) -> tuple[tuple[int, ...], ...]:
        """Return what was sent: requests, bad ones, failing users and sampled users of each arm."""
        return tuple((ended, bad, bad, ended) for ended, bad in self.sent.values())


def counted(seen: GuardrailState) -> tuple[tuple[int, ...], ...]:
    """Return what a ramp counted, in the same order; what came late with it."""
    return tuple(
        _figures(arm, late) for arm, late in ((seen.treatment, seen.late_treatment), (seen.control, seen.late_control))
    )


def _figures(arm: ArmTotals, late: ArmTotals) -> tuple[int, ...]:
    return (
        arm.ended + late.ended,
        arm.bad + late.bad,
        arm.failing + late.failing,
        arm.units + late.units,
    )
