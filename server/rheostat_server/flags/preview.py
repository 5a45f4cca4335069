"""Who would move by a write: it is written, compared with what was served before, and taken back."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rheostat.model.context import Context
from rheostat_server.errors import Fault, Invalid
from rheostat_server.flags.moved import Sides, movements_by_flag
from rheostat_server.flags.movement_words import MovementView, Moves, movement_view
from rheostat_server.flags.seen import SeenContexts, seen_movements


class PreviewView(msgspec.Struct, frozen=True, kw_only=True):
    """What a change would do: who moves, by environment, and what else would be said of it.

    ``others`` are flags that are not written and by which somebody moves all the same.
    """

    action: str
    environments: dict[str, MovementView]
    notes: tuple[str, ...]
    others: Moves = {}


async def who_moves(
    before: Sides, after: Sides, environments: Mapping[str, int], seen: SeenContexts, *, now_ms: int
) -> Moves:
    """Return who moves from these states of environments to those. ``environments`` are their ids."""
    contexts = {name: seen.contexts(environments[name]) for name in before.keys() & after.keys()}
    # It can take a while, and others are being served.
    return await asyncio.to_thread(_who_moves, before, after, contexts, now_ms)


def _who_moves(before: Sides, after: Sides, contexts: Mapping[str, Sequence[Context]], now_ms: int) -> Moves:
    found = movements_by_flag(before, after)
    seen_in = {
        name: seen_movements(
            before[name],
            after[name],
            [key for key, moves in found.items() if name in moves],
            here,
            now_ms=now_ms,
        )
        for name, here in contexts.items()
    }
    return {
        key: {name: movement_view(one, seen_in[name].get(key)) for name, one in moves.items()}
        for key, moves in found.items()
    }


def check_document(document: Any, key: str, kind: str = "flag") -> None:
    """Refuse a document that is not of this kind and key.

    Raises:
        Invalid: it is not an object, or has another key or kind.
    """
    if not isinstance(document, dict):
        raise Invalid([Fault("document", f"a {kind}'s document is an object")], "the request")
    if document.get("kind", "flag") != kind:
        raise Invalid([Fault("document.kind", f"this is a preview of a {kind}")], "the request")
    if document.get("key") != key:
        raise Invalid([Fault("document.key", f"the address says {key!r}")], "the request")
