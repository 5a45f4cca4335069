"""Faults of the SDK inside the application's requests: said once, and never the application's concern."""

import logging

log = logging.getLogger("rheostat.middleware")


class Faults:
    """Logs the first fault of each kind."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, what: str) -> None:
        """Log the exception being handled with its traceback, the first time that ``what`` went wrong."""
        if what not in self._said:
            self._said.add(what)
            log.exception("middleware_fault: %s; the request goes on without it; said once", what)
