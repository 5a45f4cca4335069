"""Keys, tokens and what they open."""

import asyncio

import httpx
import pytest

from rheostat_server.access.keyring import KeyRing
from rheostat_server.access.seed import reset_admin, seed
from rheostat_server.ports.storage import Transaction
from tests.admin_server import RunningNode, flag_document, rolled_out

KEYS = "/projects/default/environments/production/keys"


async def evaluates(running: RunningNode, secret: str) -> int:
    """Return the status of an evaluation with this key."""
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{running.url}/ofrep/v1/evaluate/flags",
            headers={"x-api-key": secret},
            json={"context": {"targetingKey": "u"}},
        )
    return answer.status_code


async def test_a_secret_is_shown_once_and_stored_hashed(running: RunningNode) -> None:
    """The answer that makes a key has its secret; no other answer and no stored byte does."""
    running.clock.advance(1)
    made = await running.admin.post(KEYS, json={"label": "shop", "scope": "client"})
    secret = made.json()["secret"]
    listed = await running.admin.get(KEYS)
    audit = await running.admin.get("/audit")

    assert made.status_code == 201
    assert secret.startswith("rhc_")
    assert secret not in listed.text + audit.text
    assert [key["label"] for key in listed.json()["keys"]] == ["first key", "shop"]
    assert listed.json()["keys"][1]["hint"] == secret[:8]
    async with running.node.storage.transaction() as tx:
        rows = await tx.tokens.all()
    assert all(secret.encode() not in row.hash for row in rows)


async def test_a_key_works_until_it_is_revoked_or_expires(running: RunningNode) -> None:
    """A new key works when its answer is there; a revoked or expired one no longer."""
    revoked = (await running.admin.post(KEYS, json={})).json()
    expiring = (await running.admin.post(KEYS, json={"expires_in": "1h"})).json()
    assert [await evaluates(running, key["secret"]) for key in (revoked, expiring)] == [200, 200]

    await running.admin.delete(f"{KEYS}/{revoked['id']}")
    running.clock.advance(3600)

    assert [await evaluates(running, key["secret"]) for key in (revoked, expiring)] == [401, 401]
    assert await evaluates(running, running.sdk_key) == 200


async def test_rotation_overlaps(running: RunningNode) -> None:
    """After a rotation both keys work; when the overlap is over only the new one does."""
    [first] = (await running.admin.get(KEYS)).json()["keys"]
    rotated = await running.admin.post(f"{KEYS}/{first['id']}/rotate", json={"overlap": "2h"})
    fresh = rotated.json()["secret"]

    assert rotated.status_code == 201
    assert [await evaluates(running, secret) for secret in (running.sdk_key, fresh)] == [200, 200]
    running.clock.advance(2 * 3600)
    assert [await evaluates(running, secret) for secret in (running.sdk_key, fresh)] == [401, 200]
    gone = await running.admin.post(f"{KEYS}/{first['id']}/rotate", json={})
    assert gone.status_code == 422


async def test_labels_and_expiry_can_change(running: RunningNode) -> None:
    """A label and an expiry change by themselves; an expiry goes by null; last use is noted."""
    running.clock.advance(1)
    made = (await running.admin.post(KEYS, json={"expires_in": "1d"})).json()
    labelled = await running.admin.patch(f"{KEYS}/{made['id']}", json={"label": "new"})
    assert (labelled.json()["label"], labelled.json()["expires_at"]) == ("new", made["expires_at"])
    forever = await running.admin.patch(f"{KEYS}/{made['id']}", json={"expires_at": None})
    assert "expires_at" not in forever.json()
    both = await running.admin.patch(f"{KEYS}/{made['id']}", json={"expires_at": None, "expires_in": "1h"})
    assert both.status_code == 422

    await evaluates(running, made["secret"])
    await running.node.keyring.stop()
    [_, used] = (await running.admin.get(KEYS)).json()["keys"]
    assert used["last_used_at"] == "2026-01-01T00:00:01.000Z"


@pytest.mark.parametrize(
    ("scope", "method", "path", "body", "status"),
    [
        ("read", "GET", "/projects/default/flags", None, 200),
        ("read", "PUT", "/projects/default/flags/checkout", flag_document(), 403),
        ("read", "GET", "/tokens", None, 403),
        ("write", "PUT", "/projects/default/flags/checkout", flag_document(), 201),
        ("write", "POST", KEYS, {}, 403),
        ("write", "POST", "/projects", {"key": "x"}, 403),
        ("admin", "POST", KEYS, {}, 201),
    ],
)
async def test_scopes(
    running: RunningNode, scope: str, method: str, path: str, body: dict[str, object] | None, status: int
) -> None:
    """Reading needs read, writing write, and keys, tokens, projects and environments admin."""
    client = await running.token_of(scope=scope)

    assert (await client.request(method, path, json=body)).status_code == status


async def test_a_bound_token_sees_only_its_project(running: RunningNode) -> None:
    """A token of one project neither reads nor writes another, nor makes a token beyond it."""
    await running.admin.post("/projects", json={"key": "other"})
    await running.admin.put("/projects/default/flags/checkout", json=flag_document())
    client = await running.token_of(scope="admin", project="other")

    assert (await client.get("/projects/other")).status_code == 200
    assert [project["key"] for project in (await client.get("/projects")).json()["projects"]] == ["other"]
    for path in ("/projects/default", "/projects/default/flags", "/projects/nowhere", "/audit?project=default"):
        answer = await client.get(path)
        assert answer.status_code == 403
    assert (await client.post("/tokens", json={"label": "x", "scope": "admin"})).status_code == 403
    assert (await client.post("/tokens", json={"label": "x", "project": "other"})).status_code == 201
    assert {token["project"] for token in (await client.get("/tokens")).json()["tokens"]} == {"other"}
    [everyone] = [t["id"] for t in (await running.admin.get("/tokens")).json()["tokens"] if t["label"] == "admin"]
    assert (await client.delete(f"/tokens/{everyone}")).status_code == 404
    assert {entry["project"] for entry in (await client.get("/audit")).json()["entries"]} == {"other"}
    assert (await client.post("/projects", json={"key": "third"})).status_code == 403


async def test_who_does_not_say_who_they_are_gets_401(running: RunningNode) -> None:
    """No token, an unknown one and a wrong scheme get 401 with WWW-Authenticate; an SDK key gets 403."""
    nobody, stranger, sdk = running.client(None), running.client("rht_unknown"), running.client(running.sdk_key)
    for client in (nobody, stranger):
        answer = await client.get("/projects")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="rheostat"'
        assert answer.headers["content-type"] == "application/problem+json"
    basic = await nobody.get("/projects", headers={"authorization": "Basic abc"})
    assert basic.status_code == 401
    assert (await sdk.get("/projects")).status_code == 403
    assert (await nobody.get("/projects", headers={"x-api-key": running.token})).status_code == 200


async def test_presets_are_added_once(running: RunningNode) -> None:
    """A preset that is stored is used as it is; one that differs is added and said; a revoked one stays revoked."""
    storage, now_ms = running.node.storage, running.clock.wall_ms()

    async def again(token: str | None, key: str | None) -> tuple[str, ...]:
        async def work(tx: Transaction) -> tuple[str, ...]:
            return (await seed(tx, now_ms=now_ms, admin_token=token, sdk_key=key)).notes

        return await storage.run(work)

    assert await again(running.token, running.sdk_key) == ()
    notes = await again("a-token-of-my-own", "a-key-of-my-own-too")
    assert [note.partition(" ")[0] for note in notes] == ["RHEOSTAT_ADMIN_TOKEN", "RHEOSTAT_SDK_KEY"]
    assert await again("a-token-of-my-own", None) == ()
    await running.node.keyring.refresh()
    own = running.client("a-token-of-my-own")
    tokens = (await own.get("/tokens")).json()["tokens"]
    [mine] = [token["id"] for token in tokens if token["hint"] == "a-to"]
    await running.admin.delete(f"/tokens/{mine}")
    assert await again("a-token-of-my-own", None) == ("RHEOSTAT_ADMIN_TOKEN was revoked, and stays so",)
    assert (await own.get("/tokens")).status_code == 401


async def test_a_reset_revokes_the_admin_tokens_and_makes_one(running: RunningNode) -> None:
    """After a reset the new token opens, the old one does not, and other tokens are as they were."""
    other = await running.token_of(scope="read")

    async def work(tx: Transaction) -> str:
        return await reset_admin(tx, now_ms=running.clock.wall_ms())

    secret = await running.node.storage.run(work)
    await running.node.keyring.refresh()

    assert (await running.client(secret).get("/tokens")).status_code == 200
    assert (await running.admin.get("/tokens")).status_code == 401
    assert (await other.get("/projects")).status_code == 200


async def test_a_change_of_keys_reaches_other_nodes(running: RunningNode) -> None:
    """A key ring that reads the same database hears of a new key without being asked."""
    other = KeyRing(running.node.storage, running.clock, poll_seconds=0.05)
    changed = asyncio.Event()
    await other.start()
    other.on_change(changed.set)
    try:
        made = (await running.admin.post(KEYS, json={"label": "far"})).json()
        async with asyncio.timeout(10):
            await changed.wait()
        assert other.principal(f"Bearer {made['secret']}", None).label == "far"
        assert other.valid(made["id"])
    finally:
        await other.stop()


async def test_a_deleted_environment_takes_its_keys_along(running: RunningNode) -> None:
    """Deleting an environment needs its key repeated; its keys then open nothing, and flags lose its settings."""
    await running.admin.put(
        "/projects/default/flags/checkout",
        json=flag_document(environments={"staging": rolled_out(5), "production": rolled_out(5)}),
    )
    staging = "/projects/default/environments/staging"
    key = (await running.admin.post(f"{staging}/keys", json={})).json()["secret"]
    assert await evaluates(running, key) == 200

    assert (await running.admin.delete(staging)).status_code == 422
    assert (await running.admin.delete(staging, params={"confirm": "staging"})).status_code == 204

    assert await evaluates(running, key) == 401
    assert (await running.admin.get(staging)).status_code == 404
    flag = (await running.admin.get("/projects/default/flags/checkout")).json()
    assert list(flag["document"]["environments"]) == ["production"]
    assert flag["version"] == 2
    rewritten = await running.admin.put("/projects/default/flags/checkout", json=flag["document"])
    assert rewritten.json()["notes"] == ["nothing changed"]
