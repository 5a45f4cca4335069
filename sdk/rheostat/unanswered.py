"""Evaluations that give the caller's default because of the caller or the client, not of the flag."""

from rheostat.model.evaluation import CODE_DEFAULT, ErrorCode, Evaluation, Reason
from rheostat.model.explanation import Exit, Explanation, Step
from rheostat.model.snapshot import Identity

_NOTHING_YET = "no snapshot has been received yet"


def not_ready(key: str) -> Evaluation:
    """Return the answer while no snapshot has been received."""
    return unanswered(key, ErrorCode.PROVIDER_NOT_READY, _NOTHING_YET)


def unexplained(key: str, identity: Identity) -> Explanation:
    """Return the one step to that answer."""
    step = Step(exit=Exit.FLAG, passed=False, text=_NOTHING_YET)
    return Explanation(flag=key, identity=identity, steps=(step,), evaluation=not_ready(key))


def wrong_type(key: str, message: str) -> Evaluation:
    """Return the answer where the caller asked for another type than the flag's."""
    return unanswered(key, ErrorCode.TYPE_MISMATCH, message)


def unanswered(key: str, code: ErrorCode, message: str) -> Evaluation:
    """Return an answer that is the caller's default, with this error."""
    return Evaluation(key, CODE_DEFAULT, None, Reason.ERROR, code, message)
