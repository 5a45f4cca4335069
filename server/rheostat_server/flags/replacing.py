"""The writing of one flag's whole document, within a transaction that has locked the flag."""

import msgspec

from rheostat.model.document import FlagDocument
from rheostat.model.serving import keep_unlisted
from rheostat_server.errors import Invalid
from rheostat_server.flags.catalogue import Catalogue, refuse_archived
from rheostat_server.flags.writing import Edit, Writer, write_edits
from rheostat_server.ports.flags import FlagRow
from rheostat_server.ports.ramps import RampWatcher
from rheostat_server.ports.storage import Transaction


class Replaced(msgspec.Struct, frozen=True, kw_only=True):
    """The flag as it is stored now, what is to be said of the write, and what it changed.

    ``written``: there is a new version. ``environments`` serve something else; ``changed`` are the new revisions by the
    id of the environment.
    """

    row: FlagRow
    notes: tuple[str, ...]
    written: bool = False
    environments: tuple[str, ...] = ()
    changed: dict[int, int] = {}


async def replace_document(
    tx: Transaction,
    catalogue: Catalogue,
    document: FlagDocument,
    *,
    writer: Writer,
    watcher: RampWatcher,
    action: str,
    exact: bool = False,
    summary: str | None = None,
    notes: tuple[str, ...] = (),
    note: str | None = None,
) -> Replaced:
    """Write the document; environments that it does not list stay as they were, unless it is ``exact``.

    Raises:
        Invalid: it names what is not there; all faults are listed.
        Conflict: the flag is archived, or the edit would end a kill or spoil a live ramp's evidence.
    """
    row = catalogue.rows.get(document.key)
    if row is not None:
        refuse_archived(row)
    before = catalogue.in_service(document.key)
    merged = document if exact else keep_unlisted(before, document)
    await raise_faults(tx, catalogue, merged)
    if row is not None and msgspec.json.encode(merged) == row.document:
        return Replaced(row=row, notes=(*notes, "nothing changed"))
    verb = "created" if before is None else "changed"
    edit = Edit(
        row=row,
        before=before,
        after=merged,
        document=merged,
        action="create" if before is None else action,
        summary=summary or f"{verb} {document.key}",
        notes=notes,
        note=note,
    )
    return await replace_by(tx, catalogue, edit, writer=writer, watcher=watcher)


async def replace_by(
    tx: Transaction, catalogue: Catalogue, edit: Edit, *, writer: Writer, watcher: RampWatcher
) -> Replaced:
    """Write this one edit.

    Raises:
        Conflict: as ``replace_document``.
    """
    key = edit.document.key
    written = await write_edits(
        tx,
        catalogue.project,
        catalogue.environments,
        [edit],
        writer=writer,
        watcher=watcher,
        change=catalogue.shared,
    )
    return Replaced(
        row=written.rows[key],
        notes=written.notes[key],
        written=True,
        environments=tuple(written.touched[key]),
        changed=written.changed,
    )


async def raise_faults(tx: Transaction, catalogue: Catalogue, document: FlagDocument) -> None:
    """Let a document pass that names only what is there.

    Raises:
        Invalid: it does not; all faults are listed.
    """
    faults = catalogue.faults(document, await catalogue.after(tx, {document.key: document}))
    if faults:
        raise Invalid(faults, f"the flag {document.key}")
