"""Alarms as lines of the log."""

import structlog

from rheostat_server.ports.alarms import AlarmEvent
from rheostat_server.ports.storage import Transaction

log = structlog.get_logger()


class LoggedAlarm:
    """Fulfils ``Alarm``: a warning for each event, and nobody else is told."""

    async def raised(self, tx: Transaction, event: AlarmEvent) -> None:
        """Write it to the log."""
        log.warning(
            event.kind.replace("-", "_"),
            project=event.project,
            environment=event.environment,
            flag=event.flag,
            ramp=event.ramp,
            kill_id=event.kill_id,
            summary=event.summary,
            lines=event.lines,
        )
