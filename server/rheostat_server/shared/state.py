"""What flags and ramps of a project share, as a transaction finds it, and the flags that a change of it concerns."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from rheostat.model.document import FlagDocument, LayerDocument, SegmentDocument, TemplateDocument
from rheostat.model.layer import Layer
from rheostat.model.serving import serve_layer
from rheostat_server.flags.conditions import segments_named
from rheostat_server.layers.references import uses_of_layer
from rheostat_server.ports.flags import FlagRow
from rheostat_server.ports.shared import SharedChange, SharedKind
from rheostat_server.ports.storage import Transaction
from rheostat_server.segments.references import Use, uses_of_segment
from rheostat_server.shared.documents import Place, Shelf, same


async def read_shelf(tx: Transaction, project_id: int) -> Shelf:
    """Return all segments, layers and templates of a project."""
    segments = await tx.shared.of_project(project_id, "segment")
    layers = await tx.shared.of_project(project_id, "layer")
    templates = await tx.shared.of_project(project_id, "template")
    return Shelf(
        {row.key: msgspec.json.decode(row.document, type=SegmentDocument) for row in segments},
        {row.key: msgspec.json.decode(row.document, type=LayerDocument) for row in layers},
        {(row.kind, row.key): row.version for row in (*segments, *layers, *templates)},
        {row.key: msgspec.json.decode(row.document, type=TemplateDocument) for row in templates},
    )


async def read_layers(tx: Transaction, project_id: int) -> dict[str, LayerDocument]:
    """Return the layers of a project."""
    rows = await tx.shared.of_project(project_id, "layer")
    return {row.key: msgspec.json.decode(row.document, type=LayerDocument) for row in rows}


async def read_served_layers(tx: Transaction, project_id: int) -> dict[str, Layer]:
    """Return the layers of a project as they are served."""
    return {key: serve_layer(layer) for key, layer in (await read_layers(tx, project_id)).items()}


async def lock_concerned(tx: Transaction, project_id: int, change: SharedChange) -> list[FlagRow]:
    """Return the flags in service that the change concerns, locked.

    A layer that is new or gone concerns none that is not written itself.
    """
    layers = {
        key
        for key, layer in change.layers.items()
        if key in change.layers_before and not same(layer, change.layers_before[key])
    }
    keys: set[str] = set()
    if layers:
        for row in await tx.shared.users(project_id, "layer"):
            document = _flag(row)
            if any(uses_of_layer(key, {row.key: document}) for key in layers):
                keys.add(row.key)
    if change.segments:
        for row in await tx.shared.users(project_id, "segment"):
            if segments_of(_flag(row)) & change.segments:
                keys.add(row.key)
    rows = await tx.flags.lock(project_id, sorted(keys))
    return [rows[key] for key in sorted(rows)]


def segments_of(document: FlagDocument) -> set[str]:
    """Return the segments that a flag names, wherever it is."""
    return {
        name
        for here in document.environments.values()
        for rule in here.rules
        for _, name in segments_named(rule.when, "")
    }


async def leading_to(tx: Transaction, project_id: int, segments: Iterable[str]) -> set[str]:
    """Return these segments, and those that ask one of them, directly or through others."""
    rows = await tx.shared.naming_segments(project_id)
    documents = [msgspec.json.decode(row.document, type=SegmentDocument) for row in rows]
    named = {
        document.key: {name for condition in document.conditions for _, name in segments_named(condition, "")}
        for document in documents
    }
    found = set(segments)
    while more := {key for key, others in named.items() if key not in found and others & found}:
        found |= more
    return found


async def uses_of(tx: Transaction, project_id: int, kind: SharedKind) -> "Uses":
    """Return who uses the documents of a kind, as the transaction finds them. No segment uses a layer.

    Templates are used by the environments that have them by default; a ramp that started has its own copy.
    """
    if kind == "template":
        mine = [row for row in await tx.environments.all() if row.project_id == project_id]
        return Uses(kind, {}, {}, {row.key: row.default_template for row in mine if row.default_template is not None})
    flags = {row.key: _flag(row) for row in await tx.shared.users(project_id, kind)}
    rows = await tx.shared.naming_segments(project_id) if kind == "segment" else []
    return Uses(kind, flags, {row.key: msgspec.json.decode(row.document, type=SegmentDocument) for row in rows})


class Uses(msgspec.Struct, frozen=True):
    """Who may use the documents of a kind: flags in service, segments, and environments (of templates)."""

    kind: SharedKind
    flags: Mapping[str, FlagDocument]
    segments: Mapping[str, SegmentDocument]
    defaults: Mapping[str, str] = {}

    def by_key(self, keys: Sequence[str]) -> dict[str, list[Use]]:
        """Return the uses of each of these."""
        if self.kind == "template":
            return {key: self._as_default(key) for key in keys}
        if self.kind == "layer":
            return {key: uses_of_layer(key, self.flags) for key in keys}
        # Each flag is read through once, not once a segment.
        naming: dict[str, dict[str, FlagDocument]] = {}
        for key, document in self.flags.items():
            for name in segments_of(document):
                naming.setdefault(name, {})[key] = document
        return {key: uses_of_segment(key, naming.get(key, {}), self.segments) for key in keys}

    def _as_default(self, key: str) -> list[Use]:
        return [
            Use(kind="environment", key=environment, path="default_template")
            for environment, template in self.defaults.items()
            if template == key
        ]


def users_in_words(place: Place, uses: Sequence[Use]) -> str:
    """Return who uses it, each once."""
    users = dict.fromkeys(
        f"the {use.kind} {use.key}" + (f" ({use.environment})" if use.environment else "") for use in uses
    )
    return f"the {place[0]} {place[1]} is used by {', '.join(users)}"


def _flag(row: FlagRow) -> FlagDocument:
    return msgspec.json.decode(row.document, type=FlagDocument)
