"""Explanations over HTTP: the engine's walk, from what the node serves."""

from typing import Any

import httpx

from tests.admin_server import RunningNode, flag_document, rolled_out

FLAGS = "/projects/default/flags"
STAFF = {
    "name": "staff",
    "when": {"attribute": "email", "operator": "ends_with", "values": ["@example.com"]},
    "serve": "on",
}


async def explain(client: httpx.AsyncClient, key: str, context: Any, environment: str = "production") -> httpx.Response:
    path = f"/projects/default/environments/{environment}/flags/{key}/explain"
    return await client.post(path, json={"context": context})


async def test_the_walk_says_what_an_evaluation_gives_and_why(running: RunningNode) -> None:
    """An explanation has each rule's verdict, the place on the line, the revision, and OFREP's own answer."""
    document = flag_document(environments={"production": rolled_out(50, rules=[STAFF])})
    await running.admin.put(f"{FLAGS}/checkout", json=document)
    context = {"targetingKey": "user-1", "email": "ada@example.org"}

    answer = await explain(running.admin, "checkout", context)

    assert answer.status_code == 200, answer.text
    body = answer.json()
    rule, default = body["steps"][-2:]
    assert (rule["name"], rule["condition"]["verdict"]) == ("staff", "false")
    assert rule["condition"]["shown"] == {"type": "text", "text": "ada@example.org"}
    rollout = default["rollout"]
    assert rollout.get("exposed", False) == (rollout["place"] < rollout["exposed_below"] == 500_000)
    assert body["identity"]["revision"] == (await running.revisions())["production"]
    asked = await running.client(running.sdk_key).post(
        f"{running.url}/ofrep/v1/evaluate/flags/checkout", json={"context": context}
    )
    assert asked.json()["variant"] == body["evaluation"]["variant"]


async def test_a_reader_may_ask_and_learns_no_secret(running: RunningNode) -> None:
    """The read scope is enough, a live ramp is named, and the key of its units' hash stays on the server."""
    await running.admin.put(f"{FLAGS}/checkout", json=flag_document(environments={"production": rolled_out(0)}))
    ramp = {"kind": "ramp", "flag": "checkout", "environment": "production", "steps": [50, 100], "users": 100_000}
    started = await running.admin.post("/projects/default/environments/production/ramps", json=ramp)
    assert started.status_code == 201, started.text
    await running.admin.put(
        f"{FLAGS}/above",
        json=flag_document(
            "above",
            environments={
                "production": rolled_out(100, prerequisites=[{"flag": "checkout", "variants": ["on", "off"]}])
            },
        ),
    )
    reader = await running.token_of(scope="read")

    for key in ("checkout", "above"):
        answer = await explain(reader, key, {"targetingKey": "user-1"})
        assert answer.status_code == 200, answer.text
        assert started.json()["id"] in answer.text
        assert "unit_key" not in answer.text


async def test_what_cannot_be_explained_is_refused_in_words(running: RunningNode) -> None:
    """No such flag or environment is 404, no context 422, no JSON 400, an SDK key 403, above 64 KiB 413."""
    await running.admin.put(f"{FLAGS}/checkout", json=flag_document())
    path = "/projects/default/environments/production/flags/checkout/explain"

    answers = [
        await explain(running.admin, "never", {}),
        await explain(running.admin, "checkout", {}, "nowhere"),
        await explain(running.admin, "checkout", 5),
        await running.admin.post(path, content=b"{"),
        await explain(running.client(running.sdk_key), "checkout", {}),
        await explain(running.admin, "checkout", {"long": "x" * 70_000}),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 422, 400, 403, 413]
    assert answers[2].json()["faults"][0]["path"] == "context"
