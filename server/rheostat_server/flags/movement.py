"""Who moves when a flag changes in one environment: the exact shares, by rule, by computing. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from rheostat.engine.conditions import names
from rheostat.engine.evaluate import Ruleset
from rheostat.engine.programs import Compiled
from rheostat.model.context import Context
from rheostat_server.flags.changed import NOTHING_CHANGED, Changed
from rheostat_server.flags.joint import Answering, Joint, Outcome, joint
from rheostat_server.flags.slots import Slot, pairs_of, possible_pairs, slots_of, twin_of, unit_of

_LEAST_SHARE = 1e-12
"""Below this a share is rounding."""
ATTRIBUTES = "depends on attributes"


class Move(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """So many users, in percent of those that reach the rule, get ``to`` where they got ``from``.

    ``gain``: they were not exposed and are. ``lose``: they were and are not. ``switch``: neither changed, but
    the variant. No variant (``None``) is the caller's default.
    """

    kind: Literal["gain", "lose", "switch"]
    share: float
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None


class RolloutMovement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a rule (``default``: all that no rule takes) does to those who reach it.

    ``least`` and ``most`` bound the share that moves, in percent; they are equal, and ``moves`` tell of all,
    unless ``because`` says why it cannot be computed. Exposures are those in force, in percent.
    """

    rollout: str
    least: float
    most: float
    before: float | None = None
    after: float | None = None
    moves: tuple[Move, ...] = ()
    because: str | None = None
    assumes: str | None = None


class TargetMovement(msgspec.Struct, frozen=True, kw_only=True):
    """So many units named as targets move; ``None`` is what the rules give, or the caller's default."""

    units: int
    from_: str | None = msgspec.field(name="from")
    to: str | None


class UnitMovement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """So many units that come into, or go from, a segment's lists get ``to`` where they got ``from``.

    ``because``: they may move, and why nobody can say.
    """

    segment: str
    units: int
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None
    because: str | None = None


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """What a change does in one environment. ``least`` and ``most`` bound the share of users that moves, in percent.

    Users named as targets, or in a segment's lists, are counted apart. ``values`` are the variants that stay but
    have another value.
    """

    rollouts: list[RolloutMovement]
    targets: list[TargetMovement]
    values: list[str]
    least: float
    most: float
    units: list[UnitMovement] = []

    @property
    def moves(self) -> bool:
        """Whether the change may move anybody, or change what they get."""
        return bool(self.most or self.targets or self.values or self.units)


def movement(before: Ruleset, after: Ruleset, key: str, changed: Changed = NOTHING_CHANGED) -> Movement:
    """Return who moves between two states of an environment by what one flag gives. ``units`` are not looked at.

    Shares are of the users that pass the prerequisites and have the unit that rollouts place them by. A flag
    that is not there before is taken for one that was disabled; one that is not there after moves everybody to the
    caller's default.
    """
    was, now = before.programs.get(key), after.programs.get(key)
    if was is None and now is None:
        return Movement(rollouts=[], targets=[], values=[], least=0, most=0)
    off = _off(before, was), _off(after, now)
    if was is None:
        off = (Outcome(None if now is None else now.flag.off_variant, False), off[1])
    rows = list(_rows(was, now, off, changed))
    shown = [row for row in rows if row.most or row.before != row.after]
    return Movement(
        rollouts=shown,
        targets=_targets(was, now, off),
        values=_values(was, now),
        least=min((row.least for row in rows), default=0),
        most=max((row.most for row in rows), default=0),
    )


def _off(ruleset: Ruleset, compiled: Compiled | None) -> Outcome | None:
    """Return what everybody gets from a flag that is off; ``None`` of one that is on."""
    if compiled is None:
        return Outcome(None, False)
    return Outcome(compiled.run(Context(), ruleset, None).variant, False) if compiled.off else None


def _rows(
    was: Compiled | None, now: Compiled | None, off: tuple[Outcome | None, Outcome | None], changed: Changed
) -> Iterable[RolloutMovement]:
    if off[0] is not None and off[1] is not None:
        yield _row("default", [(off[0], off[1])])
        return
    # Where everybody gets the same on one side, the other side's rules say by themselves who moves.
    if now is not None and off[0] is not None:
        for slot in slots_of(now):
            yield _row(slot.name, [(off[0], one) for one in slot.answerings], after=slot, because=_staged(slot))
    elif was is not None and off[1] is not None:
        for slot in slots_of(was):
            yield _row(slot.name, [(one, off[1]) for one in slot.answerings], before=slot, because=_staged(slot))
    elif was is not None and now is not None:
        yield from _both_on(was, now, changed)


def _both_on(was: Compiled, now: Compiled, changed: Changed) -> Iterable[RolloutMovement]:
    before, after = slots_of(was, changed, side=b"<"), slots_of(now, changed, side=b">")
    pairs = list(possible_pairs(before, after))
    for slot in after:
        twin = twin_of(slot, before)
        if twin is not None and (twin, slot) in pairs:
            because = _staged(twin) or _staged(slot)
            yield _row(slot.name, pairs_of(twin, slot), before=twin, after=slot, because=because)
    blame: dict[str, list[tuple[Slot, Slot]]] = {}
    for one, other in pairs:
        if one.condition != other.condition:
            blame.setdefault(_to_blame(one, other, before, after), []).append((one, other))
    for name, blamed in blame.items():
        because = _because(name, was, now, changed)
        yield _row(name, [pair for one, other in blamed for pair in pairs_of(one, other)], because=because)
    named = {prerequisite.flag for prerequisite in now.flag.prerequisites}
    if was.flag.prerequisites != now.flag.prerequisites:
        yield _by_prerequisites(was, now, before, after, "prerequisites changed")
    elif others := named & changed.flags:
        words = f"the flag{'s' if len(others) > 1 else ''} {', '.join(sorted(others))} changed"
        yield _by_prerequisites(was, now, before, after, words)
    elif was.flag.prerequisites and was.flag.off_variant != now.flag.off_variant:
        gone, come = Outcome(was.flag.off_variant, False), Outcome(now.flag.off_variant, False)
        yield _row("prerequisites", [(gone, come)])


def _staged(slot: Slot) -> str | None:
    """Return why nobody can say what a user gets from the slot, if a ramp goes by an attribute there."""
    return None if slot.cells is None else f"a ramp goes by {slot.cells.attribute}: {ATTRIBUTES}"


def _to_blame(one: Slot, other: Slot, before: Sequence[Slot], after: Sequence[Slot]) -> str:
    """Return the rule whose edit lets a user come from the one slot into the other."""
    if twin_of(other, before) is None:
        return other.name
    return one.name if twin_of(one, after) is None else other.name


def _because(name: str, was: Compiled, now: Compiled, changed: Changed) -> str:
    there = [any(rule.name == name for rule in compiled.flag.rules) for compiled in (was, now)]
    if not there[0]:
        return f"the rule is new: {ATTRIBUTES}"
    if not there[1]:
        return f"the rule is gone: {ATTRIBUTES}"
    conditions = [
        next(msgspec.json.encode((rule.when, rule.active)) for rule in compiled.flag.rules if rule.name == name)
        for compiled in (was, now)
    ]
    if conditions[0] == conditions[1]:
        asked = next(names(rule.when) & changed.conditions for rule in now.flag.rules if rule.name == name)
        if asked:
            return f"the segment{'s' if len(asked) > 1 else ''} {', '.join(sorted(asked))} changed: {ATTRIBUTES}"
        return f"the order of rules changed: {ATTRIBUTES}"
    return f"conditions changed: {ATTRIBUTES}"


def _by_prerequisites(
    was: Compiled, now: Compiled, before: Sequence[Slot], after: Sequence[Slot], words: str
) -> RolloutMovement:
    failing = Outcome(was.flag.off_variant, False), Outcome(now.flag.off_variant, False)
    pairs: list[tuple[Answering, Answering]] = [(failing[0], one) for slot in after for one in slot.answerings]
    pairs += [(one, failing[1]) for slot in before for one in slot.answerings]
    pairs.append(failing)
    return _row("prerequisites", pairs, because=f"{words}: depends on other flags")


def _row(
    name: str,
    pairs: Sequence[tuple[Answering, Answering]],
    *,
    before: Slot | None = None,
    after: Slot | None = None,
    because: str | None = None,
) -> RolloutMovement:
    joints = [joint(was, now) for was, now in pairs]
    shares = [_percent(sum(_moved(found).values())) for found in joints]
    units = [unit_of(slot) for slot in (before, after) if slot is not None]
    assumes = None
    if len(units) == 2 and None not in units and units[0] != units[1]:
        assumes = f"{units[0]} and {units[1]} say nothing of each other"
    return RolloutMovement(
        rollout=name,
        least=min(shares),
        most=max(shares),
        before=None if before is None else before.exposure,
        after=None if after is None else after.exposure,
        moves=() if because else _moves(joints[0]),
        because=because,
        assumes=assumes,
    )


def _moved(found: Joint) -> Joint:
    return {pair: share for pair, share in found.items() if pair[0].variant != pair[1].variant and share > _LEAST_SHARE}


def _moves(found: Joint) -> tuple[Move, ...]:
    kinds: dict[tuple[bool, bool], Literal["gain", "lose"]] = {(False, True): "gain", (True, False): "lose"}
    moves = [
        Move(
            kind=kinds.get((was.exposed, now.exposed), "switch"),
            share=_percent(share),
            from_=was.variant,
            to=now.variant,
        )
        for (was, now), share in _moved(found).items()
    ]
    return tuple(sorted(moves, key=lambda move: (move.kind, -move.share, move.from_ or "", move.to or "")))


def _percent(share: float) -> float:
    # More digits than a place on the line has are the floating point's own.
    percent = round(100.0 * share, 9)
    return int(percent) if percent.is_integer() else percent


def _targets(
    was: Compiled | None, now: Compiled | None, off: tuple[Outcome | None, Outcome | None]
) -> list[TargetMovement]:
    before, after = _named(was), _named(now)
    counts: dict[tuple[str | None, str | None], int] = {}
    for unit in before.keys() | after.keys():
        one = before.get(unit) if off[0] is None else off[0].variant
        other = after.get(unit) if off[1] is None else off[1].variant
        if one != other:
            counts[one, other] = counts.get((one, other), 0) + 1
    order = sorted(counts.items(), key=lambda item: (item[0][1] or "", item[0][0] or ""))
    return [TargetMovement(units=units, from_=one, to=other) for (one, other), units in order]


def _named(compiled: Compiled | None) -> Mapping[str, str]:
    named: dict[str, str] = {}
    if compiled is not None:
        for variant, units in compiled.flag.targets.items():
            for unit in units:
                named.setdefault(unit, variant)
    return named


def _values(was: Compiled | None, now: Compiled | None) -> list[str]:
    if was is None or now is None:
        return []
    encode = msgspec.json.encode
    return [
        name
        for name, value in now.flag.variants.items()
        if name in was.flag.variants and encode(was.flag.variants[name]) != encode(value)
    ]
