"""OFREP's answers. Pure."""

from typing import Any

import msgspec

from rheostat.engine import Ruleset
from rheostat.model.evaluation import CODE_DEFAULT, ErrorCode, Evaluation
from rheostat.model.flag import FlagType

STATUS = {ErrorCode.FLAG_NOT_FOUND: 404, ErrorCode.PROVIDER_NOT_READY: 503}
"""The status of each error of a single flag; any other is 400."""


class Reply(msgspec.Struct, frozen=True):
    """An answer as it goes out."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """An OFREP error. ``errorDetails`` is always there: clients read it without looking."""

    errorDetails: str  # noqa: N815 - OFREP's name
    key: str | None = None
    errorCode: str | None = None  # noqa: N815 - OFREP's name
    metadata: dict[str, Any] | None = None


def failure(status: int, details: str, *, key: str | None = None, code: str | None = None) -> Reply:
    """Return an error."""
    return Reply(status, msgspec.json.encode(Failure(details, key, code)))


def flag_answer(evaluation: Evaluation, ruleset: Ruleset) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of one flag's answer.

    A caller's default is a success without ``value`` (OFREP's code default), unless an error led to it. An error
    that yet has a value, as of a flag of a newer format, is a success with reason ERROR.
    """
    flag = ruleset.flag(evaluation.flag)
    metadata: dict[str, Any] = dict(evaluation.metadata)
    if evaluation.flag in ruleset.overlays:
        if evaluation.arm is not None and evaluation.ramp is not None:
            ramp = evaluation.ramp
            metadata["rheostat.arm"] = evaluation.arm.value
            metadata["rheostat.ramp"] = ramp.ramp
            metadata["rheostat.epoch"] = ramp.epoch
            metadata["rheostat.exposure_ppm"] = ramp.arm_ppm
        metadata["rheostat.revision"] = ruleset.snapshot.revision
    body: dict[str, Any] = {"key": evaluation.flag}
    value = evaluation.value
    code = evaluation.error_code
    status = 200
    if code is not None and value is CODE_DEFAULT:
        status = STATUS.get(code, 400)
        body |= {"errorCode": code.value, "errorDetails": evaluation.error_message or code.value}
    else:
        if value is not CODE_DEFAULT:
            whole = flag is not None and flag.type is FlagType.FLOAT and isinstance(value, int)
            # A client that asks for a float rejects 10; one that asks for an integer rejects 10.0.
            body["value"] = float(value) if whole else value
        body |= {"reason": evaluation.reason.value, "variant": evaluation.variant or ""}
    if metadata:
        body["metadata"] = metadata
    return status, body
