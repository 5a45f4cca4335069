"""What a group of batches adds to a ramp's evidence, and what is kept of it."""

from typing import NamedTuple

import msgspec

from rheostat_server.ramps.model import ArmTotals


class Increment(msgspec.Struct, frozen=True, kw_only=True):
    """One inbox row: what one transaction added for one epoch of one ramp.

    Times are wall ms on the server's clock: the interval that the reported requests cover. ``exposure_ppm``
    is as evaluated. ``failing`` counts units that were never failing before in this ramp, in the arm of
    their first failure; ``units`` and ``units_bad`` count units not yet sampled in this epoch. ``late`` rows
    (older than 2 min on arrival) count in totals only.
    """

    epoch: int
    exposure_ppm: int
    from_ms: int
    until_ms: int
    treatment: ArmTotals = ArmTotals()
    control: ArmTotals = ArmTotals()
    holdback: ArmTotals = ArmTotals()
    reporters: int = 0
    late: bool = False


class InboxRow(msgspec.Struct, frozen=True):
    """An increment with its place in the ramp's commit order."""

    seq: int
    at_ms: int
    increment: Increment


class RampRow(msgspec.Struct, frozen=True, kw_only=True):
    """What counting needs to know of a live ramp.

    ``levels`` are its overlay's, in ppm; ``exposures`` say at which exposure each of its epochs draws the arms.
    """

    ramp: str
    environment_id: int
    project: str
    environment: str
    flag: str
    levels: tuple[int, ...]
    exposures: dict[int, int]


class ArmCount(msgspec.Struct, frozen=True, kw_only=True):
    """What one committed group of batches added for one arm. Late rows are left out: they are no evidence.

    ``ok``, ``error``, ``timeout`` are requests that ended so; ``failing`` units that never failed before in the
    ramp; ``units_good`` and ``units_bad`` units not yet sampled in the epoch, by how their first sample ended.
    """

    ok: int = 0
    error: int = 0
    timeout: int = 0
    failing: int = 0
    units_good: int = 0
    units_bad: int = 0


class BatchKey(NamedTuple):
    """What makes a batch count once."""

    instance: str
    sequence: int


class FailingRow(NamedTuple):
    """What a group says of one failing unit: its first failure in the group, its last, and how often (k)."""

    ramp: str
    unit: bytes
    arm: str
    epoch: int
    first_ms: int
    last_ms: int
    k: int


class SampledRow(NamedTuple):
    """A unit's first finished request of a window."""

    ramp: str
    unit: bytes
    window: int
    epoch: int
    arm: str
    bad: bool


class Reporter(NamedTuple):
    """An instance of an application that reports, and what it evaluates by."""

    environment_id: int
    instance: str
    service: str
    generation: int
    revision: int
    goodbye: bool
    seen_ms: int


class EvaluationCount(NamedTuple):
    """How often a service evaluated a flag to a variant on one UTC day (number since the epoch)."""

    environment_id: int
    flag: str
    variant: str
    service: str
    day: int
    times: int
    last_ms: int
