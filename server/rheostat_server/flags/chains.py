"""How long a chain of documents that name one another is. Pure.

An evaluation goes down a chain by calls within calls, and Python allows about a thousand of these at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rheostat_server.errors import Fault

MOST_FLAGS: Final = 32
"""The most flags in a chain of prerequisites, the first and the last included."""
MOST_SEGMENTS: Final = 16
"""The most segments in a chain of segments that name segments, the first and the last included."""

Links = Mapping[str, Sequence[str]]
"""By key, those that come next in a chain."""


def longest(start: str, links: Links) -> list[str]:
    """Return the keys of the longest chain that begins here, this one included; what closes a circle is left out."""
    # Its own stack, and not calls: what is stored may be longer than any that is written.
    open_ends: list[tuple[str, list[str]]] = [(start, list(links.get(start, ())))]
    lengths: dict[str, int] = {}
    best: dict[str, str | None] = {}
    entered = {start}
    while open_ends:
        key, waiting = open_ends[-1]
        if waiting:
            step = waiting.pop()
            if step not in entered:
                entered.add(step)
                open_ends.append((step, list(links.get(step, ()))))
            continue
        open_ends.pop()
        # One that is entered and has no length yet is further up in this chain: a circle.
        after = max((one for one in links.get(key, ()) if one in lengths), key=lengths.__getitem__, default=None)
        lengths[key] = 1 if after is None else 1 + lengths[after]
        best[key] = after
    chain = [start]
    while (after := best[chain[-1]]) is not None:
        chain.append(after)
    return chain


def chain_fault(path: str, key: str, named: str, down: Links, up: Links, *, most: int, what: str) -> Fault | None:
    """Return the fault of naming ``named`` in the document ``key``, if a chain gets longer than ``most`` by it.

    ``down`` gives what a document names, ``up`` what names it. ``what`` is what the chain is made of, in the plural.
    """
    chain = [*reversed(longest(key, up)), *longest(named, down)]
    if len(chain) <= most:
        return None
    return Fault(
        path,
        f"this makes a chain of {len(chain)} {what}, and {most} are the most: {' → '.join(chain)}",
        f"let {key} name what is further along the chain, or take a link out",
    )


def reversed_links(links: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return by key which others name it."""
    found: dict[str, list[str]] = {}
    for key, named in links.items():
        for other in named:
            found.setdefault(other, []).append(key)
    return found
