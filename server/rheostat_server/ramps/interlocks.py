"""Whether who is exposed by a ramp is drawn apart from everything else that moves. Pure.

Two rollouts with the same salt and unit expose the same users first. Where one of them decides who comes to the other,
or moves while the other is judged, the arms are no random halves any more.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from rheostat.model.flag import DEFAULT_ROLLOUT, Flag, Rollout, Rule
from rheostat.model.serving import rollout_of
from rheostat.model.shares import TOTAL_PPM
from rheostat_server.errors import Fault
from rheostat_server.ramps.words import exposure

OWN_SALT = "give one of the two a salt of its own, best that which exposes nobody yet; in a layer, a range of its own"


class InForce(msgspec.Struct, frozen=True):
    """What a ramp makes of a rollout: its exposure, and whether the ramp is live."""

    exposure_ppm: int
    turns: bool


Forced = Mapping[tuple[str, str], InForce]
"""By flag and rollout: where a ramp is in force over the document's exposure."""


def same_line(one: Rollout, other: Rollout) -> bool:
    """Whether two rollouts draw the same users first: same salt, same unit, and a part of the line in common."""
    apart = one.high <= other.low or other.high <= one.low
    return one.salt == other.salt and one.bucket_by == other.bucket_by and not apart


def shared_lines(flag: Flag, name: str, flags: Mapping[str, Flag], forced: Forced) -> list[Fault]:
    """Return a fault for each earlier rule, and each rollout of a prerequisite, that draws as this rollout does.

    ``flags`` are those that ``flag`` has as prerequisites, directly or through others; ``forced`` is asked for them
    and for the flag itself.
    """
    rollout = rollout_of(flag, name)
    if rollout is None:
        return []
    faults = []
    for rule in _earlier(flag, name):
        other = rule.answer.rollout
        if other is not None and same_line(rollout, other) and (moves := _moves(flag.key, rule.name, other, forced)):
            faults.append(_fault(f"the rule {rule.name} before it", moves, rollout))
    for needed in required(flag, flags):
        for where, other in _rollouts(needed):
            if same_line(rollout, other) and (moves := _moves(needed.key, where, other, forced)):
                faults.append(_fault(f"the prerequisite {needed.key} (rollout {where})", moves, rollout))
    return faults


def required(flag: Flag, flags: Mapping[str, Flag]) -> Iterator[Flag]:
    """Yield the flags that decide whether this one is asked: its prerequisites, theirs, and so on, each once.

    One that is disabled lets nobody through, whoever they are.
    """
    waiting = [prerequisite.flag for prerequisite in flag.prerequisites]
    met = {flag.key}
    while waiting:
        key = waiting.pop()
        needed = flags.get(key)
        if key in met or needed is None:
            continue
        met.add(key)
        if needed.enabled:
            yield needed
            waiting += [prerequisite.flag for prerequisite in needed.prerequisites]


def _earlier(flag: Flag, name: str) -> Sequence[Rule]:
    names = [rule.name for rule in flag.rules]
    return flag.rules if name == DEFAULT_ROLLOUT else flag.rules[: names.index(name)]


def _rollouts(flag: Flag) -> Iterator[tuple[str, Rollout]]:
    for rule in flag.rules:
        if rule.answer.rollout is not None:
            yield rule.name, rule.answer.rollout
    if flag.default.rollout is not None:
        yield DEFAULT_ROLLOUT, flag.default.rollout


def _moves(flag: str, name: str, rollout: Rollout, forced: Forced) -> str | None:
    """Return how the rollout tells users apart, in words; ``None`` where it gives all of them the same."""
    ramp = forced.get((flag, name))
    at_ppm = rollout.exposure_ppm if ramp is None else ramp.exposure_ppm
    if ramp is not None and ramp.turns:
        return f"is turned by a ramp, at {exposure(at_ppm)} now,"
    return f"rolls out to {exposure(at_ppm)}" if 0 < at_ppm < TOTAL_PPM else None


def _fault(what: str, moves: str, rollout: Rollout) -> Fault:
    line = f"on the same salt ({rollout.salt}) and unit ({rollout.bucket_by})"
    why = "those who come to this rollout are not drawn apart from that"
    return Fault("rollout", f"{what} {moves} {line}: {why}", OWN_SALT)
