"""OFREP over real HTTP: what the published clients rely on."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from rheostat.model.flag import Answer, Flag, FlagType, Operator
from rheostat.model.kill import KillScope
from rheostat_server.adapters.storage.postgres.pool import Database
from tests.builders import a_clause, a_flag, a_kill, a_rollout, a_rule, an_overlay
from tests.data_plane import World
from tests.data_plane_node import API_TOKEN, CLIENT_KEY, SERVER_KEY, Node, a_node

AUTH = {"Authorization": f"Bearer {SERVER_KEY}"}
BROWSER = {"X-API-Key": CLIENT_KEY}


def a_value(key: str, kind: FlagType, value: Any, variant: str = "v") -> Flag:
    """Return a flag that always serves this value."""
    return a_flag(key, type=kind, variants={variant: value}, off_variant=None, default=Answer(serve=variant))


FLAGS = (
    a_value("bool-on", FlagType.BOOLEAN, True, "on"),
    a_value("bool-off", FlagType.BOOLEAN, False, "off"),
    a_value("text", FlagType.STRING, 'hello wörld ✓ "q"', "greeting"),
    a_value("text-empty", FlagType.STRING, "", "empty"),
    a_value("int", FlagType.INTEGER, 42, "answer"),
    a_value("int-zero", FlagType.INTEGER, 0, "zero"),
    a_value("int-big", FlagType.INTEGER, 9007199254740991, "max-safe"),
    a_value("float", FlagType.FLOAT, 3.25, "f"),
    a_value("float-whole", FlagType.FLOAT, 10, "ten"),
    a_value("object", FlagType.OBJECT, {"a": 1, "b": [1, 2, {"c": True}], "s": "x", "n": None}, "obj"),
    a_value("dots.under_and-dashes.1", FlagType.BOOLEAN, True, "on"),
    a_flag(
        "targeted",
        type=FlagType.STRING,
        variants={"standard": "standard", "gold": "gold", "beta": "beta"},
        off_variant=None,
        rules=(
            a_rule("premium", a_clause("plan", Operator.IN, "premium"), Answer(serve="gold")),
            a_rule("staff", a_clause("email", Operator.ENDS_WITH, "@example.com"), Answer(serve="beta")),
            a_rule("nested", a_clause("account.tier", Operator.GE, 3), Answer(serve="gold")),
        ),
        default=Answer(serve="standard"),
    ),
    a_flag("split", rollout=a_rollout(1_000_000, split={"on": 1.0, "off": 1.0}, salt="split")),
    a_flag("disabled", enabled=False, off_variant=None),
    a_flag("disabled-off", enabled=False, off_variant="off"),
    a_flag("described", metadata={"team": "ecommerce", "tier": 1, "beta": True}),
    a_flag("seen-by-browsers", client=True, default=Answer(serve="on")),
)


@pytest.fixture
async def node(database: Database) -> AsyncIterator[Node]:
    world = World(database)
    environment = await world.environment()
    await world.serve(environment, *FLAGS)
    async with a_node(database) as running:
        yield running


async def ask(
    node: Node, key: str, context: dict[str, Any] | None = None, *, service: str | None = None
) -> httpx.Response:
    headers = AUTH if service is None else {**AUTH, "Rheostat-Service": service}
    return await node.client.post(f"/ofrep/v1/evaluate/flags/{key}", json={"context": context or {}}, headers=headers)


async def ask_all(node: Node, context: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
    given = {**AUTH, **headers}
    return await node.client.post("/ofrep/v1/evaluate/flags", json={"context": context or {}}, headers=given)


@pytest.mark.parametrize(
    ("key", "value", "variant"),
    [
        ("bool-on", True, "on"),
        ("bool-off", False, "off"),
        ("text", 'hello wörld ✓ "q"', "greeting"),
        ("text-empty", "", "empty"),
        ("int", 42, "answer"),
        ("int-zero", 0, "zero"),
        ("int-big", 9007199254740991, "max-safe"),
        ("float", 3.25, "f"),
        ("object", {"a": 1, "b": [1, 2, {"c": True}], "s": "x", "n": None}, "obj"),
        ("dots.under_and-dashes.1", True, "on"),
    ],
)
async def test_every_type_arrives_as_it_is(node: Node, key: str, value: Any, variant: str) -> None:
    """A flag's value, variant and reason come as JSON of its type, with an empty context."""
    answer = await ask(node, key)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"key": key, "value": value, "reason": "STATIC", "variant": variant}


async def test_a_whole_float_keeps_its_point(node: Node) -> None:
    """A float flag is 10.0 on the wire, and an integer flag has no fraction."""
    assert '"value":10.0,' in (await ask(node, "float-whole")).text
    assert '"value":42,' in (await ask(node, "int")).text
    assert '"value":10.0,' in (await ask_all(node)).text


@pytest.mark.parametrize(
    ("context", "value", "reason"),
    [
        ({}, "standard", "DEFAULT"),
        ({"plan": "premium"}, "gold", "TARGETING_MATCH"),
        ({"plan": None, "email": "x@example.com"}, "beta", "TARGETING_MATCH"),
        ({"targetingKey": "u", "account": {"tier": 3}}, "gold", "TARGETING_MATCH"),
        ({"targetingKey": None}, "standard", "DEFAULT"),
    ],
)
async def test_targeting_needs_no_targeting_key(node: Node, context: dict[str, Any], value: str, reason: str) -> None:
    """Rules read attributes, nested ones too; a null is a missing one; without a key the flag still evaluates."""
    answer = (await ask(node, "targeted", context)).json()

    assert (answer["value"], answer["reason"]) == (value, reason)


async def test_a_split_needs_its_unit(node: Node) -> None:
    """With a targeting key the reason is SPLIT, the same each time; without one it is an error that says so."""
    first = (await ask(node, "split", {"targetingKey": "user-1"})).json()
    again = (await ask(node, "split", {"targetingKey": "user-1", "plan": "pro"})).json()
    missing = await ask(node, "split")

    assert first["reason"] == "SPLIT"
    assert first["value"] == again["value"]
    assert missing.status_code == 400
    assert missing.json()["errorCode"] == "TARGETING_KEY_MISSING"
    assert missing.json()["key"] == "split"
    assert missing.json()["errorDetails"]


async def test_a_disabled_flag_ends_in_the_callers_default_or_its_off_variant(node: Node) -> None:
    """Without an off variant there is no value, yet a variant that is text; with one that is served."""
    bare = await ask(node, "disabled")
    off = await ask(node, "disabled-off")

    assert (bare.status_code, bare.json()) == (200, {"key": "disabled", "reason": "DISABLED", "variant": ""})
    assert off.json() == {"key": "disabled-off", "value": False, "reason": "DISABLED", "variant": "off"}


async def test_metadata_comes_along(node: Node) -> None:
    """The flag's own metadata is in its answer."""
    assert (await ask(node, "described")).json()["metadata"] == {"team": "ecommerce", "tier": 1, "beta": True}


async def test_an_unknown_flag_is_not_found(node: Node) -> None:
    """A flag that is not there is 404 with its key and code."""
    answer = await ask(node, "missing")

    assert answer.status_code == 404
    assert answer.json()["key"] == "missing"
    assert answer.json()["errorCode"] == "FLAG_NOT_FOUND"
    assert answer.json()["errorDetails"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "PARSE_ERROR"),
        (b"{", "PARSE_ERROR"),
        (b"\xff", "PARSE_ERROR"),
        (b"[" * 5_000, "PARSE_ERROR"),
        (b"[]", "INVALID_CONTEXT"),
        (b"{}", "INVALID_CONTEXT"),
        (b'{"context": null}', "INVALID_CONTEXT"),
        (b'{"context": []}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": true}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": 1.5}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": {}}}', "INVALID_CONTEXT"),
        (b'{"context": {"roles": ["a", 1]}}', "INVALID_CONTEXT"),
        (b'{"context": {"a":' + b'{"a":' * 40 + b"1" + b"}" * 41 + b"}", "INVALID_CONTEXT"),
    ],
)
async def test_a_bad_request_says_what_is_wrong(node: Node, body: bytes, code: str) -> None:
    """What cannot be evaluated is 400 with a code and words, for one flag and for all."""
    single = await node.client.post("/ofrep/v1/evaluate/flags/int", content=body, headers=AUTH)
    bulk = await node.client.post("/ofrep/v1/evaluate/flags", content=body, headers=AUTH)

    for answer in (single, bulk):
        assert answer.status_code == 400
        assert answer.json()["errorCode"] == code
        assert answer.json()["errorDetails"]
    assert single.json()["key"] == "int"


async def test_a_large_request_is_refused(node: Node) -> None:
    """A context above 64 KiB is not read."""
    answer = await ask(node, "int", {"text": "x" * 70_000})

    assert answer.status_code == 413
    assert answer.json()["errorDetails"]


@pytest.mark.parametrize("path", ["", "/int"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"Authorization": "Bearer rhs_unknown"}, 401), ({"Authorization": f"Bearer {API_TOKEN}"}, 403)],
)
async def test_who_may_not_ask_is_told_so(node: Node, path: str, headers: dict[str, str], status: int) -> None:
    """Without an SDK key there is no answer, and the refusal has errorDetails."""
    answer = await node.client.post(f"/ofrep/v1/evaluate/flags{path}", json={"context": {}}, headers=headers)

    assert answer.status_code == status
    assert answer.json()["errorDetails"]


async def test_a_client_key_sees_its_flags_only(node: Node) -> None:
    """A client-scoped key, by either header, gets flags with ``client: true``; others are not there for it."""
    bulk = await node.client.post("/ofrep/v1/evaluate/flags", json={"context": {}}, headers=BROWSER)
    bearer = {"Authorization": f"Bearer {CLIENT_KEY}"}
    seen = await node.client.post("/ofrep/v1/evaluate/flags/seen-by-browsers", json={"context": {}}, headers=bearer)
    hidden = await node.client.post("/ofrep/v1/evaluate/flags/int", json={"context": {}}, headers=BROWSER)

    assert [flag["key"] for flag in bulk.json()["flags"]] == ["seen-by-browsers"]
    assert seen.json()["value"] is True
    assert (hidden.status_code, hidden.json()["errorCode"]) == (404, "FLAG_NOT_FOUND")


async def test_bulk_has_every_flag_and_stays_whole_when_one_fails(node: Node) -> None:
    """All flags in key order, each as a single answer has it; the one that cannot be told is an error item."""
    answer = await ask_all(node, {"plan": "premium"})

    assert answer.status_code == 200
    flags = {flag["key"]: flag for flag in answer.json()["flags"]}
    assert list(flags) == sorted(flag.key for flag in FLAGS)
    assert flags["split"]["errorCode"] == "TARGETING_KEY_MISSING"
    assert flags["targeted"]["value"] == "gold"
    for key in ("targeted", "disabled", "object", "described"):
        assert flags[key] == (await ask(node, key, {"plan": "premium"})).json()


async def test_the_bulk_etag_is_of_the_context_too(node: Node) -> None:
    """The same question is 304; another attribute, even one that nothing reads, or a change or kill, is not."""
    context = {"targetingKey": "user-1", "plan": "free"}
    first = await ask_all(node, context)
    held = {"If-None-Match": first.headers["etag"]}

    same = await ask_all(node, dict(reversed(context.items())), **held)
    unread = await ask_all(node, {**context, "unread": 1}, **held)
    world, environment = node.world, node.hub.feeds()[0].id
    await node.settle(environment, await world.serve(environment, a_flag("new")))
    changed = await ask_all(node, context, **held)

    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == first.headers["etag"]
    assert unread.status_code == 200
    assert changed.status_code == 200
    assert len({first.headers["etag"], unread.headers["etag"], changed.headers["etag"]}) == 3


async def test_a_ramping_flags_answer_says_its_arm(node: Node) -> None:
    """While a flag ramps its answers name the arm and the revision; after a kill there is no arm any more."""
    world, environment = node.world, node.hub.feeds()[0].id
    flag = a_flag("checkout", rollout=a_rollout(0))
    revision = await world.serve(environment, flag, an_overlay(1_000_000))
    await node.settle(environment, revision)

    exposed = (await ask(node, "checkout", {"targetingKey": "user-1"})).json()
    killed_at = await world.serve(environment, a_kill(scope=KillScope.ROLLOUT))
    await node.settle(environment, killed_at)
    after = (await ask(node, "checkout", {"targetingKey": "user-1"})).json()

    assert exposed["value"] is True
    assert exposed["metadata"] == {
        "rheostat.arm": "treatment",
        "rheostat.ramp": "ramp-of-checkout",
        "rheostat.epoch": 1,
        "rheostat.exposure_ppm": 1_000_000,
        "rheostat.revision": revision,
    }
    assert after["value"] is False
    assert "rheostat.arm" not in after.get("metadata", {})


async def test_evaluations_are_counted_by_service(node: Node) -> None:
    """Single evaluations count for the header's service, else for the key's label; bulk and unknown ones do not."""
    for _ in range(3):
        await ask(node, "int", service="shop")
    await ask(node, "disabled")
    await ask(node, "missing")
    await ask_all(node)
    await node.counter.flush()
    await ask(node, "int", service="shop")
    await node.counter.flush()

    rows = await node.world.fetch("SELECT flag, variant, service, count FROM evaluations ORDER BY flag")
    assert [tuple(row.values()) for row in rows] == [("disabled", "", "a test's", 1), ("int", "answer", "shop", 4)]


@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://shop.example.com", True), ("https://evil.example.com", False)]
)
async def test_browsers_of_configured_origins_may_ask(node: Node, origin: str, allowed: bool) -> None:
    """A preflight and an answer name a configured origin, what it may send and what it may read; no other."""
    preflight = await node.client.options(
        "/ofrep/v1/evaluate/flags",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,if-none-match",
        },
    )
    answer = await node.client.post(
        "/ofrep/v1/evaluate/flags", json={"context": {}}, headers={**BROWSER, "Origin": origin}
    )
    refused = await node.client.post("/ofrep/v1/evaluate/flags", json={"context": {}}, headers={"Origin": origin})

    assert preflight.status_code == 204
    for each in (preflight, answer, refused):
        assert each.headers.get("access-control-allow-origin") == (origin if allowed else None)
    if allowed:
        permitted = preflight.headers["access-control-allow-headers"]
        assert {"authorization", "content-type", "if-none-match"} <= set(permitted.split(", "))
        assert answer.headers["access-control-expose-headers"] == "ETag, Retry-After"


async def test_other_methods_and_addresses_are_refused(node: Node) -> None:
    """Another method is 405, another address 404; both have errorDetails."""
    wrong_method = await node.client.get("/ofrep/v1/evaluate/flags/int", headers=AUTH)
    wrong_address = await node.client.post("/ofrep/v1/configuration", json={}, headers=AUTH)
    wrong_mount = await node.client.post("/ofrep/x/v1/evaluate/flags/int", json={}, headers=AUTH)
    wrong_key = await node.client.post("/ofrep/v1/evaluate/flags/a/b", json={}, headers=AUTH)

    assert wrong_method.status_code == 405
    assert wrong_method.headers["allow"] == "POST, OPTIONS"
    assert {wrong_address.status_code, wrong_mount.status_code, wrong_key.status_code} == {404}
    assert "nothing at this address" in wrong_mount.json()["errorDetails"]
    for answer in (wrong_method, wrong_address, wrong_key):
        assert answer.json()["errorDetails"]


async def test_before_the_first_snapshot_a_node_says_when_to_ask_again(database: Database) -> None:
    """A node that has read nothing yet answers 503 with whole seconds to wait."""
    async with a_node(database, read=False) as node:
        assert not node.hub.ready
        answer = await ask(node, "int")

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["errorCode"] == "PROVIDER_NOT_READY"
    assert json.loads(answer.text)["errorDetails"]
