"""Which flags have done their work: the rules. Pure."""

from collections.abc import Iterable, Sequence

import msgspec

from rheostat.engine.evaluate import Ruleset
from rheostat.model.context import Context
from rheostat_server.flags.joint import Line
from rheostat_server.flags.slots import slots_of

_DAY_MS = 86_400_000
SETTLED_MS = 30 * _DAY_MS
"""A temporary flag that gives everybody the same for so long is stale."""
UNSEEN_MS = 7 * _DAY_MS
"""A temporary flag that nobody evaluated for so long is stale."""


class StaleReason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a flag is stale: ``settled`` or ``unseen``; since when, in ms (``None``: never seen); in words."""

    kind: str
    since_ms: int | None
    text: str


def given(ruleset: Ruleset, key: str) -> frozenset[str | None]:
    """Return all variants that users can get from a flag here, ``None`` standing for the caller's default."""
    compiled = ruleset.programs.get(key)
    if compiled is None:
        return frozenset([None])
    if compiled.off:
        return frozenset([compiled.run(Context(), ruleset, None).variant])
    found: set[str | None] = {variant for variant, units in compiled.flag.targets.items() if units}
    if compiled.flag.prerequisites:
        found.add(compiled.flag.off_variant)
    for slot in slots_of(compiled):
        answering = slot.answering
        if isinstance(answering, Line):
            found |= {outcome.variant for outcome, share in answering.shares().items() if share > 0}
        else:
            found.add(answering.variant)
    return frozenset(found)


def is_settled(environments: Iterable[frozenset[str | None]]) -> bool:
    """Return whether each environment gives everybody the same: a rollout at 0 or 100 %, or no rollout at all."""
    return all(len(variants) == 1 for variants in environments)


def settled_since(
    now: Sequence[frozenset[str | None]], versions: Iterable[tuple[int, Sequence[frozenset[str | None]]]]
) -> int | None:
    """Return when a flag began to give what it gives now (ms), by its versions, newest first."""
    since: int | None = None
    for at_ms, then in versions:
        if list(then) != list(now):
            break
        since = at_ms
    return since


def stale_reasons(
    *, now_ms: int, created_at_ms: int, settled_since_ms: int | None, seen_at_ms: int | None
) -> list[StaleReason]:
    """Return why a temporary flag is stale; nothing where it is not. ``settled_since_ms``: ``None`` where it is not."""
    reasons: list[StaleReason] = []
    if settled_since_ms is not None and now_ms - settled_since_ms >= SETTLED_MS:
        days = (now_ms - settled_since_ms) // _DAY_MS
        text = f"every environment has given everybody the same for {days} days"
        reasons.append(StaleReason(kind="settled", since_ms=settled_since_ms, text=text))
    if now_ms - max(created_at_ms, seen_at_ms or 0) >= UNSEEN_MS:
        if seen_at_ms is None:
            text = "nobody has evaluated it in the 90 days that are remembered"
        else:
            text = f"nobody has evaluated it for {(now_ms - seen_at_ms) // _DAY_MS} days"
        reasons.append(StaleReason(kind="unseen", since_ms=seen_at_ms, text=text))
    return reasons
