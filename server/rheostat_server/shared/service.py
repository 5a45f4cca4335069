"""The reading and writing of segments, layers and templates of ramps."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rheostat.clock import Clock
from rheostat_server.access.model import Principal
from rheostat_server.errors import Conflict, Fault, Invalid, NotFound
from rheostat_server.flags.announcing import Announce, Arrive, at_once
from rheostat_server.flags.service import Condition
from rheostat_server.flags.wire import VersionView, version_view
from rheostat_server.flags.writing import Writer, Written, kept_edit, write_edits
from rheostat_server.ports.projects import ProjectRow
from rheostat_server.ports.ramps import RampWatcher
from rheostat_server.ports.shared import SharedKind, SharedRow
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.shared.documents import VALIDATE, Shelf, change_of
from rheostat_server.shared.edit import SharedEdit
from rheostat_server.shared.state import lock_concerned, read_shelf, users_in_words, uses_of
from rheostat_server.shared.wire import SharedHistory, SharedPage, SharedView, shared_view


class SharedService:
    """Segments, layers, or templates, of projects.

    Each write is one transaction: document, what is served, ramps, audit.
    """

    def __init__(
        self,
        kind: SharedKind,
        storage: Storage,
        clock: Clock,
        watcher: RampWatcher,
        announce: Announce,
        *,
        arrive: Arrive = at_once,
    ) -> None:
        self.kind = kind
        self._storage = storage
        self._clock = clock
        self._watcher = watcher
        self._announce = announce
        self._arrive = arrive

    async def page(self, project: str, *, limit: int, after: str | None) -> SharedPage:
        """Return those above ``after``, in byte order of their keys.

        Raises:
            NotFound: there is no such project.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            rows = await tx.shared.of_project(home.id, self.kind)
            start = (after or "").encode()
            found = [row for row in rows if after is None or row.key.encode() > start]
            shown = found[:limit]
            uses = (await uses_of(tx, home.id, self.kind)).by_key([row.key for row in shown])
        following = shown[-1].key if len(found) > limit else None
        return SharedPage([shared_view(row, uses[row.key]) for row in shown], following)

    async def get(self, project: str, key: str) -> SharedView:
        """Return one.

        Raises:
            NotFound: there is no such project, segment or layer.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            row = self._there(key, await tx.shared.find(home.id, self.kind, key))
            return await self._view(tx, row)

    async def put(
        self, project: str, key: str, data: Any, principal: Principal, *, condition: Condition, restart_ramp: bool
    ) -> tuple[SharedView, bool]:
        """Write a whole document; return what is there now, and whether it is new.

        Raises:
            Invalid: it has faults; all are listed and nothing is changed.
            VersionConflict: ``condition`` does not hold.
            Conflict: the edit would spoil a live ramp's evidence.
            NotFound: there is no such project.
        """
        document = VALIDATE[self.kind](data)
        if document.key != key:
            raise Invalid([Fault("key", f"the address says {key!r}")], f"the {self.kind} document")
        writer = self._writer(principal, restart_ramp)

        async def work(tx: Transaction) -> tuple[SharedView, bool, Mapping[int, int]]:
            home = await tx.projects.lock(project)
            row = _in_service(await tx.shared.find(home.id, self.kind, key))
            condition.check(key, row, self.kind)
            before = await read_shelf(tx, home.id)
            after = before.with_written({(self.kind, key): document})
            if faults := after.faults(document):
                raise Invalid(faults, f"the {self.kind} {key}")
            if row is not None and msgspec.json.encode(document) == row.document:
                return await self._view(tx, row, ("nothing changed",)), False, {}
            verb, action = ("created", "create") if row is None else ("changed", "put")
            edit = SharedEdit(
                before=before.get((self.kind, key)),
                after=document,
                action=action,
                summary=f"{verb} the {self.kind} {key}",
            )
            written = await self._write(tx, home, edit, before, after, writer=writer)
            notes = [note for kept in written.notes.values() for note in kept]
            view = await self._view(tx, written.shared[self.kind, key], notes)
            return view, row is None, written.changed

        view, created, changed = await self._storage.run(work)
        await self._done(changed)
        return view, created

    async def delete(self, project: str, key: str, principal: Principal, *, condition: Condition) -> None:
        """Delete one that nothing uses.

        Raises:
            Conflict: it is still used; the users are named.
            NotFound: there is no such project, segment or layer.
            VersionConflict: ``condition`` does not hold.
        """
        writer = self._writer(principal)

        async def work(tx: Transaction) -> Mapping[int, int]:
            home = await tx.projects.lock(project)
            row = self._there(key, await tx.shared.find(home.id, self.kind, key))
            condition.check(key, row, self.kind)
            before = await read_shelf(tx, home.id)
            uses = (await uses_of(tx, home.id, self.kind)).by_key([key])[key]
            if uses:
                raise Conflict(f"{users_in_words((self.kind, key), uses)}; take it out of there first")
            after = before.with_written({(self.kind, key): None})
            edit = SharedEdit(
                before=before.get((self.kind, key)),
                after=None,
                action="delete",
                summary=f"deleted the {self.kind} {key}",
            )
            return (await self._write(tx, home, edit, before, after, writer=writer)).changed

        await self._done(await self._storage.run(work))

    async def history(self, project: str, key: str) -> SharedHistory:
        """Return the versions, newest first, without their documents; of a deleted one too.

        Raises:
            NotFound: there is no such project, and there was no such segment or layer.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            versions = await tx.shared.versions((await self._ever(tx, project, key)).id)
        return SharedHistory([version_view(version, with_document=False) for version in versions])

    async def version(self, project: str, key: str, version: int) -> VersionView:
        """Return one version with its document, of a deleted one too.

        Raises:
            NotFound: there is no such project, and there was no such segment, layer or version.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            found = await tx.shared.version((await self._ever(tx, project, key)).id, version)
        return version_view(found, with_document=True)

    async def _write(
        self, tx: Transaction, home: ProjectRow, edit: SharedEdit, before: Shelf, after: Shelf, *, writer: Writer
    ) -> Written:
        change = change_of(before, after)
        concerned = await lock_concerned(tx, home.id, change)
        return await write_edits(
            tx,
            home,
            await tx.environments.of_project(home.key),
            [kept_edit(row) for row in concerned],
            writer=writer,
            watcher=self._watcher,
            change=change,
            shared=[edit],
        )

    async def _view(self, tx: Transaction, row: SharedRow, notes: Sequence[str] = ()) -> SharedView:
        uses = (await uses_of(tx, row.project_id, self.kind)).by_key([row.key])[row.key]
        return shared_view(row, uses, notes)

    async def _ever(self, tx: Transaction, project: str, key: str) -> SharedRow:
        home = await tx.projects.get(project)
        row = await tx.shared.find(home.id, self.kind, key)
        if row is None:
            raise NotFound(f"there is no {self.kind} {key!r}")
        return row

    def _there(self, key: str, row: SharedRow | None) -> SharedRow:
        found = _in_service(row)
        if found is None:
            raise NotFound(f"there is no {self.kind} {key!r}")
        return found

    def _writer(self, principal: Principal, restart_ramp: bool = False) -> Writer:
        return Writer(actor=principal.actor, at_ms=self._clock.wall_ms(), restart_ramp=restart_ramp)

    async def _done(self, changed: Mapping[int, int]) -> None:
        if changed:
            self._announce(sorted(changed))
            await self._arrive(changed)


def _in_service(row: SharedRow | None) -> SharedRow | None:
    return None if row is None or row.deleted_at_ms is not None else row
