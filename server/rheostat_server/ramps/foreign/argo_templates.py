"""Argo Rollouts' AnalysisTemplates: metrics on Prometheus, with arguments. Pure.

Field names, defaults and meaning as Argo Rollouts publishes them (v1alpha1, main branch of August 2026).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from rheostat_server.faults import Faults, Fields, did_you_mean, items_at, spelled
from rheostat_server.ramps.counting import DEFAULT_CONSECUTIVE_ERRORS
from rheostat_server.ramps.foreign.changes import Changes
from rheostat_server.ramps.foreign.conditions import ConditionError, condition_of
from rheostat_server.ramps.foreign.lengths import length_at
from rheostat_server.ramps.foreign.query_text import HoleError, check_parses, filled
from rheostat_server.ramps.promql import PromqlError

_TEMPLATE: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_SPEC: Final = ("metrics", "args", "dryRun", "measurementRetention", "templates")
_METRIC: Final = (
    "name",
    "interval",
    "initialDelay",
    "count",
    "successCondition",
    "failureCondition",
    "failureLimit",
    "inconclusiveLimit",
    "consecutiveErrorLimit",
    "consecutiveSuccessLimit",
    "provider",
)
_PROMETHEUS: Final = ("address", "query", "authentication", "timeout", "insecure", "headers", "rangeQuery")
_OTHERS: Final = (
    "kayenta",
    "web",
    "datadog",
    "wavefront",
    "newRelic",
    "job",
    "cloudWatch",
    "graphite",
    "influxdb",
    "skywalking",
    "plugin",
)
_ARG: Final = ("name", "value", "valueFrom")
_RUN: Final = ("templates", "args", "dryRun", "measurementRetention", "analysisRunMetadata", "startingStep")
_SERVER: Final = dict.fromkeys(
    ("address", "authentication", "timeout", "insecure", "headers"),
    "the server asks the Prometheus of RHEOSTAT_PROMETHEUS_URL",
)
_KEPT: Final = {
    "measurementRetention": "every decision is kept, with what was measured",
    "analysisRunMetadata": "there is no AnalysisRun to label",
}


class ArgoTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """A template as it was written: what its holes come to is known only where it is used."""

    path: str
    name: str
    cluster: bool
    spec: dict[str, Any]


class ArgoCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of an analysis, its query and conditions filled in. ``advisory`` is a dry run."""

    path: str
    name: str
    query: str
    success: str | None = None
    failure: str | None = None
    interval_s: float | None = None
    initial_delay_s: float = 0.0
    count: int = 0
    failure_limit: int = 0
    inconclusive_limit: int = 0
    consecutive_error_limit: int = DEFAULT_CONSECUTIVE_ERRORS
    consecutive_success_limit: int = 0
    advisory: bool = False


def check_argo_templates(fields: Fields, name: str) -> tuple[ArgoTemplate, ...]:
    """Return the templates of the list ``name``."""
    found: list[ArgoTemplate] = []
    if fields.raw(name) is None:
        return ()
    for where, data in items_at(fields.raw(name), fields.at(name), fields.faults):
        template = Fields(data, where, fields.faults, _TEMPLATE)
        template.required("metadata", "spec")
        raw = template.raw("metadata")
        metadata = Fields(raw, template.at("metadata"), fields.faults, tuple(raw) if isinstance(raw, Mapping) else ())
        metadata.required("name")
        key, spec = metadata.text("name"), template.raw("spec")
        if key is None or not isinstance(spec, Mapping):
            continue
        cluster = template.raw("kind") == "ClusterAnalysisTemplate"
        if any((one.name, one.cluster) == (key, cluster) for one in found):
            fields.faults.add(where, f"another template is named {key}")
        Fields(spec, template.at("spec"), fields.faults, _SPEC)
        found.append(ArgoTemplate(path=template.at("spec"), name=key, cluster=cluster, spec=dict(spec)))
    return tuple(found)


def check_run(
    data: object,
    path: str,
    faults: Faults,
    *,
    changes: Changes,
    templates: tuple[ArgoTemplate, ...],
    values: Mapping[str, str],
) -> tuple[ArgoCheck, ...]:
    """Return the metrics of an analysis, of all its templates; ``values`` are what is known besides its arguments."""
    fields = Fields(data, path, faults, _RUN)
    fields.required("templates")
    changes.left_out(fields, _KEPT)
    used = list(_used(fields, templates, ()))
    given = dict(_arguments(fields, "args"))
    advisory = _advisory(fields)
    found: list[ArgoCheck] = []
    for template in used:
        spec = Fields(template.spec, template.path, Faults(), _SPEC)
        changes.left_out(spec, _KEPT)
        own = Fields(template.spec, template.path, faults, tuple(template.spec))
        args = {**_defaults(own), **given}
        dry = advisory | _advisory(own)
        if own.raw("metrics") is None:
            continue
        for where, one in items_at(own.raw("metrics"), own.at("metrics"), faults):
            _say_server(one, where, changes)
            check = _check(
                one, where, faults, args, {**values, **{f"args.{name}": text for name, text in args.items()}}
            )
            if check is None:
                continue
            if any(other.name == check.name for other in found):
                faults.add(where, f"another metric of this analysis is named {check.name}")
            found.append(msgspec.structs.replace(check, advisory=bool(dry & {check.name, "*"})))
    return tuple(found)


def _say_server(metric: object, path: str, changes: Changes) -> None:
    quiet = Faults()
    provider = Fields(metric, path, quiet, _METRIC).raw("provider")
    at = f"{path}.provider.prometheus"
    given = Fields(provider if isinstance(provider, Mapping) else {}, at, quiet, _OTHERS).raw("prometheus")
    changes.left_out(Fields(given if isinstance(given, Mapping) else {}, at, quiet, _PROMETHEUS), _SERVER)


def _used(fields: Fields, templates: tuple[ArgoTemplate, ...], above: tuple[str, ...]) -> Iterator[ArgoTemplate]:
    for where, data in items_at(fields.raw("templates") or [], fields.at("templates"), fields.faults):
        ref = Fields(data, where, fields.faults, ("templateName", "clusterScope"))
        ref.required("templateName")
        name, cluster = ref.text("templateName"), ref.boolean("clusterScope", False)
        if name is None:
            continue
        found = next((one for one in templates if (one.name, one.cluster) == (name, cluster)), None)
        if found is None:
            whose = "ClusterAnalysisTemplate" if cluster else "AnalysisTemplate"
            close = did_you_mean(name, [one.name for one in templates if one.cluster is cluster])
            put = f"put the {whose} into the same file, or under argo.analysisTemplates"
            ref.fault("templateName", f"there is no {whose} {name} here", close or put)
        elif found.path in above:
            ref.fault("templateName", f"{name} refers to itself", "take one of the references away")
        else:
            yield found
            yield from _used(
                Fields(found.spec, found.path, fields.faults, tuple(found.spec)), templates, (*above, found.path)
            )


def _arguments(fields: Fields, name: str) -> Iterator[tuple[str, str]]:
    """Yield the arguments that have a value."""
    for where, data in items_at(fields.raw(name) or [], fields.at(name), fields.faults):
        arg = Fields(data, where, fields.faults, _ARG)
        arg.required("name")
        key, value = arg.text("name"), arg.raw("value")
        if arg.raw("valueFrom") is not None:
            arg.fault("valueFrom", "there are no pods, secrets and fields here to take it from", "give it a value")
        elif key is not None and value is not None:
            yield key, spelled(value)


def _defaults(fields: Fields) -> dict[str, str]:
    # What a template takes from elsewhere is a fault only where nobody gives it: then its hole has no value.
    quiet = Fields({"args": fields.raw("args")}, fields.path, Faults(), ("args",))
    return dict(_arguments(quiet, "args"))


def _advisory(fields: Fields) -> set[str]:
    found = set()
    for where, data in items_at(fields.raw("dryRun") or [], fields.at("dryRun"), fields.faults):
        name = Fields(data, where, fields.faults, ("metricName",)).text("metricName")
        found.add(name or "")
    return found


def _check(
    data: object, path: str, faults: Faults, args: Mapping[str, str], values: Mapping[str, str]
) -> ArgoCheck | None:
    before = len(faults)
    fields = Fields(data, path, faults, _METRIC)
    query = _query(fields, args, values)
    if not fields.text("name"):
        fields.fault("name", "a metric has a name")
    check = ArgoCheck(
        path=path,
        name=fields.text("name") or "",
        query=query or "",
        success=_condition(fields, "successCondition", values),
        failure=_condition(fields, "failureCondition", values),
        interval_s=length_at(fields, "interval"),
        initial_delay_s=length_at(fields, "initialDelay") or 0.0,
        count=_limit(fields, "count", values, 0),
        failure_limit=_limit(fields, "failureLimit", values, 0, least=-1),
        inconclusive_limit=_limit(fields, "inconclusiveLimit", values, 0),
        consecutive_error_limit=_limit(fields, "consecutiveErrorLimit", values, DEFAULT_CONSECUTIVE_ERRORS),
        consecutive_success_limit=_limit(fields, "consecutiveSuccessLimit", values, 0),
    )
    if check.count > 1 and check.interval_s is None and "interval" not in fields:
        fields.fault("count", "more than one measurement needs an interval", "interval: 1m")
    return check if len(faults) == before else None


def _query(fields: Fields, args: Mapping[str, str], values: Mapping[str, str]) -> str | None:
    provider = Fields(fields.raw("provider") or {}, fields.at("provider"), fields.faults, ("prometheus", *_OTHERS))
    for name in _OTHERS:
        if name in provider:
            provider.fault(
                name, f"{name} is not read", "Prometheus is: write the query for it, or leave the metric out"
            )
    if provider.raw("prometheus") is None:
        if not any(name in provider for name in _OTHERS):
            fields.fault("provider", "nothing is asked", "prometheus: {query: …}")
        return None
    prometheus = Fields(provider.raw("prometheus"), provider.at("prometheus"), fields.faults, _PROMETHEUS)
    prometheus.required("query")
    if prometheus.raw("rangeQuery") is not None:
        prometheus.fault(
            "rangeQuery", "a query is asked of one moment", "leave it out, and write the window into the query"
        )
    text = prometheus.text("query", longest=16_384)
    if text is None:
        return None
    try:
        query = filled(text, values, "give it under args, with a value")
        check_parses(query)
    except (HoleError, PromqlError) as error:
        prometheus.fault("query", str(error), error.hint)
        return None
    return query


def _condition(fields: Fields, name: str, values: Mapping[str, str]) -> str | None:
    text = fields.text(name)
    if not text:
        return None
    try:
        whole = filled(text, values, "give it under args, with a value")
        condition_of(whole)
    except (HoleError, ConditionError) as error:
        fields.fault(name, str(error), error.hint)
        return None
    return whole


def _limit(fields: Fields, name: str, values: Mapping[str, str], default: int, *, least: int = 0) -> int:
    raw = fields.raw(name)
    if raw is None:
        return default
    number = raw
    if isinstance(raw, str):
        try:
            number = int(filled(raw, values, "give it under args, with a value"))
        except HoleError as error:
            fields.fault(name, str(error), error.hint)
            return default
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number < 1_000_000:
        fields.fault(name, f"{spelled(raw)} is not a whole number of at least {least}", "such as 3")
        return default
    return number
