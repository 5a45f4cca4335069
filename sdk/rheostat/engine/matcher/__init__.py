"""What the operator ``matches`` says of a text: a regular subset, matched in time linear in the text.

The grammar and its meaning: docs/reference/patterns.md.
"""

from rheostat.engine.matcher.matching import Matches, matcher
from rheostat.engine.matcher.syntax import LARGEST, LONGEST, PatternError

__all__ = ["LARGEST", "LONGEST", "Matches", "PatternError", "matcher"]
