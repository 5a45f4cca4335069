"""Who moves, in lines for people. Pure."""

import msgspec

from rheostat_server.flags.movement import Move, Movement, RolloutMovement, TargetMovement, UnitMovement
from rheostat_server.flags.seen import SeenMovement

_MOST_TARGET_LINES = 10
_MOST_EXAMPLES = 3


def movement_lines(movement: Movement, seen: SeenMovement | None = None) -> list[str]:
    """Return a line for each rule that moves somebody, for targets, for units of segments, for values, and for who
    was seen; nothing where nobody moves.
    """
    whole = _is_whole(movement)
    lines = [_rollout(row, whole=whole) for row in movement.rollouts]
    lines += [_target(target) for target in movement.targets[:_MOST_TARGET_LINES]]
    if len(movement.targets) > _MOST_TARGET_LINES:
        lines.append(f"targets: {len(movement.targets) - _MOST_TARGET_LINES} more kinds of moves")
    lines += [_unit(unit) for unit in movement.units]
    lines += [f"variant `{variant}` has another value: all who get it get that" for variant in movement.values]
    return lines if seen is None else [*lines, _seen(seen)]


def _is_whole(movement: Movement) -> bool:
    """Return whether the default is all that there is, so that its users are the users."""
    rows = movement.rollouts
    return len(rows) == 1 and rows[0].rollout == "default" and movement.least == movement.most


def _rollout(row: RolloutMovement, *, whole: bool) -> str:
    head = "prerequisites" if row.rollout == "prerequisites" else f"rule {row.rollout}"
    if row.before is not None and row.after is not None and row.before != row.after:
        head += f": {row.before:g} % → {row.after:g} %"
    who = "of users" if whole else "of users who reach it"
    if row.because is not None:
        return f"{head}: between {row.least:.6g} % and {row.most:.6g} % {who} move; {row.because}"
    if not row.moves:
        return f"{head}: nobody moves"
    moves = "; ".join(
        f"{move.share:.6g} % {who if index == 0 else ''}".rstrip() + f" {_move(move)}"
        for index, move in enumerate(row.moves)
    )
    return f"{head}: {moves}" + (f" (if {row.assumes})" if row.assumes else "")


def _move(move: Move) -> str:
    if move.kind == "gain":
        return f"gain {_name(move.to)}"
    if move.kind == "lose":
        return f"lose {_name(move.from_)} for {_name(move.to)}"
    return f"switch from {_name(move.from_)} to {_name(move.to)}"


def _name(variant: str | None) -> str:
    return "the caller's default" if variant is None else f"`{variant}`"


def _unit(unit: UnitMovement) -> str:
    many = unit.units != 1
    head = f"segment {unit.segment}: {unit.units} listed unit{'s' if many else ''}"
    if unit.because is not None:
        return f"{head} may move; {unit.because}"
    return f"{head} switch{'' if many else 'es'} from {_name(unit.from_)} to {_name(unit.to)}"


def _seen(seen: SeenMovement) -> str:
    line = f"seen lately: {seen.moved} of {seen.contexts} contexts move, about {seen.share:.3g} %"
    examples = [
        f"{one.targeting_key or 'nobody in particular'}: {_name(one.from_)} → {_name(one.to)}" for one in seen.examples
    ]
    return f"{line} ({', '.join(examples[:3])})" if examples else line


def _target(target: TargetMovement) -> str:
    units = f"{target.units} unit{'s' if target.units != 1 else ''} named"
    if target.from_ is None:
        return f"targets: {units} get `{target.to}`"
    if target.to is None:
        return f"targets: {units} lose `{target.from_}`: the rules decide"
    return f"targets: {units} switch from `{target.from_}` to `{target.to}`"


class MovementView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who moves in one environment; ``summary`` is the same in lines for people. Shares are in percent.

    ``units`` are those that a segment's lists name and no longer name, or the other way. ``seen`` is an estimate,
    where contexts are kept.
    """

    rollouts: list[RolloutMovement]
    targets: list[TargetMovement]
    values: list[str]
    least: float
    most: float
    summary: list[str]
    units: list[UnitMovement] = []
    seen: SeenMovement | None = None


Moves = dict[str, dict[str, MovementView]]
"""Who moves, by flag and environment."""


def movement_view(movement: Movement, seen: SeenMovement | None = None) -> MovementView:
    """Return what is shown of a movement."""
    return MovementView(
        rollouts=movement.rollouts,
        targets=movement.targets,
        values=movement.values,
        least=movement.least,
        most=movement.most,
        summary=movement_lines(movement, seen),
        units=movement.units,
        seen=seen,
    )
