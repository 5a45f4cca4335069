"""Flagger's metric templates, beside the block that refers to them. Pure."""

from collections.abc import Mapping
from typing import Final

import msgspec

from rheostat_server.faults import Faults, Fields, did_you_mean, items_at

_WHOLE: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_SHORT: Final = ("name", "namespace", "provider", "query")
_SPEC: Final = ("provider", "query")
_PROVIDER: Final = ("type", "address", "headers", "secretRef", "region", "insecureSkipVerify")
PROMETHEUS: Final = "prometheus"


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A query with holes. ``address`` is the server that it named."""

    name: str
    query: str
    namespace: str | None = None
    address: str | None = None


def check_templates(fields: Fields, name: str) -> tuple[Template, ...]:
    """Return the templates of the list ``name``: whole documents, or ``{name, query}``."""
    if fields.raw(name) is None:
        return ()
    found: list[Template] = []
    for where, data in items_at(fields.raw(name), fields.at(name), fields.faults):
        whole = isinstance(data, Mapping) and ("spec" in data or "metadata" in data)
        template = _whole(data, where, fields.faults) if whole else _short(data, where, fields.faults)
        if template is None:
            continue
        if any((one.name, one.namespace) == (template.name, template.namespace) for one in found):
            fields.faults.add(where, f"another template is named {template.name}")
        found.append(template)
    return tuple(found)


def template_named(fields: Fields, name: str, templates: tuple[Template, ...]) -> Template | None:
    """Return the template that the reference ``name`` means; a fault where there is none."""
    ref = Fields(fields.raw(name), fields.at(name), fields.faults, ("name", "namespace", "kind", "apiVersion"))
    ref.required("name")
    wanted, namespace = ref.text("name"), ref.text("namespace")
    if wanted is None:
        return None
    named = [one for one in templates if one.name == wanted]
    if namespace is not None and any(one.namespace == namespace for one in named):
        named = [one for one in named if one.namespace == namespace]
    if len(named) == 1:
        return named[0]
    if named:
        ref.fault("namespace", f"there are {len(named)} templates {wanted}", "say whose is meant")
        return None
    close = did_you_mean(wanted, [one.name for one in templates])
    ref.fault(
        "name",
        f"there is no metric template {wanted} here",
        close or "put the MetricTemplate into the same file, or under metricTemplates beside the block",
    )
    return None


def _whole(data: object, path: str, faults: Faults) -> Template | None:
    fields = Fields(data, path, faults, _WHOLE)
    fields.required("metadata", "spec")
    raw = fields.raw("metadata")
    # Labels, annotations and what a cluster adds are nobody's concern here.
    metadata = Fields(raw, fields.at("metadata"), faults, tuple(raw) if isinstance(raw, Mapping) else ())
    metadata.required("name")
    spec = Fields(fields.raw("spec"), fields.at("spec"), faults, _SPEC)
    return _template(spec, metadata.text("name"), metadata.text("namespace"))


def _short(data: object, path: str, faults: Faults) -> Template | None:
    fields = Fields(data, path, faults, _SHORT)
    fields.required("name")
    return _template(fields, fields.text("name"), fields.text("namespace"))


def _template(fields: Fields, name: str | None, namespace: str | None) -> Template | None:
    fields.required("query")
    query = fields.text("query", longest=16_384)
    address = None
    provider = fields.raw("provider")
    kind: object = provider
    at = "provider"
    if isinstance(provider, Mapping):
        inner = Fields(provider, fields.at("provider"), fields.faults, _PROVIDER)
        kind, at = inner.text("type") or PROMETHEUS, "provider.type"
        address = inner.text("address")
    if kind is not None and kind != PROMETHEUS:
        fields.fault(at, f"{kind} is not read", "Prometheus is: write the query for it, or leave the metric out")
        return None
    if name is None or query is None:
        return None
    return Template(name=name, query=query, namespace=namespace, address=address)
