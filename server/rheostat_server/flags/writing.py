"""One transaction's edits of flags, segments and layers: what is stored, what is served, what is told."""

from collections.abc import Sequence

import msgspec

from rheostat.model.document import FlagDocument
from rheostat.model.serving import environments_changed, serve
from rheostat_server.flags.catalogue import read_document
from rheostat_server.flags.change import changes
from rheostat_server.flags.warnings import warnings_of
from rheostat_server.ports.flags import FlagRow
from rheostat_server.ports.projects import ProjectRow
from rheostat_server.ports.ramps import RampEffects, RampWatcher
from rheostat_server.ports.shared import SharedChange, SharedRow
from rheostat_server.ports.storage import AuditEntry, EnvironmentRow, ServedKind, Transaction
from rheostat_server.scheduled.ending import cancel_pending
from rheostat_server.shared.documents import Place
from rheostat_server.shared.edit import SharedEdit, shared_entry, store_shared


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """One flag's edit. ``row`` is the locked row as it was, ``None`` for a new flag.

    ``before`` and ``after`` are what is in service then: ``None`` while archived. ``document`` is what is stored.
    ``kept``: the document stays as it is, and only what it shares with other flags changes.
    """

    row: FlagRow | None
    before: FlagDocument | None
    after: FlagDocument | None
    document: FlagDocument
    action: str
    summary: str
    notes: tuple[str, ...] = ()
    note: str | None = None
    kept: bool = False


def kept_edit(row: FlagRow) -> Edit:
    """Return the edit of a flag in service whose document stays as it is."""
    document = read_document(row)
    return Edit(row=row, before=document, after=document, document=document, action="keep", summary="", kept=True)


class Writer(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes, and when (ms since the epoch). ``restart_ramp`` restarts a ramp that an edit would spoil."""

    actor: str
    at_ms: int
    restart_ramp: bool = False


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the edits: rows and notes by key, and the new revisions by the id of the environment.

    ``touched`` are the environments that serve something else of a flag, by its key.
    """

    rows: dict[str, FlagRow]
    shared: dict[Place, SharedRow]
    touched: dict[str, list[str]]
    notes: dict[str, tuple[str, ...]]
    changed: dict[int, int]


class _Served(msgspec.Struct, frozen=True):
    environment: EnvironmentRow
    kind: ServedKind
    key: str
    body: bytes | None


async def write_edits(
    tx: Transaction,
    project: ProjectRow,
    environments: Sequence[EnvironmentRow],
    edits: Sequence[Edit],
    *,
    writer: Writer,
    watcher: RampWatcher,
    change: SharedChange,
    shared: Sequence[SharedEdit] = (),
) -> Written:
    """Store the edits and serve what they change: one new revision for each environment that changes.

    ``change`` is what the flags share, before and after; ``shared`` the edits that make it so.

    The project and the flags' rows are locked already.

    Raises:
        Conflict: an edit would end a kill, or spoil the evidence of a live ramp.
    """
    effects: dict[str, RampEffects] = {}
    for edit in edits:
        # All ramps before any environment: that is the order of locks.
        effects[edit.document.key] = await watcher.flag_written(
            tx,
            project=project.key,
            before=edit.before,
            after=edit.after,
            actor=writer.actor,
            at_ms=writer.at_ms,
            restart=writer.restart_ramp,
            archived=read_document(edit.row) if edit.before is None and edit.row is not None else None,
            shared=change,
        )
    shared_rows = {
        (edit.kind, edit.key): await store_shared(tx, project.id, edit, actor=writer.actor, at_ms=writer.at_ms)
        for edit in shared
    }
    rows: dict[str, FlagRow] = {}
    touched: dict[str, list[str]] = {}
    served = [
        _Served(environment, "segment", edit.key, body)
        for edit in shared
        for body in edit.served()
        for environment in environments
    ]
    for edit in edits:
        row = await _store(tx, project, edit, writer)
        rows[row.key] = row
        bodies = _flag_bodies(edit, row.version, environments, change)
        touched[row.key] = [one.environment.key for one in bodies]
        served += [*bodies, *_overlay_bodies(effects[row.key], environments)]
    revisions = await tx.environments.bump({one.environment.id for one in served})
    await watcher.restarted(tx, environments, [each for one in effects.values() for each in one.restarts])
    for one in served:
        await tx.served.put(one.environment.id, revisions[one.environment.id], one.kind, one.key, one.body)
    cancelled = {edit.document.key: await _cancel_pending(tx, project, edit, writer) for edit in edits}
    notes = {
        key: (*edit.notes, *effects[key].notes, *cancelled[key], *_warnings(edit))
        for edit in edits
        for key in [edit.document.key]
    }
    concerned = [edit.document.key for edit in edits if edit.kept]
    for thing in shared:
        stored = shared_rows[thing.kind, thing.key]
        entry = shared_entry(project.key, thing, stored, actor=writer.actor, at_ms=writer.at_ms, flags=concerned)
        await tx.audit.add(entry)
    for edit in edits:
        key = edit.document.key
        if not edit.kept:
            await tx.audit.add(_entry(project, edit, rows[key], writer=writer, touched=touched[key], notes=notes[key]))
    await tx.notify(sorted(revisions))
    return Written(rows=rows, shared=shared_rows, touched=touched, notes=notes, changed=revisions)


async def _store(tx: Transaction, project: ProjectRow, edit: Edit, writer: Writer) -> FlagRow:
    if edit.kept:
        assert edit.row is not None, "what is kept is there"
        return edit.row
    document = msgspec.json.encode(edit.document)
    if edit.row is None:
        return await tx.flags.create(
            project.id, edit.document.key, document, action=edit.action, actor=writer.actor, at_ms=writer.at_ms
        )
    return await tx.flags.write(
        edit.row.id,
        document,
        archived_at_ms=writer.at_ms if edit.after is None else None,
        action=edit.action,
        actor=writer.actor,
        at_ms=writer.at_ms,
        note=edit.note,
    )


async def _cancel_pending(tx: Transaction, project: ProjectRow, edit: Edit, writer: Writer) -> tuple[str, ...]:
    """Cancel what waits to be changed of a flag that goes out of service; return a line for each."""
    if edit.before is None or edit.after is not None:
        return ()
    why = "the flag was archived"
    return await cancel_pending(tx, project.id, flag=edit.document.key, why=why, actor=writer.actor, at_ms=writer.at_ms)


def _warnings(edit: Edit) -> list[str]:
    return [] if edit.kept or edit.after is None else [f"warning: {fault}" for fault in warnings_of(edit.after)]


def _flag_bodies(
    edit: Edit, version: int, environments: Sequence[EnvironmentRow], shared: SharedChange
) -> list[_Served]:
    key = edit.document.key
    if edit.after is None:
        return [_Served(environment, "flag", key, None) for environment in environments] if edit.before else []
    touched = environments_changed(
        edit.before,
        edit.after,
        [environment.key for environment in environments],
        shared.layers,
        layers_before=shared.layers_before,
    )
    return [
        _Served(
            environment, "flag", key, msgspec.json.encode(serve(edit.after, environment.key, version, shared.layers))
        )
        for environment in environments
        if environment.key in touched
    ]


def _overlay_bodies(effects: RampEffects, environments: Sequence[EnvironmentRow]) -> list[_Served]:
    return [
        _Served(environment, "ramp", ramp, body)
        for environment in environments
        for ramp, body in effects.overlays.get(environment.key, {}).items()
    ]


def _entry(
    project: ProjectRow, edit: Edit, row: FlagRow, *, writer: Writer, touched: Sequence[str], notes: Sequence[str]
) -> AuditEntry:
    detail = {
        "version": row.version,
        "environments": touched,
        "changes": changes(edit.before, edit.after),
        "notes": notes,
        "note": edit.note,
    }
    return AuditEntry(
        at_ms=writer.at_ms,
        actor=writer.actor,
        action=f"flag.{edit.action}",
        project=project.key,
        # An entry of one environment is found under it; of several, under the project.
        environment=touched[0] if len(touched) == 1 else None,
        subject=row.key,
        summary=f"{edit.summary}, version {row.version}" + (f" ({', '.join(touched)})" if touched else ""),
        detail=msgspec.Raw(msgspec.json.encode(detail)),
    )
