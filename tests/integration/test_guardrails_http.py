"""Guardrails on queries, tried and started over the API and the command line of a whole node."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from rheostat_server.adapters.storage.postgres.pool import Database
from tests.admin_server import RunningNode, a_running_node, flag_document, rolled_out
from tests.e2e.cli_process import Cli
from tests.integration.prometheus_server import PrometheusServer, running_prometheus

ENVIRONMENT = "/projects/default/environments/production"
LABEL_MAP = """
edge:
  requests: edge_total
  bad: 'code="5xx"'
  arm_label: track
  arms: {treatment: [canary], control: [stable]}
"""
FILE = """
kind: ramp
flag: checkout
environment: production
guardrails:
  - {metric: request-success-rate, map: edge, select: 'site="$flag"', threshold: 99}
  - {name: gone, bad: 'edge_totals{code="5xx"}', total: edge_total, arms: none}
"""


@pytest.fixture(scope="module")
def prometheus() -> Iterator[PrometheusServer]:
    """A Prometheus over an edge with two tracks."""
    with running_prometheus() as server:
        yield server


@pytest.fixture
async def edge(prometheus: PrometheusServer) -> Counter:
    """What the edge counts."""
    registry = CollectorRegistry()
    counter = Counter("edge", "Requests.", ("site", "track", "code"), registry=registry)
    prometheus.exporters[0].render = lambda: generate_latest(registry)
    for track in ("canary", "stable"):
        for code in ("2xx", "5xx"):
            counter.labels("checkout", track, code)
    await prometheus.scraped()
    return counter


@pytest.fixture
async def node(database: Database, tmp_path: Path, prometheus: PrometheusServer) -> AsyncIterator[RunningNode]:
    """A node that reads this Prometheus, with the flag."""
    labels = tmp_path / "labels.yaml"
    labels.write_text(LABEL_MAP)
    async with a_running_node(
        database, tmp_path, prometheus_url=prometheus.url, label_map=str(labels), prometheus_interval=1.0
    ) as found:
        document = flag_document(environments={"production": rolled_out(0)})
        put = await found.admin.put("/projects/default/flags/checkout", json=document)
        assert put.is_success, put.text
        yield found


def a_ramp(*guardrails: dict[str, Any]) -> dict[str, Any]:
    """Return a ramp of the flag."""
    return {"kind": "ramp", "flag": "checkout", "guardrails": list(guardrails)}


async def test_what_a_guardrail_would_see_is_shown_before_the_start(
    node: RunningNode, edge: Counter, prometheus: PrometheusServer, tmp_path: Path
) -> None:
    """The API and the command show each arm's requests, what selects nothing and what was nearly meant."""
    edge.labels("checkout", "canary", "2xx").inc(98)
    edge.labels("checkout", "canary", "5xx").inc(2)
    edge.labels("checkout", "stable", "2xx").inc(50)
    await prometheus.scraped()
    guardrail = {"metric": "request-success-rate", "map": "edge", "select": 'site="$flag"', "threshold": 99}

    answer = await node.admin.post(f"{ENVIRONMENT}/guardrails/try", json=a_ramp(guardrail))

    assert answer.status_code == 200, answer.text
    [tried] = answer.json()["guardrails"]
    assert (tried["path"], tried["name"], tried["family"]) == ("guardrails[0]", "edge-errors", "queries")
    assert tried["arms"] == {
        "control": {"series": 2, "requests": 50, "bad": 0, "rate": 0.0},
        "treatment": {"series": 2, "requests": 100, "bad": 2, "rate": 0.02},
    }
    assert "edge-errors: treatment has 2 series: 100 requests in 5:00, 2 bad, 2.00 %" in tried["lines"]
    assert (await node.admin.get(f"{ENVIRONMENT}/ramps")).json()["ramps"] == []

    file = tmp_path / "ramp.yaml"
    file.write_text(FILE)
    cli = Cli(tmp_path, url=node.url, token=node.token, sdk_key=node.sdk_key)
    shown = await asyncio.to_thread(cli, "ramp", "guardrails", str(file))
    assert "treatment has 2 series: 100 requests" in shown
    assert "there is no metric edge_totals; did you mean edge_total?" in shown
    assert "holds, does not kill" in shown


async def test_a_ramp_says_at_its_start_what_its_guardrails_see(node: RunningNode, edge: Counter) -> None:
    """The notes of the start have the trial's lines, and the plan what will be read."""
    guardrail = {"metric": "request-success-rate", "map": "edge", "kill": True, "threshold": 99}

    answer = await node.admin.post(f"{ENVIRONMENT}/ramps", json=a_ramp(guardrail))

    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert any(note.startswith("edge-errors: control has 2 series") for note in body["notes"])
    [_, planned] = body["plan"]["guardrails"]
    assert (planned["may_kill"], planned["phi"], planned["ceiling"]) == (True, 5.0, 0.01)
    assert planned["queries"]["arms"] == {"canary": "treatment", "stable": "control"}
    await node.admin.post(f"{ENVIRONMENT}/ramps/{body['id']}/abort", json={"reason": "over"})


@pytest.mark.parametrize(
    ("guardrail", "path", "said", "hint"),
    [
        (
            {"name": "x", "bad": "rate(a[5m])", "total": "a"},
            "guardrails[0].bad", "rate() counts over a window", "give the counter itself: a",
        ),
        ({"name": "x", "bad": "a{", "total": "a"}, "guardrails[0].bad", "column 2: { is not closed", "close it with }"),
        (
            {"metric": "request-success-rate", "map": "edgy"},
            "guardrails[0].map", "there is no label map 'edgy'", "did you mean edge?",
        ),
        ({"metric": "request-duration", "map": "edge", "threshold": 5}, "guardrails[0].map", "no durations", None),
        (
            {"metric": "request-duration", "source": "application"},
            "guardrails[0].threshold", "a duration has a threshold", "in ms",
        ),
        (
            {"metric": "request-success-rate", "map": "istio", "kill": True},
            "guardrails[0].kill", "cannot tell whose fault", "name arms",
        ),
        (
            {"name": "x", "bad": "edge_total", "total": "edge_total", "arm_label": "code"},
            "guardrails[0]", "no series is of an arm", "code has the values 2xx, 5xx",
        ),
    ],
)  # fmt: skip
async def test_a_guardrail_that_cannot_work_is_refused_at_the_start(
    node: RunningNode, edge: Counter, guardrail: dict[str, Any], path: str, said: str, hint: str | None
) -> None:
    """Each fault has its path, what is wrong, and where there is one, the form that works."""
    answer = await node.admin.post(f"{ENVIRONMENT}/ramps", json=a_ramp(guardrail))

    assert answer.status_code == 422, answer.text
    [fault] = answer.json()["faults"]
    assert fault["path"] == path
    assert said in fault["message"]
    assert hint is None or hint in fault["hint"]


@pytest.mark.parametrize(
    ("guardrail", "path"),
    [
        ({"name": "x", "bad": "a", "total": "b"}, "guardrails[0]"),
        ({"metric": "request-success-rate", "map": "istio"}, "guardrails[0]"),
        ({"metric": "request-duration", "source": "application", "threshold": 500}, "guardrails[0].source"),
        ({"metric": "request-success-rate", "source": "application"}, "guardrails[0].source"),
    ],
)
async def test_without_a_prometheus_nothing_of_it_can_be_watched(
    database: Database, tmp_path: Path, guardrail: dict[str, Any], path: str
) -> None:
    """Each guardrail that would read one is refused, and the hint names the setting."""
    async with a_running_node(database, tmp_path) as node:
        document = flag_document(environments={"production": rolled_out(0)})
        await node.admin.put("/projects/default/flags/checkout", json=document)

        answer = await node.admin.post(f"{ENVIRONMENT}/ramps", json=a_ramp(guardrail))

        assert answer.status_code == 422, answer.text
        assert answer.json()["faults"] == [
            {"path": path, "message": "no Prometheus is configured", "hint": "set RHEOSTAT_PROMETHEUS_URL"}
        ]


async def test_a_prometheus_that_is_away_is_named_and_stops_no_ramp(database: Database, tmp_path: Path) -> None:
    """A ramp may start while nobody answers: its notes say so, and it will be blind until somebody does."""
    async with a_running_node(database, tmp_path, prometheus_url="http://127.0.0.1:1") as node:
        document = flag_document(environments={"production": rolled_out(0)})
        await node.admin.put("/projects/default/flags/checkout", json=document)
        guardrail = {"name": "own", "bad": "a", "total": "b"}

        answer = await node.admin.post(f"{ENVIRONMENT}/ramps", json=a_ramp(guardrail))

        assert answer.status_code == 201, answer.text
        assert any("own: query failed" in note and "refused" in note for note in answer.json()["notes"])


async def test_a_start_that_needs_an_answer_of_prometheus_is_to_be_tried_again(
    database: Database, tmp_path: Path
) -> None:
    """Without a histogram's bounds no latency can be planned: that is nobody's fault, and 503."""
    async with a_running_node(database, tmp_path, prometheus_url="http://127.0.0.1:1") as node:
        document = flag_document(environments={"production": rolled_out(0)})
        await node.admin.put("/projects/default/flags/checkout", json=document)
        guardrail = {"metric": "request-duration", "source": "application", "threshold": 500}

        answer = await node.admin.post(f"{ENVIRONMENT}/ramps", json=a_ramp(guardrail))

    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["type"] == "urn:rheostat:problem:evidence-unavailable"
    assert answer.json()["detail"].startswith("guardrails[0]: Prometheus did not answer: ")
