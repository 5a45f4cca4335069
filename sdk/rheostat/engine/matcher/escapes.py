"""What a backslash means, in a class and outside of one."""

from typing import Final

from rheostat.engine.matcher.charset import DIGITS, LAST, SPACES, WORD, Ranges, folded, negated
from rheostat.engine.matcher.syntax import PatternError

_SETS: Final[dict[str, Ranges]] = {"d": DIGITS, "w": WORD, "s": SPACES}
_CONTROLS: Final = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"}
_PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ")
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_SIX: Final = 6
_HINTS: Final = {
    "b": r"write what may stand beside the word, such as (?:^|\W)",
    "B": None,
    "A": "write ^",
    "z": "write $",
    "Z": "write $",
    "p": r"write the characters as a class, such as [A-Za-z\x{C0}-\x{24F}]",
    "P": None,
    "u": r"write \x{…}, such as \x{1F642}",
    "U": r"write \x{…}, such as \x{1F642}",
    "k": "captures cannot be referred to",
    "0": r"write \x00",
    "Q": r"escape each character: \.",
}


def read_escape(text: str, start: int, *, fold: bool) -> tuple[Ranges, int]:
    """Return the set of characters of the escape whose backslash is at ``start``, and where it ends.

    ``fold``: sets are read ignoring case. A single character is left as it is: it may begin or end a range.

    Raises:
        PatternError: there is no such escape.
    """
    char = text[start + 1 : start + 2]
    end = start + 2
    if (name := char.lower()) in _SETS:
        # Fold first: \W is all that \w is not, however \w is read.
        ranges = folded(_SETS[name]) if fold else _SETS[name]
        return ranges if char == name else negated(ranges), end
    if char in _PUNCTUATION or char in _CONTROLS:
        code = ord(_CONTROLS.get(char, char))
    elif char == "x":
        code, end = _hexadecimal(text, start)
    elif not char:
        raise PatternError("a backslash ends the pattern", start, r"write \\ for the character itself")
    elif char in "123456789":
        raise PatternError("a backreference is not supported", start, _HINTS["k"])
    else:
        raise PatternError(f"there is no \\{char} here", start, _HINTS.get(char))
    return ((code, code),), end


def is_surrogate(code: int) -> bool:
    """Return whether the code point is half of a surrogate pair, which is no character."""
    return 0xD800 <= code <= 0xDFFF


def _hexadecimal(text: str, start: int) -> tuple[int, int]:
    r"""Read ``\xHH`` or ``\x{H…}``."""
    digits_at = start + 2
    if text.startswith("{", digits_at):
        digits_at += 1
        digits_end = text.find("}", digits_at)
        end = digits_end + 1
    else:
        digits_end = end = digits_at + 2
    digits = text[digits_at:digits_end] if digits_end > 0 else ""
    wanted = (1, _SIX) if end > digits_end else (2, 2)
    if not (wanted[0] <= len(digits) <= wanted[1] and _HEX.issuperset(digits)):
        raise PatternError("this is no character's number", start, r"write \xHH or \x{H…}, in hexadecimal")
    code = int(digits, 16)
    if code > LAST or is_surrogate(code):
        raise PatternError("no character has this number", start, r"\x{0} to \x{10FFFF}, without \x{D800} to \x{DFFF}")
    return code, end
