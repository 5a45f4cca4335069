"""The scheduling, listing and cancelling of changes."""

from collections.abc import Collection
from typing import Any

import msgspec

from rheostat.clock import Clock
from rheostat.model.document import FlagDocument
from rheostat_server.access.model import Principal
from rheostat_server.errors import Conflict, Fault, Invalid, Refused
from rheostat_server.faults import did_you_mean
from rheostat_server.flags.catalogue import Catalogue, lock_catalogue, refuse_archived
from rheostat_server.flags.looking import Looking
from rheostat_server.flags.movement_words import MovementView
from rheostat_server.flags.preview import who_moves
from rheostat_server.flags.replacing import replace_document
from rheostat_server.flags.seen import SeenContexts
from rheostat_server.flags.service import Condition
from rheostat_server.flags.sides import Concern
from rheostat_server.flags.writing import Writer
from rheostat_server.ports.flags import FlagRow
from rheostat_server.ports.ramps import RampWatcher
from rheostat_server.ports.scheduled import ScheduledRow, ScheduledStatus
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.scheduled.change import changed_document
from rheostat_server.scheduled.ending import audit_entry, cancel
from rheostat_server.scheduled.request import Request, read_request
from rheostat_server.scheduled.wire import ScheduledPage, ScheduledView, scheduled_view
from rheostat_server.scheduled.words import change_words
from rheostat_server.web.times import rfc3339

MOST_PENDING = 1000
"""How many changes of one project may be pending."""


class _InTheWay(Exception):
    """A live ramp or a kill would refuse the change now."""


class ScheduleService:
    """Scheduled changes of a project's flags. They are made by ``ScheduleRunner``."""

    def __init__(self, storage: Storage, clock: Clock, watcher: RampWatcher, seen: SeenContexts) -> None:
        self._storage = storage
        self._clock = clock
        self._watcher = watcher
        self._seen = seen

    async def schedule(self, project: str, key: str, data: Any, principal: Principal) -> ScheduledView:
        """Keep a change for its time; say who would move if it were written now.

        What a live ramp or a kill has against it now is said and stands against nothing: it may be over by then.

        Raises:
            Invalid: the request has faults, or the flag as it is now would have; all are listed.
            VersionConflict: the flag is not at ``if_version``.
            Conflict: the flag is archived.
            Refused: the project has 1 000 pending changes.
            NotFound: there is no such project or flag.
        """
        asked = read_request(data, self._clock.wall_ms())
        moves, notes = await self._look(project, key, asked, principal)

        async def work(tx: Transaction) -> ScheduledRow:
            catalogue, _, _ = await _checked(tx, project, key, asked)
            if await tx.scheduled.count_pending(catalogue.project.id) >= MOST_PENDING:
                raise Refused(f"the project {project} has {MOST_PENDING} pending changes already; cancel some first")
            row = await tx.scheduled.add(_row(catalogue, key, asked, principal, self._clock.wall_ms()))
            where = f" in {row.environment}" if row.environment else ""
            summary = f"scheduled a change of {key}{where} for {rfc3339(row.at_ms)} ({row.id}): {row.summary}"
            entry = audit_entry(row, "flag.schedule", summary, actor=row.scheduled_by, at_ms=row.scheduled_at_ms)
            await tx.audit.add(entry)
            return row

        return scheduled_view(await self._storage.run(work), moves=moves, notes=notes)

    async def page(
        self,
        project: str,
        *,
        statuses: Collection[ScheduledStatus],
        flag: str | None,
        environment: str | None,
        limit: int,
        after: int | None,
    ) -> ScheduledPage:
        """Return changes of these statuses by time: the soonest first if all are pending, else the latest first.

        Those of a whole flag concern each environment.

        Raises:
            NotFound: there is no such project.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            rows = await tx.scheduled.page(
                home.id,
                statuses=statuses,
                flag=flag,
                environment=environment,
                after=after,
                latest_first=set(statuses) != {ScheduledStatus.PENDING},
                limit=limit + 1,
            )
        following = rows[limit - 1].id if len(rows) > limit else None
        return ScheduledPage([scheduled_view(row) for row in rows[:limit]], following)

    async def get(self, project: str, scheduled_id: int) -> ScheduledView:
        """Return one, with the change.

        Raises:
            NotFound: there is no such project, or no such change in it.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            return scheduled_view(await tx.scheduled.get(home.id, scheduled_id))

    async def cancel(self, project: str, scheduled_id: int, reason: str | None, principal: Principal) -> ScheduledView:
        """Cancel a pending change.

        Raises:
            Conflict: it is not pending any more.
            NotFound: there is no such project, or no such change in it.
        """

        async def work(tx: Transaction) -> ScheduledRow:
            home = await tx.projects.lock(project)
            row = await tx.scheduled.get(home.id, scheduled_id)
            if row.status is not ScheduledStatus.PENDING:
                raise Conflict(f"the scheduled change {row.id} is {row.status} already")
            return await cancel(tx, row, why=reason, actor=principal.actor, at_ms=self._clock.wall_ms())

        return scheduled_view(await self._storage.run(work))

    async def _look(
        self, project: str, key: str, asked: Request, principal: Principal
    ) -> tuple[dict[str, MovementView], tuple[str, ...]]:
        """Return who would move if the change were written now, and what would be said: by writing it for a moment."""

        async def work(tx: Transaction) -> tuple[str, ...]:
            catalogue, _, document = await _checked(tx, project, key, asked)
            writer = Writer(actor=principal.actor, at_ms=self._clock.wall_ms())
            try:
                replaced = await replace_document(
                    tx, catalogue, document, writer=writer, watcher=self._watcher, action="scheduled-change"
                )
            except Conflict as error:
                raise _InTheWay(str(error)) from error
            return replaced.notes if replaced.written else ("as the flag is now, this would change nothing",)

        looking = Looking(self._storage, project, Concern(flags=[key]), whole=self._seen.on)
        try:
            notes = await looking.run(work)
        except _InTheWay as obstacle:
            return {}, (f"warning: as things stand this would be refused: {obstacle}",)
        now_ms = self._clock.wall_ms()
        moves = await who_moves(looking.before, looking.after, looking.environments, self._seen, now_ms=now_ms)
        return dict(moves.get(key, {})), notes


async def _checked(tx: Transaction, project: str, key: str, asked: Request) -> tuple[Catalogue, FlagRow, FlagDocument]:
    """Lock the flag and return it with the document that the change makes of it now."""
    catalogue = await lock_catalogue(tx, project, [key])
    row = await tx.flags.get(catalogue.project.id, key)
    if asked.if_version is not None:
        Condition(versions=frozenset({asked.if_version})).check(key, row)
    faults, document = list(asked.faults), None
    environment = asked.change.environment if asked.change is not None else None
    if environment is not None and environment not in catalogue.environment_keys:
        hint = did_you_mean(environment, catalogue.environment_keys)
        faults.append(Fault("environment", f"the project has no environment {environment}", hint))
    elif asked.change is not None:
        try:
            document = changed_document(row.document, asked.change)
            faults += catalogue.faults(document, await catalogue.after(tx, {key: document}))
        except Invalid as error:
            faults += error.faults
    if faults or document is None:
        raise Invalid(faults, f"the change of {key}")
    refuse_archived(row)
    return catalogue, row, document


def _row(catalogue: Catalogue, key: str, asked: Request, principal: Principal, now_ms: int) -> ScheduledRow:
    moment, change = asked.moment, asked.change
    assert moment is not None, "a request without a moment has a fault"
    assert change is not None, "a request without a change has a fault"
    return ScheduledRow(
        project_id=catalogue.project.id,
        project=catalogue.project.key,
        flag=key,
        environment=change.environment,
        at_ms=moment.at_ms,
        at_text=moment.text,
        timezone=moment.timezone,
        change=msgspec.json.encode(change),
        summary=change_words(change),
        if_version=asked.if_version,
        note=asked.note,
        scheduled_by=principal.actor,
        scheduled_at_ms=now_ms,
    )
