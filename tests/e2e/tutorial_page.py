"""A tutorial as a test reads it: what to type, what to save, what to expect."""

import re
from pathlib import Path

import msgspec

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"Save this as `([^`]+)`:\s*\Z")


class Block(msgspec.Struct, frozen=True):
    """A block of the page: ``bash`` to be typed, ``text`` that is shown by then, ``python`` to be saved as ``name``."""

    language: str
    body: str
    name: str = ""


def blocks_of(page: Path) -> list[Block]:
    """Return the page's blocks, in order."""
    text = page.read_text()
    found = []
    for fence in _FENCE.finditer(text):
        language, body = fence.groups()
        named = _NAMED.search(text[: fence.start()])
        assert language in {"bash", "text", "python"}, f"{page.name}: a block of {language!r}: who runs it?"
        assert (language == "python") == (named is not None), f"{page.name}: say where the program is saved\n{body}"
        found.append(Block(language, body, named.group(1) if named else ""))
    return found


def shows(expected: str, printed: str) -> bool:
    """Whether the lines of ``expected`` were printed one after the other; an ``…`` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    return re.search(pattern, printed, re.DOTALL) is not None
