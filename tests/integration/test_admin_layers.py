"""Layers over HTTP, and segments and layers among applied and exported documents."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from rheostat import Context, Rheostat
from rheostat.engine.hashing import place
from rheostat.model.flag import Flag, Rollout
from tests.admin_server import RunningNode, flag_document, rolled_out

LAYERS = "/projects/default/layers"
SEGMENTS = "/projects/default/segments"
FLAGS = "/projects/default/flags"
APPLY = "/projects/default/apply"


def layer(key: str = "search", **fields: Any) -> dict[str, Any]:
    """Return a layer's document."""
    return {"kind": "layer", "key": key, **fields}


def layered(key: str, low: float, high: float, *, exposure: float = 100, in_layer: str = "search") -> dict[str, Any]:
    """Return a flag whose rollout owns a range of a layer in production."""
    rollout = {"exposure": exposure, "split": {"on": 1}, "fallback": "off", "layer": in_layer, "range": [low, high]}
    return flag_document(key, environments={"production": {"enabled": True, "default": {"rollout": rollout}}})


async def put(running: RunningNode, document: dict[str, Any], **query: str) -> httpx.Response:
    path = f"/projects/default/{document['kind']}s/{document['key']}"
    return await running.admin.put(path, json=document, params=query)


async def served_rollout(running: RunningNode, key: str) -> Rollout:
    """Return the default rollout as production serves it."""
    flag = msgspec.json.decode((await running.served())["flag", key] or b"", type=Flag)
    assert flag.default.rollout is not None
    return flag.default.rollout


async def test_a_layer_serves_nothing_until_a_flag_is_in_it(running: RunningNode) -> None:
    """A new layer raises no revision; a rollout in it is served with its salt, its unit and its own range."""
    before = await running.revisions()
    made = await put(running, layer(unit="org"))
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    assert await running.revisions() == before

    assert (await put(running, layered("a", 0, 33.3333))).status_code == 201
    rollout = await served_rollout(running, "a")
    assert (rollout.salt, rollout.bucket_by, rollout.low, rollout.high) == ("layer:search", "org", 0, 333_333)
    [use] = (await running.admin.get(f"{LAYERS}/search")).json()["used_by"]
    assert use == {
        "kind": "flag",
        "key": "a",
        "environment": "production",
        "path": "environments.production.default.rollout",
    }


async def test_flags_of_one_layer_never_share_a_user(running: RunningNode, tmp_path: Path) -> None:
    """Every user is exposed by one flag at most, over OFREP and in the SDK alike, exactly by place on the layer."""
    await put(running, layer())
    flags = {"a": (0, 40), "b": (40, 70), "c": (70, 100)}
    for key, (low, high) in flags.items():
        assert (await put(running, layered(key, low, high))).status_code == 201

    def in_process() -> dict[int, list[str]]:
        with Rheostat(running.url, running.sdk_key, cache_dir=tmp_path) as client:
            assert client.wait_until_ready(10)
            return {
                number: [key for key in flags if client.boolean(key, False, Context(f"user-{number}"))]
                for number in range(500)
            }

    exposed = await asyncio.to_thread(in_process)
    for number, keys in exposed.items():
        at = place("layer:search", f"user-{number}") / 10_000
        assert keys == [key for key, (low, high) in flags.items() if low <= at < high]
    assert {key for keys in exposed.values() for key in keys} == set(flags)

    async with httpx.AsyncClient(base_url=running.url, headers={"x-api-key": running.sdk_key}) as client:
        for number in range(20):
            answer = await client.post("/ofrep/v1/evaluate/flags", json={"context": {"targetingKey": f"user-{number}"}})
            assert [one["key"] for one in answer.json()["flags"] if one["value"]] == exposed[number]


async def test_a_layer_that_changes_serves_its_flags_again(running: RunningNode) -> None:
    """A new salt reaches the flags in the layer at once, in the environments where they are, and no other flag."""
    await put(running, layer())
    await put(running, layered("a", 0, 50))
    await put(running, flag_document("alone", environments={"production": rolled_out(50)}))
    before = await running.revisions()

    changed = await put(running, layer(salt="second-try"))
    assert changed.json()["version"] == 2
    assert (await served_rollout(running, "a")).salt == "second-try"
    assert await running.revisions() == {**before, "production": before["production"] + 1}
    async with running.node.storage.transaction() as tx:
        here = await tx.environments.get("default", "production")
        rows = await tx.served.since(here.id, before["production"])
    assert [(row.kind, row.key) for row in rows] == [("flag", "a")]
    assert (await running.admin.get(f"{FLAGS}/a")).json()["version"] == 1
    [entry] = (await running.admin.get("/audit", params={"subject": "search", "limit": 1})).json()["entries"]
    assert (entry["action"], entry["detail"]["flags"]) == ("layer.put", ["a"])

    await put(running, layer(salt="second-try", owner="ann@example.com"))
    assert (await running.revisions())["production"] == before["production"] + 1


async def test_ranges_do_not_overlap(running: RunningNode) -> None:
    """A flag that claims what another one owns is refused, also when it comes back from the archive."""
    await put(running, layer())
    await put(running, layered("a", 0, 40))
    clash = await put(running, layered("b", 39.9999, 60))
    assert (clash.status_code, clash.json()["faults"]) == (
        422,
        [
            {
                "path": "environments.production.default.rollout.range",
                "message": "39.9999–60 % of the layer search overlaps 0–40 %, which the flag a owns (default)",
                "hint": "take a part of the layer that nobody owns",
            }
        ],
    )
    assert (await put(running, layered("b", 40, 60))).status_code == 201
    missing = await put(running, layered("c", 60, 70, in_layer="serch"))
    assert missing.json()["faults"][0]["hint"] == "did you mean search?"

    await running.admin.post(f"{FLAGS}/b/archive", json={})
    assert (await put(running, layered("c", 50, 70))).status_code == 201
    back = await running.admin.post(f"{FLAGS}/b/unarchive")
    assert (back.status_code, back.json()["faults"][0]["path"]) == (
        422,
        "environments.production.default.rollout.range",
    )


async def test_a_layer_that_is_used_is_not_deleted(running: RunningNode) -> None:
    """A deletion names the flags in the layer; without any it goes, and a flag that was in it cannot come back."""
    await put(running, layer())
    await put(running, layered("a", 0, 40))
    refused = await running.admin.delete(f"{LAYERS}/search")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "the layer search is used by the flag a (production); take it out of there first",
    )
    await running.admin.post(f"{FLAGS}/a/archive", json={})
    assert (await running.admin.delete(f"{LAYERS}/search")).status_code == 204
    assert (await running.admin.get(LAYERS)).json()["items"] == []
    back = await running.admin.post(f"{FLAGS}/a/unarchive")
    assert back.json()["faults"][0]["message"] == "there is no layer 'search'"
    free = await running.admin.post(APPLY, json={"documents": [flag_document("a", environments={"production": {}})]})
    assert free.status_code == 200, free.text


async def test_a_layer_under_a_live_ramp_stays(running: RunningNode) -> None:
    """A new salt would exchange a ramp's users: refused while it ramps, or the ramp starts afresh."""
    await put(running, layer())
    await put(running, layered("a", 0, 40, exposure=0))
    ramp = {"kind": "ramp", "flag": "a", "environment": "production", "unguarded": True, "strategy": "custom",
            "steps": [{"exposure": 10, "gate": "manual"}, {"exposure": 50}]}  # fmt: skip
    started = await running.admin.post("/projects/default/environments/production/ramps", json=ramp)
    assert started.status_code == 201, started.text

    refused = await put(running, layer(salt="other"))
    assert refused.status_code == 409
    assert "this changes salt" in refused.json()["detail"]
    assert (await put(running, layer(description="harmless"))).status_code == 200
    among = await running.admin.post(APPLY, json={"documents": [layer(salt="other")]})
    assert among.status_code == 409
    again = await put(running, layer(salt="other"), restart_ramp="true")
    assert (again.status_code, (await served_rollout(running, "a")).salt) == (200, "other")


async def test_a_new_environment_has_the_layers_of_the_one_it_copies(running: RunningNode) -> None:
    """A copied rollout is in the same layer with the same range."""
    await put(running, layer())
    await put(running, layered("a", 0, 40))
    made = await running.admin.post("/projects/default/environments", json={"key": "qa", "copy_from": "production"})
    assert made.status_code == 201, made.text
    flag = msgspec.json.decode((await running.served("qa"))["flag", "a"] or b"", type=Flag)
    assert flag.default.rollout == await served_rollout(running, "a")


def everything() -> list[dict[str, Any]]:
    """Return documents of all kinds that need each other, those that need first."""
    members = {"name": "members", "when": {"segment": "outer"}, "serve": "on"}
    flag = layered("a", 0, 40)
    flag["environments"]["production"]["rules"] = [members]
    return [
        flag,
        {"kind": "segment", "key": "outer", "conditions": [{"segment": "inner"}]},
        {"kind": "segment", "key": "inner", "included": ["ann"]},
        layer(),
    ]


async def test_documents_of_all_kinds_are_applied_together(running: RunningNode) -> None:
    """Whatever their order they are one revision; what export gives is unchanged when it is applied."""
    before = await running.revisions()
    dry = await running.admin.post(APPLY, json={"documents": everything(), "dry_run": True})
    assert dry.status_code == 200, dry.text
    assert (await running.admin.get(SEGMENTS)).json()["items"] == []
    assert await running.revisions() == before

    applied = await running.admin.post(APPLY, json={"documents": everything()})
    assert {(one["kind"], one["key"], one["action"]) for one in applied.json()["changes"]} == {
        ("flag", "a", "create"),
        ("segment", "outer", "create"),
        ("segment", "inner", "create"),
        ("layer", "search", "create"),
    }
    assert await running.revisions() == {name: revision + 1 for name, revision in before.items()}

    exported = (await running.admin.get("/projects/default/export")).json()["documents"]
    assert [(one["kind"], one["key"]) for one in exported] == [
        ("segment", "inner"), ("segment", "outer"), ("layer", "search"), ("flag", "a"),
    ]  # fmt: skip
    again = await running.admin.post(APPLY, json={"documents": exported, "prune": True})
    assert {one["action"] for one in again.json()["changes"]} == {"unchanged"}
    other = await running.admin.post("/projects", json={"key": "copy"})
    assert other.status_code == 201
    await running.admin.post("/projects/copy/environments", json={"key": "production"})
    copied = await running.admin.post("/projects/copy/apply", json={"documents": exported})
    assert copied.status_code == 200, copied.text
    assert (await running.admin.get("/projects/copy/export")).json()["documents"] == exported


async def test_applying_a_layer_serves_the_flags_that_were_not_sent(running: RunningNode) -> None:
    """A file with a segment and a layer alone changes what the flags on them serve, and says where."""
    await running.admin.post(APPLY, json={"documents": everything()})
    before = await running.revisions()
    files = [layer(salt="other"), {"kind": "segment", "key": "inner", "included": ["bob"]}]
    applied = await running.admin.post(APPLY, json={"documents": files})

    changes = {one["key"]: (one["action"], one["version"], one["environments"]) for one in applied.json()["changes"]}
    assert changes == {"search": ("update", 2, ["production"]), "inner": ("update", 2, sorted(before))}
    assert (await served_rollout(running, "a")).salt == "other"
    assert await running.revisions() == {name: revision + 1 for name, revision in before.items()}


async def test_prune_deletes_what_no_document_needs(running: RunningNode) -> None:
    """Segments and layers that the files do not have go with their flags; what a file still needs is a fault."""
    await running.admin.post(APPLY, json={"documents": everything()})
    flag, *_, search = everything()
    kept = await running.admin.post(APPLY, json={"documents": [flag, search], "prune": True})
    assert (kept.status_code, [fault["path"] for fault in kept.json()["faults"]]) == (
        422,
        ["documents[0].environments.production.rules[0].when.segment"],
    )
    pruned = await running.admin.post(APPLY, json={"documents": [flag_document("b"), search], "prune": True})
    assert pruned.status_code == 200, pruned.text
    assert {(one["key"], one["action"]) for one in pruned.json()["changes"]} == {
        ("b", "create"), ("search", "unchanged"), ("a", "archive"), ("inner", "delete"), ("outer", "delete"),
    }  # fmt: skip
    assert {kind for kind, _ in await running.served()} == {"flag"}


@pytest.mark.parametrize("kind", ["segment", "layer"])
async def test_every_fault_has_its_document(running: RunningNode, kind: str) -> None:
    """The faults of many documents name each its own; two documents of one kind and key are one fault."""
    documents = [flag_document("a"), {"kind": kind, "key": "x"}, {"kind": kind, "key": "x"}, {"kind": kind, "nme": 1}]
    answer = await running.admin.post(APPLY, json={"documents": documents})
    assert {fault["path"] for fault in answer.json()["faults"]} == {
        "documents[2].key", "documents[3].key", "documents[3].nme",
    }  # fmt: skip
