"""What a group of batches adds to a ramp's evidence."""

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
