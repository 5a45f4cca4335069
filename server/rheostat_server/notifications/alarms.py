"""Alarms as notifications: what is no transition of a ramp goes into the outbox as news of its own."""

import structlog

from rheostat_server.notifications.message import Subject
from rheostat_server.notifications.outbox import notify, notify_of_ramp
from rheostat_server.ports.alarms import AlarmEvent
from rheostat_server.ports.storage import Transaction
from rheostat_server.ramps.news import News

log = structlog.get_logger()


class OutboxAlarm:
    """Fulfils ``Alarm``: a warning in the log, and a notification within the transaction."""

    async def raised(self, tx: Transaction, event: AlarmEvent) -> None:
        """Put the event into the outbox."""
        log.warning(event.kind, flag=event.flag, environment=event.environment, summary=event.summary)
        why = "\n".join((event.summary, *event.lines))
        if event.kind == "ramp-unattended" and event.ramp is not None:
            row = await tx.ramps.get(event.ramp)
            await notify_of_ramp(tx, News.UNATTENDED, row, at_ms=event.at_ms, why=why)
            return
        there = await tx.environments.get(event.project, event.environment)
        kill = None if event.kill_id is None else await tx.kills.get(there.id, event.kill_id)
        subject = Subject(
            environment_id=there.id, project=event.project, environment=event.environment, flag=event.flag
        )
        await notify(tx, News.KILL_UNCONFIRMED, subject, at_ms=event.at_ms, why=why, kill=kill)
