"""What an evaluation says: value, variant, reason."""

import enum
from typing import Any, Final

import msgspec

from rheostat.model.ramp import RampOverlay


class Reason(enum.StrEnum):
    """Why a variant was chosen. The names are OpenFeature's."""

    STATIC = "STATIC"
    DEFAULT = "DEFAULT"
    TARGETING_MATCH = "TARGETING_MATCH"
    SPLIT = "SPLIT"
    DISABLED = "DISABLED"
    STALE = "STALE"
    ERROR = "ERROR"


class ErrorCode(enum.StrEnum):
    """What went wrong. The names are OpenFeature's."""

    PROVIDER_NOT_READY = "PROVIDER_NOT_READY"
    FLAG_NOT_FOUND = "FLAG_NOT_FOUND"
    PARSE_ERROR = "PARSE_ERROR"
    TYPE_MISMATCH = "TYPE_MISMATCH"
    TARGETING_KEY_MISSING = "TARGETING_KEY_MISSING"
    INVALID_CONTEXT = "INVALID_CONTEXT"
    GENERAL = "GENERAL"


class Arm(enum.StrEnum):
    """Where a unit stands in a ramp that it reached."""

    TREATMENT = "treatment"
    CONTROL = "control"
    HOLDBACK = "holdback"


CODE_DEFAULT: Final = msgspec.UNSET
"""Stands for "the default that the caller gave" as an evaluation's value."""


class Evaluation(msgspec.Struct, gc=False, frozen=True):
    """The outcome of evaluating one flag for one context.

    ``value`` is ``CODE_DEFAULT`` where the caller's default is to be used; ``variant`` is then ``None``.
    ``unit`` and ``ramp`` are set when the unit reached the rollout of a live ramp, and ``arm`` if the ramp compares
    it: not if its stage is over or to come, nor if nobody exposes it to either side of a comparison with a baseline.
    ``unit`` is the text that was hashed, ``place`` its place on the line 0 … 999 999.
    """

    flag: str
    value: Any
    variant: str | None
    reason: Reason
    error_code: ErrorCode | None = None
    error_message: str | None = None
    rule: str | None = None
    ramp: RampOverlay | None = None
    arm: Arm | None = None
    unit: str | None = None
    place: int | None = None
    version: int = 0
    metadata: dict[str, str | int | float | bool] = {}
