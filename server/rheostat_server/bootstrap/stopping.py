"""How the node ends when it is told to."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import structlog

log = structlog.get_logger("rheostat")

LAST_SECONDS = 4.5
"""After so long a stop is cut short: nothing that was acknowledged is in memory only."""


class Stopping:
    """What the first signal does: cancel the start, or what ``then`` says. The second ends the process."""

    def __init__(self) -> None:
        self.asked = False
        self._steps: tuple[Callable[[], Any], ...] = ()
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._on_signal)

    def then(self, *steps: Callable[[], Any]) -> None:
        """Do these at the first signal, from now on."""
        self._steps = steps
        if self.asked:
            self._do()

    def forget(self) -> None:
        """Leave signals to the system again."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        if self.asked:
            # Our own PostgreSQL sees that we are gone and ends by itself.
            os._exit(130)
        self.asked = True
        self._loop.call_later(LAST_SECONDS, self._cut_short)
        self._do()

    @staticmethod
    def _cut_short() -> None:
        log.warning("stop_cut_short", after_seconds=LAST_SECONDS)
        os._exit(1)

    def _do(self) -> None:
        if self._steps:
            for step in self._steps:
                step()
        elif self._main is not None:
            self._main.cancel()
