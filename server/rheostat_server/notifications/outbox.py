"""How news get into the outbox: within the very transaction that makes them, by one row.

Whatever goes wrong with what a message says must not keep a ramp from being moved or a flag from being killed: what
cannot be worked out is left out.
"""

import msgspec
import structlog

from rheostat_server.notifications.message import Message, Subject, figures, flag_message, ramp_message, subject_of
from rheostat_server.ports.notifications import NewNotification
from rheostat_server.ports.ramps import KillRow, RampRow
from rheostat_server.ports.storage import Transaction
from rheostat_server.ramps.identifiers import time_ordered_id
from rheostat_server.ramps.model import State
from rheostat_server.ramps.news import News

log = structlog.get_logger()
_LONGEST_WHY = 2000


class RampChange(msgspec.Struct, frozen=True, kw_only=True):
    """A ramp before and after what happened; ``observed`` is the evidence that it happened on, with its figures."""

    before: RampRow
    after: RampRow
    observed: State


async def notify(
    tx: Transaction,
    news: News,
    subject: Subject,
    *,
    at_ms: int,
    why: str,
    actor: str | None = None,
    change: RampChange | None = None,
    kill: KillRow | None = None,
) -> None:
    """Put one notification into the outbox; nothing is sent before the transaction commits, nor unless it does.

    Who gets it is decided later, on the node that sends (``FanOut``): here nothing is read.
    """
    message = flag_message(
        news,
        subject,
        message_id=time_ordered_id(at_ms),
        at_ms=at_ms,
        why=why[:_LONGEST_WHY],
        actor=actor,
        kill=kill,
    )
    if change is not None:
        message = ramp_message(message, change.before, change.after)
        try:
            seen = figures(change.after, change.observed, at_ms)
            message = msgspec.structs.replace(message, guardrails=seen)
        except Exception:
            log.exception("notification_without_figures", ramp=change.after.id, news=news.value)
    await tx.outbox.add(
        NewNotification(
            id=message.id,
            environment_id=subject.environment_id,
            event=news.value,
            flag=subject.flag,
            ramp=message.ramp,
            at_ms=at_ms,
            body=_encoded(message),
        )
    )


async def notify_of_ramp(tx: Transaction, news: News, row: RampRow, *, at_ms: int, why: str) -> None:
    """Put news of a ramp that nothing changed in into the outbox, with its figures as they were last seen."""
    change = RampChange(before=row, after=row, observed=row.state)
    await notify(tx, news, subject_of(row), at_ms=at_ms, why=why, change=change)


def _encoded(message: Message) -> bytes:
    try:
        return msgspec.json.encode(message)
    except UnicodeEncodeError:
        # A person's words with half a character in them.
        why = message.why.encode(errors="replace").decode()
        return msgspec.json.encode(msgspec.structs.replace(message, why=why))
