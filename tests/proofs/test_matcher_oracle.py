"""The matcher says what RE2 says."""

from random import Random
from typing import Any

import pytest
import re2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from rheostat.engine.matcher import PatternError, matcher
from rheostat.engine.matcher.charset import LAST
from rheostat.engine.matcher.folding import kin, those_with_kin
from rheostat.engine.matcher.matching import Matches
from rheostat.engine.matcher.parser import parse
from rheostat.engine.matcher.positions import Positions
from rheostat.engine.matcher.search import Search
from tests.unit.sdk.engine.pattern_draws import CHARACTERS, draw, texts

ROUNDS, PATTERNS, TEXTS = 10, 1_000, 10


def oracle(pattern: str) -> Matches:
    options = re2.Options()
    options.max_mem = 1 << 28
    options.log_errors = False
    compiled: Any = re2.compile(pattern, options)
    return lambda text: compiled.search(text) is not None


def read_by_us(pattern: str) -> Matches | PatternError:
    try:
        return matcher(pattern)
    except PatternError as error:
        return error


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_random_patterns_and_texts(seed: int) -> None:
    """100 000 pairs in all: the same answer, whether told by plain text, with memory, with little, or with none."""
    random = Random(seed)
    truths, read = 0, 0
    while read < PATTERNS:
        drawn = draw(random)
        pattern = random.choice(("", "", "(?i)")) + drawn.pattern
        ours = read_by_us(pattern)
        if isinstance(ours, PatternError):
            assert "too large" in str(ours) or "inside one another" in str(ours), pattern
            continue
        read += 1
        theirs = oracle(pattern)
        program = Positions(parse(pattern))
        searches = [] if program.always else [Search(program, most_steps=most) for most in (0, 9, 500)]
        for text in texts(random, drawn, TEXTS):
            expected = theirs(text)
            truths += expected
            assert [ours(text), *(search(text) for search in searches)] == [expected] * (1 + len(searches)), (
                pattern,
                text,
            )
    # Neither answer is rare, or the agreement would say little.
    assert 0.2 < truths / (PATTERNS * TEXTS) < 0.9


@given(
    pattern=st.text(alphabet=r"ab(|)*+?{}012,[]^$-\dwWx.:i<P=! kſ", max_size=14),
    given_texts=st.lists(st.text(alphabet=CHARACTERS, max_size=8), min_size=1, max_size=4),
)
def test_what_is_read_is_read_as_re2_reads_it(pattern: str, given_texts: list[str]) -> None:
    """Any text is a pattern that RE2 knows too, with the same meaning, or is refused with a place inside it."""
    ours = read_by_us(pattern)
    if isinstance(ours, PatternError):
        assert 0 <= ours.position <= len(pattern)
        return
    theirs = oracle(pattern)
    for text in given_texts:
        assert ours(text) is theirs(text)


def test_case_is_ignored_as_re2_ignores_it() -> None:
    """Every character of every family finds its whole family, and nothing else that has case."""
    everything = "".join(map(chr, those_with_kin()))
    options = re2.Options()
    options.max_mem = 1 << 28
    for character in those_with_kin()[::7]:
        found: list[str] = re2.compile(rf"(?i)\x{{{character:X}}}", options).findall(everything)
        assert sorted(map(ord, found)) == sorted(kin(character))


def test_no_other_character_has_case() -> None:
    """A character outside of the table finds itself only, as in RE2."""
    cased = set(those_with_kin())
    everything = "".join(map(chr, sorted(cased)))
    random = Random(7)
    for character in (random.choice((random.randrange(0x3000), random.randrange(LAST))) for _ in range(3_000)):
        if character not in cased and not 0xD800 <= character <= 0xDFFF:
            assert not oracle(rf"(?i)\x{{{character:X}}}")(everything)
            assert kin(character) == ()
