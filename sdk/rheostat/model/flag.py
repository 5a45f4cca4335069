"""What a flag is, as one environment serves it."""

import enum
import sys
from typing import Any

import msgspec

from rheostat.model.shares import TOTAL_PPM
from rheostat.model.window import Window

# gc=False: a frozen tree holds no cycle, and an environment has a hundred thousand of these, which Python's collector
# would walk again and again while an application starts.

DEFAULT_ROLLOUT = "default"
"""The name of the rollout in a flag's ``default``; rules name the others."""


class FlagType(enum.StrEnum):
    """The type of every value of a flag."""

    BOOLEAN = "boolean"
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    OBJECT = "object"


class Operator(enum.StrEnum):
    """How a clause compares an attribute with its values."""

    IN = "in"
    NOT_IN = "not_in"
    EQUALS = "equals"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    MATCHES = "matches"
    EXISTS = "exists"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    BEFORE = "before"
    AFTER = "after"
    SEMVER_EQ = "semver_eq"
    SEMVER_LT = "semver_lt"
    SEMVER_LE = "semver_le"
    SEMVER_GT = "semver_gt"
    SEMVER_GE = "semver_ge"
    IN_CIDR = "in_cidr"
    ANY_OF = "any_of"
    ALL_OF = "all_of"


class Condition(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A test on the context: exactly one of a clause, ``all``, ``any``, ``not`` or a segment.

    Its truth is Kleene's: true, false or unknown.
    """

    attribute: str | None = None
    operator: Operator | None = None
    values: tuple[Any, ...] = ()
    all: tuple["Condition", ...] | None = None
    any: tuple["Condition", ...] | None = None
    not_: "Condition | None" = msgspec.field(default=None, name="not")
    segment: str | None = None

    def __post_init__(self) -> None:
        # One text for all clauses on an attribute, and the one that Python code names it by: found without comparing.
        if type(self.attribute) is str:
            msgspec.structs.force_setattr(self, "attribute", sys.intern(self.attribute))


class Rollout(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """Who is exposed, and how the exposed are split among variants.

    Shares are parts per million. ``low`` and ``high`` bound the rollout's range on the line.
    """

    exposure_ppm: int
    split: dict[str, float]
    salt: str
    fallback: str | None = None
    bucket_by: str = "targetingKey"
    low: int = 0
    high: int = TOTAL_PPM


class Answer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a rule or the default gives: one variant, or a rollout. Exactly one is set."""

    serve: str | None = None
    rollout: Rollout | None = None

    def __post_init__(self) -> None:
        # One text for all answers of a name: an environment has tens of thousands, of few names.
        if type(self.serve) is str:
            msgspec.structs.force_setattr(self, "serve", sys.intern(self.serve))


class Rule(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """An answer for the contexts whose condition is true, while the rule is active (always without a window)."""

    name: str
    when: Condition
    answer: Answer
    active: Window | None = None


class Prerequisite(msgspec.Struct, frozen=True, gc=False):
    """Another flag that must give one of these variants."""

    flag: str
    variants: tuple[str, ...]


class Flag(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """A flag in one environment. ``version`` is the document's."""

    key: str
    type: FlagType
    variants: dict[str, Any]
    version: int
    enabled: bool = False
    off_variant: str | None = None
    client: bool = False
    metadata: dict[str, str | int | float | bool] = {}
    max_staleness_ms: int | None = None
    prerequisites: tuple[Prerequisite, ...] = ()
    targets: dict[str, tuple[str, ...]] = {}
    rules: tuple[Rule, ...] = ()
    default: Answer = Answer()
    """Without ``serve`` and ``rollout`` (an environment never written) the off variant is served."""
    needs: int | None = None
    """The snapshot format that this flag needs, when that is above the snapshot's own."""


class Segment(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A named set of units: excluded, then included, then conditions (all must be true)."""

    key: str
    unit: str = "targetingKey"
    included: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
