"""The kill that takes a ramp's variant back. Pure."""

from rheostat.model.kill import KillScope
from rheostat_server.ports.ramps import KillRow, RampRow
from rheostat_server.ramps.identifiers import time_ordered_id


def kill_of_ramp(row: RampRow, *, scope: KillScope, source: str, actor: str, reason: str, at_ms: int) -> KillRow:
    """Return a new kill of this ramp: of its rollout alone, or of the whole flag."""
    return KillRow(
        kill_id=time_ordered_id(at_ms),
        environment_id=row.environment_id,
        flag=row.flag,
        scope=scope,
        rollout=row.rollout if scope is KillScope.ROLLOUT else None,
        ramp_id=row.id,
        source=source,
        actor=actor,
        reason=reason,
        at_ms=at_ms,
    )
