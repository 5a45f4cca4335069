"""What a service does right after a commit, so that the node's own answers already have the change."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

Announce: TypeAlias = Callable[[Sequence[int]], None]
"""Tells this node which environments (by id) serve something else. Never waits."""
Arrive: TypeAlias = Callable[[Mapping[int, int]], Awaitable[None]]
"""Waits, for a moment at most, until this node serves these revisions (by the environment's id)."""


async def at_once(_: Mapping[int, int]) -> None:
    """Do not wait."""
