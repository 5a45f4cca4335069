"""What an edit of flags must be checked against, as its transaction finds it; and what the edit makes of it."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from rheostat.model.document import FlagDocument, LayerDocument
from rheostat.model.serving import serve_layer
from rheostat_server.errors import Conflict, Fault, Refused
from rheostat_server.flags.references import (
    check_dependents,
    check_environments,
    check_prerequisites,
    check_segments,
    dependents,
)
from rheostat_server.layers.references import check_layers, layer_overlaps, layers_of
from rheostat_server.ports.flags import FlagRow, FlagUse
from rheostat_server.ports.projects import ProjectRow
from rheostat_server.ports.shared import SharedChange
from rheostat_server.ports.storage import EnvironmentRow, Transaction
from rheostat_server.shared.state import read_layers
from rheostat_server.web.times import rfc3339

USED_LATELY_MS = 7 * 86_400_000
"""A flag that was evaluated within this time is not archived without force."""


def read_document(row: FlagRow) -> FlagDocument:
    """Return the stored document of a flag."""
    return msgspec.json.decode(row.document, type=FlagDocument)


class Catalogue(msgspec.Struct, frozen=True):
    """A project, its environments and flags of it, which nobody else can write until the transaction ends.

    ``rows`` are the flags to edit and those that have prerequisites: of thousands of others nothing is asked.
    ``segments`` are the keys of the project's segments, for nothing else is asked of them.
    """

    project: ProjectRow
    environments: list[EnvironmentRow]
    rows: dict[str, FlagRow]
    segments: Collection[str]
    layers: Mapping[str, LayerDocument]

    @property
    def shared(self) -> SharedChange:
        """What the flags share, for a write that leaves it as it is."""
        layers = {key: serve_layer(layer) for key, layer in self.layers.items()}
        return SharedChange(layers_before=layers, layers=layers)

    @property
    def environment_keys(self) -> list[str]:
        """The keys of the environments."""
        return [environment.key for environment in self.environments]

    def in_service(self, key: str) -> FlagDocument | None:
        """Return a flag's document; ``None`` where there is none or it is archived."""
        row = self.rows.get(key)
        return None if row is None or row.archived_at_ms is not None else read_document(row)

    async def after(self, tx: Transaction, written: Mapping[str, FlagDocument | None]) -> dict[str, FlagDocument]:
        """Return the flags in service, once these are written (``None`` archives), that may be at odds with them.

        They are the written ones, those that have prerequisites, those in layers where a written one is in a layer,
        and those that the written ones name; all flags where one that is named is not there, so that a fault can say
        what was meant.
        """
        documents = {key: document for key, document in written.items() if document is not None}
        rows = [row for row in self.rows.values() if row.archived_at_ms is None]
        named = {
            prerequisite.flag
            for document in documents.values()
            for here in document.environments.values()
            for prerequisite in here.prerequisites
        }
        if any(layers_of(document) for document in documents.values()):
            rows += await tx.shared.users(self.project.id, "layer")
        unknown = named - documents.keys() - {row.key for row in rows}
        if unknown:
            found = await tx.flags.several(self.project.id, sorted(unknown))
            if any(row.archived_at_ms is not None for row in found) or len(found) < len(unknown):
                found = await tx.flags.of_project(self.project.id)
            rows += [row for row in found if row.archived_at_ms is None]
        return {row.key: read_document(row) for row in rows if row.key not in written} | documents

    def faults(self, document: FlagDocument, flags: Mapping[str, FlagDocument]) -> list[Fault]:
        """Return what the document names and is not there. ``flags`` are those that ``after`` gives."""
        return [
            *check_environments(document, self.environment_keys),
            *check_segments(document, self.segments),
            *check_layers(document, self.layers),
            *layer_overlaps(document, flags),
            *check_prerequisites(document, flags),
            *check_dependents(document, flags),
        ]


async def lock_catalogue(tx: Transaction, project_key: str, keys: Sequence[str], *, whole: bool = False) -> Catalogue:
    """Lock the project and these flags, and return what an edit of them must be checked against.

    ``whole``: all flags of the project, archived ones too.

    Raises:
        NotFound: there is no such project.
    """
    project = await tx.projects.lock(project_key)
    rows = await tx.flags.lock(project.id, keys)
    environments = await tx.environments.of_project(project_key)
    others = await (tx.flags.of_project(project.id) if whole else tx.flags.with_prerequisites(project.id))
    return Catalogue(
        project,
        environments,
        rows | {row.key: row for row in others},
        frozenset(await tx.shared.keys(project.id, "segment")),
        await read_layers(tx, project.id),
    )


async def check_archival(
    tx: Transaction, catalogue: Catalogue, keys: Iterable[str], flags: Mapping[str, FlagDocument], now_ms: int
) -> None:
    """Refuse to archive flags that something still needs. ``flags`` are those that ``Catalogue.after`` gives.

    Raises:
        Refused: one is a prerequisite, or was evaluated in the last 7 days; flags and services are named.
    """
    reasons: list[str] = []
    for key in keys:
        needed_by = sorted({f"{other} ({environment})" for other, environment, _ in dependents(key, flags)})
        if needed_by:
            reasons.append(f"{key} is a prerequisite of {', '.join(needed_by)}")
        uses = await tx.flags.uses(catalogue.project.id, key, now_ms - USED_LATELY_MS)
        if uses:
            reasons.append(f"{key} was evaluated in the last 7 days by {', '.join(map(_use_words, uses))}")
    if reasons:
        raise Refused("; ".join(reasons) + ". Archive with force to do it all the same")


def refuse_archived(row: FlagRow) -> None:
    """Refuse to edit an archived flag.

    Raises:
        Conflict: it is archived.
    """
    if row.archived_at_ms is not None:
        raise Conflict(f"the flag {row.key!r} is archived; unarchive it first")


def _use_words(use: FlagUse) -> str:
    return f"{use.service or 'an unnamed service'} in {use.environment} (last {rfc3339(use.last_at_ms)})"
