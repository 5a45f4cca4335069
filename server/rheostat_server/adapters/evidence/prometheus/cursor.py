"""How far each counter was read, and what it grew by since.

Each sample is used once. Pure.
"""

import math
from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec

from rheostat_server.adapters.evidence.prometheus.client import Series

FORGET_MS = 3_600_000
"""A target without samples for so long is forgotten, with the application's series on it."""
SERVERS_LABELS = ("project", "environment", "flag", "ramp", "arm", "exposure_ppm", "outcome", "bad")
"""What the server itself says on its series, besides the node; all else is the scraper's."""
REPLICA_LABELS = frozenset(("prometheus", "prometheus_replica", "receive_replica", "__replica__"))
"""Which of a pair of scrapers saw a series: no part of whose it is."""
SWITCH_MS = 2_000
"""Where one scraper of a counter goes on for another, its samples this close to the other's last may be older yet."""
_SHORT = 16
_WHOLE = 1e-6


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """The last sample that was used of a series: when (Prometheus's clock, ms) and what, whose it is, and seen by whom.

    Of a counter that counts in fractions the value is what was made of it in whole events.
    """

    at_ms: int
    value: float
    target: str
    via: str = ""


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a guardrail's series were read.

    ``targets`` gives the newest sample of each scraped target, or of each node where the server's series are read.
    ``advanced_ms`` is when, on our clock, a newer sample was last found, and ``traffic_ms`` when a request was.
    ``arms`` gives the targets on which each arm has series. ``owed`` is, by arm, what was counted as bad, and in all,
    and could not be made a block's: parts of one histogram, or of two targets, are not scraped in one instant.
    """

    series: dict[str, Mark] = {}
    targets: dict[str, int] = {}
    advanced_ms: int | None = None
    traffic_ms: int | None = None
    arms: dict[str, tuple[str, ...]] = {}
    owed: dict[str, tuple[int, int]] = {}

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
    cursor: Cursor,
    series: Iterable[Series],
    *,
    asked_ms: int,
    patience_ms: int = 45_000,
    replica_labels: frozenset[str] = REPLICA_LABELS,
) -> tuple[Cursor, list[Growth]]:
    """Return the cursor after these samples of an application's series, and the growth that they show.

    A counter that falls was reset: what it shows is what it grew by. A series that appears on a target that is known
    already starts from 0, so that the first error counts; on a new target its first sample is where counting starts. So
    it is where all series of its name on the target have ended: then somebody relabels, and nothing began.

    A counter that several scrapers see is read through one of them, until that one has had nothing for ``patience_ms``
    that another has: their clocks are not one.
    """
    marks = dict(cursor.series)
    targets = dict(cursor.targets)
    known = {key[:_SHORT] for key in cursor.series}
    growth: list[Growth] = []
    newer = False
    alike: dict[str, list[Series]] = {}
    lasts: dict[str, int] = {}
    for one in series:
        if one.samples:
            key = _key(one, replica_labels)
            alike.setdefault(key, []).append(one)
            if key in marks:
                lasts[key[:_SHORT]] = max(lasts.get(key[:_SHORT], 0), one.samples[-1][0])
    for key, same in alike.items():
        mark = marks.get(key)
        one, via = _chosen(same, mark, patience_ms)
        target = target_of(one)
        if mark is not None:
            after_ms = mark.at_ms if via == mark.via or not mark.via else mark.at_ms + SWITCH_MS
            fresh = [sample for sample in one.samples if sample[0] > after_ms]
        elif target in cursor.targets and (
            key[:_SHORT] not in known or lasts.get(key[:_SHORT], 0) >= one.samples[0][0]
        ):
            mark = Mark(cursor.targets[target], 0.0, target)
            # The target's newest sample may be this series' own first, at the same scrape.
            fresh = [sample for sample in one.samples if sample[0] >= cursor.targets[target]]
        else:
            fresh = list(one.samples)
        for at_ms, value in fresh:
            counted = value
            if mark is not None:
                base = mark.value if value >= mark.value else 0.0
                grown = math.floor(value - base + _WHOLE)
                counted = min(value, base + grown)
                if grown:
                    growth.append(Growth(one.name, one.labels, grown, mark.at_ms, at_ms))
            mark = Mark(at_ms, counted, target, via)
        if fresh and mark is not None:
            newer = newer or mark.at_ms > cursor.newest_ms
            marks[key] = mark
            targets[target] = max(targets.get(target, 0), mark.at_ms)
    kept = _lately_seen(targets)
    after = msgspec.structs.replace(
        cursor,
        series={key: mark for key, mark in marks.items() if mark.target in kept},
        targets=kept,
        advanced_ms=asked_ms if newer else cursor.advanced_ms,
    )
    return after, growth


def target_of(one: Series) -> str:
    """Return the short name of whoever shows a series: its instance, however many jobs scrape it, else its job.

    Addresses are unique within a cluster at most, and used again by another pod.
    """
    where = ("instance", "cluster", "namespace", "pod") if one.labels.get("instance") else ("job",)
    return _short(*_pairs(one, where))


def with_arms(cursor: Cursor, seen: Mapping[str, set[str]]) -> Cursor:
    """Return the cursor with these targets (short names) noted for each arm; long gone ones are forgotten."""
    arms = {
        arm: tuple(sorted((set(cursor.arms.get(arm, ())) | seen.get(arm, set())) & cursor.targets.keys()))
        for arm in sorted(cursor.arms.keys() | seen.keys())
    }
    return msgspec.structs.replace(cursor, arms=arms)


def arm_is_stale(cursor: Cursor, arm: str, patience_ms: int) -> bool:
    """Whether the arm has series, and none of their targets has had a sample for so long, while others have."""
    on = [cursor.targets[target] for target in cursor.arms.get(arm, ()) if target in cursor.targets]
    return bool(on) and cursor.newest_ms - max(on) > patience_ms


def _key(one: Series, replica_labels: frozenset[str]) -> str:
    scrapers = replica_labels | {"job"} if one.labels.get("instance") else replica_labels
    own = [name for name in one.labels if name not in scrapers]
    return _short(target_of(one), one.name) + _short(*_pairs(one, own))


def _chosen(same: list[Series], mark: Mark | None, patience_ms: int) -> tuple[Series, str]:
    """Return through which scraper to read a counter, and its short name."""
    named = sorted(((_short(*_pairs(one, one.labels)), one) for one in same), key=lambda pair: pair[0])
    newest = max(one.samples[-1][0] for one in same)
    if mark is not None:
        for via, one in named:
            if via == mark.via and newest - one.samples[-1][0] <= patience_ms:
                return one, via
    via, one = max(named, key=lambda pair: (pair[1].samples[-1][0] > newest - patience_ms, len(pair[1].samples)))
    return one, via


def advanced_by_node(cursor: Cursor, series: Iterable[Series], *, asked_ms: int) -> tuple[Cursor, list[Growth]]:
    """Return the cursor after these samples of the server's series of one ramp, and the growth that they show.

    Each start of a node makes series of its own, which begin at 0 within the ramp and never fall. So a series is
    known by the server's own labels, whoever scraped it, and how often: what counts is the largest value that anyone
    saw of it. Its mark is kept as long as the cursor, or all that it counted would count again once it was forgotten.
    """
    seen: dict[str, list[Series]] = {}
    for one in series:
        seen.setdefault(_short(one.name, _node(one), *_pairs(one, SERVERS_LABELS)), []).append(one)
    marks = dict(cursor.series)
    targets = dict(cursor.targets)
    growth: list[Growth] = []
    newest_ms = 0
    for key, alike in seen.items():
        name, labels, node = alike[0].name, alike[0].labels, _short(_node(alike[0]))
        samples = sorted(sample for one in alike for sample in one.samples)
        if not samples:
            continue
        mark = marks.get(key, Mark(cursor.targets.get(node, samples[0][0]), 0.0, node))
        for at_ms, value in samples:
            until_ms = max(at_ms, mark.at_ms)
            grown = round(value - mark.value)
            if grown > 0:
                growth.append(Growth(name, labels, grown, mark.at_ms, until_ms))
            mark = Mark(until_ms, max(value, mark.value), node)
        if mark.value > 0:  # without a mark it is at 0
            marks[key] = mark
        newest_ms = max(newest_ms, samples[-1][0])
        targets[node] = max(targets.get(node, 0), samples[-1][0])
    after = msgspec.structs.replace(
        cursor,
        series=marks,
        targets=_lately_seen(targets),
        advanced_ms=asked_ms if newest_ms > cursor.newest_ms else cursor.advanced_ms,
    )
    return after, growth


def _lately_seen(targets: dict[str, int]) -> dict[str, int]:
    newest_ms = max(targets.values(), default=0)
    return {target: at_ms for target, at_ms in targets.items() if newest_ms - at_ms < FORGET_MS}


def _node(one: Series) -> str:
    # Where targets bear a label of this name too, the scraper renames ours.
    return one.labels.get("exported_node") or one.labels.get("node", "")


def _pairs(one: Series, names: Iterable[str]) -> list[str]:
    return [f"{name}={one.labels[name]}" for name in sorted(names) if name in one.labels]


def _short(*parts: str) -> str:
    """Return a short name: the cursor is saved with each observation."""
    return blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
