"""Segments, layers and templates as one kind of thing: documents that flags or ramps share. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from rheostat.model.document import LayerDocument, SegmentDocument, TemplateDocument
from rheostat.model.flag import Segment
from rheostat.model.layer import Layer
from rheostat.model.serving import serve_layer, serve_segment
from rheostat_server.errors import Fault
from rheostat_server.flags.conditions import segments_named
from rheostat_server.layers.validate import validate_layer
from rheostat_server.ports.shared import SharedChange, SharedKind, SharedRow
from rheostat_server.ramps.template import validate_template
from rheostat_server.segments.references import check_named_segments
from rheostat_server.segments.validate import validate_segment

SharedDocument = SegmentDocument | LayerDocument | TemplateDocument
Place = tuple[SharedKind, str]
"""The kind and key of a shared document."""

VALIDATE: Final[Mapping[SharedKind, Callable[[object], SharedDocument]]] = {
    "segment": validate_segment,
    "layer": validate_layer,
    "template": validate_template,
}
_KINDS: Final[Mapping[type[SharedDocument], SharedKind]] = {
    SegmentDocument: "segment",
    LayerDocument: "layer",
    TemplateDocument: "template",
}


def place_of(document: SharedDocument) -> Place:
    """Return where a document is."""
    return _KINDS[type(document)], document.key


def read_shared(row: SharedRow) -> SharedDocument:
    """Return the stored document."""
    return msgspec.json.decode(row.document, type=SegmentDocument | LayerDocument | TemplateDocument)


def same(one: Any, other: Any) -> bool:
    """Return whether two are the same as JSON: Python holds 1 and true for equal."""
    return msgspec.json.encode(one) == msgspec.json.encode(other)


def served_form(document: SharedDocument | None) -> Segment | Layer | None:
    """Return what an evaluation knows of a document: not its owner, not its description; of a template nothing."""
    if document is None or isinstance(document, TemplateDocument):
        return None
    return serve_segment(document) if isinstance(document, SegmentDocument) else serve_layer(document)


class Shelf(msgspec.Struct, frozen=True):
    """The segments, layers and templates of a project at one moment, by key."""

    segments: Mapping[str, SegmentDocument]
    layers: Mapping[str, LayerDocument]
    versions: Mapping[Place, int] = {}
    """As found, before a write."""
    templates: Mapping[str, TemplateDocument] = {}

    def get(self, place: Place) -> SharedDocument | None:
        """Return the document at a place."""
        kind, key = place
        return self._of(kind).get(key)

    def places(self) -> list[Place]:
        """Return where there is a document."""
        return [(kind, key) for kind in VALIDATE for key in self._of(kind)]

    def with_written(self, written: Mapping[Place, SharedDocument | None]) -> "Shelf":
        """Return the shelf after a write; ``None`` takes a document away."""
        segments, layers, templates = dict(self.segments), dict(self.layers), dict(self.templates)
        for (kind, key), document in written.items():
            if isinstance(document, SegmentDocument):
                segments[key] = document
            elif isinstance(document, LayerDocument):
                layers[key] = document
            elif isinstance(document, TemplateDocument):
                templates[key] = document
            else:
                gone: dict[SharedKind, dict[str, Any]] = {"segment": segments, "layer": layers, "template": templates}
                gone[kind].pop(key, None)
        return Shelf(segments, layers, templates=templates)

    def faults(self, document: SharedDocument) -> list[Fault]:
        """Return what is wrong with a document among the others of this shelf."""
        return check_named_segments(document, self.segments) if isinstance(document, SegmentDocument) else []

    def _of(self, kind: SharedKind) -> Mapping[str, SharedDocument]:
        every: dict[SharedKind, Mapping[str, SharedDocument]] = {
            "segment": self.segments,
            "layer": self.layers,
            "template": self.templates,
        }
        return every[kind]

    def served_layers(self) -> dict[str, Layer]:
        """Return the layers as they are served."""
        return {key: serve_layer(layer) for key, layer in self.layers.items()}


def change_of(before: Shelf, after: Shelf) -> SharedChange:
    """Return what a write from one shelf to the other means to flags."""
    return SharedChange(
        layers_before=before.served_layers(), layers=after.served_layers(), segments=_affected(before, after)
    )


def _affected(before: Shelf, after: Shelf) -> frozenset[str]:
    """Return the segments whose served form changes, and those that lead to one of them."""
    affected = {
        key
        for key in {*before.segments, *after.segments}
        # Those that are not written are the same object: they can be many, and long.
        if (was := before.segments.get(key)) is not (now := after.segments.get(key))
        and not same(served_form(was), served_form(now))
    }
    named = {
        key: {name for condition in segment.conditions for _, name in segments_named(condition, "")}
        for key, segment in after.segments.items()
    }
    while more := {key for key, names in named.items() if key not in affected and names & affected}:
        affected |= more
    return frozenset(affected)
