"""Who would move by a change of a flag, a segment or a layer. Nothing is changed."""

from typing import Any

import msgspec

from rheostat.clock import Clock
from rheostat.model.kill import Kill
from rheostat_server.access.model import Principal
from rheostat_server.errors import Invalid, NotFound
from rheostat_server.flags.apply import ApplyService
from rheostat_server.flags.looking import Looking
from rheostat_server.flags.preview import PreviewView, check_document, who_moves
from rheostat_server.flags.seen import SeenContexts
from rheostat_server.flags.sent import alone
from rheostat_server.flags.service import ANY, FlagService
from rheostat_server.flags.sides import Concern, concerned, read_sides
from rheostat_server.flags.wire import AppliedView
from rheostat_server.ports.ramps import RampWatcher
from rheostat_server.ports.shared import SharedKind
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.previews.wire import ArchivePreview, KillPreview, RestorePreview, RevivePreview
from rheostat_server.ramps.kills import KillOrder, revive_flag, wanted_kills
from rheostat_server.ramps.writing import kill_body

_REASON = "a preview"


class PreviewService:
    """Makes changes to look at what they do, and takes them back. A preview refuses what the change would refuse."""

    def __init__(self, storage: Storage, clock: Clock, watcher: RampWatcher, seen: SeenContexts) -> None:
        self._storage = storage
        self._clock = clock
        self._watcher = watcher
        self._seen = seen
        self._applying = ApplyService(storage, clock, watcher, _tell_nobody, seen=seen)

    async def document(
        self, project: str, key: str, document: Any, principal: Principal, *, restart_ramp: bool
    ) -> PreviewView:
        """Preview the writing of a flag's document.

        Raises:
            Invalid, Conflict, NotFound: as the write would.
        """
        check_document(document, key)
        looked = await self._looked(project, document, principal, restart_ramp=restart_ramp)
        [change] = looked.changes
        return PreviewView(action=change.action, environments=change.moves, notes=change.notes, others=looked.others)

    async def shared(
        self, kind: SharedKind, project: str, key: str, document: Any, principal: Principal, *, restart_ramp: bool
    ) -> PreviewView:
        """Preview the writing of a segment's or layer's document: who moves by the flags that use it.

        Raises:
            Invalid, Conflict, NotFound: as the write would.
        """
        check_document(document, key, kind)
        looked = await self._looked(project, document, principal, restart_ramp=restart_ramp)
        [change] = looked.changes
        return PreviewView(action=change.action, environments={}, notes=change.notes, others=looked.others)

    async def restore(
        self, project: str, key: str, asked: RestorePreview, principal: Principal, *, restart_ramp: bool
    ) -> PreviewView:
        """Preview the restoration of an earlier version.

        Raises:
            Invalid, Conflict, NotFound: as the restoration would.
        """
        looking, flags = self._looking(project, key)
        view = await flags.restore(
            project, key, asked.version, None, principal, condition=ANY, restart_ramp=restart_ramp
        )
        return await self._told("restore", key, looking, view.notes)

    async def archive(self, project: str, key: str, asked: ArchivePreview, principal: Principal) -> PreviewView:
        """Preview the archival.

        Raises:
            Refused, NotFound: as the archival would.
        """
        looking, flags = self._looking(project, key)
        view = await flags.archive(project, key, principal, condition=ANY, force=asked.force)
        return await self._told("archive", key, looking, view.notes)

    async def unarchive(self, project: str, key: str, principal: Principal) -> PreviewView:
        """Preview the return of an archived flag.

        Raises:
            Invalid, NotFound: as the return would.
        """
        looking, flags = self._looking(project, key)
        view = await flags.unarchive(project, key, principal, condition=ANY)
        return await self._told("unarchive", key, looking, view.notes)

    async def kill(self, project: str, key: str, asked: KillPreview, principal: Principal) -> PreviewView:
        """Preview a kill. It is read and not tried: nothing is locked, so that no kill ever waits for it.

        Raises:
            NotFound: there is no such environment or flag in service.
            Refused: as the kill would.
        """
        at_ms = self._clock.wall_ms()
        order = KillOrder(
            flag=key,
            reason=_REASON,
            actor=principal.actor,
            scope=asked.scope,
            to_code_default=asked.to_code_default,
        )
        async with self._storage.transaction(snapshot=True) as tx:
            there = await tx.environments.get(project, asked.environment)
            keys = await concerned(tx, there.project_id, Concern(flags=[key]))
            before = await read_sides(tx, [there], keys, whole=self._seen.on)
            flag = before[there.key].flag(key)
            if flag is None:
                raise NotFound(f"there is no flag {key!r} in service in project {project!r}")
            ramps = await tx.ramps.of_flag(there.id, key)
            standing = await tx.kills.in_force(there.id, key)
        rows = wanted_kills(there, order, flag, ramps, standing=standing, at_ms=at_ms)
        kills = [msgspec.json.decode(kill_body(row, project, there.key), type=Kill) for row in rows]
        after = {there.key: before[there.key].with_kills(kills)}
        moves = await who_moves(before, after, {there.key: there.id}, self._seen, now_ms=at_ms)
        return PreviewView(action="kill", environments=moves.pop(key, {}), notes=(), others=moves)

    async def revive(self, project: str, key: str, asked: RevivePreview, principal: Principal) -> PreviewView:
        """Preview the lifting of a flag's kills.

        Raises:
            NotFound, Conflict: as the lifting would.
        """
        looking, _ = self._looking(project, key)
        at_ms = self._clock.wall_ms()

        async def work(tx: Transaction) -> tuple[str, ...]:
            there = await tx.environments.get(project, asked.environment)
            return await revive_flag(tx, there, key, reason=_REASON, actor=principal.actor, at_ms=at_ms)

        return await self._told("revive", key, looking, await looking.run(work))

    async def _looked(self, project: str, document: Any, principal: Principal, *, restart_ramp: bool) -> AppliedView:
        try:
            return await self._applying.look(project, [document], principal, restart_ramp=restart_ramp)
        except Invalid as error:
            # It was sent as one document, not in a list.
            raise Invalid([alone(fault) for fault in error.faults], "the request") from error

    def _looking(self, project: str, key: str) -> tuple[Looking, FlagService]:
        looking = Looking(self._storage, project, Concern(flags=[key]), whole=self._seen.on)
        return looking, FlagService(looking, self._clock, self._watcher, _tell_nobody)

    async def _told(self, action: str, key: str, looking: Looking, notes: tuple[str, ...]) -> PreviewView:
        moves = await who_moves(
            looking.before, looking.after, looking.environments, self._seen, now_ms=self._clock.wall_ms()
        )
        return PreviewView(action=action, environments=moves.pop(key, {}), notes=notes, others=moves)


def _tell_nobody(changed: Any) -> None:
    """Announce nothing: nothing changed."""
    del changed
