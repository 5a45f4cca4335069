"""Who of those that were seen moves by a change: for examples, and for shares that nobody can compute. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from rheostat.engine.evaluate import Ruleset
from rheostat.model.context import Context

MOST_EXAMPLES = 5


class SeenContexts(Protocol):
    """Where contexts are that were evaluated lately, if any are kept. Nothing of them is stored."""

    @property
    def on(self) -> bool:
        """Whether any are kept."""
        ...

    def contexts(self, environment_id: int) -> Sequence[Context]:
        """Return those of an environment, each targeting key once."""
        ...


class _NothingSeen:
    on = False

    def contexts(self, environment_id: int) -> Sequence[Context]:
        del environment_id
        return ()


NOTHING_SEEN: Final[SeenContexts] = _NothingSeen()
"""Where none are kept."""


class SeenMove(msgspec.Struct, frozen=True, kw_only=True):
    """One who was seen and moves, by the targeting key (``None``: there was none)."""

    targeting_key: str | None = msgspec.field(name="targetingKey")
    from_: str | None = msgspec.field(name="from")
    to: str | None


class SeenMovement(msgspec.Struct, frozen=True, kw_only=True):
    """Of so many ``contexts`` that were seen, ``moved`` get another variant: ``share`` in percent, an estimate."""

    contexts: int
    moved: int
    share: float
    examples: list[SeenMove]


def seen_movements(
    before: Ruleset, after: Ruleset, keys: Iterable[str], contexts: Sequence[Context], *, now_ms: int
) -> Mapping[str, SeenMovement]:
    """Return for each flag who of these moves. Without contexts there is nothing to say."""
    return {key: _of(before, after, key, contexts, now_ms) for key in keys} if contexts else {}


def _of(before: Ruleset, after: Ruleset, key: str, contexts: Sequence[Context], now_ms: int) -> SeenMovement:
    examples: list[SeenMove] = []
    moved = 0
    new = None if before.flag(key) is not None else after.flag(key)
    for context in contexts:
        # As in what is computed, a flag that was not there is taken for one that was disabled.
        was = before.evaluate(key, context, now_ms).variant if new is None else new.off_variant
        now = after.evaluate(key, context, now_ms).variant
        if was != now:
            moved += 1
            if len(examples) < MOST_EXAMPLES:
                examples.append(SeenMove(targeting_key=context.targeting_key, from_=was, to=now))
    share = round(100 * moved / len(contexts), 2)
    return SeenMovement(contexts=len(contexts), moved=moved, share=share, examples=examples)
