"""Whether a segment document can be kept, and every reason why not. Pure."""

from collections.abc import Mapping
from typing import Final

from rheostat.model.context import TARGETING_KEY
from rheostat.model.document import SegmentDocument
from rheostat.model.flag import Condition
from rheostat_server.faults import QUOTE_IT, Faults, Fields, items_at, type_name
from rheostat_server.flags.conditions import check_condition
from rheostat_server.flags.keys import key_at
from rheostat_server.flags.tags import tags_at
from rheostat_server.flags.values import checked

_SEGMENT: Final = ("kind", "key", "unit", "included", "excluded", "conditions", "owner", "description", "tags")


def validate_segment(data: object) -> SegmentDocument:
    """Return the document that was sent.

    Raises:
        Invalid: it has faults; all of them are listed, each with its path.
    """
    faults = Faults()
    return checked(_check_segment(data, faults), faults, "segment")


def _check_segment(data: object, faults: Faults) -> SegmentDocument:
    fields = Fields(data, "", faults, _SEGMENT)
    if isinstance(data, Mapping):
        fields.required("key")
        fields.choice("kind", ("segment",))
    met: dict[str, str] = {}
    excluded = _check_units(fields, "excluded", met)
    included = _check_units(fields, "included", met)
    return SegmentDocument(
        key=key_at(fields, "key", "segment's key") or "",
        unit=check_unit(fields),
        included=included,
        excluded=excluded,
        conditions=_check_conditions(fields),
        owner=fields.text("owner"),
        description=fields.text("description", longest=65_536),
        tags=tags_at(fields),
    )


def check_unit(fields: Fields) -> str:
    """Return the attribute that names units; the targeting key where none is given."""
    unit = fields.text("unit", longest=256)
    if unit == "":
        fields.fault("unit", "an attribute has a name", "such as unit: company")
    return unit or TARGETING_KEY


def _check_units(fields: Fields, name: str, met: dict[str, str]) -> tuple[str, ...]:
    """Return the units, each once. ``met`` holds those of the other list, which none may be in too."""
    if fields.raw(name) is None:
        return ()
    units: dict[str, None] = {}
    for where, unit in items_at(fields.raw(name), fields.at(name), fields.faults):
        if not isinstance(unit, str):
            fields.faults.add(where, f"a unit is text, not {type_name(unit)}", QUOTE_IT)
        elif met.setdefault(unit, name) != name:
            fields.faults.add(where, f"{unit} is {met[unit]} too, and excluded goes first", "keep one")
        else:
            units[str(unit)] = None
    return tuple(units)


def _check_conditions(fields: Fields) -> tuple[Condition, ...]:
    if fields.raw("conditions") is None:
        return ()
    items = items_at(fields.raw("conditions"), fields.at("conditions"), fields.faults)
    return tuple(check_condition(item, where, fields.faults) for where, item in items)
