"""Whether a flag document can be kept, and every reason why not. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from rheostat.model.document import AnswerDocument, EnvironmentDocument, FlagDocument, RuleDocument
from rheostat.model.flag import DEFAULT_ROLLOUT, FlagType, Prerequisite
from rheostat_server.faults import (
    QUOTE_IT,
    Faults,
    Fields,
    below,
    is_number,
    items_at,
    object_at,
    type_name,
)
from rheostat_server.flags.conditions import check_condition
from rheostat_server.flags.keys import is_key, key_at, key_fault
from rheostat_server.flags.rollouts import Known, check_answer, check_variant, variant_at
from rheostat_server.flags.tags import tags_at
from rheostat_server.flags.values import check_value, checked, json_value
from rheostat_server.flags.windows import check_window

_FLAG: Final = (
    "kind",
    "key",
    "type",
    "variants",
    "off_variant",
    "temporary",
    "client",
    "hook_kill",
    "owner",
    "description",
    "tags",
    "metadata",
    "environments",
)
_ENVIRONMENT: Final = ("enabled", "max_staleness", "prerequisites", "targets", "rules", "default")
_RULE: Final = ("name", "when", "active", "serve", "rollout")


def validate_flag(data: object) -> FlagDocument:
    """Return the document that was sent, with rules named and values of the flag's type.

    Raises:
        Invalid: it has faults; all of them are listed, each with its path.
    """
    faults = Faults()
    return checked(_check_flag(data, faults), faults, "flag")


def _check_flag(data: object, faults: Faults) -> FlagDocument:
    fields = Fields(data, "", faults, _FLAG)
    if isinstance(data, Mapping):
        fields.required("key", "type", "variants")
        fields.choice("kind", ("flag",))
    key = key_at(fields, "key", "flag key") or ""
    kind_name = fields.choice("type", tuple(FlagType))
    kind = None if kind_name is None else FlagType(kind_name)
    variants = _check_variants(fields, kind) if "variants" in fields else None
    known = Known(None if variants is None else tuple(variants))
    return FlagDocument(
        key=key,
        type=kind or FlagType.BOOLEAN,
        variants=variants or {},
        off_variant=variant_at(fields, "off_variant", known),
        temporary=fields.boolean("temporary", True),
        client=fields.boolean("client", False),
        hook_kill=fields.boolean("hook_kill", False),
        owner=fields.text("owner"),
        description=fields.text("description", longest=65_536),
        tags=tags_at(fields),
        metadata=_check_metadata(fields),
        environments=_check_environments(fields, key, known),
    )


def _check_variants(fields: Fields, kind: FlagType | None) -> dict[str, Any] | None:
    """Return the variants; ``None`` when they are so faulty that nothing can be said of references to them."""
    raw, path, faults = fields.raw("variants"), fields.at("variants"), fields.faults
    if not isinstance(raw, Mapping):
        object_at(raw, path, faults)
        return None
    if not raw:
        faults.add(path, "a flag has at least one variant")
    variants: dict[str, Any] = {}
    nameless = False
    for name, value in raw.items():
        where = below(path, name)
        if not isinstance(name, str):
            faults.add(where, f"a variant is named by text, not {type_name(name)}", QUOTE_IT)
            nameless = True
        else:
            if not is_key(name):
                faults.add(where, key_fault("variant's name"))
            variants[str(name)] = value if kind is None else check_value(kind, value, where, faults)
    return None if nameless else variants


def _check_metadata(fields: Fields) -> dict[str, str | int | float | bool]:
    if fields.raw("metadata") is None:
        return {}
    metadata: dict[str, str | int | float | bool] = {}
    for name, value in object_at(fields.raw("metadata"), fields.at("metadata"), fields.faults).items():
        if isinstance(value, (str, bool)) or is_number(value):
            metadata[name] = json_value(value, below(fields.at("metadata"), name), fields.faults)
        else:
            fields.faults.add(
                below(fields.at("metadata"), name),
                f"metadata is text, a number, true or false, not {type_name(value)}",
            )
    return metadata


def _check_environments(fields: Fields, key: str, known: Known) -> dict[str, EnvironmentDocument]:
    if fields.raw("environments") is None:
        return {}
    path = fields.at("environments")
    environments: dict[str, EnvironmentDocument] = {}
    for name, data in object_at(fields.raw("environments"), path, fields.faults).items():
        where = below(path, name)
        if not is_key(name):
            fields.faults.add(where, key_fault("environment's key"))
        here = Fields(data, where, fields.faults, _ENVIRONMENT)
        environments[name] = EnvironmentDocument(
            enabled=here.boolean("enabled", False),
            max_staleness=here.duration("max_staleness"),
            prerequisites=_check_prerequisites(here, key),
            targets=_check_targets(here, known),
            rules=_check_rules(here, known),
            default=_check_default(here, known),
        )
    return environments


def _check_prerequisites(fields: Fields, key: str) -> tuple[Prerequisite, ...]:
    if fields.raw("prerequisites") is None:
        return ()
    found: list[Prerequisite] = []
    for where, data in items_at(fields.raw("prerequisites"), fields.at("prerequisites"), fields.faults):
        item = Fields(data, where, fields.faults, ("flag", "variants"))
        if isinstance(data, Mapping):
            item.required("flag", "variants")
        flag = key_at(item, "flag", "flag key")
        if flag is not None and flag == key:
            item.fault("flag", "a flag cannot be its own prerequisite", "name another flag, or none")
        variants: list[str] = []
        if "variants" in item:
            if item.raw("variants") == []:
                item.fault("variants", "at least one variant is needed")
            for place, variant in items_at(item.raw("variants"), item.at("variants"), fields.faults):
                # Whether the other flag has this variant is for who knows that flag.
                name = check_variant(variant, place, Known(None), fields.faults)
                if name is not None:
                    variants.append(name)
        found.append(Prerequisite(flag or "", tuple(variants)))
    return tuple(found)


def _check_targets(fields: Fields, known: Known) -> dict[str, tuple[str, ...]]:
    raw, path, faults = fields.raw("targets"), fields.at("targets"), fields.faults
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        object_at(raw, path, faults)
        return {}
    targets: dict[str, tuple[str, ...]] = {}
    met: dict[str, str] = {}
    for variant, units in raw.items():
        where = below(path, variant)
        name = check_variant(variant, where, known, faults)
        own: list[str] = []
        for place, unit in items_at(units, where, faults):
            if not isinstance(unit, str):
                faults.add(place, f"a targeting key is text, not {type_name(unit)}", QUOTE_IT)
            elif met.setdefault(unit, where) != where:
                faults.add(place, f"{unit} is a target of another variant too, at {met[unit]}")
            else:
                own.append(str(unit))
        if name is not None:
            targets[name] = tuple(dict.fromkeys(own))
    return targets


def _check_rules(fields: Fields, known: Known) -> tuple[RuleDocument, ...]:
    if fields.raw("rules") is None:
        return ()
    rules: list[RuleDocument] = []
    met: set[str] = set()
    for index, (where, data) in enumerate(items_at(fields.raw("rules"), fields.at("rules"), fields.faults), 1):
        rule = Fields(data, where, fields.faults, _RULE)
        name = key_at(rule, "name", "rule's name") or f"rule-{index}"
        if name == DEFAULT_ROLLOUT:
            rule.fault("name", "default is the name of the rollout in the default", "choose another name")
        elif name in met:
            rule.fault("name", f"another rule has the name {name}")
        met.add(name)
        if not isinstance(data, Mapping):
            continue
        rule.required("when")
        when = check_condition(rule.raw("when"), rule.at("when"), fields.faults) if "when" in rule else None
        active = None
        if rule.raw("active") is not None:
            active = check_window(rule.raw("active"), rule.at("active"), fields.faults)
        answer = check_answer(rule, known)
        if when is not None and answer is not None:
            rules.append(RuleDocument(name=name, when=when, active=active, serve=answer.serve, rollout=answer.rollout))
    return tuple(rules)


def _check_default(fields: Fields, known: Known) -> AnswerDocument | None:
    raw = fields.raw("default")
    if raw is None:
        return None
    if isinstance(raw, str):
        fields.fault("default", "a default is an object", f"write default: {{serve: {raw}}}")
        return None
    inner = Fields(raw, fields.at("default"), fields.faults, ("serve", "rollout"))
    return check_answer(inner, known) if isinstance(raw, Mapping) else None
