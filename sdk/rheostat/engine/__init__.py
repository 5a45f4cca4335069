"""How a value is reached: pure, and the same in the SDK and the server."""

from rheostat.engine.evaluate import Ruleset
from rheostat.engine.patch import apply_patch

__all__ = ["Ruleset", "apply_patch"]
