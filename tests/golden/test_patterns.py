"""The vectors of patterns: what the engine says, and RE2 too."""

import json
from pathlib import Path
from typing import Any

import pytest
import re2  # type: ignore[import-untyped]

from rheostat.engine.matcher import PatternError, matcher
from rheostat.engine.matcher.folding import kin, those_with_kin

VECTORS: Any = json.loads((Path(__file__).parent / "patterns.json").read_text(encoding="utf-8"))


def test_matches() -> None:
    """A pattern and a text give true or false."""
    options = re2.Options()
    options.max_mem = 1 << 28
    for pattern, texts in VECTORS["matches"]:
        theirs = re2.compile(pattern, options)
        for text, expected in texts:
            assert matcher(pattern)(text) is expected, (pattern, text)
            assert (theirs.search(text) is not None) is expected, (pattern, text)


def test_refused() -> None:
    """What is no pattern is refused where it stops being one."""
    for pattern, position in VECTORS["refused"]:
        with pytest.raises(PatternError) as caught:
            matcher(pattern)
        assert caught.value.position == position, pattern


def test_families() -> None:
    """The published table of characters that differ only in case is the engine's."""
    families = [tuple(family) for family in VECTORS["families"]["larger"]]
    for first, last, step, distance in VECTORS["families"]["pairs"]:
        families += [(low, low + distance) for low in range(first, last + 1, step)]

    assert sorted(member for family in families for member in family) == those_with_kin()
    assert all(kin(member) == family for family in families for member in family)
