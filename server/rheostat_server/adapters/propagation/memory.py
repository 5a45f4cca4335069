"""Hints within one process."""

import asyncio
from collections.abc import Sequence

from rheostat_server.adapters.propagation.listeners import Listeners
from rheostat_server.ports.propagation import Forget, Heard


class MemoryBus:
    """What the nodes of one process share."""

    def __init__(self) -> None:
        self.nodes: list[Listeners] = []


class MemoryPropagation:
    """Fulfils ``Propagation`` for nodes on one event loop."""

    transactional = False

    def __init__(self, bus: MemoryBus | None = None) -> None:
        self._bus = bus or MemoryBus()
        self._listeners = Listeners()

    async def announce(self, changed: Sequence[int]) -> None:
        """Hint to all nodes of the bus."""
        for node in tuple(self._bus.nodes):
            # Not called directly: with the other carriers, too, a hint comes back after the caller went on.
            asyncio.get_running_loop().call_soon(node.tell, tuple(changed))

    def listen(self, heard: Heard) -> Forget:
        """Call ``heard`` at each hint."""
        return self._listeners.add(heard)

    async def start(self) -> None:
        """Join the bus."""
        self._bus.nodes.append(self._listeners)

    async def stop(self) -> None:
        """Leave the bus."""
        if self._listeners in self._bus.nodes:
            self._bus.nodes.remove(self._listeners)
