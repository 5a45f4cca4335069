"""What changes of ramps and kills put into the outbox."""

from collections.abc import Sequence

import msgspec

from rheostat.model.kill import KillScope
from rheostat_server.notifications.message import Subject, subject_of
from rheostat_server.notifications.outbox import RampChange, notify
from rheostat_server.ports.ramps import DecisionRow, KillRow, RampRow
from rheostat_server.ports.storage import EnvironmentRow, Transaction
from rheostat_server.ramps.model import State
from rheostat_server.ramps.news import News, news_of

_CONTROLLER = "controller"


class _Actor(msgspec.Struct):
    """Who decided, of a decision's record: nobody is named where it was the rule."""

    actor: str | None = None


async def tell_of_start(tx: Transaction, row: RampRow, *, actor: str) -> None:
    """Tell that a ramp started: ``why`` says how."""
    before = msgspec.structs.replace(row, state=msgspec.structs.replace(row.state, exposure_ppm=row.start_ppm))
    change = RampChange(before=before, after=row, observed=row.state)
    await notify(
        tx, News.STARTED, subject_of(row), at_ms=row.started_at_ms, why=row.state.why, actor=actor, change=change
    )


async def tell_of_change(
    tx: Transaction, before: RampRow, after: RampRow, decision: DecisionRow, observed: State | None
) -> RampChange | None:
    """Tell of a ramp's next state, where it is news. A kill is returned, to be told with the kill's row."""
    news = news_of(before.state, after.state)
    if news is None:
        return None
    change = RampChange(before=before, after=after, observed=before.state if observed is None else observed)
    if news is News.KILLED:
        return change
    actor = msgspec.json.decode(decision.body, type=_Actor).actor or _CONTROLLER
    why = after.state.why
    await notify(tx, news, subject_of(after), at_ms=decision.at_ms, why=why, actor=actor, change=change)
    return None


async def tell_of_kill(
    tx: Transaction, row: KillRow, project: str, environment: str, ended: Sequence[RampChange]
) -> None:
    """Tell of a kill: once for each ramp that it ended, or once for the flag where it ended none."""
    subject = Subject(environment_id=row.environment_id, project=project, environment=environment, flag=row.flag)
    for change in (*(change for change in ended if _took(row, change)),) or (None,):
        await notify(
            tx, News.KILLED, subject, at_ms=row.at_ms, why=row.reason, actor=row.actor, change=change, kill=row
        )


async def tell_of_revival(
    tx: Transaction, environment: EnvironmentRow, flag: str, *, at_ms: int, why: str, actor: str
) -> None:
    """Tell that a flag's kills were lifted."""
    subject = Subject(
        environment_id=environment.id, project=environment.project, environment=environment.key, flag=flag
    )
    await notify(tx, News.REVIVED, subject, at_ms=at_ms, why=why, actor=actor)


def _took(row: KillRow, change: RampChange) -> bool:
    after = change.after
    if (after.environment_id, after.flag) != (row.environment_id, row.flag):
        return False
    return row.scope is KillScope.FLAG or row.rollout == after.rollout
