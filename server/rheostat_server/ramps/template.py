"""Ramp templates: named plans of a project, and what comes of a ramp document that takes one. Pure."""

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from rheostat.model.document import RampDocument, TemplateDocument
from rheostat_server.errors import Fault, Invalid
from rheostat_server.faults import Faults, Fields, did_you_mean
from rheostat_server.flags.keys import key_at
from rheostat_server.flags.tags import tags_at
from rheostat_server.flags.values import checked
from rheostat_server.ramps.foreign.translation import ARGO, BLOCKS
from rheostat_server.ramps.foreign.translation import FIELDS as FOREIGN_FIELDS
from rheostat_server.ramps.validate import NO_TEMPLATE, validate_plan, validate_ramp

_OWN: Final = ("kind", "key", "owner", "description", "tags")
_OF_A_RAMP: Final = {
    "flag": "a template is for any flag",
    "environment": "a template is for any environment; an environment may have it by default",
    "template": "a template takes no other template",
    "to": "how far a ramp goes is its own document's word",
}
_BLANK: Final = RampDocument(flag="any", environment="any")
_PLAN: Final = frozenset(RampDocument.__struct_fields__) & frozenset(TemplateDocument.__struct_fields__)


def validate_template(data: object) -> TemplateDocument:
    """Return the document that was sent.

    Raises:
        Invalid: it has faults; all of them are listed, each with its path.
    """
    faults = Faults()
    given = data if isinstance(data, Mapping) else {}
    own = Fields({name: given[name] for name in _OWN if name in given} if given else data, "", faults, _OWN)
    if isinstance(data, Mapping):
        own.required("key")
    own.choice("kind", ("template",))
    key = key_at(own, "key", "template's key") or ""
    if key == NO_TEMPLATE:
        own.fault("key", f"{NO_TEMPLATE!r} means that a ramp takes no template", "choose another key")
    for name in (name for name in _OF_A_RAMP if name in given):
        faults.add(name, _OF_A_RAMP[name], "leave it out")
    rest = {name: value for name, value in given.items() if name not in _OWN and name not in _OF_A_RAMP}
    ramp = _BLANK
    try:
        ramp = validate_plan({**rest, "flag": "any", "environment": "any"})
    except Invalid as error:
        for fault in error.faults:
            faults.add(fault.path, fault.message, fault.hint)
    document = TemplateDocument(
        key=key,
        owner=own.text("owner"),
        description=own.text("description", longest=65_536),
        tags=tags_at(own),
        # What nobody wrote stays out of the document, where it could not be told from a word of its author.
        **{name: value for name in _PLAN if (value := getattr(ramp, name)) != getattr(_BLANK, name) or name in rest},
    )
    return checked(document, faults, "template")


def template_named(given: Mapping[str, Any], by_default: str | None) -> str | None:
    """Return the key of the template that a ramp document takes: its own word, else the environment's."""
    named = given.get("template")
    key = by_default if named is None else str(named)
    return None if key == NO_TEMPLATE else key


def with_template(given: Mapping[str, Any], template: TemplateDocument) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the ramp document with the template's fields beneath its own, and which came from the template.

    A field counts as the document's own if it is there, also as null: then it is as without a template. With a block of
    Flagger's or Argo Rollouts' of its own it takes none of the template's.
    """
    plan = msgspec.to_builtins(template)
    blocks = [name for name in BLOCKS if name in given]
    without = {*_OWN, *given, *(BLOCKS if blocks else ())}
    if blocks and all(given[name] is None for name in blocks):
        without.update(FOREIGN_FIELDS)
    elif ARGO in blocks:
        without.add("metricTemplates")
    taken = tuple(name for name in plan if name not in without)
    own = {name: value for name, value in given.items() if name != "template"}
    return {**own, **{name: plan[name] for name in taken}}, taken


def validate_with(given: Mapping[str, Any], template: TemplateDocument) -> tuple[RampDocument, tuple[str, ...]]:
    """Return the document that a ramp document and its template make, and which fields came from the template.

    Raises:
        Invalid: together they have faults; those that the document has not by itself say so.
    """
    merged, taken = with_template(given, template)
    try:
        return validate_ramp(merged), taken
    except Invalid as error:
        alone = _faults_alone(given)
        faults = [fault if fault in alone else _with(template, fault) for fault in error.faults]
        raise Invalid(faults, "the ramp document") from error


def _with(template: TemplateDocument, fault: Fault) -> Fault:
    hint = f"{NO_TEMPLATE} as template takes none"
    message = f"{fault.message} (with the template {template.key})"
    return Fault(fault.path, message, hint if fault.hint is None else f"{fault.hint}; {hint}")


def unknown_template(key: str, known: Collection[str]) -> Fault:
    """Return the fault of a document that names a template that is not there."""
    hint = did_you_mean(key, known) or "make it first: rheostat template put FILE"
    return Fault("template", f"there is no template {key!r}", hint)


def _faults_alone(given: Mapping[str, Any]) -> list[Fault]:
    try:
        validate_ramp({name: value for name, value in given.items() if name != "template"})
    except Invalid as error:
        return list(error.faults)
    return []
