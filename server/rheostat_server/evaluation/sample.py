"""Contexts that were evaluated lately, for previews. In memory only, and only where somebody asked for it."""

import math
from collections.abc import Callable, Mapping, Sequence
from random import SystemRandom
from typing import Any

import msgspec

from rheostat.model.context import TARGETING_KEY, Context

MOST_CONTEXT_BYTES = 2_048
"""A longer context is not kept."""
_RANDOM = SystemRandom()


class _Reservoir:
    """So many of all contexts seen, each with the same chance (Li's algorithm L: it draws how many to skip)."""

    __slots__ = ("_chance", "_draw", "_size", "kept", "skip")

    def __init__(self, size: int, draw: Callable[[], float]) -> None:
        self._size = size
        self._draw = draw
        self._chance = 1.0
        self.kept: list[bytes] = []
        self.skip = 0

    def keep(self, context: bytes) -> None:
        if len(self.kept) < self._size:
            self.kept.append(context)
            if len(self.kept) == self._size:
                self._skip()
            return
        self.kept[int(self._draw() * self._size)] = context
        self._skip()

    def _skip(self) -> None:
        # 1 − draw is never 0.
        self._chance *= math.exp(math.log(1.0 - self._draw()) / self._size)
        self.skip = int(math.log(1.0 - self._draw()) / math.log1p(-self._chance)) if self._chance < 1 else 0


class ContextSample:
    """Fulfils ``SeenContexts`` with a uniform sample of the evaluations over OFREP, by environment.

    Nothing of it is written, logged or sent anywhere but in the answer of a preview, and it ends with the process.
    """

    on = True

    def __init__(self, size: int, *, serves: Callable[[int], bool], draw: Callable[[], float] = _RANDOM.random) -> None:
        """Keep up to ``size`` contexts (at least 1) of each environment that the node ``serves``.

        ``draw`` gives numbers in [0, 1).
        """
        self._size = size
        self._serves = serves
        self._draw = draw
        self._reservoirs: dict[int, _Reservoir] = {}

    def see(self, environment_id: int, context: Mapping[str, Any]) -> None:
        """Take note of a context as it was sent; most of the time that is counting down."""
        reservoir = self._reservoirs.get(environment_id)
        if reservoir is None:
            self._forget_gone()
            reservoir = self._reservoirs[environment_id] = _Reservoir(self._size, self._draw)
        if reservoir.skip > 0:
            reservoir.skip -= 1
            return
        sent = msgspec.json.encode(context)
        # Too long a one is passed over, and the next takes its turn.
        if len(sent) <= MOST_CONTEXT_BYTES:
            reservoir.keep(sent)

    def contexts(self, environment_id: int) -> Sequence[Context]:
        """Return those of an environment, each targeting key once."""
        self._forget_gone()
        reservoir = self._reservoirs.get(environment_id)
        found: dict[str | int, Context] = {}
        for number, sent in enumerate(() if reservoir is None else reservoir.kept):
            attributes = msgspec.json.decode(sent)
            context = Context.of(attributes.pop(TARGETING_KEY, None), attributes)
            found[number if context.targeting_key is None else context.targeting_key] = context
        return list(found.values())

    def _forget_gone(self) -> None:
        self._reservoirs = {key: one for key, one in self._reservoirs.items() if self._serves(key)}
