"""How a class is read: ``[a-z]``, ``[^,;]``, ``[\\w.-]``."""

from rheostat.engine.matcher.charset import Ranges, folded, negated, union
from rheostat.engine.matcher.escapes import is_surrogate, read_escape
from rheostat.engine.matcher.syntax import PatternError


class ClassReader:
    """Reads one class."""

    def __init__(self, text: str, start: int, *, fold: bool) -> None:
        self._text = text
        self._start = start
        self._at = start + 1
        self._fold = fold

    def read(self) -> tuple[Ranges, int]:
        """Return the set of the class that opens at ``start``, and where it ends.

        Raises:
            PatternError: it is none.
        """
        negative = self._text.startswith("^", self._at)
        if negative:
            self._at += 1
        found: list[tuple[int, int]] = []
        first = True
        # A bracket that closes nothing is a character, as in RE2: []a] and [^]a].
        while first or not self._text.startswith("]", self._at):
            found.extend(self._item(first=first))
            first = False
        ranges = union(found)
        if self._fold:
            ranges = folded(ranges)
        if negative:
            ranges = negated(ranges)
        return ranges, self._at + 1

    def _item(self, *, first: bool) -> Ranges:
        start = self._at
        if self._text.startswith("-", start) and not first and not self._text.startswith("-]", start):
            raise PatternError("a range lacks its beginning", start, r"write \- for the character itself")
        low = self._one()
        if not self._text.startswith("-", self._at) or self._text.startswith("-]", self._at):
            return low
        self._at += 1
        high = self._one()
        for end in (low, high):
            if len(end) != 1 or end[0][0] != end[0][1]:
                message = "a range goes from one character to another"
                raise PatternError(message, start, r"write \- for the character itself")
        if low[0][0] > high[0][0]:
            raise PatternError("this range runs backwards", start)
        return ((low[0][0], high[0][0]),)

    def _one(self) -> Ranges:
        """Return what one character, or one escape, stands for."""
        start = self._at
        char = self._text[start : start + 1]
        if not char:
            hint = r"write \[ for the character itself; a ] that comes first is a character of the class"
            raise PatternError("this class is never closed", self._start, hint)
        if char == "\\":
            ranges, self._at = read_escape(self._text, start, fold=self._fold)
            return ranges
        if self._text.startswith(("[:", "[.", "[="), start):
            hint = r"write the characters themselves, such as a-z; \[ for the character itself"
            raise PatternError("named classes are not supported", start, hint)
        if is_surrogate(ord(char)):
            raise PatternError("half of a surrogate pair is no character", start)
        self._at += 1
        return ((ord(char), ord(char)),)
