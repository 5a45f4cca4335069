"""What the client says in the log, once for each thing that is wrong."""

import logging

from rheostat.engine.conversion import why_strange

MOST_COMPLAINTS = 1_000
"""Things said; more could only come of names that an application makes up as it goes."""

log = logging.getLogger("rheostat")


class Complaints:
    """Logs a warning once for each kind and key."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def say(self, kind: str, key: str, message: str, *, exc_info: bool = False) -> None:
        """Log the message, unless one of this kind was logged for this key."""
        if (kind, key) not in self._said and len(self._said) < MOST_COMPLAINTS:
            self._said.add((kind, key))
            log.warning(message, exc_info=exc_info)

    def strange(self, attribute: str, kind: type) -> None:
        """Say that an attribute's type means nothing. Rulesets hold this, and no client by it."""
        self.say("attribute", f"{attribute} {kind.__name__}", f"the attribute {attribute!r} is {why_strange(kind)}")
