"""How an evaluation came about, step by step."""

import enum
from typing import Any

import msgspec

from rheostat.model.evaluation import Evaluation
from rheostat.model.flag import Operator
from rheostat.model.snapshot import Identity
from rheostat.model.window import Window


class Verdict(enum.StrEnum):
    """What a condition says of a context."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"
    FAILED = "failed"
    """An attribute's own code raised; nothing that decided asked for it, or the evaluation is an ERROR."""


class Exit(enum.StrEnum):
    """The parts of a flag that are asked, in the order in which they are."""

    FLAG = "flag"
    """Is there such a flag?"""
    KILL = "kill"
    ENABLED = "enabled"
    READABLE = "readable"
    """Does this reader know the flag's format, and all that it names?"""
    PREREQUISITE = "prerequisite"
    TARGETS = "targets"
    RULE = "rule"
    DEFAULT = "default"
    FAILURE = "failure"
    """An attribute's own code raised."""


class Shown(msgspec.Struct, frozen=True):
    """A value of the context: what a person calls its type, and its beginning as text."""

    type: str
    text: str


class ConditionWalk(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A condition and its verdict: a clause, a group with its parts, or a segment.

    ``values`` are at most the first twenty of ``value_count``. ``attribute`` with ``shown`` is what the context has
    there, ``None`` where it has nothing. The ``parts`` of a group are all judged, those after the deciding one too.
    """

    verdict: Verdict
    attribute: str | None = None
    operator: Operator | None = None
    values: tuple[Any, ...] = ()
    value_count: int = 0
    shown: Shown | None = None
    group: str | None = None
    """``all``, ``any`` or ``not``."""
    segment: str | None = None
    because: str | None = None
    """Of a segment: what decided."""
    parts: tuple["ConditionWalk", ...] = ()


class SplitWalk(msgspec.Struct, frozen=True):
    """A variant of a split: the least ``score``, −ln((hash + 0.5) / 2^32) / weight, is chosen; ``None`` never is."""

    variant: str
    weight: float
    hash: int
    score: float | None


class RolloutWalk(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Where a unit stands in a rollout. Shares are parts per million, places are 0 … 999 999.

    ``exposure_ppm`` is in force: the document's (``declared_ppm``), a ramp's over it, or 0 by a kill. The range is
    ``low`` up to and without ``high``; ``exposed_below`` is where exposure ends and ``held_from`` where the holdback
    begins. Without a ``unit`` there is no place. ``split`` is drawn among who is exposed; ``chosen`` is what it gives.
    """

    bucket_by: str
    salt: str
    unit: str | None = None
    place: int | None = None
    low: int
    high: int
    declared_ppm: int
    exposure_ppm: int
    holdback_ppm: int = 0
    exposed_below: int
    held_from: int
    ramp: str | None = None
    ramp_live: bool = False
    by: str | None = None
    cell: str | None = None
    """How far a ramp that goes by this attribute has come with the context: ``done``, ``now`` or ``later``."""
    killed: bool = False
    in_range: bool = False
    held_back: bool = False
    exposed: bool = False
    fallback: str | None = None
    split: tuple[SplitWalk, ...] = ()
    chosen: str | None = None


class Step(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One part of the flag that was asked. The last step of an explanation decided.

    ``name`` is a rule's, or another flag's. ``passed`` says that the walk went on. ``text`` says in words what was
    found.
    """

    exit: Exit
    passed: bool
    text: str
    name: str | None = None
    window: Window | None = None
    condition: ConditionWalk | None = None
    prerequisite: "Explanation | None" = None
    variants: tuple[str, ...] = ()
    """Of a prerequisite: those that the other flag must give one of."""
    serve: str | None = None
    rollout: RolloutWalk | None = None


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The steps that led to an evaluation, the last of which decided it.

    ``identity`` is the snapshot's. ``stale`` says that the snapshot is older than the flag's ``max_staleness``.
    """

    flag: str
    identity: Identity
    steps: tuple[Step, ...]
    evaluation: Evaluation
    stale: bool = False
    now_ms: int | None = None
    age_ms: int | None = None
