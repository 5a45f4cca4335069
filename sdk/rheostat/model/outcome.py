"""What applications report of the requests that read ramping flags."""

import enum

import msgspec

from rheostat.model.evaluation import Arm
from rheostat.model.snapshot import Identity


class Outcome(enum.StrEnum):
    """How a request ended."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


HELD = -1
"""``entry`` of a unit in the holdback."""
NEVER = -2
"""``entry`` of a unit that no level exposes."""
RAW = "raw:"
"""Before a unit that is sent as it is, and hashed on arrival. Its ``entry`` is then not read."""


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Requests of one (ramp, epoch, arm, variant) since the batch before.

    ``ages`` are the oldest and the newest in ms, counted back from when the batch was made. ``started``
    counts requests that first touched the flag, ``ended`` those that ended or met the deadline; ``bad``
    (errors and timeouts) and ``timeouts`` are among ``ended``. ``slow`` is, by each of the ramp's bounds (ms, as text),
    how many of ``ended`` took longer; a timeout took longer than any.
    """

    ramp: str
    epoch: int
    exposure_ppm: int
    arm: Arm
    variant: str
    ages: tuple[int, int] = (0, 0)
    started: int = 0
    ended: int = 0
    bad: int = 0
    timeouts: int = 0
    slow: dict[str, int] = {}


class FailingUnit(msgspec.Struct, frozen=True, array_like=True):
    """A unit with a bad request. ``unit`` is 16 hex digits: BLAKE2b-64 keyed with the ramp's secret; or ``RAW`` + text.

    ``entry`` is the index in the ramp's levels of the smallest that exposes the unit, or ``HELD`` or ``NEVER``.
    """

    unit: str
    entry: int
    epoch: int
    age_ms: int = 0


class SampledUnit(msgspec.Struct, frozen=True, array_like=True):
    """A unit's first finished request of a window (5 min on the server's clock; ``window`` is its number).

    Bit i of ``slow`` says that it took longer than the ramp's i-th bound.
    """

    unit: str
    entry: int
    epoch: int
    window: int
    bad: bool = False
    slow: int = 0


class FailingUnits(msgspec.Struct, frozen=True, omit_defaults=True):
    """Failing units whose hash is below ``limit``·2^64; 1.0 means all."""

    limit: float = 1.0
    units: tuple[FailingUnit, ...] = ()


class SampledUnits(msgspec.Struct, frozen=True, omit_defaults=True):
    """Sampled units whose hash is below ``limit``·2^64; 1.0 means all."""

    limit: float = 1.0
    units: tuple[SampledUnit, ...] = ()


class Orphan(msgspec.Struct, frozen=True, array_like=True):
    """A request that was open when its process died. ``note`` numbers what that instance noted, from 1.

    ``age_ms`` is since it met the flag.
    """

    ramp: str
    unit: str
    entry: int
    epoch: int
    age_ms: int
    note: int


class Orphans(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a dead instance left open.

    ``replaced``: its process became another program by exec, and the sender is that; so it did not vanish.
    """

    instance: str
    replaced: bool = False
    requests: tuple[Orphan, ...] = ()


class Applied(msgspec.Struct, frozen=True, omit_defaults=True):
    """What this instance evaluates by now: the kill read-back.

    ``ages`` say how long before the batch was made each of ``kills`` was applied, in ms; none where that is not known.
    """

    generation: int = 0
    revision: int = 0
    kills: tuple[str, ...] = ()
    ages: tuple[int, ...] = ()


class Batch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of ``POST /sdk/v1/outcomes``. Counted once by (instance, sequence).

    ``instance`` is 32 hex digits, made by each process and anew after a fork; ``sequence`` counts from 1.
    ``failing`` and ``sampled`` are by ramp id, ``evaluations`` by flag key and variant (``""`` for the
    caller's default). ``orphans`` are requests that other processes left open when they died.
    """

    instance: str
    sequence: int
    service: str = ""
    identity: Identity = Identity()
    goodbye: bool = False
    rows: tuple[Row, ...] = ()
    failing: dict[str, FailingUnits] = {}
    sampled: dict[str, SampledUnits] = {}
    evaluations: dict[str, dict[str, int]] = {}
    applied: Applied = Applied()
    orphans: tuple[Orphans, ...] = ()


class BatchReceipt(msgspec.Struct, frozen=True):
    """The answer to a batch, after it was committed. ``duplicate``: it had been counted before.

    ``at_ms`` is the server's wall time, by which reporters number the windows of sampled units; 0: not said.
    ``sampled_limits`` are, for ramps of the batch, the limit below which units are to be sampled from now on.
    """

    sequence: int
    duplicate: bool = False
    at_ms: int = 0
    sampled_limits: dict[str, float] = {}
