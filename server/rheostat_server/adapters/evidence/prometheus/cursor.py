"""How far each counter was read, and what it grew by since.

Each sample is used once. A counter that falls was reset: what it shows is what it grew by. Pure.
"""

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from rheostat_server.adapters.evidence.prometheus.client import Series

FORGET_MS = 3_600_000
"""A target without samples for so long is forgotten, with its series."""


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """The last sample that was used of a series: when (Prometheus's clock, ms) and what, and whose it is."""

    at_ms: int
    value: float
    target: str


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a guardrail's series were read.

    ``targets`` gives the newest sample of each scraped target. ``advanced_ms`` is when, on our clock, a newer
    sample was last found, and ``traffic_ms`` when a request was.
    """

    series: dict[str, Mark] = {}
    targets: dict[str, int] = {}
    advanced_ms: int | None = None
    traffic_ms: int | None = None

    @property
    def newest_ms(self) -> int:
        """The newest sample used, by Prometheus's clock; 0 before the first."""
        return max(self.targets.values(), default=0)


class Growth(msgspec.Struct, frozen=True):
    """What a series grew by between two samples: at least 1."""

    name: str
    labels: dict[str, str]
    amount: int
    from_ms: int
    until_ms: int


def read_cursor(text: str) -> Cursor:
    """Return the cursor that ``write_cursor`` wrote; a fresh one for the empty text."""
    return msgspec.json.decode(text, type=Cursor) if text else Cursor()


def write_cursor(cursor: Cursor) -> str:
    """Return the cursor as text."""
    return msgspec.json.encode(cursor).decode()


def advanced(
    cursor: Cursor, series: Iterable[Series], *, asked_ms: int, born_with_ramp: bool
) -> tuple[Cursor, list[Growth]]:
    """Return the cursor after these samples, and the growth that they show.

    A series on a target that is known already starts from 0, so that the first error counts; on a new target its
    first sample is where counting starts. ``born_with_ramp``: every series belongs to the ramp alone, so all of
    them start from 0.
    """
    marks = dict(cursor.series)
    targets = dict(cursor.targets)
    growth: list[Growth] = []
    newer = False
    for one in series:
        target = _short(one.labels.get("job", ""), one.labels.get("instance", ""))
        key = _short(one.name, *(f"{name}={value}" for name, value in sorted(one.labels.items())))
        mark = marks.get(key)
        if mark is None and (born_with_ramp or target in cursor.targets):
            mark = Mark(cursor.targets.get(target, one.samples[0][0] if one.samples else 0), 0.0, target)
            # The target's newest sample may be this series' own first, at the same scrape.
            fresh = [sample for sample in one.samples if sample[0] >= mark.at_ms]
        else:
            fresh = [sample for sample in one.samples if mark is None or sample[0] > mark.at_ms]
        for at_ms, value in fresh:
            if mark is not None:
                grown = round(value - mark.value if value >= mark.value else value)
                if grown:
                    growth.append(Growth(one.name, one.labels, grown, mark.at_ms, at_ms))
            mark = Mark(at_ms, value, target)
        if fresh and mark is not None:
            newer = newer or mark.at_ms > cursor.newest_ms
            marks[key] = mark
            targets[target] = max(targets.get(target, 0), mark.at_ms)
    kept = {target: at_ms for target, at_ms in targets.items() if max(targets.values()) - at_ms < FORGET_MS}
    after = msgspec.structs.replace(
        cursor,
        series={key: mark for key, mark in marks.items() if mark.target in kept},
        targets=kept,
        advanced_ms=asked_ms if newer else cursor.advanced_ms,
    )
    return after, growth


def _short(*parts: str) -> str:
    """Return a short name: the cursor is saved with each observation."""
    return blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
