"""From one snapshot to the next by a patch."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from rheostat.engine.kills import union
from rheostat.model.snapshot import Patch, Snapshot

Item = TypeVar("Item")


def apply_patch(snapshot: Snapshot, patch: Patch) -> Snapshot:
    """Return the snapshot at the patch's ``to``. What the patch does not name is kept, as the same objects.

    Flags and segments go by key, ramps by id, kills by id. A revived kill stays revived.

    Raises:
        ValueError: the snapshot is not exactly at the patch's ``from``, or the patch leads back.
    """
    if snapshot.identity != patch.from_:
        raise ValueError(f"a patch from {patch.from_} does not fit a snapshot at {snapshot.identity}")
    if patch.to < patch.from_:
        raise ValueError(f"a patch from {patch.from_} to {patch.to} leads back")
    removed = patch.removed
    return msgspec.structs.replace(
        snapshot,
        generation=patch.to.generation,
        revision=patch.to.revision,
        flags=_merged(snapshot.flags, patch.flags, removed.flags, lambda flag: flag.key),
        segments=_merged(snapshot.segments, patch.segments, removed.segments, lambda segment: segment.key),
        ramps=_merged(snapshot.ramps, patch.ramps, removed.ramps, lambda ramp: ramp.ramp),
        kills=union(snapshot.kills, patch.kills) if patch.kills else snapshot.kills,
    )


def _merged(
    before: tuple[Item, ...], changed: Iterable[Item], removed: tuple[str, ...], key: Callable[[Item], str]
) -> tuple[Item, ...]:
    changes = {key(item): item for item in changed}
    if not changes and not removed:
        return before
    merged = {key(item): item for item in before}
    for gone in removed:
        merged.pop(gone, None)
    merged.update(changes)
    return tuple(merged[name] for name in sorted(merged))
