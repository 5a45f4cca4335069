"""Kill sets: which orders stand, and how holders merge what they hear."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from rheostat.model.flag import DEFAULT_ROLLOUT
from rheostat.model.kill import Kill, KillScope


class FlagKills(msgspec.Struct, frozen=True):
    """What the kills in force take from one flag."""

    flag: bool = False
    rollouts: frozenset[str] = frozenset()


NO_KILLS: Final = FlagKills()


def union(*sets: Iterable[Kill]) -> tuple[Kill, ...]:
    """Return every entry once, by id. An entry that any set knows as revived is revived, for good."""
    merged: dict[str, Kill] = {}
    for entries in sets:
        for kill in entries:
            if kill.kill_id not in merged or kill.revived:
                merged[kill.kill_id] = kill
    return tuple(merged[kill_id] for kill_id in sorted(merged))


def unabsorbed(held: Iterable[Kill], named: Iterable[Kill]) -> tuple[Kill, ...]:
    """Return the held entries that a holder must keep: those whose id the snapshot's kills do not name."""
    ids = {kill.kill_id for kill in named}
    return tuple(kill for kill in held if kill.kill_id not in ids)


def in_force(named: Iterable[Kill], extra: Iterable[Kill] = ()) -> tuple[Kill, ...]:
    """Return the kills that stand: those a snapshot names as not revived, and extra ones that it does not name."""
    named = tuple(named)
    standing = (*named, *unabsorbed(extra, named))
    return tuple(kill for kill in standing if not kill.revived)


def by_flag(standing: Iterable[Kill]) -> dict[str, FlagKills]:
    """Return what the kills take, by flag key. A rollout kill that names no rollout takes the default's."""
    found: dict[str, FlagKills] = {}
    for kill in standing:
        before = found.get(kill.flag, NO_KILLS)
        if kill.scope is KillScope.FLAG:
            found[kill.flag] = FlagKills(True, before.rollouts)
        else:
            found[kill.flag] = FlagKills(before.flag, before.rollouts | {kill.rollout or DEFAULT_ROLLOUT})
    return found


def digest(kills: Iterable[Kill]) -> str:
    """Return 16 hex digits that differ when the set of kills, or which of them are revived, differs."""
    lines = sorted(f"{kill.kill_id} {kill.revived:d}\n" for kill in kills)
    return blake2b("".join(lines).encode(), digest_size=8).hexdigest()
