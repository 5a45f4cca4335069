"""Projects, environments, apply and export, audit, and what every answer has in common."""

import httpx
import msgspec
import pytest

from rheostat.model.flag import Flag
from tests.admin_server import RunningNode, flag_document, rolled_out

FLAGS = "/projects/default/flags"
APPLY = "/projects/default/apply"


async def test_a_new_environment_serves_every_flag(running: RunningNode) -> None:
    """A copied environment serves what its source declares, a plain one serves every flag as disabled."""
    await running.admin.put(f"{FLAGS}/a", json=flag_document("a", environments={"production": rolled_out(25)}))
    await running.admin.put(f"{FLAGS}/b", json=flag_document("b"))
    await running.admin.put(f"{FLAGS}/gone", json=flag_document("gone"))
    await running.admin.post(f"{FLAGS}/gone/archive")
    before = await running.revisions()
    environments = "/projects/default/environments"
    copied = await running.admin.post(environments, json={"key": "canary", "copy_from": "production"})
    plain = await running.admin.post(environments, json={"key": "qa", "name": "Quality"})

    assert copied.status_code == plain.status_code == 201
    assert copied.json()["revision"] == 1
    assert (await running.revisions()) == {**before, "canary": 1, "qa": 1}
    for environment, enabled in (("canary", True), ("qa", False)):
        served = await running.served(environment)
        assert set(served) == {("flag", "a"), ("flag", "b")}
        assert msgspec.json.decode(served["flag", "a"] or b"", type=Flag).enabled is enabled
    document = (await running.admin.get(f"{FLAGS}/a")).json()["document"]
    assert document["environments"]["canary"] == rolled_out(25)
    assert (await running.admin.post(environments, json={"key": "qa"})).status_code == 409
    assert (await running.admin.post(environments, json={"key": "x", "copy_from": "nope"})).status_code == 404


async def test_projects_are_made_renamed_and_deleted(running: RunningNode) -> None:
    """Deleting a project needs its key repeated, and takes everything in it along."""
    made = await running.admin.post("/projects", json={"key": "shop", "name": "Shop"})
    assert (made.status_code, made.json()["environments"]) == (201, [])
    await running.admin.post("/projects/shop/environments", json={"key": "live"})
    await running.admin.put("/projects/shop/flags/a", json=flag_document("a", environments={"live": rolled_out(1)}))
    assert (await running.admin.patch("/projects/shop", json={"name": "The shop"})).json()["name"] == "The shop"
    assert (await running.admin.post("/projects", json={"key": "shop"})).status_code == 409
    assert (await running.admin.delete("/projects/shop", params={"confirm": "sohp"})).status_code == 422
    assert (await running.admin.delete("/projects/shop", params={"confirm": "shop"})).status_code == 204
    assert (await running.admin.get("/projects/shop/flags")).status_code == 404
    assert [p["key"] for p in (await running.admin.get("/projects")).json()["projects"]] == ["default"]


async def test_apply_is_all_or_nothing(running: RunningNode) -> None:
    """Documents that need each other are applied together in one revision; with one fault none is applied."""
    start = await running.revisions()
    needs = rolled_out(5, prerequisites=[{"flag": "base", "variants": ["on"]}])
    documents = [flag_document("top", environments={"production": needs}), flag_document("base")]
    broken = await running.admin.post(
        APPLY, json={"documents": [*documents, flag_document("bad", variants={}), {"kind": "sgment", "key": "s"}]}
    )
    assert broken.status_code == 422
    assert {fault["path"].split(".")[0] for fault in broken.json()["faults"]} == {"documents[2]", "documents[3]"}
    assert await running.revisions() == start

    applied = await running.admin.post(APPLY, json={"documents": documents})
    assert [(c["key"], c["action"]) for c in applied.json()["changes"]] == [("top", "create"), ("base", "create")]
    assert await running.revisions() == {name: revision + 1 for name, revision in start.items()}
    again = await running.admin.post(APPLY, json={"documents": documents})
    assert {c["action"] for c in again.json()["changes"]} == {"unchanged"}
    assert await running.revisions() == {name: revision + 1 for name, revision in start.items()}


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_ramp_among_the_documents_is_checked_and_not_started(running: RunningNode, dry_run: bool) -> None:
    """Files that hold a flag and its ramp are applied; the answer says how the ramp is started, and starts none."""
    flag = flag_document("a", environments={"production": rolled_out(0)})
    ramp = {"kind": "ramp", "flag": "a", "environment": "production", "steps": [10, 100]}
    applied = await running.admin.post(APPLY, json={"documents": [ramp, flag], "dry_run": dry_run})
    broken = await running.admin.post(APPLY, json={"documents": [flag, {**ramp, "steps": [1000]}]})

    [made, skipped] = applied.json()["changes"]
    assert (made["kind"], made["action"]) == ("flag", "create")
    assert (skipped["kind"], skipped["key"], skipped["action"]) == ("ramp", "a", "skip")
    assert "rheostat ramp start -f FILE" in skipped["notes"][0]
    assert (await running.admin.get("/projects/default/environments/production/ramps")).json()["ramps"] == []
    assert (broken.status_code, broken.json()["faults"][0]["path"]) == (422, "documents[1].steps[0]")


async def test_a_dry_run_says_what_would_change_and_changes_nothing(running: RunningNode) -> None:
    """A dry run gives the answer of the real run and leaves revisions, flags and audit as they are."""
    await running.admin.put(f"{FLAGS}/old", json=flag_document("old"))
    body = {"documents": [flag_document("new", environments={"staging": rolled_out(1)})], "prune": True}
    before, audit = await running.revisions(), (await running.admin.get("/audit")).text
    dry = (await running.admin.post(APPLY, json={**body, "dry_run": True})).json()

    assert dry["dry_run"] is True
    assert await running.revisions() == before
    assert (await running.admin.get("/audit")).text == audit
    real = (await running.admin.post(APPLY, json=body)).json()
    assert real["changes"] == [{**change, "moves": {}} for change in dry["changes"]]
    assert [(change["key"], change["action"]) for change in real["changes"]] == [("new", "create"), ("old", "archive")]
    assert [flag["key"] for flag in (await running.admin.get(FLAGS)).json()["flags"]] == ["new"]


async def test_prune_refuses_to_take_what_is_needed(running: RunningNode) -> None:
    """Pruning a flag that a remaining one needs is refused, and so is pruning without any document."""
    await running.admin.put(f"{FLAGS}/base", json=flag_document("base"))
    needs = rolled_out(5, prerequisites=[{"flag": "base", "variants": ["on"]}])
    document = flag_document("top", environments={"production": needs})
    await running.admin.put(f"{FLAGS}/top", json=document)

    pruned = await running.admin.post(APPLY, json={"documents": [document], "prune": True})
    empty = await running.admin.post(APPLY, json={"documents": [], "prune": True})
    ramp = {"kind": "ramp", "flag": "top", "environment": "production", "steps": [10, 100]}
    only_ramps = await running.admin.post(APPLY, json={"documents": [ramp], "prune": True, "force": True})

    assert pruned.status_code == empty.status_code == only_ramps.status_code == 422
    assert {flag["key"] for flag in (await running.admin.get(FLAGS)).json()["flags"]} == {"base", "top"}


async def test_an_export_applies_to_nothing_new(running: RunningNode) -> None:
    """What export gives, apply takes, and finds every flag unchanged."""
    await running.admin.put(f"{FLAGS}/a", json=flag_document("a", environments={"production": rolled_out(25)}))
    await running.admin.put(f"{FLAGS}/b", json=flag_document("b", tags=["x"], metadata={"n": 1}))
    documents = (await running.admin.get("/projects/default/export")).json()["documents"]
    applied = await running.admin.post(APPLY, json={"documents": documents, "prune": True})

    assert [document["key"] for document in documents] == ["a", "b"]
    assert {change["action"] for change in applied.json()["changes"]} == {"unchanged"}


async def test_the_audit_log_tells_who_did_what(running: RunningNode) -> None:
    """Each write has an entry with actor, place and line; changes since a moment are its newest part, without keys."""
    await running.admin.put(f"{FLAGS}/a", json=flag_document("a", environments={"staging": {}}))
    running.clock.advance(3600)
    writer = await running.token_of(label="ana", scope="write")
    await writer.patch(f"{FLAGS}/a", json={"environments": {"staging": {"enabled": True}}})

    entries = (await running.admin.get("/audit", params={"subject": "a"})).json()["entries"]
    assert [(entry["actor"], entry["action"], entry["environment"]) for entry in entries] == [
        ("ana", "flag.patch", "staging"),
        ("admin", "flag.create", None),
    ]
    assert entries[0]["summary"] == "changed a, version 2 (staging)"
    assert entries[0]["detail"]["changes"] == [{"path": "environments.staging.enabled", "after": True}]
    first = (await running.admin.get("/audit", params={"limit": 1})).json()
    second = (await running.admin.get("/audit", params={"limit": 1, "before": first["next"]})).json()
    assert second["entries"][0]["id"] < first["entries"][0]["id"]

    recent = (await running.admin.get("/changes", params={"since": "30m"})).json()
    assert [change["action"] for change in recent["changes"]] == ["flag.patch"]
    elsewhere = await running.admin.get("/changes", params={"since": "30m", "environment": "production"})
    assert elsewhere.json()["changes"] == []
    all_day = await running.admin.get("/changes", params={"since": "2025-12-31T00:00:00Z", "environment": "production"})
    assert [change["action"] for change in all_day.json()["changes"]] == ["flag.create"]
    assert (await running.admin.get("/changes", params={"since": "yesterday"})).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "word"),
    [
        ("POST", "/projects", b'{"key": "x", "nmae": "y"}', 422, "nmae"),
        ("POST", "/projects", b'{"key": 1}', 422, "key"),
        ("POST", "/projects", b'{"key": "a b"}', 422, "key"),
        ("POST", "/projects", b'{"name": "a"}', 422, "key"),
        ("POST", "/projects", b'{"key": "x",\n "name": }', 400, "line 2, column 10"),
        ("POST", "/projects", b'{"key": "\xff"}', 400, "UTF-8"),
        ("POST", f"{FLAGS}/a/archive", b'{"force": 1}', 422, "force"),
        ("POST", APPLY, b'{"documents": {}}', 422, "documents"),
        ("PUT", f"{FLAGS}/a", b"", 400, "no body"),
        ("PUT", f"{FLAGS}/a", b"[" * 5000, 400, "body"),
        ("PUT", f"{FLAGS}/a", b'"' + b"x" * (2 << 20) + b'"', 413, ""),
        ("GET", f"{FLAGS}?limit=0", b"", 400, "limit"),
        ("GET", f"{FLAGS}?tag=%00", b"", 400, "NUL"),
        ("GET", f"{FLAGS}/a/versions/99999999999999999999", b"", 404, ""),
        ("GET", "/nowhere", b"", 404, ""),
        ("DELETE", FLAGS, b"", 405, ""),
    ],
)
async def test_what_is_wrong_is_said_as_a_problem(
    running: RunningNode, method: str, path: str, content: bytes, status: int, word: str
) -> None:
    """Whatever is wrong with a request, the answer is problem+json that names it."""
    answer = await running.admin.request(method, path, content=content)

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert word in answer.text


async def test_open_pages_need_no_key(running: RunningNode) -> None:
    """Health, readiness, metrics and the API's description are open; the description has bodies' forms."""
    async with httpx.AsyncClient(base_url=running.url) as client:
        assert (await client.get("/healthz")).json() == {"status": "alive"}
        ready = await client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["parts"]["snapshots"]["ready"] is True
        assert "rheostat_build_info" in (await client.get("/metrics")).text
        page = await client.get("/docs")
        assert "/api/v1/projects/{project}/flags/{key}" in page.text
        assert "http://" not in page.text.replace(running.url, "")
        document = (await client.get("/docs/openapi.json")).json()
    put = document["paths"]["/api/v1/projects/{project}/flags/{key}"]["put"]
    assert put["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/FlagDocument"}
    assert "EnvironmentDocument" in document["components"]["schemas"]


async def test_an_environment_with_a_live_ramp_is_not_deleted(running: RunningNode) -> None:
    """A live ramp stands against deleting its environment and its project; an ended one, and a kill, go along."""
    await running.admin.put(f"{FLAGS}/a", json=flag_document("a", environments={"staging": rolled_out(0)}))
    staging = "/projects/default/environments/staging"
    ramp = {"kind": "ramp", "flag": "a", "environment": "staging", "steps": [10, 100], "users": 10_000}
    started = await running.admin.post(f"{staging}/ramps", json=ramp)
    assert started.status_code == 201, started.text
    for path, key in ((staging, "staging"), ("/projects/default", "default")):
        refused = await running.admin.delete(path, params={"confirm": key})
        assert refused.status_code == 409
        assert "a ramp of a runs in staging" in refused.json()["detail"]
    shown = (await running.admin.get(f"{FLAGS}/a")).json()["in_force"]["staging"]["rollouts"]["default"]
    assert (shown["ramp"], shown["live"], shown["in_force"]) == (started.json()["id"], True, 0)

    killed = await running.admin.post(f"{staging}/flags/a/kill", json={"reason": "try"})
    assert killed.status_code == 200, killed.text
    [kill] = (await running.admin.get(f"{FLAGS}/a")).json()["in_force"]["staging"]["kills"]
    assert kill["scope"] == "rollout"
    deleted = await running.admin.delete(staging, params={"confirm": "staging"})
    assert deleted.status_code == 204, deleted.text


async def test_a_write_that_changes_a_ramping_exposure_aborts_the_ramp_and_says_so(running: RunningNode) -> None:
    """The answer, the audit and the exposure in force all tell that a write ended a ramp."""
    await running.admin.put(f"{FLAGS}/a", json=flag_document("a", environments={"production": rolled_out(0)}))
    ramp = {"kind": "ramp", "flag": "a", "environment": "production", "steps": [10, 100], "users": 10_000}
    await running.admin.post("/projects/default/environments/production/ramps", json=ramp)
    same = await running.admin.put(f"{FLAGS}/a", json=flag_document("a", owner="x"))
    changed = flag_document("a", environments={"production": rolled_out(5)})
    dry = (await running.admin.post(APPLY, json={"documents": [changed], "dry_run": True})).json()["changes"][0]
    answer = (await running.admin.put(f"{FLAGS}/a", json=changed)).json()

    assert same.json()["notes"] == []
    assert "was aborted" in dry["notes"][0]
    assert "was aborted" in answer["notes"][0]
    assert answer["in_force"]["production"]["rollouts"]["default"] == {"declared": 5, "in_force": 5}
