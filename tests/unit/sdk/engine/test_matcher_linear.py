"""No text and no pattern makes the matcher slow or large."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest

from rheostat.engine.matcher import LARGEST, matcher
from rheostat.engine.matcher.parser import parse
from rheostat.engine.matcher.positions import Positions
from rheostat.engine.matcher.search import MOST_STEPS, Search
from rheostat.engine.matcher.syntax import size

LENGTH = 1_000_000
AB = "".join(Random(3).choices("ab", k=LENGTH))
NO_END = "xab" * (LENGTH // 3)


class CountedText(str):
    """A text that counts the characters read from it."""

    __slots__ = ("read",)

    def __iter__(self) -> Iterator[str]:
        self.read = 0
        for char in str(self):
            self.read += 1
            yield char


class CountedProgram(Positions):
    """A program that counts its steps, and the unions of sets in them."""

    steps = unions = 0

    def step(self, positions: int, interval: int) -> int:
        self.steps += 1
        self.unions += 1 + len(self.jumps)
        return super().step(positions, interval)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a*)*[bc]$", "a" * LENGTH),
        ("(a|a)*[bc]$", "a" * LENGTH),
        ("(.*){50}x[yz]", "x" * LENGTH),
        ("(x+x+)+y[yz]", "x" * LENGTH),
        ("(x+x+)+y[yz]", NO_END),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * LENGTH),
        ("(a?){50}a{50}[cd]", "a" * LENGTH),
    ],
)
def test_one_megabyte_of_hostile_text_is_read_once(pattern: str, text: str) -> None:
    """A million characters are a million look-ups, and the few steps that were not known before."""
    program, counted = CountedProgram(parse(pattern)), CountedText(text)

    assert Search(program)(counted) is False
    assert counted.read == len(text)
    assert program.steps < 2_500


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(.*){50}x", "(x+x+)+y"])
def test_hostile_patterns_as_they_are_known(pattern: str) -> None:
    """Those that hang other engines answer here, a megabyte of text or not."""
    assert matcher(pattern)("ac" * (LENGTH // 2)) is False


@pytest.mark.parametrize("pattern", ["[ab]*a[ab]{20}[cd]", "a.{200}[cd]", "(a.{1,9}b?){30}[cd]"])
def test_text_that_exhausts_the_memory_takes_one_step_a_character(pattern: str) -> None:
    """Where states are too many to remember: text × program at most, and nothing is remembered beyond the bound."""
    text = AB[: LENGTH // 10]
    tree = parse(pattern)
    program, counted = CountedProgram(tree), CountedText(text)
    search = Search(program)

    assert search(counted) is False
    assert counted.read == len(text)
    assert MOST_STEPS < program.steps <= len(text)
    assert program.unions <= len(text) * (1 + size(tree))
    assert remembered(search) <= MOST_STEPS


def test_a_text_does_not_slow_the_next() -> None:
    """A memory that was exhausted begins again: an ordinary text is remembered after a hostile one."""
    program = CountedProgram(parse("[ab]*a[ab]{20}[cd]"))
    search = Search(program)
    for _ in range(2):
        search(AB[:20_000])
    search("b" * 40)
    program.steps = 0
    search("b" * 40)

    assert program.steps == 0


def test_rare_characters_do_not_fill_the_memory() -> None:
    """Beyond a part of the room, characters that no set tells apart share an entry."""
    everything = "".join(map(chr, range(0x100, 0xD800)))
    program = CountedProgram(parse("a[^b]*[cd]$"))
    search = Search(program)

    assert search("a" + everything) is False
    assert remembered(search) < MOST_STEPS / 2
    steps = program.steps
    assert search("a" + everything[::-1]) is False
    assert program.steps <= steps + 1


def remembered(search: Search) -> int:
    """Count the steps that a search has in its memory."""
    memory: Any = search._memory
    seen: dict[int, dict[str, Any]] = {}
    waiting = [memory.start]
    while waiting:
        table = waiting.pop()
        if id(table) not in seen:
            seen[id(table)] = table
            waiting += [target for char, target in table.items() if char]
    return sum(len(table.keys() - {""}) for table in seen.values())


def test_threads_share_a_search() -> None:
    """Threads that fill one small memory at once all get the right answers."""
    search = Search(Positions(parse("[ab]*a[ab]{6}c")), most_steps=40)
    texts = [AB[at : at + 30] + "c" for at in range(0, 60_000, 30)]
    expected = [text[-8] == "a" for text in texts]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: [search(text) for text in texts] == expected, range(8)))


def test_a_large_pattern_is_a_small_program() -> None:
    """Optional parts by the thousand: as many entries as parts, not their square."""
    tree = parse("(a?){1000}(b?c?){499}$")
    program = Positions(tree)

    assert size(tree) <= LARGEST
    assert len(program.jumps) <= size(tree)
    assert program.always


def test_a_search_without_memory_gives_up_as_early_as_it_can() -> None:
    """An anchored pattern that has failed reads no further, also when every step is simulated."""
    text = CountedText("ab" + "c" * 1_000)

    assert Search(Positions(parse("^ax+")), most_steps=0)(text) is False
    assert text.read < 10
