"""All flags of a project as a transaction finds them, and what its edits make of them."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from rheostat.model.document import FlagDocument
from rheostat_server.errors import Conflict, Fault, Refused
from rheostat_server.flags.references import (
    check_dependents,
    check_environments,
    check_prerequisites,
    check_segments,
    dependents,
)
from rheostat_server.layers.references import check_layers
from rheostat_server.ports.flags import FlagRow, FlagUse
from rheostat_server.ports.projects import ProjectRow
from rheostat_server.ports.storage import EnvironmentRow, Transaction
from rheostat_server.web.times import rfc3339

USED_LATELY_MS = 7 * 86_400_000
"""A flag that was evaluated within this time is not archived without force."""


def read_document(row: FlagRow) -> FlagDocument:
    """Return the stored document of a flag."""
    return msgspec.json.decode(row.document, type=FlagDocument)


class Catalogue(msgspec.Struct, frozen=True):
    """A project, its environments and all its flags, which nobody else can write until the transaction ends."""

    project: ProjectRow
    environments: list[EnvironmentRow]
    rows: dict[str, FlagRow]

    @property
    def environment_keys(self) -> list[str]:
        """The keys of the environments."""
        return [environment.key for environment in self.environments]

    def in_service(self, key: str) -> FlagDocument | None:
        """Return a flag's document; ``None`` where there is none or it is archived."""
        row = self.rows.get(key)
        return None if row is None or row.archived_at_ms is not None else read_document(row)

    def after(self, written: Mapping[str, FlagDocument | None]) -> dict[str, FlagDocument]:
        """Return all flags in service once these are written; ``None`` archives."""
        documents = {
            key: read_document(row)
            for key, row in self.rows.items()
            if row.archived_at_ms is None and key not in written
        }
        return documents | {key: document for key, document in written.items() if document is not None}

    def faults(self, document: FlagDocument, flags: Mapping[str, FlagDocument]) -> list[Fault]:
        """Return what the document names and is not there. ``flags`` are all in service after the write."""
        return [
            *check_environments(document, self.environment_keys),
            *check_segments(document, ()),
            *check_layers(document, ()),
            *check_prerequisites(document, flags),
            *check_dependents(document, flags),
        ]


async def lock_catalogue(tx: Transaction, project_key: str, keys: Sequence[str]) -> Catalogue:
    """Lock the project and these flags, and return all that an edit of them must be checked against.

    Raises:
        NotFound: there is no such project.
    """
    project = await tx.projects.lock(project_key)
    await tx.flags.lock(project.id, keys)
    environments = await tx.environments.of_project(project_key)
    rows = {row.key: row for row in await tx.flags.of_project(project.id)}
    return Catalogue(project, environments, rows)


async def check_archival(
    tx: Transaction, catalogue: Catalogue, keys: Iterable[str], flags: Mapping[str, FlagDocument], now_ms: int
) -> None:
    """Refuse to archive flags that something still needs. ``flags`` are those in service afterwards.

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
