"""Feature flags evaluated in your process, with guarded progressive exposure."""

from rheostat.bound import bind, carry
from rheostat.client import Rheostat
from rheostat.details import EvaluationDetails
from rheostat.errors import ConfigurationError, DefaultTypeMismatch, InvalidContext, InvalidSnapshot, RheostatError
from rheostat.feed.serving import Source
from rheostat.model.context import Context
from rheostat.model.evaluation import Arm, ErrorCode, Evaluation, Reason
from rheostat.model.snapshot import Identity
from rheostat.status import Status

__all__ = [
    "Arm",
    "ConfigurationError",
    "Context",
    "DefaultTypeMismatch",
    "ErrorCode",
    "Evaluation",
    "EvaluationDetails",
    "Identity",
    "InvalidContext",
    "InvalidSnapshot",
    "Reason",
    "Rheostat",
    "RheostatError",
    "Source",
    "Status",
    "bind",
    "carry",
]
