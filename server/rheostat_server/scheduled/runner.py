"""Makes scheduled changes when their time has come, on the node that holds the lease."""

import asyncio
from collections.abc import Mapping

import msgspec
import structlog

from rheostat.clock import Clock
from rheostat_server.errors import Fault, Invalid, NotFound, RheostatServerError, Unavailable
from rheostat_server.flags.announcing import Announce
from rheostat_server.flags.catalogue import lock_catalogue, refuse_archived
from rheostat_server.flags.replacing import replace_document
from rheostat_server.flags.service import Condition
from rheostat_server.flags.writing import Writer
from rheostat_server.ports.ramps import RampWatcher
from rheostat_server.ports.scheduled import Due, ScheduledRow, ScheduledStatus
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.ramps.lease import Lease, LeaseLostError
from rheostat_server.repeating import keep_doing
from rheostat_server.scheduled.change import ScheduledChange, changed_document
from rheostat_server.scheduled.ending import audit_entry, fail
from rheostat_server.scheduled.words import failure_words
from rheostat_server.web.times import rfc3339

ACTOR = "schedule"
"""Who ends a change whose time came."""

log = structlog.get_logger()
_CHANGE = msgspec.json.Decoder(ScheduledChange)


class ScheduleRunner:
    """Makes each change once, by time and id; those whose time passed while no node led come first. A component."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        watcher: RampWatcher,
        announce: Announce,
        lease: Lease,
        *,
        tick_seconds: float = 1.0,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._watcher = watcher
        self._announce = announce
        self._lease = lease
        self._tick_seconds = tick_seconds
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look for what is due, whenever this node leads."""
        self._task = asyncio.create_task(
            keep_doing(self.tick, self._tick_seconds, waits="schedule_stands_still", failed="schedule_tick_failed"),
            name="schedule",
        )

    async def stop(self) -> None:
        """Stop. A change that is being made is made or not made, and in the latter case still pending."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def tick(self) -> None:
        """Make every change that is due. Nothing while another node leads.

        Where the database fails in the middle, the project's later changes wait with the one that failed, so that the
        order holds.

        Raises:
            StorageUnavailable: nobody knows what is due.
        """
        token = self._lease.token
        if token is None:
            return
        async with self._storage.transaction() as tx:
            found = await tx.scheduled.due(self._clock.wall_ms())
        waiting: set[int] = set()
        for due in found:
            if due.project_id in waiting:
                continue
            try:
                await self._carry_out(due, token)
            except LeaseLostError:
                if self._lease.token == token:
                    self._lease.lost()
                return
            except Unavailable as error:
                log.warning("scheduled_change_waits", scheduled_change=due.id, flag=due.flag, error=str(error))
                waiting.add(due.project_id)
            except Exception:
                # Not even its failure could be kept; other projects are not to wait for that.
                log.exception("scheduled_change_waits", scheduled_change=due.id, flag=due.flag)
                waiting.add(due.project_id)

    async def _carry_out(self, due: Due, token: int) -> None:
        async def work(tx: Transaction) -> Mapping[int, int] | None:
            return await self._make(tx, due, token)

        try:
            changed = await self._storage.run(work)
        except (Unavailable, LeaseLostError):
            raise
        except Invalid as error:
            await self._fail(due, token, failure_words(error, error.faults), error.faults)
        except RheostatServerError as error:
            await self._fail(due, token, failure_words(error))
        except Exception:
            # Tried again it would fail again, and keep all that comes after it waiting.
            log.exception("scheduled_change_failed", scheduled_change=due.id, flag=due.flag)
            await self._fail(due, token, "the server made a mistake; its log says more")
        else:
            if changed is None:
                # Cancelled meanwhile, or made by the leader before us.
                return
            if changed:
                self._announce(sorted(changed))
            log.info("scheduled_change_made", scheduled_change=due.id, flag=due.flag)

    async def _make(self, tx: Transaction, due: Due, token: int) -> Mapping[int, int] | None:
        """Write the change as a person's write would be, and note that it is done, in one transaction.

        Returns the new revisions by the id of the environment; ``None`` where the change is not pending any more.
        """
        if not await tx.lease.hold(token):
            raise LeaseLostError
        catalogue = await lock_catalogue(tx, due.project, [due.flag])
        row = await tx.scheduled.get(catalogue.project.id, due.id)
        if row.status is not ScheduledStatus.PENDING:
            return None
        flag = await tx.flags.get(catalogue.project.id, due.flag)
        if row.if_version is not None:
            Condition(versions=frozenset({row.if_version})).check(flag.key, flag)
        refuse_archived(flag)
        at_ms = self._clock.wall_ms()
        summary = f"changed {flag.key} as scheduled for {rfc3339(row.at_ms)} ({row.id})"
        replaced = await replace_document(
            tx,
            catalogue,
            changed_document(flag.document, _CHANGE.decode(row.change or b"")),
            writer=Writer(actor=row.scheduled_by, at_ms=at_ms),
            watcher=self._watcher,
            action="scheduled-change",
            summary=summary,
            note=row.note or f"scheduled change {row.id}",
        )
        done = _done(row, at_ms, replaced.row.version)
        await tx.scheduled.end(done)
        if not replaced.written:
            summary += ": it was so already"
            entry = audit_entry(done, "flag.scheduled-change", summary, actor=row.scheduled_by, at_ms=at_ms)
            await tx.audit.add(entry)
        return replaced.changed

    async def _fail(self, due: Due, token: int, why: str, faults: tuple[Fault, ...] = ()) -> None:
        async def work(tx: Transaction) -> None:
            if not await tx.lease.hold(token):
                raise LeaseLostError
            project = await tx.projects.lock(due.project)
            row = await tx.scheduled.get(project.id, due.id)
            if row.status is ScheduledStatus.PENDING:
                await fail(tx, row, why=why, faults=faults, actor=ACTOR, at_ms=self._clock.wall_ms())

        try:
            await self._storage.run(work)
        except NotFound:
            # Its project was deleted, and the change with it.
            return
        log.warning("scheduled_change_failed", scheduled_change=due.id, flag=due.flag, why=why)


def _done(row: ScheduledRow, at_ms: int, version: int) -> ScheduledRow:
    return msgspec.structs.replace(row, status=ScheduledStatus.DONE, ended_at_ms=at_ms, ended_by=ACTOR, version=version)
