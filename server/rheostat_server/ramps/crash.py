"""The crash clause: a change that breaks nearly everything at once is taken back before any process has grown."""

from collections.abc import Sequence

from rheostat_server.ramps.evidence import Block
from rheostat_server.ramps.memory import Stretch
from rheostat_server.ramps.words import count, rate

CRASH_MS = 300_000
"""How far back it looks."""
STRETCH_MS = 30_000
"""In which pieces that is remembered."""

_BAD_SHARE = 0.5
_TIMES_CONTROL = 10
_FEWEST_REQUESTS = 10
_FEWEST_UNITS = 2
_SEVERAL = 3


def stretched(stretches: tuple[Stretch, ...], block: Block) -> tuple[Stretch, ...]:
    """Return the last five minutes with this block of the present epoch in them."""
    by_time = {(stretch.until_ms - 1) // STRETCH_MS: stretch for stretch in stretches}
    at = (block.until_ms - 1) // STRETCH_MS
    before = by_time.get(at, Stretch(until_ms=block.until_ms))
    treatment, control = block.treatment, block.control
    by_time[at] = Stretch(
        until_ms=max(before.until_ms, block.until_ms),
        treatment_ended=before.treatment_ended + treatment.ended,
        treatment_bad=before.treatment_bad + treatment.bad,
        seen=before.seen + treatment.seen,
        units=before.units + treatment.units,
        units_bad=before.units_bad + treatment.units_bad,
        failing=before.failing + treatment.failing,
        control_ended=before.control_ended + control.ended,
        control_bad=before.control_bad + control.bad,
    )
    newest = max(stretch.until_ms for stretch in by_time.values())
    return tuple(by_time[key] for key in sorted(by_time) if by_time[key].until_ms > newest - CRASH_MS)


def is_crash(stretches: Sequence[Stretch]) -> bool:
    """Whether these five minutes are a crash of the treatment.

    At least half of at least 10 treated requests are bad, which is 10 times the control or more; and at least half of
    at least 2 treated users have newly failed, so that no single broken account is it. (Where nearly everybody failed
    before the ramp, nobody fails newly: three whose first sample is bad will do.) The control is judged as if one more
    of its requests had been bad: where it has too few to show a shared outage, there is no crash.
    """
    treated, bad = _sum(stretches, "treatment_ended"), _sum(stretches, "treatment_bad")
    if treated < _FEWEST_REQUESTS or bad < _BAD_SHARE * treated:
        return False
    others, others_bad = _sum(stretches, "control_ended"), _sum(stretches, "control_bad")
    if bad * (others + 1) < _TIMES_CONTROL * (others_bad + 1) * treated:
        return False
    units = max(_sum(stretches, "seen"), _sum(stretches, "units"))
    sampled_bad = _sum(stretches, "units_bad")
    failing = max(_sum(stretches, "failing"), sampled_bad if sampled_bad >= _SEVERAL else 0)
    return units >= _FEWEST_UNITS and 2 * failing >= units


def crash_words(stretches: Sequence[Stretch]) -> str:
    """Return what was counted, in words."""
    return (
        f"{rate(_sum(stretches, 'treatment_bad'), _sum(stretches, 'treatment_ended'))} treated requests failed, "
        f"{rate(_sum(stretches, 'control_bad'), _sum(stretches, 'control_ended'))} others; "
        f"{count(_sum(stretches, 'failing'))} treated users newly failed, "
        f"{count(_sum(stretches, 'units_bad'))} of {count(_sum(stretches, 'units'))} sampled ones"
    )


def _sum(stretches: Sequence[Stretch], name: str) -> int:
    return sum(getattr(stretch, name) for stretch in stretches)
