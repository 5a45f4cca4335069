"""The reading and writing of flags."""

from collections.abc import Mapping
from typing import Any, Required, TypedDict, Unpack

import msgspec

from rheostat.clock import Clock
from rheostat.model.document import FlagDocument
from rheostat_server.access.model import Principal
from rheostat_server.errors import Fault, Invalid, VersionConflict
from rheostat_server.flags.announcing import Announce, Arrive, at_once
from rheostat_server.flags.catalogue import Catalogue, check_archival, lock_catalogue, read_document
from rheostat_server.flags.change import changes, check_patch, merge, unified, without_environments
from rheostat_server.flags.replacing import raise_faults, replace_by, replace_document
from rheostat_server.flags.validate import validate_flag
from rheostat_server.flags.wire import (
    DiffView,
    FlagPage,
    FlagView,
    History,
    VersionView,
    flag_view,
    read_over,
    version_view,
)
from rheostat_server.flags.writing import Edit, Writer
from rheostat_server.ports.flags import FlagRow
from rheostat_server.ports.ramps import RampWatcher
from rheostat_server.ports.shared import SharedRow
from rheostat_server.ports.storage import Storage, Transaction


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What a write asks of the flag, segment or layer that it finds.

    ``versions``: it is at one of these. ``exists``: it is there (``If-Match: *``). ``absent``: it is not
    (``If-None-Match: *``).
    """

    versions: frozenset[int] | None = None
    exists: bool = False
    absent: bool = False

    def check(self, key: str, row: FlagRow | SharedRow | None, kind: str = "flag") -> None:
        """Let a write pass.

        Raises:
            VersionConflict: it is not as the write asks.
        """
        if row is None:
            if self.versions is not None or self.exists:
                raise VersionConflict(f"there is no {kind} {key!r}")
        elif self.absent:
            raise VersionConflict(f"there is a {kind} {key!r} already, at version {row.version}")
        elif self.versions is not None and row.version not in self.versions:
            raise VersionConflict(f"the {kind} {key!r} has moved on to version {row.version}")


ANY = Condition()


class _How(TypedDict, total=False):
    """What a write says of itself; see ``replace_document``."""

    action: Required[str]
    exact: bool
    summary: str
    notes: tuple[str, ...]
    note: str | None


class FlagService:
    """Flags of projects. Each write is one transaction: document, what is served, ramps, audit."""

    def __init__(
        self, storage: Storage, clock: Clock, watcher: RampWatcher, announce: Announce, *, arrive: Arrive = at_once
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._watcher = watcher
        self._announce = announce
        self._arrive = arrive

    async def page(
        self, project: str, *, archived: bool, tag: str | None, query: str | None, limit: int, after: str | None
    ) -> FlagPage:
        """Return flags in byte order of their keys, above ``after``.

        ``query`` is looked for in key, description and owner, whatever the case.

        Raises:
            NotFound: there is no such project.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            environments = await tx.environments.of_project(project)
            rows = await tx.flags.of_project(home.id)
            over = read_over(environments, await tx.served.over_flags([row.id for row in environments]))
        start = (after or "").encode()
        found = [
            row
            for row in rows
            if (row.archived_at_ms is not None) == archived
            and (after is None or row.key.encode() > start)
            and _matches(row, tag, query)
        ]
        following = found[limit - 1].key if len(found) > limit else None
        return FlagPage([flag_view(row, over) for row in found[:limit]], following)

    async def get(self, project: str, key: str) -> FlagView:
        """Return a flag.

        Raises:
            NotFound: there is no such project or flag.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            return await self._view(tx, project, await tx.flags.get(home.id, key))

    async def put(
        self, project: str, key: str, data: Any, principal: Principal, *, condition: Condition, restart_ramp: bool
    ) -> FlagView:
        """Write a whole document; environments that it does not list stay as they were.

        Raises:
            Invalid: it has faults; all are listed and nothing is changed.
            VersionConflict: ``condition`` does not hold.
            Conflict: the flag is archived, or the edit would spoil a live ramp's evidence.
            NotFound: there is no such project.
        """
        document = validate_flag(data)
        if document.key != key:
            raise Invalid([Fault("key", f"the address says {key!r}")], "the flag document")

        async def work(tx: Transaction) -> tuple[FlagView, Mapping[int, int]]:
            catalogue = await lock_catalogue(tx, project, [key])
            condition.check(key, catalogue.rows.get(key))
            return await self._put(tx, catalogue, document, self._writer(principal, restart_ramp), action="put")

        return await self._done(await self._storage.run(work))

    async def patch(
        self, project: str, key: str, patch: Any, principal: Principal, *, condition: Condition, restart_ramp: bool
    ) -> FlagView:
        """Merge a patch (RFC 7396) into the document.

        Raises:
            NotFound, Invalid, VersionConflict, Conflict: as for ``put``.
        """
        check_patch(patch)

        async def work(tx: Transaction) -> tuple[FlagView, Mapping[int, int]]:
            catalogue = await lock_catalogue(tx, project, [key])
            row = await tx.flags.get(catalogue.project.id, key)
            condition.check(key, row)
            document = validate_flag(merge(msgspec.json.decode(row.document), patch))
            if document.key != key:
                raise Invalid([Fault("key", "a flag keeps its key")], "the patch")
            return await self._put(tx, catalogue, document, self._writer(principal, restart_ramp), action="patch")

        return await self._done(await self._storage.run(work))

    async def archive(
        self, project: str, key: str, principal: Principal, *, condition: Condition, force: bool
    ) -> FlagView:
        """Take a flag out of service; a live ramp of it is aborted.

        Raises:
            Refused: another flag or a service still needs it, and ``force`` is not given.
            NotFound, VersionConflict: as for ``put``.
        """

        async def work(tx: Transaction) -> tuple[FlagView, Mapping[int, int]]:
            catalogue = await lock_catalogue(tx, project, [key])
            row = await tx.flags.get(catalogue.project.id, key)
            condition.check(key, row)
            if row.archived_at_ms is not None:
                return await self._view(tx, project, row, ("it was archived already",)), {}
            if not force:
                flags = await catalogue.after(tx, {key: None})
                await check_archival(tx, catalogue, [key], flags, self._clock.wall_ms())
            document = read_document(row)
            edit = Edit(
                row=row, before=document, after=None, document=document, action="archive", summary=f"archived {key}"
            )
            return await self._write(tx, catalogue, edit, self._writer(principal))

        return await self._done(await self._storage.run(work))

    async def unarchive(self, project: str, key: str, principal: Principal, *, condition: Condition) -> FlagView:
        """Put a flag back into service, as it was.

        Raises:
            Invalid: it names what is no longer there.
            NotFound, VersionConflict: as for ``put``.
        """

        async def work(tx: Transaction) -> tuple[FlagView, Mapping[int, int]]:
            catalogue = await lock_catalogue(tx, project, [key])
            row = await tx.flags.get(catalogue.project.id, key)
            condition.check(key, row)
            if row.archived_at_ms is None:
                return await self._view(tx, project, row, ("it was not archived",)), {}
            document = read_document(row)
            await raise_faults(tx, catalogue, document)
            edit = Edit(
                row=row, before=None, after=document, document=document, action="unarchive", summary=f"unarchived {key}"
            )
            return await self._write(tx, catalogue, edit, self._writer(principal))

        return await self._done(await self._storage.run(work))

    async def restore(
        self, project: str, key: str, version: int, note: str | None, principal: Principal, *,
        condition: Condition, restart_ramp: bool,
    ) -> FlagView:  # fmt: skip
        """Write an earlier version again, exactly, as a new version.

        Raises:
            NotFound: there is no such flag or version.
            Invalid, VersionConflict, Conflict: as for ``put``.
        """

        async def work(tx: Transaction) -> tuple[FlagView, Mapping[int, int]]:
            catalogue = await lock_catalogue(tx, project, [key])
            row = await tx.flags.get(catalogue.project.id, key)
            condition.check(key, row)
            old = await tx.flags.version(row.id, version)
            document = msgspec.json.decode(old.document, type=FlagDocument)
            gone = set(document.environments) - set(catalogue.environment_keys)
            notes = tuple(f"the environment {name!r} is gone and was left out" for name in sorted(gone))
            return await self._put(
                tx,
                catalogue,
                without_environments(document, gone),
                self._writer(principal, restart_ramp),
                action="restore",
                exact=True,
                summary=f"restored version {version} of {key}",
                notes=notes,
                note=note,
            )

        return await self._done(await self._storage.run(work))

    async def history(self, project: str, key: str) -> History:
        """Return a flag's versions, newest first, without their documents.

        Raises:
            NotFound: there is no such project or flag.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            row = await tx.flags.get(home.id, key)
            versions = await tx.flags.versions(row.id)
        return History([version_view(version, with_document=False) for version in versions])

    async def version(self, project: str, key: str, version: int) -> VersionView:
        """Return one version with its document.

        Raises:
            NotFound: there is no such project, flag or version.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            row = await tx.flags.get(home.id, key)
            return version_view(await tx.flags.version(row.id, version), with_document=True)

    async def diff(self, project: str, key: str, from_version: int | None, to_version: int | None) -> DiffView:
        """Return how two versions differ: by default the newest from the one before.

        Raises:
            NotFound: there is no such project, flag or version.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            row = await tx.flags.get(home.id, key)
            upper = row.version if to_version is None else to_version
            lower = max(1, upper - 1) if from_version is None else from_version
            old, new = [
                msgspec.json.decode((await tx.flags.version(row.id, number)).document, type=FlagDocument)
                for number in (lower, upper)
            ]
        lines = unified(old, new, f"{key} version {lower}", f"{key} version {upper}")
        return DiffView(from_=lower, to=upper, changes=changes(old, new), lines=lines)

    async def _put(
        self, tx: Transaction, catalogue: Catalogue, document: FlagDocument, writer: Writer, **how: Unpack[_How]
    ) -> tuple[FlagView, Mapping[int, int]]:
        replaced = await replace_document(tx, catalogue, document, writer=writer, watcher=self._watcher, **how)
        return await self._view(tx, catalogue.project.key, replaced.row, replaced.notes), replaced.changed

    async def _write(
        self, tx: Transaction, catalogue: Catalogue, edit: Edit, writer: Writer
    ) -> tuple[FlagView, Mapping[int, int]]:
        replaced = await replace_by(tx, catalogue, edit, writer=writer, watcher=self._watcher)
        return await self._view(tx, catalogue.project.key, replaced.row, replaced.notes), replaced.changed

    async def _view(self, tx: Transaction, project: str, row: FlagRow, notes: tuple[str, ...] = ()) -> FlagView:
        environments = await tx.environments.of_project(project)
        over = await tx.served.over_flags([environment.id for environment in environments])
        return flag_view(row, read_over(environments, over), notes)

    def _writer(self, principal: Principal, restart_ramp: bool = False) -> Writer:
        return Writer(actor=principal.actor, at_ms=self._clock.wall_ms(), restart_ramp=restart_ramp)

    async def _done(self, result: tuple[FlagView, Mapping[int, int]]) -> FlagView:
        view, changed = result
        if changed:
            self._announce(sorted(changed))
            await self._arrive(changed)
        return view


def _matches(row: FlagRow, tag: str | None, query: str | None) -> bool:
    if tag is None and query is None:
        return True
    document = read_document(row)
    if tag is not None and tag not in document.tags:
        return False
    texts = (document.key, document.description or "", document.owner or "")
    return query is None or any(query.lower() in text.lower() for text in texts)
