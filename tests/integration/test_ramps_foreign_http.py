"""Foreign blocks over the API and the command line of a whole node."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from rheostat_server.adapters.storage.postgres.pool import Database
from tests.admin_server import RunningNode, a_running_node, flag_document, rolled_out
from tests.e2e.cli_process import Cli

ENVIRONMENT = "/projects/default/environments/production"
BLOCK: dict[str, Any] = {
    "interval": "60s",
    "threshold": 5,
    "maxWeight": 50,
    "stepWeight": 10,
    "metrics": [{"name": "request-success-rate", "threshold": 99}, {"name": "request-duration", "threshold": 500}],
}
CANARY = """
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: shop, namespace: test}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: shop}
  service: {port: 80}
  analysis:
    interval: 60s
    threshold: 5
    maxWeight: 50
    stepWeight: 10
    metrics:
      - {name: request-success-rate, threshold: 99, interval: 1m}
      - {name: request-duration, threshold: 500, interval: 30s}
    webhooks:
      - {name: load, url: "http://tester/", metadata: {cmd: "hey http://shop/"}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
"""
ROLLOUT = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  replicas: 3
  strategy:
    canary:
      steps:
        - setWeight: 20
        - pause: {duration: 10m}
        - setWeight: 50
        - pause: {}
"""


@pytest.fixture
async def node(database: Database, tmp_path: Path) -> AsyncIterator[RunningNode]:
    """A node without a Prometheus, with the flag."""
    async with a_running_node(database, tmp_path) as found:
        document = flag_document(environments={"production": rolled_out(0)})
        put = await found.admin.put("/projects/default/flags/checkout", json=document)
        assert put.is_success, put.text
        yield found


@pytest.fixture
def cli(node: RunningNode, tmp_path: Path) -> Cli:
    """The command, for this node."""
    return Cli(tmp_path, url=node.url, token=node.token, sdk_key=node.sdk_key)


def a_file(folder: Path, text: str, name: str = "foreign.yaml") -> str:
    """Write a file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


async def test_a_block_is_translated_and_nothing_is_started(node: RunningNode) -> None:
    """The document that would be started, and what changes in meaning."""
    answer = await node.admin.post(f"{ENVIRONMENT}/ramps/translate", json={"flag": "checkout", "analysis": BLOCK})

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert [step["exposure"] for step in body["document"]["steps"]] == [10, 20, 30, 40, 50, 100]
    assert body["document"]["guardrails"] == [
        {"metric": "request-success-rate", "threshold": 99},
        {"metric": "request-duration", "threshold": 500},
    ]
    assert body["changes"][2].startswith("analysis.threshold: 5 failed checks have no meaning under the guard")
    assert (await node.admin.get(f"{ENVIRONMENT}/ramps")).json()["ramps"] == []


async def test_a_block_starts_as_it_is_and_says_what_changes(node: RunningNode) -> None:
    """In the answer's notes, and in the audit."""
    answer = await node.admin.post(f"{ENVIRONMENT}/ramps", json={"flag": "checkout", "canaryAnalysis": BLOCK})

    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["rule"], body["proof"], body["steps"]) == ("guard", "randomised", [10, 20, 30, 40, 50, 100])
    assert any(note.startswith("canaryAnalysis.threshold: ") for note in body["notes"])
    recent = (await node.admin.get("/changes", params={"since": "30m", "environment": "production"})).json()
    [entry] = [one for one in recent["changes"] if one["action"] == "ramp.start"]
    assert "canaryAnalysis.threshold" in json.dumps(entry["detail"])


async def test_what_cannot_be_honoured_is_refused(node: RunningNode) -> None:
    """Every fault at once, each with its path in the block and a hint."""
    block = {**BLOCK, "match": [{}], "mirror": True, "treshold": 1}

    answer = await node.admin.post(f"{ENVIRONMENT}/ramps", json={"flag": "checkout", "analysis": block})

    assert answer.status_code == 422
    faults = {fault["path"]: fault.get("hint") for fault in answer.json()["faults"]}
    assert set(faults) == {"analysis.treshold", "analysis.match", "analysis.mirror"}
    assert faults["analysis.treshold"] == "did you mean threshold?"
    assert all(faults.values())


async def test_rule_threshold_over_the_api(node: RunningNode) -> None:
    """It shows that it states no error, and how the counting stands; people's actions are as ever."""
    metrics = BLOCK["metrics"][:1]
    wanted = {"flag": "checkout", "rule": "threshold", "analysis": {**BLOCK, "metrics": metrics}}
    body = (await node.admin.post(f"{ENVIRONMENT}/ramps", json=wanted)).json()

    assert (body["rule"], body["proof"], body["guarded"], body["guardrails"]) == ("threshold", "none", False, [])
    assert body["counting"]["limit"] == 5
    assert body["counting"]["checks"][0]["wanted"] == "at least 99"
    assert any("no stated error" in note for note in body["notes"])
    advanced = await node.admin.post(f"{ENVIRONMENT}/ramps/{body['id']}/advance", json={"reason": "now"})
    assert advanced.json()["exposure"] == 10
    aborted = await node.admin.post(f"{ENVIRONMENT}/ramps/{body['id']}/abort", json={"reason": "over"})
    assert aborted.json()["status"] == "aborted"


async def test_durations_need_a_prometheus(node: RunningNode) -> None:
    """By the metric's path, with what to set; and there has to be weight 0 to begin with."""
    wanted = {"flag": "checkout", "rule": "threshold", "analysis": BLOCK}
    refused = await node.admin.post(f"{ENVIRONMENT}/ramps", json=wanted)
    assert [(fault["path"], fault["hint"]) for fault in refused.json()["faults"]] == [
        ("analysis.metrics[1]", "set RHEOSTAT_PROMETHEUS_URL")
    ]

    await node.admin.put(
        "/projects/default/flags/checkout",
        json=flag_document(environments={"production": rolled_out(5)}),
        headers={"if-match": "*"},
    )
    wanted["analysis"] = {**BLOCK, "metrics": []}
    refused = await node.admin.post(f"{ENVIRONMENT}/ramps", json=wanted)
    assert [fault["path"] for fault in refused.json()["faults"]] == ["rule"]


async def test_a_canary_file_is_translated_on_the_command_line(cli: Cli, tmp_path: Path) -> None:
    """The output is a file that a ramp can be started from; what changes stands in its comments."""
    text = await asyncio.to_thread(cli, "ramp", "translate", a_file(tmp_path, CANARY), "--flag", "checkout")

    assert "# spec.targetRef, spec.service: left out" in text
    assert "# Deployment: left out" in text
    assert "# analysis.webhooks[0]: left out: load makes traffic" in text
    document = YAML(typ="safe").load(text)
    assert (document["flag"], document["environment"], document["steps"][-1]) == ("checkout", "production", 100)
    again = a_file(tmp_path, text, "ramp.yaml")
    assert "1 document: no faults" in await asyncio.to_thread(cli, "validate", again)
    shown = await asyncio.to_thread(cli, "ramp", "translate", again, "--json")
    assert json.loads(shown) == {"document": document, "changes": []}


async def test_a_canary_file_is_started_on_the_command_line(cli: Cli, node: RunningNode, tmp_path: Path) -> None:
    """For the flag that is named; the rule and what else the file cannot say are options."""
    file = a_file(tmp_path, CANARY)
    missing = await asyncio.to_thread(cli.run, "ramp", "start", "-f", file, code=1)
    assert "give --flag" in missing.stderr

    arguments = ("ramp", "start", "-f", file, "--flag", "checkout", "--holdback", "2", "--preflight", "1m")
    started = await asyncio.to_thread(cli.run, *arguments)
    assert "analysis.threshold: 5 failed checks have no meaning" in started.stdout
    assert "spec.targetRef, spec.service: left out" in started.stderr
    [ramp] = (await node.admin.get(f"{ENVIRONMENT}/ramps")).json()["ramps"]
    assert (ramp["steps"], ramp["holdback"], ramp["plan"]["preflight_s"]) == ([10, 20, 30, 40, 50, 100], 2, 60)


async def test_options_go_over_a_file_of_our_own(cli: Cli, node: RunningNode, tmp_path: Path) -> None:
    """What is started, and kept, is the file with what was said beside it."""
    text = "kind: ramp\nflag: checkout\nenvironment: production\nsteps: [10, 50]\nsoak: 2h\n"
    file = a_file(tmp_path, text, "ramp.yaml")

    other = await asyncio.to_thread(cli.run, "ramp", "start", "payments", "-f", file, code=1)
    assert "is a ramp of 'checkout', and not of 'payments'" in other.stderr
    said = ("--start-at", "2030-12-01T09:00Z", "--soak", "4h", "--holdback", "2")
    assert "draft: starts" in await asyncio.to_thread(cli, "ramp", "start", "-f", file, *said)

    [ramp] = (await node.admin.get(f"{ENVIRONMENT}/ramps")).json()["ramps"]
    assert (ramp["status"], ramp["start_at"]) == ("draft", "2030-12-01T09:00:00.000Z")
    document = ramp["document"]
    assert (document["steps"], document["soak"], document["holdback"]) == ([10, 50], "4h", 2)


async def test_the_checks_of_a_file_are_tried(node: RunningNode, cli: Cli, tmp_path: Path) -> None:
    """What is counted from SDKs' reports needs a ramp; what needs a Prometheus is refused by its path."""
    reported = "analysis: {stepWeight: 10, metrics: [{name: request-success-rate, threshold: 99}]}"
    file = a_file(tmp_path, f"kind: ramp\nflag: checkout\nrule: threshold\n{reported}\n")
    shown = await asyncio.to_thread(cli, "ramp", "guardrails", file)

    assert shown.splitlines() == [
        "request-success-rate is what SDKs report of the ramp, once it runs; wanted: at least 99"
    ]
    answer = await node.admin.post(
        f"{ENVIRONMENT}/guardrails/try", json={"flag": "checkout", "rule": "threshold", "analysis": BLOCK}
    )
    assert (answer.status_code, [fault["path"] for fault in answer.json()["faults"]]) == (422, ["analysis.metrics[1]"])


async def test_a_rollout_file_is_started_by_its_own_counting(cli: Cli, tmp_path: Path) -> None:
    """With `--rule threshold`; the panel says that no error is stated."""
    file = a_file(tmp_path, ROLLOUT)

    started = await asyncio.to_thread(cli, "ramp", "start", "checkout", "-f", file, "--rule", "threshold")
    assert "no stated error" in started
    shown = await asyncio.to_thread(cli, "ramp", "status", "checkout")
    assert "rule: threshold" in shown
    assert "no stated error" in shown
    assert "step 1 of 4" in shown or "before the first step" in shown


async def test_files_that_make_no_ramp_are_refused(cli: Cli, tmp_path: Path) -> None:
    """With the file, the path and what would do."""
    two = await asyncio.to_thread(
        cli.run, "ramp", "translate", a_file(tmp_path, f"{CANARY}---{ROLLOUT}"), "--flag", "checkout", code=1
    )
    assert "2 of Canary and Rollout" in two.stderr
    wrong = CANARY.replace("stepWeight", "stepWeigth")
    faulty = await asyncio.to_thread(cli.run, "ramp", "start", "-f", a_file(tmp_path, wrong), "--flag", "c", code=1)
    assert "analysis.stepWeigth: there is no such field (did you mean stepWeight" in faulty.stderr
