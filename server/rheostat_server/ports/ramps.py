"""Where ramps, kills and the controller's lease are kept. Adapter: postgres."""

from typing import Protocol


class RampStore(Protocol):
    """Ramps, their decisions and their inbox."""


class KillStore(Protocol):
    """Latched kills."""


class LeaseStore(Protocol):
    """The controller's lease."""
