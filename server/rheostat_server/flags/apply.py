"""Many documents at once: all of what they say, or nothing. Ramps are checked, and not started."""

from collections.abc import Mapping
from typing import Any

import msgspec

from rheostat.clock import Clock
from rheostat.model.document import FlagDocument, RampDocument
from rheostat.model.serving import environments_changed, keep_unlisted
from rheostat_server.access.model import Principal
from rheostat_server.errors import Fault, Invalid
from rheostat_server.faults import did_you_mean
from rheostat_server.flags.announcing import Announce, Arrive, at_once
from rheostat_server.flags.catalogue import Catalogue, check_archival, lock_catalogue, read_document
from rheostat_server.flags.validate import validate_flag
from rheostat_server.flags.wire import AppliedChange, AppliedView, Export, overlay_notes, read_over
from rheostat_server.flags.writing import Edit, Writer, write_edits
from rheostat_server.ports.ramps import RampWatcher
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.ramps.validate import validate_ramp

_KINDS = ("flag", "segment", "layer", "ramp")


class _OnlyLooked(Exception):
    """Leaves the transaction of a dry run, so that nothing of it stays."""

    def __init__(self, changes: list[AppliedChange]) -> None:
        super().__init__()
        self.changes = changes


class ApplyService:
    """Applies documents to a project, and gives them back."""

    def __init__(
        self, storage: Storage, clock: Clock, watcher: RampWatcher, announce: Announce, *, arrive: Arrive = at_once
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._watcher = watcher
        self._announce = announce
        self._arrive = arrive

    async def apply(
        self, project: str, documents: list[Any], principal: Principal, *, dry_run: bool, prune: bool, force: bool
    ) -> AppliedView:
        """Make the project hold these documents, in one transaction and one revision; say of ramps how to start them.

        ``prune`` archives flags that are not among them; ``force`` also those that something still needs. A
        dry run goes through all of it, so that it refuses what the real one would, and then takes it back.

        Raises:
            Invalid: documents have faults; all of all documents are listed.
            Refused: a flag to archive is still needed.
            Conflict: an edit would spoil the evidence of a live ramp.
            NotFound: there is no such project.
        """
        wanted, ramps = _read(documents)
        if prune and not wanted:
            raise Invalid(
                [Fault("documents", "prune needs at least one flag, or it would archive them all")], "the request"
            )

        async def work(tx: Transaction) -> tuple[list[AppliedChange], Mapping[int, int]]:
            result = await self._work(tx, project, wanted, principal, prune=prune, force=force)
            if dry_run:
                raise _OnlyLooked(result[0])
            return result

        try:
            applied, changed = await self._storage.run(work)
        except _OnlyLooked as looked:
            return AppliedView([*looked.changes, *map(_not_started, ramps)], dry_run=True)
        if changed:
            self._announce(sorted(changed))
            await self._arrive(changed)
        return AppliedView([*applied, *map(_not_started, ramps)], dry_run=False)

    async def export(self, project: str) -> Export:
        """Return the documents of all flags that are not archived, in byte order of their keys.

        Raises:
            NotFound: there is no such project.
        """
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            rows = await tx.flags.of_project(home.id)
        return Export([msgspec.Raw(row.document) for row in rows if row.archived_at_ms is None])

    async def _work(
        self,
        tx: Transaction,
        project: str,
        wanted: dict[str, FlagDocument],
        principal: Principal,
        *,
        prune: bool,
        force: bool,
    ) -> tuple[list[AppliedChange], Mapping[int, int]]:
        catalogue = await lock_catalogue(tx, project, list(wanted), whole=prune)
        gone = [
            key for key, row in catalogue.rows.items() if prune and key not in wanted and row.archived_at_ms is None
        ]
        if gone:
            await tx.flags.lock(catalogue.project.id, gone)
        merged = {key: keep_unlisted(catalogue.in_service(key), document) for key, document in wanted.items()}
        after = await catalogue.after(tx, {**merged, **dict.fromkeys(gone)})
        faults = [
            Fault(f"documents[{index}].{fault.path}", fault.message, fault.hint)
            for index, document in enumerate(merged.values())
            for fault in catalogue.faults(document, after)
        ]
        if faults:
            raise Invalid(faults, "what was sent")
        writer = Writer(actor=principal.actor, at_ms=self._clock.wall_ms())
        if gone and not force:
            await check_archival(tx, catalogue, gone, after, writer.at_ms)
        edits = _edits(catalogue, merged, gone)
        written = await write_edits(
            tx, catalogue.project, catalogue.environments, edits, writer=writer, watcher=self._watcher
        )
        over = read_over(catalogue.environments, await tx.served.over_flags([row.id for row in catalogue.environments]))
        by_key = {edit.document.key: edit for edit in edits}
        applied = []
        for key in [*merged, *gone]:
            row = written.rows.get(key) or catalogue.rows[key]
            notes = () if key in gone else overlay_notes(merged[key], over)
            applied.append(
                AppliedChange(
                    kind="flag",
                    key=key,
                    action=_action(catalogue, by_key.get(key)),
                    version=row.version,
                    environments=_touched(catalogue, by_key.get(key)),
                    notes=(*written.notes.get(key, ()), *notes),
                )
            )
        return applied, written.changed


def _read(documents: list[Any]) -> tuple[dict[str, FlagDocument], list[RampDocument]]:
    """Return flags by key, and ramps."""
    faults: list[Fault] = []
    wanted: dict[str, FlagDocument] = {}
    ramps: list[RampDocument] = []
    for index, data in enumerate(documents):
        path = f"documents[{index}]"
        kind = data.get("kind", "flag") if isinstance(data, dict) else "flag"
        try:
            if kind == "ramp":
                ramps.append(validate_ramp(data))
                continue
            if kind != "flag":
                faults.append(_kind_fault(path, kind))
                continue
            document = validate_flag(data)
        except Invalid as error:
            faults += [
                Fault(f"{path}.{fault.path}" if fault.path else path, fault.message, fault.hint)
                for fault in error.faults
            ]
            continue
        if document.key in wanted:
            faults.append(Fault(f"{path}.key", f"another document has the key {document.key!r} too"))
        wanted[document.key] = document
    if faults:
        raise Invalid(faults, "what was sent")
    return wanted, ramps


def _not_started(ramp: RampDocument) -> AppliedChange:
    """Return what is said of a ramp: files are applied again and again, and a ramp is started once."""
    return AppliedChange(
        kind="ramp",
        key=ramp.flag,
        action="skip",
        version=0,
        environments=[ramp.environment],
        notes=("a ramp is not applied but started: rheostat ramp start -f FILE",),
    )


def _kind_fault(path: str, kind: Any) -> Fault:
    if kind in _KINDS:
        return Fault(f"{path}.kind", f"documents of the kind {kind} cannot be kept yet")
    hint = did_you_mean(kind, _KINDS) if isinstance(kind, str) else None
    return Fault(f"{path}.kind", f"{kind!r} is not a kind of document", hint)


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


def _touched(catalogue: Catalogue, edit: Edit | None) -> list[str]:
    if edit is None:
        return []
    if edit.after is None:
        return catalogue.environment_keys
    return sorted(environments_changed(edit.before, edit.after, catalogue.environment_keys))
