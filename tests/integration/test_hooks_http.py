"""Kills by Alertmanager's webhook, over HTTP and on a real database."""

from typing import Any

import httpx
import pytest

from rheostat_server.adapters.storage.postgres.hooks import PostgresHooks
from rheostat_server.errors import StorageUnavailable
from rheostat_server.ports.storage import EnvironmentRow, Transaction
from rheostat_server.ramps.kills import KillOrder, kill_flag
from tests.admin_server import RunningNode, flag_document, rolled_out

FLAGS = "/projects/default/flags"
RAMPS = "/projects/default/environments/production/ramps"
HOOKS = "/projects/default/hooks"


def alert(flag: str = "checkout", **changes: Any) -> dict[str, Any]:
    """Return a firing alert that names a flag in production."""
    labels = {
        "alertname": "CheckoutFails",
        "rheostat_project": "default",
        "rheostat_environment": "production",
        "rheostat_flag": flag,
        **changes.pop("labels", {}),
    }
    annotations = {"summary": "5 % of requests fail"}
    source = "http://prometheus/graph"
    return {"status": "firing", "labels": labels, "annotations": annotations, "generatorURL": source, **changes}


async def make_hook(running: RunningNode, **body: Any) -> str:
    """Make a hook; return its secret."""
    made = await running.admin.post(HOOKS, json={"label": "alertmanager", **body})
    assert made.status_code == 201, made.text
    secret: str = made.json()["secret"]
    return secret


async def put(running: RunningNode, key: str = "checkout", **fields: Any) -> None:
    """Write a flag that is rolled out to half of the users in production."""
    document = flag_document(key, environments={"production": rolled_out(0), "staging": rolled_out(0)}, **fields)
    assert (await running.admin.put(f"{FLAGS}/{key}", json=document)).status_code in (200, 201)


async def start_ramp(running: RunningNode, key: str = "checkout") -> str:
    """Start a ramp of the flag; return its id."""
    made = await running.admin.post(RAMPS, json={"kind": "ramp", "flag": key, "preflight": "10s"})
    assert made.status_code == 201, made.text
    ramp: str = made.json()["id"]
    return ramp


async def notify(running: RunningNode, secret: str | None, *alerts: dict[str, Any], **fields: Any) -> httpx.Response:
    """Send a notification as Alertmanager does."""
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    body = {"version": "4", "status": "firing", "receiver": "rheostat", "alerts": alerts, **fields}
    async with httpx.AsyncClient() as client:
        return await client.post(f"{running.url}/hooks/alertmanager", json=body, headers=headers)


async def kills(running: RunningNode) -> list[dict[str, Any]]:
    """Return the kills of production, newest first."""
    found: list[dict[str, Any]] = (await running.admin.get(RAMPS.replace("ramps", "kills"))).json()["kills"]
    return found


async def audited(running: RunningNode) -> list[dict[str, Any]]:
    """Return the audit's entries, newest first."""
    entries: list[dict[str, Any]] = (await running.admin.get("/audit")).json()["entries"]
    return entries


async def test_a_firing_alert_kills_the_ramping_rollout_once(running: RunningNode) -> None:
    """Its reason names the alert, the hook's label is the actor; the next notification of it changes nothing."""
    secret = await make_hook(running)
    await put(running)
    ramp = await start_ramp(running)

    first = await notify(running, secret, alert())
    second = await notify(running, secret, alert())

    assert (first.status_code, second.status_code) == (200, 200)
    [done] = first.json()["alerts"]
    assert (done["result"], done["flag"]) == ("killed", "checkout")
    assert [one["result"] for one in second.json()["alerts"]] == ["already"]
    [kill] = await kills(running)
    assert (kill["scope"], kill["rollout"], kill["ramp"]) == ("rollout", "default", ramp)
    assert (kill["source"], kill["actor"]) == ("alertmanager", "alertmanager")
    assert kill["reason"] == "alert CheckoutFails: 5 % of requests fail (http://prometheus/graph)"
    assert (await running.admin.get(f"{RAMPS}/{ramp}")).json()["status"] == "killed"


async def test_a_flag_that_does_not_ramp_is_killed_only_where_it_says_so(running: RunningNode) -> None:
    """``hook_kill: true`` lets a hook kill it without a ramp, and then the whole flag."""
    secret = await make_hook(running)
    await put(running, "checkout")
    await put(running, "search", hook_kill=True)

    answer = await notify(running, secret, alert("checkout"), alert("search"))

    assert answer.status_code == 200
    assert [one["result"] for one in answer.json()["alerts"]] == ["idle", "killed"]
    assert "hook_kill" in answer.json()["alerts"][0]["detail"]
    [kill] = await kills(running)
    assert (kill["flag"], kill["scope"]) == ("search", "flag")


async def test_what_matches_nothing_is_422_and_audited_and_the_rest_is_done(running: RunningNode) -> None:
    """A wrong name, a missing label and a foreign flag are told one by one; the alert beside them kills."""
    secret = await make_hook(running, environments=["production"])
    await put(running)
    await start_ramp(running)

    answer = await notify(
        running,
        secret,
        alert("no-such-flag"),
        alert(labels={"rheostat_flag": ""}),
        alert(labels={"rheostat_environment": "staging"}),
        alert(labels={"rheostat_project": "other"}),
        alert(),
    )

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert [one["result"] for one in answer.json()["alerts"]] == ["unmatched"] * 4 + ["killed"]
    assert len(await kills(running)) == 1
    [entry] = [entry for entry in await audited(running) if entry["action"] == "hook.unmatched"]
    assert entry["actor"] == "alertmanager"
    assert entry["summary"].startswith("4 alerts killed nothing: CheckoutFails: there is no flag 'no-such-flag'")
    assert len(entry["detail"]["alerts"]) == 4


async def test_what_matches_nothing_is_audited_once_an_hour(running: RunningNode) -> None:
    """Alertmanager sends a group that was refused again with each group_interval."""
    secret = await make_hook(running)
    for flag in ("nothing", "nothing", "nobody"):
        assert (await notify(running, secret, alert(flag))).status_code == 422
    assert [entry["action"] for entry in await audited(running)][:3] == ["hook.unmatched"] * 2 + ["hook.create"]

    running.clock.advance(3_601)
    await notify(running, secret, alert("nothing"))
    assert [entry["action"] for entry in await audited(running)][:4] == ["hook.unmatched"] * 3 + ["hook.create"]


async def test_a_kill_that_a_rule_forbids_is_told_so(running: RunningNode) -> None:
    """Without an off variant a whole flag cannot be killed: somebody has to look."""
    secret = await make_hook(running)
    document = flag_document("checkout", hook_kill=True, environments={"production": rolled_out(50)})
    del document["off_variant"]
    await running.admin.put(f"{FLAGS}/checkout", json=document)

    answer = await notify(running, secret, alert())

    assert answer.status_code == 422
    assert "no off variant" in answer.json()["alerts"][0]["detail"]


async def test_a_resolved_alert_revives_nothing(running: RunningNode) -> None:
    """It is answered and counted; the kill stays until a person revives."""
    secret = await make_hook(running)
    await put(running)
    await start_ramp(running)
    await notify(running, secret, alert())

    answer = await notify(running, secret, alert(status="resolved"))

    assert answer.status_code == 200
    assert [one["result"] for one in answer.json()["alerts"]] == ["resolved"]
    assert [kill["revived_at"] for kill in await kills(running)] == [None]
    async with httpx.AsyncClient() as client:
        metrics = (await client.get(f"{running.url}/metrics")).text
    assert 'rheostat_hook_alerts_total{result="resolved"} 1.0' in metrics
    assert 'rheostat_hook_alerts_total{result="killed"} 1.0' in metrics


async def test_alerts_that_were_left_out_are_not_passed_over(running: RunningNode) -> None:
    """What Alertmanager cut off cannot be carried out, and says so."""
    secret = await make_hook(running)
    await put(running)
    await start_ramp(running)

    answer = await notify(running, secret, alert(), truncatedAlerts=3)

    assert answer.status_code == 422
    assert "left out 3 alerts" in answer.json()["detail"]
    assert [one["result"] for one in answer.json()["alerts"]] == ["killed"]
    assert "hook.unmatched" in [entry["action"] for entry in await audited(running)]


async def test_only_a_hooks_secret_that_is_valid_kills(running: RunningNode) -> None:
    """No secret, an API token, a revoked and an expired secret are 401, and nothing is killed."""
    revoked, expiring, good = [
        await make_hook(running, label=label, **more)
        for label, more in (("a", {}), ("b", {"expires_in": "1h"}), ("c", {}))
    ]
    listed = {one["label"]: one["id"] for one in (await running.admin.get(HOOKS)).json()["hooks"]}
    gone = await running.admin.delete(f"{HOOKS}/{listed['a']}")
    assert gone.json()["revoked_at"] is not None
    running.clock.advance(3_601)
    await put(running)
    await start_ramp(running)

    for secret in (None, running.token, running.sdk_key, "rhh_unknown", revoked, expiring):
        answer = await notify(running, secret, alert())
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="rheostat"'), secret
    assert await kills(running) == []

    async with httpx.AsyncClient(auth=("alertmanager", good)) as client:
        body = {"version": "4", "alerts": [alert()]}
        assert (await client.post(f"{running.url}/hooks/alertmanager", json=body)).status_code == 200
    assert len(await kills(running)) == 1
    hooks = (await running.admin.get(HOOKS)).json()["hooks"]
    assert [one["label"] for one in hooks if one.get("last_used_at") is not None] == ["c"]


async def test_hooks_are_made_by_admins_for_what_there_is(running: RunningNode) -> None:
    """A writer may not make one, an unknown environment is a fault with its path, and a secret is shown once."""
    writer = await running.token_of(scope="write")
    assert (await writer.post(HOOKS, json={"label": "am"})).status_code == 403
    assert (await running.admin.post("/projects/nowhere/hooks", json={"label": "am"})).status_code == 404

    wrong = await running.admin.post(HOOKS, json={"label": "am", "environments": ["production", "qa"]})
    assert wrong.status_code == 422
    assert [fault["path"] for fault in wrong.json()["faults"]] == ["environments[1]"]
    assert (await running.admin.post(HOOKS, json={"label": ""})).status_code == 422

    secret = await make_hook(running, flags=["checkout"])
    listed = (await running.admin.get(HOOKS)).text
    assert secret not in listed
    assert secret[:8] in listed
    assert next(entry["action"] for entry in await audited(running)) == "hook.create"
    assert (await running.admin.delete(f"{HOOKS}/nobody")).status_code == 404


async def test_what_is_no_notification_is_told(running: RunningNode) -> None:
    """Another version, no JSON, and what is too much."""
    secret = await make_hook(running)
    headers = {"authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(headers=headers) as client:
        url = f"{running.url}/hooks/alertmanager"
        assert (await client.post(url, json={"version": "5", "alerts": []})).status_code == 422
        assert (await client.post(url, content=b"{")).status_code == 400
        assert (await client.post(url, json={"version": "4", "alerts": [{}] * 1_001})).status_code == 413
        assert (await client.post(url, content=b" " * ((1 << 20) + 1))).status_code == 413


@pytest.mark.parametrize(("moment", "expected"), [("before", ["killed", "killed"]), ("between", ["already", "killed"])])
async def test_with_the_database_away_it_is_to_be_sent_again(
    running: RunningNode, monkeypatch: pytest.MonkeyPatch, moment: str, expected: list[str]
) -> None:
    """503, which Alertmanager retries: then all is carried out, and what was done is not done twice."""
    secret = await make_hook(running)
    for key in ("checkout", "search"):
        await put(running, key)
        await start_ramp(running, key)

    async def away(*_: Any) -> Any:
        raise StorageUnavailable("the database is away")

    async def away_for_search(tx: Transaction, there: EnvironmentRow, order: KillOrder, at_ms: int) -> tuple[str, ...]:
        return await (away() if order.flag == "search" else kill_flag(tx, there, order, at_ms))

    with monkeypatch.context() as broken:
        if moment == "before":
            broken.setattr(PostgresHooks, "by_hash", away)
        else:
            broken.setattr("rheostat_server.hooks.service.kill_flag", away_for_search)
        refused = await notify(running, secret, alert("checkout"), alert("search"))
    again = await notify(running, secret, alert("checkout"), alert("search"))

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert again.status_code == 200
    assert [one["result"] for one in again.json()["alerts"]] == expected
    assert len(await kills(running)) == 2
