"""Evaluations that give the caller's default because of the caller or the client, not of the flag."""

from rheostat.model.evaluation import CODE_DEFAULT, ErrorCode, Evaluation, Reason
from rheostat.model.explanation import Exit, Explanation, Step
from rheostat.model.snapshot import Identity

_NOTHING_YET = "no snapshot has been received yet"


def not_ready(key: str) -> Evaluation:
    """Return the answer while no snapshot has been received."""
    return unanswered(key, ErrorCode.PROVIDER_NOT_READY, _NOTHING_YET)


def unexplained(evaluation: Evaluation, identity: Identity) -> Explanation:
    """Return the one step to such an answer."""
    step = Step(exit=Exit.FLAG, passed=False, text=str(evaluation.error_message))
    return Explanation(flag=evaluation.flag, identity=identity, steps=(step,), evaluation=evaluation)


def unreadable(key: object, error: Exception) -> Evaluation:
    """Return the answer where the key, or the context, is such that asking raised."""
    return unanswered(name_of(key), ErrorCode.GENERAL, f"{type(error).__name__}: {error}")


def name_of(key: object) -> str:
    """Return what to call a key that may be of any type, whatever its own methods do."""
    try:
        return str(key)
    except Exception:  # noqa: BLE001 - it is the application's object, and evaluations raise nothing
        return f"a {type(key).__name__}"


def wrong_type(key: str, message: str) -> Evaluation:
    """Return the answer where the caller asked for another type than the flag's."""
    return unanswered(key, ErrorCode.TYPE_MISMATCH, message)


def unanswered(key: str, code: ErrorCode, message: str) -> Evaluation:
    """Return an answer that is the caller's default, with this error."""
    return Evaluation(key, CODE_DEFAULT, None, Reason.ERROR, code, message)
