"""Who would move by a write: it is written, compared with what was served before, and taken back."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rheostat.engine.evaluate import Ruleset
from rheostat.model.snapshot import Identity
from rheostat_server.errors import Fault, Invalid
from rheostat_server.flags.movement import movement
from rheostat_server.flags.movement_words import MovementView, movement_view
from rheostat_server.flags.wire import AppliedChange
from rheostat_server.ports.storage import Transaction
from rheostat_server.streaming.decoding import snapshot_of

Sides = Mapping[str, Ruleset]
"""What environments serve of some flags, by environment key."""


class PreviewView(msgspec.Struct, frozen=True, kw_only=True):
    """What writing a document would do, by environment, and what else would be said of it."""

    action: str
    environments: dict[str, MovementView]
    notes: tuple[str, ...]


async def read_sides(tx: Transaction, project: str, keys: Sequence[str]) -> Sides:
    """Return what the project's environments serve of these flags, with the ramps and kills over them."""
    environments = await tx.environments.of_project(project)
    ids = [environment.id for environment in environments]
    rows = [*await tx.served.of_flags(ids, keys), *await tx.served.over_flags(ids)]
    return {
        environment.key: Ruleset.of(
            snapshot_of([row for id_, row in rows if id_ == environment.id], Identity(), project, environment.key)
        )
        for environment in environments
    }


def with_moves(change: AppliedChange, before: Sides, after: Sides) -> AppliedChange:
    """Return the change with who moves by it, in each environment in which anybody may."""
    if change.kind != "flag":
        return change
    found = {name: movement(before[name], after[name], change.key) for name in change.environments}
    moves = {name: movement_view(one) for name, one in found.items() if one.moves}
    return msgspec.structs.replace(change, moves=moves)


def check_document(document: Any, key: str) -> None:
    """Refuse a document that is not of the flag with this key.

    Raises:
        Invalid: it is not an object, or has another key or kind.
    """
    if not isinstance(document, dict):
        raise Invalid([Fault("document", "a flag's document is an object")], "the request")
    if document.get("kind", "flag") != "flag":
        raise Invalid([Fault("document.kind", "only flags have a preview")], "the request")
    if document.get("key") != key:
        raise Invalid([Fault("document.key", f"the address says {key!r}")], "the request")
