"""From a guardrail's document to the counters that it reads."""

from typing import Any

import pytest

from rheostat.model.document import GuardrailDocument, HistoryDocument
from rheostat_server.errors import Fault, Invalid
from rheostat_server.ramps.label_map import PRESETS, MetricMap, label_map_of
from rheostat_server.ramps.queries import before_start, buckets_of, queries_of, seconds_to_unit
from rheostat_server.ramps.terms import Queries, Term
from rheostat_server.ramps.validate import validate_ramp

VALUES = {"project": "shop", "environment": "production", "flag": "checkout"}
PLACE = 'project="shop",environment="production",flag="checkout"'
PAIR = {"name": "own", "bad": "bad_total", "total": "all_total"}


def read(asked: GuardrailDocument, maps: Any = PRESETS, **more: Any) -> Queries:
    """Return the queries of a guardrail."""
    return queries_of(asked, maps, dict(VALUES), path="guardrails[0]", **more)


def checked(**guardrail: Any) -> GuardrailDocument:
    """Return a guardrail as validation leaves it."""
    return validate_ramp({"flag": "f", "environment": "e", "guardrails": [guardrail]}).guardrails[0]


def faults(**guardrail: Any) -> list[Fault]:
    """Return the faults of a guardrail."""
    with pytest.raises(Invalid) as refused:
        checked(**guardrail)
    return list(refused.value.faults)


def test_a_pair_is_split_by_the_label_arm() -> None:
    """Without more, the arm is what a label ``arm`` says, and the holdback is control."""
    asked = checked(**{**PAIR, "bad": 'sum(bad_total{flag="$flag"}) - sum(none_total{r="$ramp"})'})

    assert read(asked) == Queries(
        terms=(
            Term(selector="all_total", of="total"),
            Term(selector='bad_total{flag="checkout"}', of="bad"),
            Term(selector='none_total{r="$ramp"}', of="bad", sign=-1),
        ),
        arm_label="arm",
        arms={"treatment": "treatment", "control": "control", "holdback": "control"},
    )


def test_before_its_start_a_ramps_own_series_are_looked_for_under_any_ramp() -> None:
    """A condition on ``$ramp`` is left out of the trial, in the history too; the rest stays."""
    asked = checked(**{**PAIR, "bad": 'bad_total{a="b",r=~"$ramp|x"}'}, history={"bad": 'c{r="$ramp"}', "total": "c"})

    before = before_start(read(asked))

    assert [term.selector for term in before.terms] == ["all_total", 'bad_total{a="b"}']
    assert [term.selector for term in before.history] == ["c", "c"]


def test_values_of_another_label_are_mapped_to_arms() -> None:
    """A label of one's own and its values say which series are whose."""
    asked = checked(**PAIR, arm_label="version", arms={"treatment": ["v2", "v3"], "control": "v1"})

    queries = read(asked)

    assert (queries.arm_label, queries.arms) == ("version", {"v2": "treatment", "v3": "treatment", "v1": "control"})
    assert not queries.armless


def test_each_arm_may_have_queries_of_its_own() -> None:
    """Two queries a side need no label."""
    bad = {"treatment": "a", "control": "b"}
    total = {"treatment": "c", "control": "d"}

    queries = read(checked(name="own", bad=bad, total=total))

    assert [(term.selector, term.of, term.arm) for term in queries.terms] == [
        ("c", "total", "treatment"), ("d", "total", "control"), ("a", "bad", "treatment"), ("b", "bad", "control")
    ]  # fmt: skip
    assert (queries.arm_label, queries.arms, queries.armless) == (None, {}, False)


def test_a_whole_service_has_no_arms() -> None:
    """With ``arms: none``, or a map that knows none, nothing is compared."""
    assert read(checked(**PAIR, arms="none")).armless
    assert read(checked(metric="request-success-rate", map="istio")).armless
    assert read(checked(metric="request-success-rate", map="istio", arms="none")).armless


def test_a_map_gives_names_and_a_guardrail_says_which_series() -> None:
    """A guardrail's own condition replaces the map's on the same label; other labels are added."""
    asked = checked(
        metric="request-success-rate",
        map="istio",
        select='reporter="source", destination_workload="$flag"',
        arm_label="destination_version",
        arms={"treatment": ["v2"], "control": ["v1"]},
    )

    queries = read(asked)

    conditions = 'reporter="source",destination_workload="checkout"'
    assert queries.terms == (
        Term(selector=f"istio_requests_total{{{conditions}}}", of="total"),
        Term(selector=f'istio_requests_total{{{conditions},response_code=~"5.."}}', of="bad"),
    )
    assert queries.arms == {"v2": "treatment", "v1": "control"}
    assert read(checked(metric="request-success-rate", map="istio", arm_label="arm")).arms["holdback"] == "control"


def test_the_applications_own_requests_are_read_by_one_selector() -> None:
    """Errors and timeouts are told by the outcome, so that one query reads all."""
    queries = read(checked(metric="request-success-rate", source="application"))

    every = f"feature_flag_requests_total{{{PLACE}}}"
    assert queries.terms == (
        Term(selector=every, of="total"),
        Term(selector=every, of="bad", where={"outcome": ("error", "timeout")}),
    )


def test_latency_is_what_is_above_a_bucket() -> None:
    """Slower requests are all of them less those within the bound, however it is spelled."""
    asked = checked(metric="request-duration", source="application", threshold=500)

    queries = read(asked, duration=True, le=("0.5",))

    name = "feature_flag_request_duration_seconds"
    assert queries.terms == (
        Term(selector=f"{name}_count{{{PLACE}}}", of="total"),
        Term(selector=f"{name}_count{{{PLACE}}}", of="bad"),
        Term(selector=f'{name}_bucket{{{PLACE},le="0.5"}}', of="bad", sign=-1),
    )
    assert queries.arm_label == "arm"
    assert str(buckets_of(asked, PRESETS, VALUES, "g")) == f"{name}_bucket{{{PLACE}}}"
    assert seconds_to_unit(asked, PRESETS) == 1


def test_latency_of_a_map_is_in_its_own_unit() -> None:
    """The buckets of a mapped histogram are found by its name and conditions."""
    asked = checked(metric="request-duration", map="istio", threshold=500, select='app="shop"')

    assert str(buckets_of(asked, PRESETS, VALUES, "g")) == (
        'istio_request_duration_milliseconds_bucket{reporter="destination",app="shop"}'
    )
    assert seconds_to_unit(asked, PRESETS) == 1000
    assert read(asked, duration=True, le=("500", "500.0")).terms[2].selector.endswith('le=~"500|500\\\\.0"}')


@pytest.mark.parametrize("duration", [False, True])
def test_an_unknown_map_or_one_without_durations_is_refused(duration: bool) -> None:
    """The fault names the map that is close."""
    with pytest.raises(Invalid) as refused:
        read(GuardrailDocument(metric="request-success-rate", map="isto"))
    assert refused.value.faults == (Fault("guardrails[0].map", "there is no label map 'isto'", "did you mean istio?"),)
    maps = {"own": MetricMap(requests="r", bad='c="x"')}
    asked = GuardrailDocument(metric="request-duration", map="own", threshold=1)
    with pytest.raises(Invalid, match="fault"):
        read(asked, maps, duration=True, le=("1",)) if duration else buckets_of(asked, maps, VALUES, "g")


def test_history_may_be_of_other_series() -> None:
    """φ is measured on a pair or a map of its own where one is given."""
    by_map = checked(**PAIR, history={"map": "istio", "select": 'app="$flag"'})
    by_pair = read(checked(**PAIR, history={"bad": "old_bad", "total": "old_all"}))

    assert read(by_map).history[0].selector == 'istio_requests_total{reporter="destination",app="checkout"}'
    assert by_map.history == HistoryDocument(map="istio", select='app="$flag"')
    assert [(term.selector, term.of) for term in by_pair.history] == [("old_all", "total"), ("old_bad", "bad")]


G = "guardrails[0]"
MAPPED = {"metric": "request-success-rate", "map": "istio"}


@pytest.mark.parametrize(
    ("guardrail", "path", "said"),
    [
        ({**PAIR, "bad": "rate(a[5m])"}, f"{G}.bad", "over a window"),
        ({**PAIR, "bad": {"treatment": "a", "control": "avg(b)"}}, f"{G}.bad.control", "no sum"),
        ({**PAIR, "bad": {"treatment": "a", "canary": "b"}}, f"{G}.bad.canary", "no such arm"),
        ({**PAIR, "bad": {"treatment": "a"}, "total": {"treatment": "a", "control": 5}}, f"{G}.total.control", "text"),
        ({**PAIR, "bad": {"treatment": "a", "control": "b"}}, f"{G}.bad", "both one query"),
        ({**PAIR, "total": None}, f"{G}.total", "needs both"),
        ({**PAIR, "arms": "none", "arm_label": "x"}, f"{G}.arm_label", "arms: none"),
        ({**PAIR, "arms": ["a"]}, f"{G}.arms", "not an object"),
        ({**PAIR, "arms": {"treatment": "a"}}, f"{G}.arms", "both arms"),
        ({**PAIR, "arms": {"treatment": "a", "control": []}}, f"{G}.arms.control", "a list of values"),
        ({**PAIR, "arms": {"treatment": "a", "holdback": "b"}}, f"{G}.arms.holdback", "no such arm"),
        ({**PAIR, "arms": {"treatment": "a", "control": ["b", "a"]}}, f"{G}.arms", "of one arm"),
        ({**PAIR, "source": "application"}, f"{G}.source", "from Prometheus"),
        ({**PAIR, "map": "istio"}, f"{G}.map", "a pair of queries"),
        ({**PAIR, "select": 'a="b"'}, f"{G}.select", "of a map"),
        ({**PAIR, "history": {"bad": "a"}}, f"{G}.history", "a map, or a pair"),
        ({**PAIR, "history": {"map": "istio", "bad": "a", "total": "b"}}, f"{G}.history", "a map, or a pair"),
        ({**PAIR, "history": {"bad": "a[5m]", "total": "b"}}, f"{G}.history.bad", "a range"),
        (
            {"name": "x", "arms": "none", "bad": {"treatment": "a", "control": "b"},
             "total": {"treatment": "a", "control": "b"}},
            f"{G}.bad", "no label is needed",
        ),
        ({**MAPPED, "source": "application"}, f"{G}.map", "a source"),
        ({**MAPPED, "arms": {"treatment": "a", "control": "b"}}, f"{G}.arm_label", "name it"),
        ({**MAPPED, "select": "a=5"}, f"{G}.select", "unexpected character"),
        ({"metric": "request-success-rate", "arm_label": "x"}, f"{G}.arm_label", "name the arms themselves"),
    ],
)  # fmt: skip
def test_a_guardrail_that_contradicts_itself_is_refused(guardrail: dict[str, Any], path: str, said: str) -> None:
    """Each fault has the field's path."""
    assert (path, True) in [(fault.path, said in fault.message) for fault in faults(**guardrail)]


def test_the_presets_are_maps_like_any_other() -> None:
    """What is shipped passes the checks that a file has to pass, and reads to queries."""
    for name, preset in PRESETS.items():
        asked = checked(metric="request-success-rate", map=name)
        assert len(read(asked).terms) == 2
        assert preset.duration is not None


def test_a_file_adds_maps_and_replaces_presets() -> None:
    """Names of one's own stand beside the presets, and over one of the same name."""
    own = {
        "requests": "edge_total",
        "bad": 'code="5xx"',
        "duration": "edge_ms",
        "unit": "ms",
        "arm_label": "track",
        "arms": {"treatment": ["canary"], "control": ["stable"]},
    }

    maps = label_map_of({"edge": own, "istio": {"requests": "mesh_total", "bad": 'code="5xx"'}})

    assert maps.keys() == PRESETS.keys() | {"edge"}
    assert maps["istio"] == MetricMap(requests="mesh_total", bad='code="5xx"')
    assert read(checked(metric="request-success-rate", map="edge"), maps).arms == {
        "canary": "treatment",
        "stable": "control",
    }


@pytest.mark.parametrize(
    ("data", "path", "said"),
    [
        ([], "", "not an object"),
        ({"a b": {}}, "a b", "characters of"),
        ({"own": []}, "own", "not an object"),
        ({"own": {"requests": "r"}}, "own.bad", "required"),
        ({"own": {"requests": "r", "bad": "code="}}, "own.bad", ""),
        ({"own": {"requests": "r", "bad": 'a="b"', "unit": "h"}}, "own.unit", "no unit"),
        (
            {"own": {"requests": "r", "bad": 'a="b"', "arms": {"treatment": "a", "control": "b"}}},
            "own.arm_label",
            "name",
        ),
        ({"own": {"requests": "r", "bad": 'a="b"', "labels": {}}}, "own.labels", "no such field"),
    ],
)
def test_a_faulty_map_is_named(data: object, path: str, said: str) -> None:
    """Each fault of the file has the path of its field."""
    with pytest.raises(Invalid) as refused:
        label_map_of(data)

    assert (path, True) in [(fault.path, said in fault.message) for fault in refused.value.faults]
