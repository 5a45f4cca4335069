"""What the application's requests came to, counted by arm and reported to the server."""

from rheostat.outcomes.outcomes import Observer, Outcomes
from rheostat.outcomes.recorder import Recorder, current_recorder

__all__ = ["Observer", "Outcomes", "Recorder", "current_recorder"]
