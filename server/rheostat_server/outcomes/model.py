"""What a group of batches adds to a ramp's evidence, and what is kept of it."""

from typing import NamedTuple
from uuid import UUID

import msgspec

from rheostat_server.outcomes.sampling import Sampling
from rheostat_server.ramps.evidence import ArmTotals


class SlowCount(msgspec.Struct, frozen=True, array_like=True):
    """What one arm saw that was slower than one bound.

    ``ended`` are requests, ``units`` units whose first sample in the epoch was slow, ``sampled`` those that grade 2
    keeps for this bound, ``sampled_bad`` the slow ones of them. ``None`` is of an older server, which kept the same for
    all: ``ArmTotals.sampled``.
    """

    ended: int = 0
    units: int = 0
    sampled_bad: int = 0
    sampled: int | None = None


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
    slow: dict[str, dict[str, SlowCount]] = {}
    reporters: int = 0
    late: bool = False


class InboxRow(msgspec.Struct, frozen=True):
    """An increment with its place in the ramp's commit order."""

    seq: int
    at_ms: int
    increment: Increment


class RampRow(msgspec.Struct, frozen=True, kw_only=True):
    """What counting needs to know of a live ramp.

    ``levels`` and ``slow_bounds_ms`` are its overlay's; ``exposures`` say at which exposure (ppm) each of its epochs
    draws the arms. ``arming_epoch`` is the present epoch while the ramp arms.
    """

    ramp: str
    environment_id: int
    project: str
    environment: str
    flag: str
    levels: tuple[int, ...]
    exposures: dict[int, int]
    slow_bounds_ms: tuple[int, ...] = ()
    arming_epoch: int | None = None
    sampling: Sampling = Sampling()


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


class UnitKey(NamedTuple):
    """A unit of a ramp."""

    ramp: str
    unit: bytes


class Failure(NamedTuple):
    """One failure of a unit, in the arm that it then was in. ``late``: too old on arrival to be evidence."""

    at_ms: int
    epoch: int
    arm: str
    late: bool


class FailingRow(NamedTuple):
    """A failing unit as it is remembered.

    First is its first failure in the ramp; ``k`` how often it was counted by failures that came 5 min or more after
    the one before.
    """

    ramp: str
    unit: bytes
    arm: str
    epoch: int
    first_ms: int
    last_ms: int
    k: int


class FailingMemory(NamedTuple):
    """What is known of a unit that fails: its last failure and k (``None``, 0: the first), whether it was sampled."""

    last_ms: int | None = None
    k: int = 0
    sampled: bool = False


class SampledRow(NamedTuple):
    """A unit's first finished request of a window. Bit i of ``slow``: slower than the ramp's i-th bound.

    ``stands_for`` is how many units one that was sampled stands for: 1 / limit.
    """

    ramp: str
    unit: bytes
    window: int
    epoch: int
    arm: str
    bad: bool
    entry: int
    slow: int = 0
    stands_for: float = 1.0


class UnitCount(NamedTuple):
    """Units sampled in an epoch, in one arm: how many, and how many there are as far as these tell."""

    ramp: str
    epoch: int
    arm: str
    units: int
    estimate: float


class SampledMemory(NamedTuple):
    """What is known of a unit that is sampled: which samples of it there are, and whether it failed.

    ``bad`` is to what a sample of it that grade 2 kept was bad (``BadlySampled.measures``). It may be 0 where this one
    is not kept: in a window of odd number, or one of which there is a sample.
    """

    ramp: bool = False
    epoch: bool = False
    before: bool = False
    """One of the window before."""
    window: bool = False
    row: bool = False
    """One of this window and epoch."""
    failed: bool = False
    bad: int = 0


class BadlySampled(NamedTuple):
    """A unit that has had a bad sample which grade 2 kept, and to what it was bad.

    Bit 0 of ``measures``: it failed; bit i + 1: it was slower than the ramp's i-th bound.
    """

    ramp: str
    unit: bytes
    measures: int


class OrphanKey(NamedTuple):
    """What makes an orphaned request count once: the ramp, the instance that died, and the number of its note."""

    ramp: str
    instance: str
    note: int


class RampReport(NamedTuple):
    """An instance that sent a row of a ramp."""

    ramp: str
    instance: str
    service: str
    at_ms: int


class ServiceCover(NamedTuple):
    """How often a service evaluated a flag lately, and whether it reports outcomes of it."""

    service: str
    evaluations: int
    reports: bool


class Reporter(NamedTuple):
    """An instance of an application that reports, and what it evaluates by."""

    environment_id: int
    instance: str
    service: str
    generation: int
    revision: int
    goodbye: bool
    seen_ms: int
    said_ms: int = 0
    """The moment of which it speaks: when its batch was made."""
    acknowledges: bool = False
    """It says what it has applied."""


class Acknowledgement(NamedTuple):
    """An instance that applied a kill, and when, by this server's clock."""

    environment_id: int
    kill_id: UUID
    instance: str
    service: str
    at_ms: int


class TreatedRow(NamedTuple):
    """An instance that put somebody into the treatment of a ramp that is not live; surely not before ``at_ms``."""

    environment_id: int
    ramp: UUID
    instance: str
    service: str
    at_ms: int


class EvaluationCount(NamedTuple):
    """How often a service evaluated a flag to a variant on one UTC day (number since the epoch)."""

    environment_id: int
    flag: str
    variant: str
    service: str
    day: int
    times: int
    last_ms: int
