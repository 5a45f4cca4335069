"""Who would move by changes that are no flag document, over HTTP: nothing is changed by asking."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from tests.admin_server import RunningNode, a_running_node, flag_document, rolled_out

FLAGS = "/projects/default/flags"
HERE = "/projects/default/environments/production"


async def preview(client: httpx.AsyncClient, change: Any, key: str = "checkout", **query: Any) -> dict[str, Any]:
    answer = await client.post(f"{FLAGS}/{key}/preview", json=change, params=query)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def summary(told: dict[str, Any]) -> list[str]:
    lines: list[str] = told["environments"].get("production", {"summary": []})["summary"]
    return lines


def others(told: dict[str, Any]) -> dict[str, list[str]]:
    return {key: here["production"]["summary"] for key, here in told["others"].items()}


async def put(running: RunningNode, path: str, document: dict[str, Any]) -> None:
    answer = await running.admin.put(f"/projects/default/{path}", json=document)
    assert answer.status_code in {200, 201}, answer.text


async def put_flag(running: RunningNode, key: str = "checkout", **here: Any) -> None:
    await put(running, f"flags/{key}", flag_document(key, environments={"production": here}))


async def test_leaving_and_returning_to_service(running: RunningNode) -> None:
    """An archival takes from everybody, the way back gives to the exposed, and a restoration undoes an edit."""
    await put_flag(running, **rolled_out(20))
    await put_flag(running, **rolled_out(50))
    before = await running.revisions()
    reader = await running.token_of(scope="read")

    archived = await preview(reader, {"archive": {}})
    restored = await preview(reader, {"restore": {"version": 1}})

    assert archived["action"] == "archive"
    assert summary(archived) == [
        "rule default: 50 % of users lose `on` for the caller's default; 50 % switch from `off` to the caller's default"
    ]
    assert summary(restored) == ["rule default: 50 % → 20 %: 30 % of users lose `on` for `off`"]
    assert await running.revisions() == before
    assert (await running.admin.get(f"{FLAGS}/checkout")).json()["version"] == 2
    await running.admin.post(f"{FLAGS}/checkout/archive")
    assert summary(await preview(reader, {"unarchive": {}})) == ["rule default: 50 % of users gain `on`"]


async def test_kills_and_revivals(running: RunningNode) -> None:
    """A kill takes from the exposed and from flags that need the flag; lifting it gives back; neither is done."""
    await put_flag(running, **rolled_out(40))
    needing = {"enabled": True, "prerequisites": [{"flag": "checkout", "variants": ["on"]}], "default": {"serve": "on"}}
    await put_flag(running, "needing", **needing)
    before = await running.revisions()

    by_flag = await preview(running.admin, {"kill": {"environment": "production"}})
    by_rollout = await preview(running.admin, {"kill": {"environment": "production", "scope": "rollout"}})

    assert summary(by_flag) == ["rule default: 40 % of users lose `on` for `off`"]
    assert others(by_flag) == {
        "needing": [
            "prerequisites: between 0 % and 100 % of users who reach it move; "
            "the flag checkout changed: depends on other flags"
        ]
    }
    assert summary(by_rollout) == ["rule default: 40 % → 0 %: 40 % of users lose `on` for `off`"]
    assert await running.revisions() == before
    await running.admin.post(f"{HERE}/flags/checkout/kill", json={"reason": "test"})
    assert summary(await preview(running.admin, {"revive": {"environment": "production"}})) == [
        "rule default: 40 % of users gain `on`"
    ]
    assert summary(await preview(running.admin, {"kill": {"environment": "production"}})) == []


async def test_a_kill_of_a_live_ramp_takes_its_rollout(running: RunningNode) -> None:
    """As the kill itself, its preview takes the ramping rollout where a ramp is live."""
    await put_flag(running, **rolled_out(0))
    ramp = {"kind": "ramp", "flag": "checkout", "environment": "production", "steps": [30, 100], "users": 100_000}
    started = await running.admin.post(f"{HERE}/ramps", json={**ramp, "preflight": "0s"})
    assert started.status_code == 201, started.text

    told = await preview(running.admin, {"kill": {"environment": "production"}})

    assert summary(told) == ["rule default: 30 % → 0 %: 30 % of users lose `on` for `off`"]


async def test_a_preview_of_a_kill_waits_for_nobody(running: RunningNode) -> None:
    """While another transaction holds the flag and the project, a kill's preview still answers."""
    await put_flag(running, **rolled_out(40))
    async with running.node.storage.transaction() as tx:
        home = await tx.projects.lock("default")
        await tx.flags.lock(home.id, ["checkout"])
        async with asyncio.timeout(10):
            told = await preview(running.admin, {"kill": {"environment": "production"}})

    assert summary(told) == ["rule default: 40 % of users lose `on` for `off`"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 422),
        ({"archive": {}, "unarchive": {}}, 422),
        ({"archive": {"by": "force"}}, 422),
        ({"restore": {"version": 9}}, 404),
        ({"restore": {"version": 0}}, 404),
        ({"kill": {"environment": "never"}}, 404),
        ({"kill": {"environment": "\0"}}, 422),
        ({"kill": {"environment": "production", "scope": "rollout"}}, 422),
        ({"revive": {"environment": "production"}}, 409),
    ],
)
async def test_what_could_not_be_done_has_no_preview(running: RunningNode, change: Any, status: int) -> None:
    """A preview refuses what the change would refuse, and what is not exactly one change."""
    await put_flag(running, enabled=True, default={"serve": "on"})

    answer = await running.admin.post(f"{FLAGS}/checkout/preview", json=change)
    gone = await running.admin.post(f"{FLAGS}/never/preview", json={"kill": {"environment": "production"}})

    assert (answer.status_code, gone.status_code) == (status, 404), answer.text


async def test_an_archival_that_is_refused_has_no_preview_without_force(running: RunningNode) -> None:
    """What needs a flag keeps it in service; forced, the flags that need it are told of too."""
    await put_flag(running, **rolled_out(40))
    needing = {"enabled": True, "prerequisites": [{"flag": "checkout", "variants": ["on"]}], "default": {"serve": "on"}}
    await put_flag(running, "needing", **needing)

    refused = await running.admin.post(f"{FLAGS}/checkout/preview", json={"archive": {}})
    forced = await preview(running.admin, {"archive": {"force": True}})

    assert refused.status_code == 422
    assert list(others(forced)) == ["needing"]


async def test_edits_of_a_segment(running: RunningNode) -> None:
    """Units that come and go are told exactly, other conditions by bounds, over a segment in between too."""
    await put(running, "segments/beta", {"kind": "segment", "key": "beta", "included": ["ann", "bob"]})
    await put(running, "segments/wide", {"kind": "segment", "key": "wide", "conditions": [{"segment": "beta"}]})
    rules = [{"name": "members", "when": {"segment": "wide"}, "serve": "on"}]
    await put_flag(running, enabled=True, rules=rules, default={"serve": "off"})
    await put_flag(running, "untouched", **rolled_out(50))
    before = await running.revisions()
    reader = await running.token_of(scope="read")

    async def told(**fields: Any) -> dict[str, Any]:
        document = {"kind": "segment", "key": "beta", **fields}
        answer = await reader.post("/projects/default/segments/beta/preview", json={"document": document})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    listed = await told(included=["ann", "cid", "dan"])
    asked = await told(included=["ann", "bob"], conditions=[{"attribute": "plan", "operator": "in", "values": ["pro"]}])

    assert (listed["action"], listed["environments"]) == ("update", {})
    assert listed["notes"] == ["included: 2 added, 1 removed"]
    # A condition on the segment in between needs the unit as well.
    assert others(listed) == {
        "checkout": [
            "segment beta: 1 listed unit switches from `on` to `off`",
            "segment beta: 2 listed units switch from `off` to `on`",
        ]
    }
    assert others(asked) == {
        "checkout": [
            "rule members: between 0 % and 100 % of users who reach it move; "
            "the segment wide changed: depends on attributes"
        ]
    }
    assert others(await told(included=["bob", "ann"], owner="ann@example.com")) == {}
    assert await running.revisions() == before


async def test_edits_of_a_layer(running: RunningNode) -> None:
    """Another salt draws anew for each flag in the layer: the share is the product of those before and after."""
    await put(running, "layers/search", {"kind": "layer", "key": "search"})
    rollout = {"exposure": 50, "split": {"on": 1}, "fallback": "off", "layer": "search"}
    await put_flag(running, enabled=True, default={"rollout": {**rollout, "range": [0, 40]}})
    await put_flag(running, "second", enabled=True, default={"rollout": {**rollout, "range": [40, 50]}})
    document = {"kind": "layer", "key": "search", "salt": "new"}

    answer = await running.admin.post("/projects/default/layers/search/preview", json={"document": document})
    dry = await running.admin.post("/projects/default/apply", json={"documents": [document], "dry_run": True})

    assert others(answer.json()) == {
        "checkout": ["rule default: 16 % of users gain `on`; 16 % lose `on` for `off`"],
        "second": ["rule default: 4.75 % of users gain `on`; 4.75 % lose `on` for `off`"],
    }
    assert others(dry.json()) == others(answer.json())
    assert (await running.admin.get("/projects/default/layers/search")).json()["version"] == 1


async def test_a_dry_run_of_everything_at_once(running: RunningNode) -> None:
    """Flags that are written have their moves beside them; those that are pruned too; all others are in `others`."""
    await put(running, "segments/beta", {"kind": "segment", "key": "beta"})
    rules = [{"name": "members", "when": {"segment": "beta"}, "serve": "on"}]
    member = {"enabled": True, "rules": rules, "default": {"serve": "off"}}
    for key in ("written", "other"):
        await put_flag(running, key, **member)
    await put_flag(running, "pruned", **rolled_out(50))
    beta = {"kind": "segment", "key": "beta", "included": ["ann"]}
    written = flag_document("written", environments={"production": member})

    async def dry(*documents: Any, prune: bool = False) -> dict[str, Any]:
        body = {"documents": documents, "dry_run": True, "prune": prune}
        answer = await running.admin.post("/projects/default/apply", json=body)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    line = "segment beta: 1 listed unit switches from `off` to `on`"
    told = await dry(beta, written)
    assert {change["key"]: list(change["moves"]) for change in told["changes"]} == {
        "beta": [],
        "written": ["production"],
    }
    assert others(told) == {"other": [line]}
    pruned = {change["key"]: change["moves"] for change in (await dry(beta, written, prune=True))["changes"]}
    assert pruned["pruned"]["production"]["least"] == 100


async def test_a_preview_may_restart_a_ramp(running: RunningNode) -> None:
    """What would spoil a live ramp's evidence has a preview only with `restart_ramp`, as the write."""
    await put(running, "layers/search", {"kind": "layer", "key": "search"})
    rollout = {"exposure": 0, "split": {"on": 1}, "fallback": "off", "layer": "search", "range": [0, 50]}
    await put_flag(running, enabled=True, default={"rollout": rollout})
    ramp = {"kind": "ramp", "flag": "checkout", "environment": "production", "steps": [30, 100], "users": 100_000}
    started = await running.admin.post(f"{HERE}/ramps", json={**ramp, "preflight": "0s"})
    assert started.status_code == 201, started.text
    body = {"document": {"kind": "layer", "key": "search", "salt": "new"}}
    path = "/projects/default/layers/search/preview"

    plain = await running.admin.post(path, json=body)
    restarting = await running.admin.post(path, json=body, params={"restart_ramp": "true"})

    assert (plain.status_code, restarting.status_code) == (409, 200)


@pytest.fixture
async def sampling(database: Database, tmp_path: Path) -> AsyncIterator[RunningNode]:
    """A node that keeps up to 10 contexts."""
    async with a_running_node(database, tmp_path, preview_sample=10) as found:
        yield found


async def evaluate(running: RunningNode, context: dict[str, Any], key: str = "/checkout") -> None:
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {running.sdk_key}"}) as client:
        answer = await client.post(f"{running.url}/ofrep/v1/evaluate/flags{key}", json={"context": context})
        assert answer.status_code == 200, answer.text


async def test_seen_contexts_give_examples(sampling: RunningNode) -> None:
    """Of those that evaluated lately, a preview says who moves; explanations are not counted, segments are asked."""
    await put(sampling, "segments/beta", {"kind": "segment", "key": "beta"})
    rules = [{"name": "members", "when": {"segment": "beta"}, "serve": "on"}]
    await put_flag(sampling, enabled=True, rules=rules, default={"serve": "off"})
    await evaluate(sampling, {"targetingKey": "ann", "plan": "pro"})
    await evaluate(sampling, {"targetingKey": "bob", "plan": "free"}, key="")
    await sampling.admin.post(f"{HERE}/flags/checkout/explain", json={"context": {"targetingKey": "explained"}})
    pro = {"attribute": "plan", "operator": "in", "values": ["pro"]}
    body = {"document": {"kind": "segment", "key": "beta", "conditions": [pro]}}

    told = (await sampling.admin.post("/projects/default/segments/beta/preview", json=body)).json()
    killed = await preview(sampling.admin, {"kill": {"environment": "production"}})

    assert told["others"]["checkout"]["production"]["seen"] == {
        "contexts": 2,
        "moved": 1,
        "share": 50,
        "examples": [{"targetingKey": "ann", "from": "off", "to": "on"}],
    }
    assert others(told)["checkout"][-1] == "seen lately: 1 of 2 contexts move, about 50 % (ann: `off` → `on`)"
    assert killed["environments"]["production"]["seen"]["moved"] == 0


async def test_nothing_is_kept_unless_asked_for(running: RunningNode) -> None:
    """Without the setting, a preview knows of nobody."""
    await put_flag(running, **rolled_out(50))
    await evaluate(running, {"targetingKey": "ann"})

    told = await preview(running.admin, {"kill": {"environment": "production"}})

    assert "seen" not in told["environments"]["production"]
