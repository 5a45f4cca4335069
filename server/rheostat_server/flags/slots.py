"""The rules and the default of a flag as a row of slots, and which slots a user can be in before and after. Pure."""

from collections.abc import Iterator, Sequence

import msgspec

from rheostat.engine.cells import Cell
from rheostat.engine.programs import Compiled
from rheostat.model.flag import DEFAULT_ROLLOUT, Answer
from rheostat.model.ramp import Cells
from rheostat.model.shares import ppm_to_percent
from rheostat_server.flags.changed import NOTHING_CHANGED, Changed
from rheostat_server.flags.joint import Answering, Line, Outcome, line_of


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A rule, or the default. ``condition`` is its condition and window as text, ``None`` of the default.

    Two conditions are the same text where they hold for the same people, before a change and after it.
    ``before`` are the conditions of the rules above it. ``exposure`` is in force, in percent, ``None`` without a
    rollout, or where it is not the same for all. Over the rollout there may be a ramp that goes by an attribute: then
    ``cells`` say how far it has come, and ``staged`` what those get whom it is done with, is at, and has not reached.
    """

    name: str
    condition: bytes | None
    before: frozenset[bytes]
    answering: Answering
    exposure: float | None = None
    cells: Cells | None = None
    staged: tuple[Answering, ...] = ()

    @property
    def answerings(self) -> tuple[Answering, ...]:
        """What the slot gives, of which a user gets one by attributes that nobody knows."""
        return self.staged or (self.answering,)

    @property
    def given(self) -> object:
        """What gives the same user the same, in every slot where it is equal."""
        return self.cells, self.answerings


def slots_of(compiled: Compiled, changed: Changed = NOTHING_CHANGED, *, side: bytes = b"") -> list[Slot]:
    """Return the slots that a user can reach, in order. A rule with the condition of an earlier one is left out.

    ``side`` sets conditions apart that ask a segment which has other members on the other side.
    """
    found: list[Slot] = []
    above: frozenset[bytes] = frozenset()
    for rule in compiled.flag.rules:
        condition = msgspec.json.encode((rule.when, rule.active))
        if changed.is_asked(rule.when):
            condition += side
        if condition not in above:
            found.append(_slot(compiled, rule.name, condition, above, rule.answer))
            above |= {condition}
    found.append(_slot(compiled, DEFAULT_ROLLOUT, None, above, compiled.flag.default))
    return found


def _slot(compiled: Compiled, name: str, condition: bytes | None, above: frozenset[bytes], answer: Answer) -> Slot:
    off = compiled.flag.off_variant
    answering: Answering
    exposure: float | None = None
    cells: Cells | None = None
    staged: tuple[Answering, ...] = ()
    if answer.rollout is None:
        answering = Outcome(off if answer.serve is None else answer.serve, answer.serve is not None)
    else:
        killed = name in compiled.kills.rollouts
        overlay = compiled.overlays.get(name)
        answering = line_of(answer.rollout, overlay, off, killed=killed)
        exposure_ppm = answer.rollout.exposure_ppm if overlay is None else overlay.exposure_ppm
        exposure = 0 if killed else ppm_to_percent(exposure_ppm)
        if overlay is not None and overlay.cells is not None and not killed:
            exposure, cells = None, overlay.cells
            staged = tuple(line_of(answer.rollout, overlay, off, killed=False, cell=cell) for cell in Cell)
    return Slot(
        name=name,
        condition=condition,
        before=above,
        answering=answering,
        exposure=exposure,
        cells=cells,
        staged=staged,
    )


def pairs_of(was: Slot, now: Slot) -> list[tuple[Answering, Answering]]:
    """Return what a user may get from the one and then from the other, one pair for each way that attributes may be."""
    if was.cells is not None and was.cells == now.cells:
        return list(zip(was.answerings, now.answerings, strict=True))
    return [(one, other) for one in was.answerings for other in now.answerings]


def twin_of(slot: Slot, others: Sequence[Slot]) -> Slot | None:
    """Return the slot with the same condition."""
    return next((other for other in others if other.condition == slot.condition), None)


def possible_pairs(before: Sequence[Slot], after: Sequence[Slot]) -> Iterator[tuple[Slot, Slot]]:
    """Yield the slots between which a user can be, as far as equal conditions tell.

    Who is in a slot meets its condition and none above it, so no condition may be met on the one side and not
    on the other.
    """
    for was in before:
        for now in after:
            if was.condition not in now.before and now.condition not in was.before:
                yield was, now


def unit_of(slot: Slot) -> str | None:
    """Return the attribute by which a slot's rollout places users."""
    return slot.answering.bucket_by if isinstance(slot.answering, Line) else None
