"""What counters grew by, as blocks: which arm, which epoch, what kind of event. Pure."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from rheostat.model.evaluation import Arm
from rheostat.model.outcome import Outcome
from rheostat_server.adapters.evidence.merging import merged
from rheostat_server.adapters.evidence.prometheus.cursor import Growth
from rheostat_server.ports.ramps import EpochMark
from rheostat_server.ramps.evidence import ArmTotals, Block

FAILING = "rheostat_failing_units_total"
REPORTED = "rheostat_reported_requests_total"
SAMPLED = "rheostat_sampled_units_total"

SETTLE_MS = 2_000
"""After a change of exposure, how long instances may still evaluate under the one before."""
_BAD = frozenset((Outcome.ERROR.value, Outcome.TIMEOUT.value))


def reported_blocks(growth: Iterable[Growth], marks: Sequence[EpochMark], exposed_epoch: int) -> tuple[Block, ...]:
    """Return the blocks of what the server counted: its series say the exposure, and so, nearly, the epoch.

    ``exposed_epoch`` is that of the first exposure, 0 while arming.
    """
    blocks = []
    for grown in growth:
        if (arm := _arm(grown)) is None or not (label := grown.labels.get("exposure_ppm", "")).isdecimal():
            continue
        exposure_ppm = int(label)
        epoch, straddles = _epoch_of_exposure(marks, exposure_ppm, grown.from_ms, grown.until_ms, exposed_epoch)
        totals = _reported_totals(grown)
        if straddles:
            # Part of it was before the first exposure: a request of then must not help to prove that the
            # exposed fare well. A unit that failed is counted all the same, for it never will be again, and
            # its arm was as likely before as after.
            totals = ArmTotals(failing=totals.failing)
        blocks.append(_block(grown, arm, epoch, exposure_ppm, totals))
    return merged(blocks)


class Counted(msgspec.Struct, frozen=True):
    """What growth says: requests of an arm, and bad ones, each perhaps taken away again."""

    arm: str
    total: int
    bad: int
    from_ms: int
    until_ms: int


def counted_blocks(
    counted: Iterable[Counted], marks: Sequence[EpochMark], owed: Mapping[str, tuple[int, int]]
) -> tuple[tuple[Block, ...], dict[str, tuple[int, int]]]:
    """Return the blocks of what applications counted, and what is owed: their series say no exposure, but time does.

    Growth that may hold requests of the epoch before belongs to that one, at the larger exposure of the two. Of
    requests never more are bad than there are, nor fewer than none: what is over (and was ``owed`` before) is carried
    on to the next block of the arm.
    """
    sums: dict[tuple[int, int, str], Counted] = {}
    for one in counted:
        if not marks:
            continue
        at = _last_before(marks, one.until_ms)
        epoch, exposure_ppm = marks[at].epoch, marks[at].exposure_ppm
        if at > 0 and one.from_ms < marks[at].at_ms + SETTLE_MS:
            epoch = marks[at - 1].epoch
            exposure_ppm = max(exposure_ppm, marks[at - 1].exposure_ppm)
        key = (epoch, exposure_ppm, one.arm)
        before = sums.get(key)
        sums[key] = one if before is None else _sum(before, one)
    left = dict(owed)
    blocks = []
    for (epoch, exposure_ppm, arm), one in sorted(sums.items()):
        bad_owed, total_owed = left.get(arm, (0, 0))
        total = max(0, total_owed + one.total)
        bad = min(max(0, bad_owed + one.bad), total)
        left[arm] = (bad_owed + one.bad - bad, total_owed + one.total - total)
        if total:
            blocks.append(_block(one, Arm(arm), epoch, exposure_ppm, ArmTotals(ended=total, bad=bad)))
    return merged(blocks), {arm: over for arm, over in left.items() if over != (0, 0)}


def _sum(a: Counted, b: Counted) -> Counted:
    return Counted(a.arm, a.total + b.total, a.bad + b.bad, min(a.from_ms, b.from_ms), max(a.until_ms, b.until_ms))


def _epoch_of_exposure(
    marks: Sequence[EpochMark], exposure_ppm: int, from_ms: int, until_ms: int, exposed_epoch: int
) -> tuple[int, bool]:
    """Return the epoch, and whether the growth straddles the ramp's first exposure.

    An exposure that the ramp was at twice: growth across the later beginning may be of the earlier one still.
    """
    at_it = [mark for mark in marks if mark.exposure_ppm == exposure_ppm and mark.at_ms <= until_ms]
    if not at_it:
        return max((mark.epoch for mark in marks), default=1) - 1, False
    last = at_it[-1]
    if len(at_it) == 1 or from_ms >= last.at_ms:
        return last.epoch, False
    before = at_it[-2]
    if before.epoch < exposed_epoch <= last.epoch:
        return last.epoch, True
    return before.epoch, False


def _last_before(marks: Sequence[EpochMark], at_ms: int) -> int:
    return max((index for index, mark in enumerate(marks) if mark.at_ms <= at_ms), default=0)


def _reported_totals(grown: Growth) -> ArmTotals:
    amount = grown.amount
    match grown.name:
        case "rheostat_failing_units_total":
            return ArmTotals(failing=amount)
        case "rheostat_reported_requests_total":
            return ArmTotals(ended=amount, bad=amount if grown.labels.get("outcome") in _BAD else 0)
        case _:
            return ArmTotals(units=amount, units_bad=amount if grown.labels.get("bad") == "true" else 0)


def _arm(grown: Growth) -> Arm | None:
    name = grown.labels.get("arm", "")
    return Arm(name) if name in Arm.__members__.values() else None


def _block(grown: Growth | Counted, arm: Arm, epoch: int, exposure_ppm: int, totals: ArmTotals) -> Block:
    treated = arm is Arm.TREATMENT
    return Block(
        from_ms=grown.from_ms,
        until_ms=grown.until_ms,
        epoch=epoch,
        exposure_ppm=exposure_ppm,
        treatment=totals if treated else ArmTotals(),
        control=ArmTotals() if treated else totals,
    )
