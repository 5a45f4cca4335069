"""What an evaluation tells the application: the value, and why it is that one."""

from typing import Any, Generic, TypeVar

import msgspec

from rheostat.model.evaluation import Arm, ErrorCode, Reason
from rheostat.model.snapshot import Identity

T = TypeVar("T")


class EvaluationDetails(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """The answer of ``Rheostat.evaluate``. Names are OpenFeature's.

    ``variant`` is ``None`` where the value is the default given in code. ``reason`` is ``STALE`` in place of
    another when what is being served is old or was not yet confirmed. ``identity`` and ``age_ms`` say which
    snapshot answered and how old it was, end to end.
    """

    flag_key: str
    value: T
    variant: str | None
    reason: Reason
    error_code: ErrorCode | None = None
    error_message: str | None = None
    identity: Identity = Identity()
    age_ms: int | None = None
    arm: Arm | None = None
    metadata: dict[str, Any] = {}
