"""Segments over HTTP: what is written, served, refused, and told."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from rheostat.model.flag import Segment
from tests.admin_server import RunningNode, flag_document, rolled_out

SEGMENTS = "/projects/default/segments"
FLAGS = "/projects/default/flags"


def segment(key: str = "beta", **fields: Any) -> dict[str, Any]:
    """Return a segment's document."""
    return {"kind": "segment", "key": key, **fields}


def for_members(key: str = "beta", **fields: Any) -> dict[str, Any]:
    """Return what an environment has that serves `on` to members of a segment, and `off` to all others."""
    rules = [{"name": "members", "when": {"all": [{"segment": key}]}, "serve": "on"}]
    return {"enabled": True, "rules": rules, "default": {"serve": "off"}, **fields}


async def put(running: RunningNode, document: dict[str, Any], **headers: str) -> httpx.Response:
    return await running.admin.put(f"{SEGMENTS}/{document['key']}", json=document, headers=headers)


async def put_flag(running: RunningNode, document: dict[str, Any]) -> httpx.Response:
    return await running.admin.put(f"{FLAGS}/{document['key']}", json=document)


async def evaluated(running: RunningNode, key: str, targeting_key: str, **attributes: Any) -> Any:
    """Return the value that OFREP gives."""
    async with httpx.AsyncClient(base_url=running.url, headers={"x-api-key": running.sdk_key}) as client:
        context = {"targetingKey": targeting_key, **attributes}
        answer = await client.post(f"/ofrep/v1/evaluate/flags/{key}", json={"context": context})
    assert answer.status_code == 200, answer.text
    return answer.json()["value"]


async def test_a_segment_is_served_in_every_environment(running: RunningNode) -> None:
    """A new segment raises each environment's revision by one; what evaluations do not know of raises none."""
    before = await running.revisions()
    made = await put(running, segment(included=["ann"], owner="ann@example.com"))

    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    assert made.json()["document"] == segment(included=["ann"], owner="ann@example.com")
    assert made.json()["used_by"] == []
    assert await running.revisions() == {name: revision + 1 for name, revision in before.items()}
    for name in before:
        body = (await running.served(name))["segment", "beta"]
        assert msgspec.json.decode(body or b"", type=Segment) == Segment(key="beta", included=("ann",))

    described = await put(running, segment(included=["ann"], description="Who sees things first"))
    again = await put(running, segment(included=["ann"], description="Who sees things first"))
    assert (described.status_code, described.json()["version"]) == (200, 2)
    assert (again.json()["version"], again.json()["notes"]) == (2, ["nothing changed"])
    assert await running.revisions() == {name: revision + 1 for name, revision in before.items()}


async def test_a_flag_follows_its_segment_at_once(running: RunningNode) -> None:
    """Who is put into a segment gets what its members get, in the next evaluation; who is taken out no longer."""
    await put(
        running, segment(included=["ann"], conditions=[{"attribute": "plan", "operator": "in", "values": ["pro"]}])
    )
    made = await put_flag(running, flag_document(environments={"production": for_members()}))
    assert made.status_code == 201, made.text
    assert await evaluated(running, "checkout", "ann") is True
    assert await evaluated(running, "checkout", "bob", plan="pro") is True
    assert await evaluated(running, "checkout", "bob", plan="free") is False

    changed = await put(running, segment(included=["bob"], excluded=["ann"]))
    assert [use["key"] for use in changed.json()["used_by"]] == ["checkout"]
    assert await evaluated(running, "checkout", "ann") is False
    assert await evaluated(running, "checkout", "bob", plan="free") is True
    assert (await running.admin.get(f"{FLAGS}/checkout")).json()["version"] == 1


async def test_conditions_of_writers_hold(running: RunningNode) -> None:
    """If-Match and If-None-Match are heeded by writes and deletions; a deleted segment's versions go on."""
    await put(running, segment())
    assert (await put(running, segment(), **{"If-None-Match": "*"})).status_code == 412
    assert (await put(running, segment(included=["a"]), **{"If-Match": '"1"'})).status_code == 200
    late = await put(running, segment(included=["b"]), **{"If-Match": '"1"'})
    assert (late.status_code, late.json()["detail"]) == (412, "the segment 'beta' has moved on to version 2")
    assert (await put(running, segment("none"), **{"If-Match": "*"})).status_code == 412
    assert (await running.admin.delete(f"{SEGMENTS}/beta", headers={"If-Match": '"1"'})).status_code == 412

    assert (await running.admin.delete(f"{SEGMENTS}/beta", headers={"If-Match": '"2"'})).status_code == 204
    assert (await running.admin.get(f"{SEGMENTS}/beta")).status_code == 404
    assert (await running.admin.delete(f"{SEGMENTS}/beta")).status_code == 404
    assert ("segment", "beta") not in await running.served()
    back = await put(running, segment())
    assert (back.status_code, back.json()["version"]) == (201, 4)
    versions = (await running.admin.get(f"{SEGMENTS}/beta/history")).json()["versions"]
    assert [(one["version"], one["action"]) for one in versions] == [
        (4, "create"), (3, "delete"), (2, "put"), (1, "create"),
    ]  # fmt: skip
    second = (await running.admin.get(f"{SEGMENTS}/beta/versions/2")).json()
    assert second["document"] == segment(included=["a"])
    assert (await running.admin.get(f"{SEGMENTS}/beta/versions/9")).status_code == 404


async def test_a_segment_that_is_used_is_not_deleted(running: RunningNode) -> None:
    """A deletion names every flag and segment that uses it; once none does it goes, and is no longer served."""
    await put(running, segment("inner"))
    await put(running, segment("outer", conditions=[{"not": {"segment": "inner"}}]))
    await put_flag(running, flag_document("a", environments={"staging": for_members("inner")}))

    refused = await running.admin.delete(f"{SEGMENTS}/inner")
    assert refused.status_code == 409
    words = "the segment inner is used by the flag a (staging), the segment outer; take it out of there first"
    assert refused.json()["detail"] == words
    listed = (await running.admin.get(SEGMENTS)).json()["items"]
    assert [(one["key"], [use["key"] for use in one["used_by"]]) for one in listed] == [
        ("inner", ["a", "outer"]),
        ("outer", []),
    ]
    [use, other] = listed[0]["used_by"]
    assert use == {
        "kind": "flag",
        "key": "a",
        "environment": "staging",
        "path": "environments.staging.rules[0].when.all[0]",
    }
    assert other["path"] == "conditions[0].not"

    await running.admin.post(f"{FLAGS}/a/archive", json={})
    assert (await running.admin.delete(f"{SEGMENTS}/outer")).status_code == 204
    assert (await running.admin.delete(f"{SEGMENTS}/inner")).status_code == 204
    assert ("segment", "inner") not in await running.served()
    back = await running.admin.post(f"{FLAGS}/a/unarchive")
    assert (back.status_code, back.json()["faults"][0]["message"]) == (422, "there is no segment 'inner'")


async def test_what_a_document_names_is_there(running: RunningNode) -> None:
    """A segment that is not there is a fault, in flags and in segments, and so is a circle; nothing is changed."""
    await put(running, segment("beta"))
    before = await running.revisions()
    flag = await put_flag(running, flag_document(environments={"production": for_members("betta")}))
    assert flag.json()["faults"] == [
        {
            "path": "environments.production.rules[0].when.all[0].segment",
            "message": "there is no segment 'betta'",
            "hint": "did you mean beta?",
        }
    ]
    missing = await put(running, segment("outer", conditions=[{"segment": "betta"}]))
    assert (missing.status_code, missing.json()["faults"][0]["path"]) == (422, "conditions[0].segment")
    itself = await put(running, segment("beta", conditions=[{"segment": "beta"}]))
    assert itself.json()["faults"][0]["message"] == "this goes in a circle: beta → beta"
    unknown = await put(running, segment(inclded=["a"]))
    assert unknown.json()["faults"][0]["hint"] == "did you mean included?"
    renamed = await running.admin.put(f"{SEGMENTS}/beta", json=segment("gamma"))
    assert renamed.status_code == 422
    assert await running.revisions() == before

    await put(running, segment("outer", conditions=[{"segment": "beta"}]))
    circle = await put(running, segment("beta", conditions=[{"any": [{"segment": "outer"}]}]))
    assert circle.json()["faults"][0]["message"] == "this goes in a circle: beta → outer → beta"


async def test_a_new_environment_serves_the_segments(running: RunningNode) -> None:
    """An environment that is made later serves every segment from its first revision on."""
    await put(running, segment(included=["ann"]))
    await running.admin.post("/projects/default/environments", json={"key": "qa"})
    assert ("segment", "beta") in await running.served("qa")


async def test_an_audit_entry_counts_units(running: RunningNode) -> None:
    """The audit log says what changed and which flags it concerns; of long lists only how many came and went."""
    await put(running, segment(included=["a", "b"]))
    await put_flag(running, flag_document(environments={"production": for_members()}))
    await put(running, segment(included=["b", "c", "d"], unit="org"))
    [entry] = (await running.admin.get("/audit", params={"subject": "beta", "limit": 1})).json()["entries"]
    assert (entry["action"], entry["subject"]) == ("segment.put", "beta")
    assert entry["summary"] == "changed the segment beta, version 2"
    assert entry["detail"]["flags"] == ["checkout"]
    assert entry["detail"]["changes"] == [
        {"path": "unit", "after": "org"},
        {"path": "included", "added": 2, "removed": 1},
    ]


@pytest.mark.parametrize(("changed", "status"), [("beta", 409), ("inner", 409), ("later", 200)])
async def test_a_segment_under_a_live_ramp_stays(running: RunningNode, changed: str, status: int) -> None:
    """What decides who meets a ramping rollout is not edited while it ramps; what only later rules ask is."""
    await put(running, segment("inner"))
    await put(running, segment("beta", conditions=[{"segment": "inner"}]))
    await put(running, segment("later"))
    rollout = {"exposure": 0, "split": {"on": 1}, "fallback": "off"}
    rules = [
        {"name": "first", "when": {"segment": "beta"}, "serve": "off"},
        {"name": "ramped", "when": {"attribute": "plan", "operator": "in", "values": ["pro"]}, "rollout": rollout},
        {"name": "last", "when": {"segment": "later"}, "serve": "on"},
    ]
    await put_flag(running, flag_document(environments={"production": rolled_out(0, rules=rules)}))
    ramp = {"kind": "ramp", "flag": "checkout", "environment": "production", "rollout": "ramped", "unguarded": True,
            "strategy": "custom", "steps": [{"exposure": 10, "gate": "manual"}, {"exposure": 50}]}  # fmt: skip
    started = await running.admin.post("/projects/default/environments/production/ramps", json=ramp)
    assert started.status_code == 201, started.text

    edited = await put(running, segment(changed, included=["ann"]))
    assert edited.status_code == status, edited.text
    described = await put(running, segment("inner", description="harmless"))
    assert described.status_code == 200
    if status == 409:
        assert "the segment beta" in edited.json()["detail"]
        document = segment(changed, included=["ann"], conditions=[{"segment": "inner"}] if changed == "beta" else [])
        again = await running.admin.put(f"{SEGMENTS}/{changed}", json=document, params={"restart_ramp": "true"})
        assert again.status_code == 200, again.text
        assert "was started afresh" in again.json()["notes"][-1]


async def test_a_deletion_and_a_new_use_exclude_each_other(running: RunningNode) -> None:
    """Of a deletion and a write that begins to use the segment, made at once, one is refused, whichever is first."""
    for number in range(10):
        key = f"s{number}"
        await put(running, segment(key))
        flag = flag_document(f"f{number}", environments={"production": for_members(key)})
        deleted, used = await asyncio.gather(running.admin.delete(f"{SEGMENTS}/{key}"), put_flag(running, flag))
        assert (deleted.status_code, used.status_code) in {(204, 422), (409, 201)}


async def test_readers_write_no_segments(running: RunningNode) -> None:
    """A token that may only read lists segments and changes none."""
    await put(running, segment())
    reader = await running.token_of(scope="read")
    assert (await reader.get(SEGMENTS)).status_code == 200
    assert (await reader.put(f"{SEGMENTS}/beta", json=segment(owner="x"))).status_code == 403
    assert (await reader.delete(f"{SEGMENTS}/beta")).status_code == 403


async def test_segments_are_listed_in_pages(running: RunningNode) -> None:
    """Pages follow each other in byte order of the keys, with none left out."""
    for key in ("b", "a", "C", "d"):
        await put(running, segment(key))
    first = (await running.admin.get(SEGMENTS, params={"limit": 3})).json()
    rest = (await running.admin.get(SEGMENTS, params={"limit": 3, "after": first["next"]})).json()
    assert [one["key"] for one in first["items"]] == ["C", "a", "b"]
    assert ([one["key"] for one in rest["items"]], rest.get("next")) == (["d"], None)
