"""What is settled of a ramp before it starts: its document with its template, and what its guardrails will read."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rheostat.model.document import RampDocument, TemplateDocument
from rheostat_server.errors import Fault, Invalid
from rheostat_server.faults import Faults
from rheostat_server.ports.ramps import Origin
from rheostat_server.ports.storage import EnvironmentRow, Transaction
from rheostat_server.ramps.foreign.translation import translated
from rheostat_server.ramps.given import as_given, digest_of
from rheostat_server.ramps.template import template_named, unknown_template, validate_with, with_template
from rheostat_server.ramps.validate import validate_ramp
from rheostat_server.ramps.watching import Watched


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A ramp that may start: its whole document, what it came from, and what a person should know of that.

    ``reason`` is why somebody starts it again. ``whole`` is the document with its template's fields, as both were
    written.
    """

    document: RampDocument
    origin: Origin
    notes: tuple[str, ...] = ()
    watched: Sequence[Watched] = ()
    reason: str = ""
    whole: Mapping[str, Any] = {}


class Template(msgspec.Struct, frozen=True):
    """A template and its version; 0: one that is being written."""

    document: TemplateDocument
    version: int


async def read_templates(tx: Transaction, project_id: int) -> dict[str, Template]:
    """Return the templates of a project."""
    rows = await tx.shared.of_project(project_id, "template")
    return {row.key: Template(msgspec.json.decode(row.document, type=TemplateDocument), row.version) for row in rows}


def given_document(data: object, environment: str) -> dict[str, Any]:
    """Return the document of a request that names the environment in its path, as it is kept.

    Raises:
        Invalid: it is no object, or one for another environment.
    """
    if not isinstance(data, Mapping):
        validate_ramp(data)
        raise AssertionError("a document that is no object has faults")
    given = as_given({"environment": environment, **data})
    if given["environment"] != environment:
        fault = Fault("environment", f"this is {given['environment']!r}, and the request is for {environment!r}")
        raise Invalid([fault, *_own_faults(given)], "the ramp")
    return given


def prepared(given: dict[str, Any], environment: EnvironmentRow, templates: Mapping[str, Template]) -> Prepared:
    """Return the ramp that a document and its template make.

    Raises:
        Invalid: it has faults, or there is no such template; all faults are listed.
    """
    key = template_named(given, environment.default_template)
    # Kept as it was written, with what the digest is of.
    origin = Origin(document=given, digest=digest_of(given))
    if key is None:
        return Prepared(document=validate_ramp(given), origin=origin, notes=changes_of(given), whole=given)
    if key not in templates:
        raise Invalid([unknown_template(key, templates), *_own_faults(given)], "the ramp")
    template = templates[key]
    document, taken = validate_with(given, template.document)
    whole, _ = with_template(given, template.document)
    by = "" if given.get("template") is not None else f", the default of {environment.key}"
    version = f", version {template.version}" if template.version else ""
    gave = ", ".join(taken) or "nothing: the document has all of it itself"
    return Prepared(
        document=document,
        origin=msgspec.structs.replace(origin, template=key, template_version=template.version or None),
        notes=(f"template {key}{version}{by}: it gives {gave}", *changes_of(whole)),
        whole=whole,
    )


def changes_of(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what becomes of a block of Flagger's or Argo Rollouts' in a document without faults, a line each."""
    return translated(given, Faults()).changes


def _own_faults(given: Mapping[str, Any]) -> Sequence[Fault]:
    try:
        validate_ramp(given)
    except Invalid as error:
        return error.faults
    return ()
