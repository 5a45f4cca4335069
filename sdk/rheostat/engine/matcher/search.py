"""Searching a text with a program, remembering the steps taken (a lazy DFA with a bounded memory)."""

from collections.abc import Iterable
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias

from rheostat.engine.matcher.positions import Positions

MOST_STEPS: Final = 4_096
"""How many steps a pattern remembers, so that no text can fill the memory."""

_Table: TypeAlias = dict[str, Any]
"""What is known of a state: the table that each character leads to, and under ``""`` the state itself.

A plain dictionary, because nothing else in Python is as fast. The two that are empty end the search.
"""
_FOUND: Final[_Table] = {}
_FAILED: Final[_Table] = {}


class _State(NamedTuple):
    positions: int
    ends: bool
    """Whether the text matches if it ends here."""


class Search:
    """Says whether a program matches a text, in time linear in the text: at most one step a character.

    What it remembers serves all threads. Where the memory is full, the rest of the text is searched without, and
    the next text begins with an empty one: no text makes the search slow for those that follow.
    """

    def __init__(self, program: Positions, needle: str = "", most_steps: int = MOST_STEPS) -> None:
        self._program = program
        self._needle = needle
        """Text that every match holds: most texts that do not match are told by this alone."""
        self._most_steps = most_steps
        self._memory = _Memory(program, most_steps)

    def __call__(self, text: str) -> bool:
        """Return whether the pattern matches somewhere in the text."""
        if self._needle not in text:
            return False
        characters = iter(text)
        memory = self._memory
        table = memory.start
        while True:
            try:
                for char in characters:
                    table = table[char]
                    if not table:
                        return table is _FOUND
                state: _State = table[""]
                return state.ends
            except KeyError:
                known = memory.step(table, char)
            if known is None:
                self._memory = _Memory(self._program, self._most_steps)
                return self._simulate(table[""].positions, chain(char, characters))
            if not known:
                return known is _FOUND
            table = known

    def _simulate(self, positions: int, characters: Iterable[str]) -> bool:
        """Go on from these positions without a memory."""
        program = self._program
        for char in characters:
            positions = program.step(positions, program.interval(char))
            if positions & program.inside:
                return True
            if not positions | program.restart:
                return False
        return bool(positions & program.at_end)


class _Memory:
    """The tables that are known. They only grow, so threads may read them while one adds to them."""

    def __init__(self, program: Positions, room: int) -> None:
        self._program = program
        self._room = room
        self._scarce = room * 3 // 4
        self._tables: dict[int, _Table] = {}
        self.start: _Table = {"": _State(1, program.empty)}

    def step(self, table: _Table, char: str) -> _Table | None:
        """Return where a character leads that the table does not know; ``None`` where there is no room for it."""
        program = self._program
        interval = program.interval(char)
        # A text could fill the memory with rare characters: beyond some, those that no set tells apart share an entry.
        key = char if char <= "\xff" or self._room > self._scarce else program.bounds[interval]
        known: _Table | None = table.get(key)
        if known is None and self._room > 0:
            positions = program.step(table[""].positions, interval)
            table[key] = known = self._tables.get(positions) or self._table(positions)
            # Threads that meet here may remember a few steps too many; the bound need not be exact.
            self._room -= 1
        return known

    def _table(self, positions: int) -> _Table:
        program = self._program
        if positions & program.inside:
            return _FOUND
        if not positions | program.restart:
            return _FAILED
        table = {"": _State(positions, bool(positions & program.at_end))}
        # Two threads that meet here must go on with the same table.
        return self._tables.setdefault(positions, table)
