"""How a pattern is read: text to tree, refusing whatever is not of the subset."""

from itertools import chain
from typing import Final

from rheostat.engine.matcher.charset import NOT_NEWLINE, Ranges, folded, union
from rheostat.engine.matcher.classes import ClassReader
from rheostat.engine.matcher.escapes import is_surrogate, read_escape
from rheostat.engine.matcher.syntax import (
    DEEPEST,
    LARGEST,
    LONGEST,
    MOST_REPEATS,
    Chain,
    Chars,
    Choice,
    Edge,
    Node,
    PatternError,
    Repeat,
    count_inside,
    size,
)

_IGNORE_CASE: Final = "(?i)"
_QUANTIFIERS: Final = "*+?{"
_DIGITS: Final = frozenset("0123456789")
_GROUP: Final = "write (…) or (?:…)"
_REFUSED_GROUPS: Final = (
    (("?=", "?!", "?<=", "?<!"), "lookaround is not supported", "use a second clause, with not around it where needed"),
    (("?P=",), "a backreference is not supported", None),
    (("?P", "?<", "?'"), "a named group is not supported", _GROUP),
    (("?>",), "an atomic group is not supported", _GROUP),
    (("?#",), "a comment is not supported", None),
)


def parse(pattern: str) -> Node:
    """Return the pattern's tree.

    Raises:
        PatternError: the pattern is not of the subset, or too large.
    """
    if len(pattern) > LONGEST:
        raise PatternError(f"a pattern has at most {LONGEST} characters", LONGEST)
    return _Parser(pattern).whole()


class _Parser:
    """Reads a pattern from left to right, once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._fold = text.startswith(_IGNORE_CASE)
        self._depth = 0
        self._largest = (0, 0)
        """The size of the largest repetition so far, and where it is."""

    def whole(self) -> Node:
        if self._fold:
            self._at = len(_IGNORE_CASE)
        tree = self._choice()
        if self._at < len(self._text):
            raise PatternError("there is no group to close", self._at, r"write \) for the character itself")
        if size(tree) > LARGEST:
            raise _too_large(self._largest[1])
        return tree

    def _ahead(self) -> str:
        """Return the next character, or nothing at the end."""
        return self._text[self._at : self._at + 1]

    def _choice(self) -> Node:
        parts = [self._chain()]
        while self._ahead() == "|":
            self._at += 1
            parts.append(self._chain())
        if len(parts) == 1:
            return parts[0]
        sets = [part.ranges for part in parts if isinstance(part, Chars)]
        # One of several characters is a set: (a|b) is [ab].
        return Chars(union(chain.from_iterable(sets))) if len(sets) == len(parts) else Choice(tuple(parts))

    def _chain(self) -> Node:
        parts: list[Node] = []
        while (char := self._ahead()) and char not in "|)":
            part = self._counted(self._atom(char))
            parts.extend(part.parts if isinstance(part, Chain) else (part,))
        return parts[0] if len(parts) == 1 else Chain(tuple(parts))

    def _atom(self, char: str) -> Node:
        start = self._at
        self._at += 1
        match char:
            case "^":
                return Edge.BEGIN
            case "$":
                return Edge.END
            case ".":
                return Chars(NOT_NEWLINE)
            case "(":
                return self._group(start)
            case "[":
                ranges, self._at = ClassReader(self._text, start, fold=self._fold).read()
                return Chars(ranges)
            case "\\":
                escaped, self._at = read_escape(self._text, start, fold=self._fold)
                return self._chars(escaped)
            case "{":
                raise PatternError("there is nothing to repeat", start, r"write \{ for the character itself")
            case "*" | "+" | "?":
                raise PatternError("there is nothing to repeat", start, f"write \\{char} for the character itself")
            case _ if is_surrogate(ord(char)):
                raise PatternError("half of a surrogate pair is no character", start)
            case _:
                return self._chars(((ord(char), ord(char)),))

    def _chars(self, ranges: Ranges) -> Chars:
        return Chars(folded(ranges) if self._fold else ranges)

    def _group(self, start: int) -> Node:
        if self._ahead() == "?":
            if not self._text.startswith("?:", self._at):
                raise self._refused_group(start)
            self._at += 2
        self._depth += 1
        if self._depth > DEEPEST:
            raise PatternError(f"groups are nested more than {DEEPEST} deep", start)
        inside = self._choice()
        if self._ahead() != ")":
            raise PatternError("this group is never closed", start, r"write \( for the character itself")
        self._at += 1
        self._depth -= 1
        return inside

    def _refused_group(self, start: int) -> PatternError:
        for signs, message, hint in _REFUSED_GROUPS:
            if self._text.startswith(signs, self._at):
                return PatternError(message, start, hint)
        return PatternError("flags in a group are not supported", start, "only (?i), at the very start of the pattern")

    def _counted(self, body: Node) -> Node:
        start = self._at
        if self._ahead() not in (*_QUANTIFIERS,):
            return body
        least, most = self._count()
        if self._ahead() == "?":
            # A lazy repetition finds another match, never another answer.
            self._at += 1
        if self._ahead() == "+":
            raise PatternError("a possessive repetition is not supported", start, "leave the second + out")
        if self._ahead() in (*_QUANTIFIERS,):
            raise PatternError("a repetition cannot be repeated", self._at, "put the first one in a group: (?:…)")
        counted = Repeat(body, least, most)
        if count_inside(counted) > MOST_REPEATS:
            message = f"repetitions inside one another come to more than {MOST_REPEATS}"
            raise PatternError(message, start)
        if (total := size(counted)) > LARGEST:
            raise _too_large(start)
        if total > self._largest[0]:
            self._largest = total, start
        return counted

    def _count(self) -> tuple[int, int | None]:
        char = self._ahead()
        start = self._at
        self._at += 1
        match char:
            case "*":
                return 0, None
            case "+":
                return 1, None
            case "?":
                return 0, 1
        least = self._number()
        most: int | None = least
        if least is not None and self._ahead() == ",":
            self._at += 1
            most = None if self._ahead() == "}" else self._number(-1)
        if least is None or most == -1 or self._ahead() != "}":
            hint = r"write {2}, {2,} or {2,5}; \{ is the character itself"
            raise PatternError("this is not a count of repetitions", start, hint)
        self._at += 1
        if max(least, most or 0) > MOST_REPEATS:
            raise PatternError(f"a count is at most {MOST_REPEATS}", start)
        if most is not None and least > most:
            raise PatternError(f"this repeats at least {least} and at most {most} times", start)
        return least, most

    def _number(self, absent: int | None = None) -> int | None:
        """Return a number without leading zeros, or ``absent`` where there is none."""
        start = self._at
        while self._ahead() in _DIGITS:
            self._at += 1
        digits = self._text[start : self._at]
        if not digits or (digits[0] == "0" and digits != "0"):
            return absent
        # Never more digits than it takes to be too large: Python refuses to read thousands of them.
        return int(digits[:5])


def _too_large(position: int) -> PatternError:
    message = f"the pattern is too large: with its repetitions written out it has more than {LARGEST} parts"
    return PatternError(message, position, "repeat less often")
