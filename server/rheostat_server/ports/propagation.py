"""Tell every node that something changed. Adapters: memory, postgres, redis."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

Heard: TypeAlias = Callable[[tuple[int, ...]], None]
"""Called with the ids of environments that changed; empty: access changed, or nobody knows what did."""
Forget: TypeAlias = Callable[[], None]


class Propagation(Protocol):
    """Best-effort hints. Readers also poll, so one may be lost, merged or doubled.

    Its promises are tested in tests/contract/test_propagation.py. It is a component: ``start`` returns at once,
    also while its carrier is away, and it comes back by itself; listeners then hear an empty hint.
    """

    @property
    def transactional(self) -> bool:
        """Whether ``Transaction.notify`` reaches listeners by itself, so that nobody needs to ``announce``."""
        ...

    async def announce(self, changed: Sequence[int]) -> None:
        """Hint to all nodes, this one included, that these environments changed. Never raises; may be lost."""
        ...

    def listen(self, heard: Heard) -> Forget:
        """Call ``heard`` on the event loop at each hint, from now until the answer is called.

        ``heard`` must return at once.
        """
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...
