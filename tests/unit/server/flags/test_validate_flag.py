"""A flag document with faults changes nothing and names the path of every fault."""

import datetime
import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from ruamel.yaml import YAML

from rheostat.model.document import FlagDocument
from rheostat.model.flag import FlagType, Operator
from rheostat.model.serving import serve
from rheostat_server.errors import Fault, Invalid
from rheostat_server.faults import spelled
from rheostat_server.flags.validate import validate_flag
from tests.strategies import json_values


def a_document(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "flag",
        "key": "checkout",
        "type": "boolean",
        "variants": {"on": True, "off": False},
        "off_variant": "off",
        **changes,
    }


def here(**environment: Any) -> dict[str, Any]:
    """Return a document that says this of production."""
    return a_document(environments={"production": environment})


def ruled(**rule: Any) -> dict[str, Any]:
    return here(rules=[{"serve": "on", "when": {"attribute": "a", "operator": "exists"}, **rule}])


def when(**condition: Any) -> dict[str, Any]:
    return ruled(when=condition)


def rolled(**rollout: Any) -> dict[str, Any]:
    return here(default={"rollout": {"exposure": 5, "split": {"on": 1}, **rollout}})


def faults_of(data: object) -> dict[str, Fault]:
    with pytest.raises(Invalid) as caught:
        validate_flag(data)
    assert str(len(caught.value.faults)) in str(caught.value)
    return {fault.path: fault for fault in caught.value.faults}


P = "environments.production"
R = f"{P}.rules[0]"
W = f"{R}.when"
D = f"{P}.default.rollout"
FAULTY: list[tuple[object, str, str]] = [
    ([], "", "a list, not an object"),
    ({}, "key", "required"),
    (a_document(key="a b"), "key", "1 to 128"),
    (a_document(key="k" * 129), "key", "1 to 128"),
    (a_document(key=7), "key", "not text"),
    (a_document(kind="ramp"), "kind", "no kind ramp"),
    (a_document(type="bool"), "type", "no type bool"),
    (a_document(variants=[]), "variants", "a list, not an object"),
    (a_document(variants={}), "variants", "at least one"),
    (a_document(variants={"on": True, "o n": False}), "variants.o n", "1 to 128"),
    (a_document(variants={True: True}), "variants.true", "named by text"),
    (a_document(variants={"on": 1}), "variants.on", "boolean flag cannot be 1"),
    (a_document(variants={"on": "on"}), "variants.on", "boolean flag cannot be text"),
    (a_document(off_variant="of"), "off_variant", "no variant of"),
    (a_document(off_variant=False), "off_variant", "named by text"),
    (a_document(temporary="yes"), "temporary", "not true or false"),
    (a_document(owner=["me"]), "owner", "not text"),
    (a_document(owner="x" * 5000), "owner", "longer than"),
    (a_document(tags="a"), "tags", "not a list"),
    (a_document(tags=[1]), "tags[0]", "a tag is text"),
    (a_document(tags=[""]), "tags[0]", "1 to 128"),
    (a_document(metadata={"a": []}), "metadata.a", "a list"),
    (a_document(metadata={"a": 10**5000}), "metadata.a", "64 bits"),
    (a_document(metadata={1: "a"}), "metadata.1", "a key is text"),
    (a_document(environments=[]), "environments", "a list"),
    (a_document(environments={"a b": {}}), "environments.a b", "1 to 128"),
    (a_document(environments={"production": None}), P, "null, not an object"),
    (here(enabled=1), f"{P}.enabled", "not true or false"),
    (here(max_staleness="10"), f"{P}.max_staleness", "such as 60s"),
    (here(max_staleness=10), f"{P}.max_staleness", "such as 60s"),
    (here(max_staleness="0s"), f"{P}.max_staleness", "above 0"),
    (here(prerequisites=[{"flag": "checkout", "variants": ["on"]}]), f"{P}.prerequisites[0].flag", "its own"),
    (here(prerequisites=[{"flag": "a"}]), f"{P}.prerequisites[0].variants", "required"),
    (here(prerequisites=[{"flag": "a", "variants": []}]), f"{P}.prerequisites[0].variants", "at least one"),
    (here(prerequisites=[{"flag": "a", "variants": [True]}]), f"{P}.prerequisites[0].variants[0]", "named by text"),
    (here(prerequisites=["a"]), f"{P}.prerequisites[0]", "not an object"),
    (here(targets=[]), f"{P}.targets", "a list"),
    (here(targets={"of": ["u"]}), f"{P}.targets.of", "no variant of"),
    (here(targets={True: ["u"]}), f"{P}.targets.true", "named by text"),
    (here(targets={"on": "u"}), f"{P}.targets.on", "not a list"),
    (here(targets={"on": [7]}), f"{P}.targets.on[0]", "a targeting key is text"),
    (here(targets={"on": ["u"], "off": ["v", "u"]}), f"{P}.targets.off[1]", f"{P}.targets.on"),
    (here(rules=["a"]), R, "text, not an object"),
    (here(rules=[{"serve": "on"}]), f"{R}.when", "required"),
    (ruled(name="default"), f"{R}.name", "default"),
    (ruled(name="a b"), f"{R}.name", "1 to 128"),
    (ruled(serve="onn"), f"{R}.serve", "no variant onn"),
    (ruled(serve=None), f"{R}.serve", "not null"),
    (ruled(rollout={}), R, "exactly one of serve and rollout"),
    (ruled(active={}), f"{R}.active", "from, until or both"),
    (ruled(active="now"), f"{R}.active", "text, not an object"),
    (ruled(active={"from": None, "til": "x"}), f"{R}.active.til", "no such field"),
    (ruled(active={"from": "2026-11-27T00:00"}), f"{R}.active.from", "needs an offset"),
    (ruled(active={"until": "2026-11-27", "timezone": "UTC"}), f"{R}.active.until", "not a date and time"),
    (ruled(active={"from": 7}), f"{R}.active.from", "not text"),
    (
        ruled(active={"from": "2026-11-27T24:00Z", "until": "2026-11-28T00:00:00Z"}),
        f"{R}.active.from",
        "not a date and time",
    ),
    (
        ruled(active={"from": "2026-11-27T00:00Z", "until": "2026-11-27T01:00+01:00"}),
        f"{R}.active.until",
        "ends after it begins",
    ),
    (
        ruled(active={"from": "2026-11-27T00:00:00Z", "until": "2026-11-27T01:00:00+01:00"}),
        f"{R}.active.until",
        "ends after it begins",
    ),
    (
        ruled(active={"from": "2026-11-27T00:00", "timezone": "Europe/Madird"}),
        f"{R}.active.timezone",
        "did you mean Europe/Madrid?",
    ),
    (ruled(active={"from": "2026-11-27T00:00", "timezone": "localtime"}), f"{R}.active.timezone", "no timezone"),
    (
        here(rules=[{"name": "rule-2", **ruled()["environments"]["production"]["rules"][0]}] * 2),
        f"{P}.rules[1].name",
        "another",
    ),
    (here(default="on"), f"{P}.default", "an object"),
    (here(default=True), f"{P}.default", "not an object"),
    (here(default={}), f"{P}.default", "exactly one"),
    (here(default={"rollout": 5}), D, "not an object"),
    (here(default={"rollout": {}}), f"{D}.exposure", "required"),
    (rolled(exposure=10**5000), f"{D}.exposure", "0 and 100"),
    (rolled(exposure=101), f"{D}.exposure", "between 0 and 100"),
    (rolled(exposure=-1), f"{D}.exposure", "between 0 and 100"),
    (rolled(exposure=1.00001), f"{D}.exposure", "finer than four"),
    (rolled(exposure="5"), f"{D}.exposure", "finite number"),
    (rolled(exposure=True), f"{D}.exposure", "finite number"),
    (rolled(exposure=float("nan")), f"{D}.exposure", "finite number"),
    (rolled(exposure=None), f"{D}.exposure", "0 to 100"),
    (rolled(split=["on"]), f"{D}.split", "a list"),
    (rolled(split={}), f"{D}.split", "above 0"),
    (rolled(split={"on": 0}), f"{D}.split", "above 0"),
    (rolled(split={"on": -1}), f"{D}.split.on", "0 or more"),
    (rolled(split={"on": True}), f"{D}.split.on", "0 or more"),
    (rolled(split={"on": 1e10}), f"{D}.split.on", "between"),
    (rolled(split={"no": 1}), f"{D}.split.no", "no variant no"),
    (rolled(split={True: 1}), f"{D}.split.true", "named by text"),
    (rolled(fallback="of"), f"{D}.fallback", "no variant of"),
    (rolled(bucket_by=""), f"{D}.bucket_by", "has a name"),
    (rolled(salt="a/b"), f"{D}.salt", "1 to 128"),
    (rolled(layer="pricing"), f"{D}.range", "which range of it is its own"),
    (rolled(layer="a b", range=[0, 50]), f"{D}.layer", "1 to 128"),
    (rolled(layer="pricing", range=[0, 50], salt="s"), f"{D}.salt", "the layer fixes this"),
    (rolled(layer="pricing", range=[0, 50], bucket_by="org"), f"{D}.bucket_by", "the layer fixes this"),
    (rolled(range=[0, 50]), f"{D}.range", "only a rollout in a layer"),
    (rolled(layer="pricing", range=50), f"{D}.range", "a list of two"),
    (rolled(layer="pricing", range=[0, 50, 100]), f"{D}.range", "a list of two"),
    (rolled(layer="pricing", range=[0, "50"]), f"{D}.range[1]", "not a finite number"),
    (rolled(layer="pricing", range=[0, 50.00001]), f"{D}.range[1]", "finer than four"),
    (rolled(layer="pricing", range=[-1, 50]), f"{D}.range[0]", "between 0 and 100"),
    (rolled(layer="pricing", range=[50, 50]), f"{D}.range", "ends above where it begins"),
    (ruled(when="a"), W, "text, not an object"),
    (when(), W, "exactly one of"),
    (when(all=[], any=[]), W, "exactly one of"),
    (when(all=[]), f"{W}.all", "no condition"),
    (when(any={}), f"{W}.any", "not a list"),
    (when(all=[{"segment": "a b"}]), f"{W}.all[0].segment", "1 to 128"),
    (when(segment=None), f"{W}.segment", "by its key"),
    (when(segment="beta", values=[1]), f"{W}.values", "only a condition on an attribute"),
    (when(attribute=7, operator="exists"), f"{W}.attribute", "not text"),
    (when(attribute="", operator="exists"), f"{W}.attribute", "has a name"),
    (when(attribute="a"), f"{W}.operator", "required"),
    (when(attribute="a", operator="is", values=[1]), f"{W}.operator", "no operator is"),
    (when(attribute="a", operator="matches", values=[1]), f"{W}.values[0]", "a pattern is text"),
    (when(attribute="a", operator="matches", values=["x", "a(b"]), f"{W}.values[1]", "at character 2"),
    (when(attribute="a", operator="matches", values=["x" * 1001]), f"{W}.values[0]", "at most 1000 characters"),
    (when(attribute="a", operator="exists", values=[1]), f"{W}.values", "no values"),
    (when(attribute="a", operator="in"), f"{W}.values", "required"),
    (when(attribute="a", operator="in", values="x"), f"{W}.values", "not a list"),
    (when(attribute="a", operator="in", values=[]), f"{W}.values", "at least one"),
    (when(attribute="a", operator="equals", values=[1, 2]), f"{W}.values", "exactly one"),
    (when(attribute="a", operator="contains", values=[1]), f"{W}.values[0]", "compares with text"),
    (when(attribute="a", operator="lt", values=["1"]), f"{W}.values[0]", "compares with a number"),
    (when(attribute="a", operator="lt", values=[True]), f"{W}.values[0]", "compares with a number"),
    (when(attribute="a", operator="before", values=["2026"]), f"{W}.values[0]", "date and time"),
    (when(attribute="a", operator="semver_lt", values=[1.2]), f"{W}.values[0]", "semantic version"),
    (when(attribute="a", operator="in_cidr", values=["10.0.0.1/8"]), f"{W}.values[0]", "CIDR"),
    (when(attribute="a", operator="in_cidr", values=["ten"]), f"{W}.values[0]", "CIDR"),
    (when(attribute="a", operator="in", values=[float("inf")]), f"{W}.values[0]", "JSON has no inf"),
]


@pytest.mark.parametrize(("data", "path", "part"), FAULTY, ids=[f"{path}-{part}" for _, path, part in FAULTY])
def test_a_fault_is_named_by_its_path(data: object, path: str, part: str) -> None:
    """Each fault has the path of the very field, and says what is wrong with it."""
    faults = faults_of(data)

    assert path in faults
    assert part in str(faults[path])


def test_a_scalar_is_shown_as_a_document_spells_it() -> None:
    """True, null, and long values cut short."""
    assert [spelled(value) for value in (True, None, 1.5, 10**5000)] == ["true", "null", "1.5", "a very long number"]
    assert len(spelled("x" * 200)) == 78


@pytest.mark.parametrize(
    ("data", "path", "hint"),
    [
        (a_document(typ="x"), "typ", "did you mean type?"),
        (here(enabld=True), f"{P}.enabld", "did you mean enabled?"),
        (a_document(off_variant="of"), "off_variant", "did you mean off?"),
        (when(attribute="a", operator="start_with", values=["x"]), f"{W}.operator", "did you mean starts_with?"),
        (when(attribute="a", operator="in_cidr", values=["10.0.0.1/8"]), f"{W}.values[0]", "did you mean 10.0.0.0/8?"),
        (when(attribute="a", operator="matches", values=[r"(a)\1"]), f"{W}.values[0]", "cannot be referred to"),
        (a_document(variants={True: True}), "variants.true", "quotes"),
        (ruled(serve=True), f"{R}.serve", "quotes"),
        (a_document(variants={"on": "yes"}), "variants.on", "write true or false"),
        (a_document(type="string", variants={"a": 1.5}), "variants.a", "quotes"),
        (here(default="on"), f"{P}.default", "{serve: on}"),
    ],
)
def test_a_fault_says_what_was_probably_meant(data: object, path: str, hint: str) -> None:
    """Misspelt names and YAML's own readings get a hint."""
    assert hint in (faults_of(data)[path].hint or "")


def test_every_fault_is_found_at_once() -> None:
    """Nothing stops at the first."""
    data = a_document(key="a b", type="bool", tags=[1], environments={"production": {"enabled": 1, "rules": [{}]}})

    assert set(faults_of(data)) == {"key", "type", "tags[0]", f"{P}.enabled", f"{R}.when", R}


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("float", 10, 10.0),
        ("float", 0.5, 0.5),
        ("integer", 10, 10),
        ("integer", 10.0, 10),
        ("string", "10", "10"),
        ("object", {"a": [1, None, {"b": 1.5}]}, {"a": [1, None, {"b": 1.5}]}),
    ],
)
def test_values_are_of_the_flags_type(kind: str, value: Any, kept: Any) -> None:
    """10 of a float flag is 10.0, and 10.0 of an integer flag 10."""
    document = validate_flag(a_document(type=kind, variants={"v": value}, off_variant="v"))

    assert msgspec.json.encode(document.variants["v"]) == msgspec.json.encode(kept)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", 10.5),
        ("integer", True),
        ("integer", "1"),
        ("integer", 2**63),
        ("float", True),
        ("float", float("inf")),
        ("float", 10**400),
        ("string", 1),
        ("string", "\ud800"),
        ("string", "x" * 262_145),
        ("string", datetime.date(2026, 1, 1)),
        ("object", [1]),
        ("object", {"a": 10**5000}),
        ("boolean", None),
    ],
)
def test_a_value_of_another_type_is_refused(kind: str, value: Any) -> None:
    """Nothing is converted between types, and nothing is kept that JSON cannot say."""
    assert any(
        path.startswith("variants.v")
        for path in faults_of(a_document(type=kind, variants={"v": value}, off_variant="v"))
    )


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": float("nan")}, "variants.v.a"),
        ({"a": [datetime.date(2026, 1, 1)]}, "variants.v.a[0]"),
        ({"a": {1: 2}}, "variants.v.a.1"),
    ],
)
def test_what_json_cannot_say_is_found_within_objects(value: Any, path: str) -> None:
    """With the path of the place."""
    assert path in faults_of(a_document(type="object", variants={"v": value}, off_variant="v"))


def nested(levels: int, leaf: Any, wrap: Any) -> Any:
    for _ in range(levels):
        leaf = wrap(leaf)
    return leaf


def test_values_and_conditions_are_at_most_16_levels_deep() -> None:
    """The 16th level is kept, the 17th refused."""
    leaf = {"attribute": "a", "operator": "exists"}

    def valued(levels: int) -> dict[str, Any]:
        return a_document(type="object", variants={"v": nested(levels, 1, lambda v: {"a": v})}, off_variant="v")

    def ruled_by(levels: int) -> dict[str, Any]:
        return ruled(when=nested(levels, leaf, lambda c: {"not": c}))

    validate_flag(valued(16))
    validate_flag(ruled_by(15))
    assert "16 levels" in str(next(iter(faults_of(valued(17)).values())))
    assert "16 levels" in str(next(iter(faults_of(ruled_by(16)).values())))
    assert faults_of(ruled_by(100_000))


def test_a_document_is_at_most_a_mebibyte() -> None:
    """Larger ones are refused as a whole."""
    assert "1,048,576" in str(faults_of(here(targets={"on": [f"user-{n}-{'x' * 100}" for n in range(10_000)]}))[""])
    assert "UTF-8" in str(faults_of(a_document(owner="\ud800"))[""])


def test_rules_without_a_name_are_numbered() -> None:
    """By their position, from 1, and tags and targets are each kept once."""
    rule = ruled()["environments"]["production"]["rules"][0]
    data = here(
        rules=[rule, {**rule, "name": "mine"}, rule], targets={"on": ["u", "v", "v", "u"]}, default={"serve": "on"}
    )
    document = validate_flag({**data, "tags": ["a", "a"]})

    assert [rule.name for rule in document.environments["production"].rules] == ["rule-1", "mine", "rule-3"]
    assert document.environments["production"].targets == {"on": ("u", "v")}
    assert document.tags == ("a",)
    assert validate_flag(a_document(metadata={"team": "a", "tier": 1})).metadata == {"team": "a", "tier": 1}


def test_the_design_s_example_is_valid() -> None:
    """And is served as it says."""
    document = validate_flag(
        here(
            enabled=True,
            max_staleness="10m",
            prerequisites=[{"flag": "payments", "variants": ["on"]}],
            targets={"on": ["user-1"]},
            rules=[
                {
                    "name": "sale",
                    "when": {
                        "all": [
                            {"segment": "beta"},
                            {"not": {"attribute": "country", "operator": "in", "values": ["XX"]}},
                            {"any": [{"attribute": "ip", "operator": "in_cidr", "values": ["10.0.0.0/8", "::1"]}]},
                        ]
                    },
                    "rollout": {"exposure": 25, "split": {"on": 1}, "fallback": "off"},
                }
            ],
            default={"rollout": {"exposure": 33.3333, "split": {"on": 1}, "bucket_by": "org", "salt": "s"}},
        )
    )
    flag = serve(document, "production", 1)

    assert flag.rules[0].when.all is not None
    assert flag.rules[0].when.all[1].not_ is not None
    assert flag.default.rollout is not None
    assert flag.default.rollout.exposure_ppm == 333_333


@pytest.mark.parametrize("operator", list(Operator))
def test_every_operator_can_be_written(operator: Operator) -> None:
    """With a value that it can compare."""
    values: dict[str, list[Any]] = {"exists": [], "in_cidr": ["10.0.0.0/8"]}
    values |= {name: ["2026-01-01T00:00:00Z"] for name in ("before", "after")}
    values |= {name: [1] for name in ("lt", "le", "gt", "ge")}
    default = ["1.2.3"] if operator.value.startswith("semver") else ["a"]
    data = when(attribute="a", operator=operator.value, values=values.get(operator.value, default))

    assert validate_flag(data).environments["production"].rules[0].when.operator is operator


@pytest.mark.parametrize("kind", list(FlagType))
def test_a_validated_document_validates_again(kind: FlagType) -> None:
    """What is kept, exported and applied again is the same document."""
    values: dict[str, Any] = {"boolean": True, "string": "a", "integer": 1, "float": 1, "object": {"a": [1]}}
    document = validate_flag(
        {**rolled(), "type": kind.value, "variants": {"on": values[kind.value]}, "off_variant": "on"}
    )
    text = msgspec.json.encode(document)

    assert validate_flag(json.loads(text)) == document
    assert msgspec.json.decode(text, type=FlagDocument) == document


@given(value=json_values)
def test_whatever_is_sent_is_a_document_or_invalid(value: Any) -> None:
    """Nothing else is raised, wherever the nonsense stands."""
    for data in (
        value,
        a_document(variants=value),
        here(rules=value, targets=value),
        when(all=[value]),
        rolled(split=value),
    ):
        with suppress(Invalid):
            assert isinstance(validate_flag(data), FlagDocument)


def test_a_reader_that_keeps_the_form_of_yaml_gives_the_same_document() -> None:
    """Round-trip readers give subclasses of text and numbers; what is kept is plain and can be JSON."""
    text = """
    key: checkout
    type: object
    variants: {"x": {"a": [1, 2.50, 'q', 0x10]}, y: {}}
    tags: ["t"]
    metadata: {n: 1.50, t: "z"}
    environments:
      p:
        targets: {"x": ["u"]}
        default: {rollout: {exposure: 12.50, split: {x: 1.0, "y": 0x2}, salt: "s"}}
        rules: [{when: {attribute: "v", operator: "in", values: ["a", 1, 2.0]}, serve: "x"}]
    """
    kept, plain = (validate_flag(YAML(typ=kind).load(text)) for kind in ("rt", "safe"))

    assert msgspec.json.encode(kept) == msgspec.json.encode(plain)
