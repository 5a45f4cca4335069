"""Many documents at once: all of what they say, or nothing. Ramps are checked, and started only where that is asked."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rheostat.clock import Clock
from rheostat.model.document import FlagDocument
from rheostat.model.serving import keep_unlisted
from rheostat_server.access.model import Principal
from rheostat_server.errors import Conflict, Fault, Invalid
from rheostat_server.flags.announcing import Announce, Arrive, at_once
from rheostat_server.flags.applied_ramps import AppliedRamps, RampsApplied, not_started
from rheostat_server.flags.catalogue import Catalogue, check_archival, lock_catalogue, read_document
from rheostat_server.flags.looking import Looking
from rheostat_server.flags.preview import who_moves
from rheostat_server.flags.seen import NOTHING_SEEN, SeenContexts
from rheostat_server.flags.sent import Sent, read_sent
from rheostat_server.flags.sides import Concern
from rheostat_server.flags.wire import AppliedChange, AppliedView, Export, overlay_notes, read_over
from rheostat_server.flags.writing import Edit, Writer, kept_edit, write_edits
from rheostat_server.ports.ramps import RampWatcher
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.shared.documents import Place, Shelf, change_of, same
from rheostat_server.shared.edit import SharedEdit
from rheostat_server.shared.state import lock_concerned, read_shelf, users_in_words, uses_of


class ApplyService:
    """Applies documents to a project, and gives them back."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        watcher: RampWatcher,
        announce: Announce,
        *,
        arrive: Arrive = at_once,
        seen: SeenContexts = NOTHING_SEEN,
        ramps: AppliedRamps | None = None,
    ) -> None:
        self._ramps = ramps
        self._storage = storage
        self._clock = clock
        self._watcher = watcher
        self._announce = announce
        self._arrive = arrive
        self._seen = seen

    async def apply(
        self,
        project: str,
        documents: list[Any],
        principal: Principal,
        *,
        dry_run: bool,
        prune: bool,
        force: bool,
        start_ramps: bool = False,
    ) -> AppliedView:
        """Make the project hold these documents, in one transaction; say of ramps how to start them.

        ``prune`` archives flags and deletes segments, layers and templates that are not among them; ``force`` also
        archives flags that something still needs. ``start_ramps`` starts the ramps whose documents were never started.
        A dry run goes through all of it, so that it refuses what the real one would, and then takes it back.

        Raises:
            Invalid: documents have faults; all of all documents are listed.
            Refused: a flag to archive is still needed.
            Conflict: an edit would spoil the evidence of a live ramp.
            NotFound: there is no such project.
        """
        if dry_run:
            return await self.look(project, documents, principal, prune=prune, force=force, start_ramps=start_ramps)
        sent = _checked(documents, prune=prune)
        ramps = await self._prepared(project, sent, start_ramps=start_ramps)
        applied, changed = await self._storage.run(
            lambda tx: self._work(tx, project, sent, self._writer(principal), prune=prune, force=force, ramps=ramps)
        )
        if ramps is not None:
            ramps.tell()
        if changed:
            self._announce(sorted(changed))
            await self._arrive(changed)
        return AppliedView(applied, dry_run=False)

    async def look(
        self,
        project: str,
        documents: list[Any],
        principal: Principal,
        *,
        prune: bool = False,
        force: bool = False,
        restart_ramp: bool = False,
        start_ramps: bool = False,
    ) -> AppliedView:
        """Return what applying these documents would do, and who would move by it. Changes nothing.

        ``restart_ramp``: as a write that may restart a ramp.

        Raises:
            Invalid, Refused, Conflict, NotFound: as ``apply`` would.
        """
        sent = _checked(documents, prune=prune)
        whole = self._seen.on or prune or any(kind == "segment" for kind, _ in sent.shared)
        concern = Concern(flags=sent.flags, shared=list(sent.shared), everything=prune)
        looking = Looking(self._storage, project, concern, whole=whole)
        writer = self._writer(principal, restart_ramp)
        ramps = await self._prepared(project, sent, start_ramps=start_ramps)
        would, _ = await looking.run(
            lambda tx: self._work(tx, project, sent, writer, prune=prune, force=force, ramps=ramps)
        )
        moves = await who_moves(
            looking.before, looking.after, looking.environments, self._seen, now_ms=self._clock.wall_ms()
        )
        flags = {change.key for change in would if change.kind == "flag"}
        told = [
            msgspec.structs.replace(change, moves=moves.get(change.key, {})) if change.kind == "flag" else change
            for change in would
        ]
        others = {key: one for key, one in moves.items() if key not in flags}
        return AppliedView(told, dry_run=True, others=others)

    async def export(self, project: str) -> Export:
        """Return all segments, layers, templates, and flags that are not archived, each kind in byte order of its keys.

        Raises:
            NotFound: there is no such project.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            segments = await tx.shared.of_project(home.id, "segment")
            layers = await tx.shared.of_project(home.id, "layer")
            templates = await tx.shared.of_project(home.id, "template")
            flags = [row for row in await tx.flags.of_project(home.id) if row.archived_at_ms is None]
        documents = [row.document for row in (*segments, *layers, *templates)] + [row.document for row in flags]
        return Export([msgspec.Raw(document) for document in documents])

    async def _work(
        self,
        tx: Transaction,
        project: str,
        sent: Sent,
        writer: Writer,
        *,
        prune: bool,
        force: bool,
        ramps: RampsApplied | None,
    ) -> tuple[list[AppliedChange], Mapping[int, int]]:
        wanted = sent.flags
        # Ramps start after the flags are written: their rows are held before, or two that write would lock crosswise.
        ramping = [] if ramps is None else [ramp.document.flag for ramp in sent.ramps]
        found = await lock_catalogue(tx, project, sorted({*wanted, *ramping}), whole=prune)
        if ramps is not None:
            await ramps.lock(tx, found)
        # Segments can be many and long: where none is written, nothing but their keys is asked.
        whole = bool(sent.shared) or prune
        shelf = await read_shelf(tx, found.project.id) if whole else Shelf({}, found.layers)
        gone_shared = [place for place in shelf.places() if prune and place not in sent.shared]
        shelf_after = shelf.with_written({**sent.shared, **dict.fromkeys(gone_shared)})
        segments = shelf_after.segments.keys() if whole else found.segments
        catalogue = msgspec.structs.replace(found, segments=segments, layers=shelf_after.layers)
        gone = [
            key for key, row in catalogue.rows.items() if prune and key not in wanted and row.archived_at_ms is None
        ]
        if gone:
            await tx.flags.lock(catalogue.project.id, gone)
        merged = {key: keep_unlisted(catalogue.in_service(key), document) for key, document in wanted.items()}
        after = await catalogue.after(tx, {**merged, **dict.fromkeys(gone)})
        faults = [
            sent.at(*place, fault) for place, document in sent.shared.items() for fault in shelf_after.faults(document)
        ]
        if gone_shared:
            await _refuse_used(tx, catalogue, gone_shared)
        faults += [
            sent.at("flag", key, fault)
            for key, document in merged.items()
            for fault in catalogue.faults(document, after)
        ]
        if faults:
            raise Invalid(faults, "what was sent")
        if gone and not force:
            await check_archival(tx, catalogue, gone, after, writer.at_ms)
        edits = _edits(catalogue, merged, gone)
        written_keys = {edit.document.key for edit in edits}
        change = change_of(shelf, shelf_after)
        concerned = await lock_concerned(tx, catalogue.project.id, change)
        kept = [kept_edit(row) for row in concerned if row.key not in written_keys]
        shared = _shared_edits(shelf, sent, gone_shared)
        written = await write_edits(
            tx,
            catalogue.project,
            catalogue.environments,
            [*edits, *kept],
            writer=writer,
            watcher=self._watcher,
            change=change,
            shared=shared,
        )
        over = read_over(catalogue.environments, await tx.served.over_flags([row.id for row in catalogue.environments]))
        by_key = {edit.document.key: edit for edit in edits}
        touched = sorted({environment for edit in kept for environment in written.touched[edit.document.key]})
        versions = {**shelf.versions, **{place: row.version for place, row in written.shared.items()}}
        places = {"segment": catalogue.environment_keys, "layer": touched, "template": []}
        by_place = {(edit.kind, edit.key): edit for edit in shared}
        told = {
            place: _shared_change(place, by_place.get(place), versions[place], places[place[0]])
            for place in (*sent.shared, *gone_shared)
        }
        applied = [told[place] for place in sent.shared]
        for key in [*merged, *gone]:
            row = written.rows.get(key) or catalogue.rows[key]
            notes = () if key in gone else overlay_notes(merged[key], over)
            applied.append(
                AppliedChange(
                    kind="flag",
                    key=key,
                    action=_action(catalogue, by_key.get(key)),
                    version=row.version,
                    environments=sorted(written.touched.get(key, [])),
                    notes=(*written.notes.get(key, ()), *notes),
                )
            )
        applied += [told[place] for place in gone_shared]
        if ramps is None:
            return [*applied, *map(not_started, sent.ramps)], written.changed
        return [*applied, *await ramps.start(tx, project, writer)], written.changed

    async def _prepared(self, project: str, sent: Sent, *, start_ramps: bool) -> RampsApplied | None:
        if not start_ramps or self._ramps is None or not sent.ramps:
            return None
        return await self._ramps.prepared(project, sent)

    def _writer(self, principal: Principal, restart_ramp: bool = False) -> Writer:
        return Writer(actor=principal.actor, at_ms=self._clock.wall_ms(), restart_ramp=restart_ramp)


def _checked(documents: list[Any], *, prune: bool) -> Sent:
    sent = read_sent(documents)
    if prune and not sent.flags:
        raise Invalid(
            [Fault("documents", "prune needs at least one flag, or it would archive them all")], "the request"
        )
    return sent


async def _refuse_used(tx: Transaction, catalogue: Catalogue, gone: Sequence[Place]) -> None:
    """Refuse to delete a template that an environment has by default. Flags name what they use of the others."""
    keys = [key for kind, key in gone if kind == "template"]
    uses = (await uses_of(tx, catalogue.project.id, "template")).by_key(keys)
    if used := [users_in_words(("template", key), uses[key]) for key in keys if uses[key]]:
        raise Conflict(f"{'; '.join(used)}; take it out of there first")


def _shared_edits(shelf: Shelf, sent: Sent, gone: list[Place]) -> list[SharedEdit]:
    edits: list[SharedEdit] = []
    for place, document in sent.shared.items():
        before = shelf.get(place)
        if before is None or not same(before, document):
            action, verb = ("create", "created") if before is None else ("apply", "applied")
            summary = f"{verb} the {place[0]} {place[1]}"
            edits.append(SharedEdit(before=before, after=document, action=action, summary=summary))
    for place in gone:
        summary = f"deleted the {place[0]} {place[1]}: not among the applied documents"
        edits.append(SharedEdit(before=shelf.get(place), after=None, action="delete", summary=summary))
    return edits


def _shared_change(place: Place, edit: SharedEdit | None, version: int, environments: list[str]) -> AppliedChange:
    """Return what is said of a segment or layer. ``environments``: where its edit is served, if it is."""
    action = "unchanged"
    if edit is not None:
        action = "delete" if edit.after is None else "create" if edit.before is None else "update"
    # A layer is served by the flags in it.
    served = edit is not None and (place[0] == "layer" or edit.served())
    return AppliedChange(
        kind=place[0],
        key=place[1],
        action=action,
        version=version,
        environments=sorted(environments) if served else [],
        notes=() if edit is None else edit.units_in_words(),
    )


def _edits(catalogue: Catalogue, merged: dict[str, FlagDocument], gone: list[str]) -> list[Edit]:
    edits: list[Edit] = []
    for key, document in merged.items():
        row = catalogue.rows.get(key)
        before = catalogue.in_service(key)
        if row is not None and before is not None and msgspec.json.encode(document) == row.document:
            continue
        edits.append(
            Edit(
                row=row,
                before=before,
                after=document,
                document=document,
                action="create" if row is None else "apply",
                summary=f"{'created' if row is None else 'applied'} {key}",
                notes=("it was archived and is back in service",) if row is not None and before is None else (),
            )
        )
    for key in gone:
        document = read_document(catalogue.rows[key])
        edits.append(
            Edit(
                row=catalogue.rows[key],
                before=document,
                after=None,
                document=document,
                action="archive",
                summary=f"archived {key}: not among the applied documents",
            )
        )
    return edits


def _action(catalogue: Catalogue, edit: Edit | None) -> str:
    if edit is None:
        return "unchanged"
    if edit.after is None:
        return "archive"
    return "create" if edit.document.key not in catalogue.rows else "update"
