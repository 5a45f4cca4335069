"""Whether a layer document can be kept, and every reason why not. Pure."""

from collections.abc import Mapping
from typing import Final

from rheostat.model.document import LayerDocument
from rheostat_server.faults import Faults, Fields
from rheostat_server.flags.keys import key_at
from rheostat_server.flags.tags import tags_at
from rheostat_server.flags.values import checked
from rheostat_server.segments.validate import check_unit

_LAYER: Final = ("kind", "key", "unit", "salt", "owner", "description", "tags")


def validate_layer(data: object) -> LayerDocument:
    """Return the document that was sent.

    Raises:
        Invalid: it has faults; all of them are listed, each with its path.
    """
    faults = Faults()
    fields = Fields(data, "", faults, _LAYER)
    if isinstance(data, Mapping):
        fields.required("key")
        fields.choice("kind", ("layer",))
    document = LayerDocument(
        key=key_at(fields, "key", "layer's key") or "",
        unit=check_unit(fields),
        salt=key_at(fields, "salt", "salt"),
        owner=fields.text("owner"),
        description=fields.text("description", longest=65_536),
        tags=tags_at(fields),
    )
    return checked(document, faults, "layer")
