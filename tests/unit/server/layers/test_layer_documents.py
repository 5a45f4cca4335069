"""Which layer documents are kept, who is in a layer, and who claims the same part of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.model.document import (
    AnswerDocument,
    EnvironmentDocument,
    FlagDocument,
    LayerDocument,
    RolloutDocument,
    RuleDocument,
)
from rheostat.model.flag import Condition, FlagType
from rheostat_server.errors import Fault, Invalid
from rheostat_server.layers.references import check_layers, layer_overlaps, uses_of_layer
from rheostat_server.layers.validate import validate_layer
from rheostat_server.segments.references import Use


def faults_of(data: object) -> dict[str, Fault]:
    with pytest.raises(Invalid) as caught:
        validate_layer(data)
    return {fault.path: fault for fault in caught.value.faults}


def test_a_layer_is_kept_as_it_was_written() -> None:
    """The unit is the targeting key unless it says otherwise."""
    document = validate_layer({"kind": "layer", "key": "page", "salt": "s", "tags": ["x"]})

    assert document == LayerDocument(key="page", unit="targetingKey", salt="s", tags=("x",))


@pytest.mark.parametrize(
    ("data", "path", "part"),
    [
        ("page", "", "text, not an object"),
        ({}, "key", "required"),
        ({"key": "page", "kind": "flag"}, "kind", "no kind flag"),
        ({"key": "page", "units": "org"}, "units", "did you mean unit?"),
        ({"key": "page", "unit": ""}, "unit", "has a name"),
        ({"key": "page", "salt": "a/b"}, "salt", "1 to 128"),
        ({"key": "page", "owner": "\ud800"}, "", "UTF-8"),
    ],
)
def test_a_fault_is_named_by_its_path(data: object, path: str, part: str) -> None:
    """Each fault has the path of the very field."""
    faults = faults_of(data)

    assert path in faults
    assert part in str(faults[path])


def in_layer(low: float, high: float, layer: str = "page") -> RolloutDocument:
    return RolloutDocument(exposure=50, split={"on": 1}, layer=layer, range=(low, high))


def a_flag(
    key: str, default: RolloutDocument | None = None, *rules: RolloutDocument | None, **environments: Any
) -> FlagDocument:
    here = EnvironmentDocument(
        default=None if default is None else AnswerDocument(rollout=default),
        rules=tuple(
            RuleDocument(name=f"rule-{number}", when=Condition(), rollout=rollout)
            for number, rollout in enumerate(rules, 1)
        ),
    )
    return FlagDocument(
        key=key,
        type=FlagType.BOOLEAN,
        variants={"on": True},
        environments=environments or {"production": here},
    )


def flags(*documents: FlagDocument) -> dict[str, FlagDocument]:
    return {document.key: document for document in documents}


def test_two_flags_cannot_own_the_same_part() -> None:
    """The fault names the range, the other flag and its rollout."""
    known = flags(a_flag("a", in_layer(0, 50)), a_flag("b", None, None, in_layer(49.9999, 100)))

    [of_a] = layer_overlaps(known["a"], known)
    [of_b] = layer_overlaps(known["b"], known)

    assert of_a.path == "environments.production.default.rollout.range"
    assert of_a.message == "0–50 % of the layer page overlaps 49.9999–100 %, which the flag b owns (rule-2)"
    assert of_b.path == "environments.production.rules[1].rollout.range"


def test_ranges_that_touch_do_not_overlap() -> None:
    """Each ends before the next begins."""
    known = flags(a_flag("a", in_layer(0, 33.3333)), a_flag("b", in_layer(33.3333, 66.6666)))

    assert layer_overlaps(known["a"], known) == []


@pytest.mark.parametrize(
    "other",
    [
        a_flag("b", in_layer(0, 50, layer="other")),
        a_flag("b", RolloutDocument(exposure=50, split={"on": 1})),
        a_flag("b", staging=EnvironmentDocument(default=AnswerDocument(rollout=in_layer(0, 50)))),
        a_flag("b", production=EnvironmentDocument(default=AnswerDocument(serve="on"))),
    ],
)
def test_only_one_layer_in_one_environment_can_be_shared(other: FlagDocument) -> None:
    """Elsewhere the same range is another one."""
    known = flags(a_flag("a", in_layer(0, 50)), other)

    assert layer_overlaps(known["a"], known) == []


def test_the_rollouts_of_one_flag_may_share_a_range() -> None:
    """A unit gets only one of them."""
    known = flags(a_flag("a", in_layer(0, 50), in_layer(0, 50)))

    assert layer_overlaps(known["a"], known) == []


def test_a_rollout_without_a_range_owns_the_whole_layer() -> None:
    """As it is served."""
    whole = RolloutDocument(exposure=50, split={"on": 1}, layer="page")
    known = flags(a_flag("a", whole), a_flag("b", in_layer(99, 100)))

    assert "0–100 %" in layer_overlaps(known["a"], known)[0].message


@given(
    one=st.tuples(st.integers(0, 9), st.integers(1, 10)).map(lambda p: (min(p), max(p[1], p[0] + 1))),
    other=st.tuples(st.integers(0, 9), st.integers(1, 10)).map(lambda p: (min(p), max(p[1], p[0] + 1))),
)
def test_an_overlap_is_a_common_part(one: tuple[int, int], other: tuple[int, int]) -> None:
    """Exactly where some part is in both, and for both flags alike."""
    known = flags(a_flag("a", in_layer(*one)), a_flag("b", in_layer(*other)))

    common = bool(set(range(*one)) & set(range(*other)))

    assert bool(layer_overlaps(known["a"], known)) is common
    assert bool(layer_overlaps(known["b"], known)) is common


def test_a_layer_that_is_not_there_is_a_fault() -> None:
    """With the one that was probably meant."""
    [fault] = check_layers(a_flag("a", in_layer(0, 50, layer="pag")), {"page"})

    assert fault.path == "environments.production.default.rollout.layer"
    assert (fault.message, fault.hint) == ("there is no layer 'pag'", "did you mean page?")
    assert check_layers(a_flag("a", in_layer(0, 50)), {"page"}) == []


def test_every_use_of_a_layer_is_found() -> None:
    """In rules and defaults, each with its path."""
    known = flags(a_flag("a", in_layer(0, 50), in_layer(0, 50)), a_flag("b", in_layer(0, 50, layer="other")))

    assert uses_of_layer("page", known) == [
        Use(kind="flag", key="a", environment="production", path="environments.production.rules[0].rollout"),
        Use(kind="flag", key="a", environment="production", path="environments.production.default.rollout"),
    ]
