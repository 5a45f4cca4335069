"""What clients need of an OFREP server beyond the text of its description, point by point."""

import json
import re
from typing import Any

import httpx
import pytest
from openfeature.flag_evaluation import Reason

from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.adapters.propagation.memory import MemoryPropagation
from rheostat_server.streaming.hub import Hub
from tests.conformance.conftest import ORIGIN, Served
from tests.conformance.flags import documents

BULK = "/ofrep/v1/evaluate/flags"
USER = {"targetingKey": "user-1", "plan": "free"}
KEYS = [flag["key"] for flag in documents()]


async def ask(http: httpx.AsyncClient, served: Served, key: str, context: Any = USER) -> httpx.Response:
    return await http.post(f"{BULK}/{key}", json={"context": context}, headers=served.bearer)


async def ask_all(http: httpx.AsyncClient, served: Served, context: Any = USER, **headers: str) -> httpx.Response:
    return await http.post(BULK, json={"context": context}, headers={**served.bearer, **headers})


async def test_1_a_success_has_a_variant_and_one_of_openfeatures_reasons(
    served: Served, http: httpx.AsyncClient
) -> None:
    """Each 200 has a text as variant, with or without a value, and a reason of OpenFeature."""
    for key in KEYS:
        answer = await ask(http, served, key)

        assert answer.status_code == 200, key
        assert isinstance(answer.json()["variant"], str), key
        assert answer.json()["reason"] in list(Reason), key


async def test_2_an_error_says_which_flag_and_why(
    served: Served, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4xx and 500 have errorDetails, and those of a flag its key and an errorCode."""
    single = f"{BULK}/conf-int"
    large = b'{"context": {"text": "' + b"x" * 70_000 + b'"}}'
    answers = [
        *[await http.post(path, content=b"{", headers=served.bearer) for path in (single, BULK)],
        *[await http.post(path, content=b"{}", headers=served.bearer) for path in (single, BULK)],
        *[await http.post(path, content=large, headers=served.bearer) for path in (single, BULK)],
        *[await http.post(path, json={"context": {}}) for path in (single, BULK)],
        *[
            await http.post(path, json={"context": {}}, headers={"X-API-Key": served.running.token})
            for path in (single, BULK)
        ],
    ]
    monkeypatch.setattr(served.running.node.hub, "feed", lambda _: 1 // 0)
    answers += [await http.post(path, json={"context": {}}, headers=served.bearer) for path in (single, BULK)]

    assert [answer.status_code for answer in answers] == [400, 400, 400, 400, 413, 413, 401, 401, 403, 403, 500, 500]
    for answer in answers:
        error = answer.json()
        assert error["errorDetails"]
        assert error["errorCode"]
        assert error.get("key") == ("conf-int" if answer.url.path == single else None)


async def test_2_a_missing_flag_is_named(served: Served, http: httpx.AsyncClient) -> None:
    """404 has the key that was asked for and FLAG_NOT_FOUND."""
    answer = await ask(http, served, "conf-missing")

    assert answer.status_code == 404
    error = answer.json()
    assert (error["key"], error["errorCode"]) == ("conf-missing", "FLAG_NOT_FOUND")
    assert error["errorDetails"]


async def test_3_numbers_keep_their_type(served: Served, http: httpx.AsyncClient) -> None:
    """A whole float is 10.0 and an integer has no fraction, alone and among all."""
    everything = (await ask_all(http, served)).text

    for key, written in (("conf-float-whole", "10.0"), ("conf-int", "42"), ("conf-int-big", "9007199254740991")):
        assert re.search(rf'"value":{re.escape(written)}[,}}]', (await ask(http, served, key)).text), key
        assert f'{{"key":"{key}","value":{written},' in everything


async def test_4_the_etag_is_of_context_and_revision(served: Served, http: httpx.AsyncClient) -> None:
    """An attribute, even one that nothing reads, a targeting key or a write makes another ETag; the same is 304."""
    first = await ask_all(http, served)
    held = {"If-None-Match": first.headers["etag"]}
    others = [{**USER, "unread": 1}, {**USER, "targetingKey": "user-2"}, {"plan": "free"}, {}]
    changed = [await ask_all(http, served, context, **held) for context in others]
    same = await ask_all(http, served, dict(reversed(USER.items())), **held)
    await served.toggle("on")
    written = await ask_all(http, served, **held)

    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
    assert [answer.status_code for answer in (*changed, written)] == [200] * 5
    assert len({answer.headers["etag"] for answer in (first, *changed, written)}) == 6


async def test_4_the_condition_may_be_a_list_or_weak(served: Served, http: httpx.AsyncClient) -> None:
    """If-None-Match is read as HTTP has it."""
    tag = (await ask_all(http, served)).headers["etag"]

    for held in (f"W/{tag}", f'"other", {tag}', f"{tag} , W/{tag}"):
        assert (await ask_all(http, served, **{"If-None-Match": held})).status_code == 304, held


async def test_5_and_7_an_empty_context_fails_only_what_needs_a_key(served: Served, http: httpx.AsyncClient) -> None:
    """With ``{"context":{}}`` bulk is 200, and only the flag that splits by targeting key is an error item."""
    answer = await ask_all(http, served, {})

    assert answer.status_code == 200
    items = {item["key"]: item for item in answer.json()["flags"]}
    assert sorted(items) == sorted(KEYS)
    assert [key for key, item in items.items() if "errorCode" in item] == ["conf-split"]
    assert items["conf-split"]["errorCode"] == "TARGETING_KEY_MISSING"
    assert items["conf-split"]["errorDetails"]
    for key in KEYS:
        alone = await ask(http, served, key, {})
        assert alone.status_code == (400 if key == "conf-split" else 200)
        assert alone.json() == items[key]


async def test_6_retry_after_is_whole_seconds(
    served: Served, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that has not read its flags yet is 503 with Retry-After, which a page may read."""
    node, clock = served.running.node, served.running.clock
    unread = Hub(node.storage, MemoryPropagation(), PrometheusMetrics(clock, version="test"), clock, node="unread")
    monkeypatch.setattr(node.hub, "feed", unread.feed)
    for path in (BULK, f"{BULK}/conf-int"):
        answer = await http.post(path, json={"context": {}}, headers={**served.api_key, "Origin": ORIGIN})

        assert answer.status_code == 503
        assert re.fullmatch(r"[1-9][0-9]*", answer.headers["retry-after"])
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        assert answer.json()["errorCode"] == "PROVIDER_NOT_READY"


async def test_8_no_key_needs_encoding(served: Served, http: httpx.AsyncClient) -> None:
    """A key of letters, digits, dots, dashes and underscores is asked for as it is; others cannot be written."""
    answer = await ask(http, served, "conf.dots_and-dashes.1")
    assert (answer.status_code, answer.json()["value"]) == (200, True)

    for key in ("a/b", "a b", "é", "a%2Fb", "a?b", ""):
        documents_with_it = {"documents": [{**documents()[0], "key": key}]}
        refused = await served.running.admin.post("/projects/default/apply", json=documents_with_it)
        assert 400 <= refused.status_code < 500, key
        assert any("key" in fault["path"] for fault in refused.json()["faults"]), key


async def test_9_a_disabled_flag_has_no_value_or_its_off_variant(served: Served, http: httpx.AsyncClient) -> None:
    """Both are 200 with reason DISABLED."""
    bare = await ask(http, served, "conf-disabled")
    off = await ask(http, served, "conf-disabled-off")

    assert (bare.status_code, bare.json()) == (200, {"key": "conf-disabled", "reason": "DISABLED", "variant": ""})
    assert off.json() == {"key": "conf-disabled-off", "value": False, "reason": "DISABLED", "variant": "off"}


async def test_10_a_configured_origin_may_ask_and_read(served: Served, http: httpx.AsyncClient) -> None:
    """A preflight allows what browsers send; answers, also a 304 and errors, expose what they read."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    given = {**served.bearer, "Origin": ORIGIN}
    for path in (BULK, f"{BULK}/conf-int"):
        preflight = await http.options(path, headers={"Origin": ORIGIN, **asked})
        answer = await http.post(path, json={"context": {}}, headers=given)
        held = {"If-None-Match": answer.headers.get("etag", "")}
        again = await http.post(path, json={"context": {}}, headers={**given, **held})
        refused = await http.post(path, json={"context": {}}, headers={"Origin": ORIGIN})

        allowed = set(preflight.headers["access-control-allow-headers"].split(", "))
        assert preflight.status_code == 204
        assert {"authorization", "content-type", "if-none-match", "x-api-key"} <= allowed
        assert "POST" in preflight.headers["access-control-allow-methods"]
        statuses = [answer.status_code, again.status_code, refused.status_code]
        assert statuses == [200, 304 if path == BULK else 200, 401]
        for each in (preflight, answer, again, refused):
            assert each.headers["access-control-allow-origin"] == ORIGIN
            assert each.headers["vary"] == "Origin"
            assert {"ETag", "Retry-After"} <= set(each.headers["access-control-expose-headers"].split(", "))


async def test_10_another_origin_may_not(served: Served, http: httpx.AsyncClient) -> None:
    """Origins are allowed by configuration only: no answer names another one, or a star."""
    for origin in ("https://evil.example.com", "null", "http://shop.example.com", f"{ORIGIN}.evil.com"):
        preflight = await http.options(BULK, headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
        answer = await http.post(BULK, json={"context": {}}, headers={**served.bearer, "Origin": origin})

        for each in (preflight, answer):
            assert not [name for name in each.headers if name.startswith("access-control-")], origin


async def test_10_an_event_streams_address_carries_its_own_credential(served: Served, http: httpx.AsyncClient) -> None:
    """Bulk says where to listen, and the address opens without any header, the key itself not being in it."""
    for headers in (served.bearer, served.api_key):
        answer = await http.post(
            f"{BULK}?flagConfigEtag=abc&flagConfigLastModified=1771622898", json={"context": USER}, headers=headers
        )
        assert answer.status_code == 200
        assert set(answer.json()) == {"flags", "eventStreams", "metadata"}
        [stream] = answer.json()["eventStreams"]
        assert (stream["type"], set(stream["endpoint"])) == ("sse", {"requestUri"})
        address = stream["endpoint"]["requestUri"]
        assert not any(secret in address for secret in (served.server_key, served.client_key))
        async with http.stream("GET", address, headers={"Origin": ORIGIN}) as listening:
            assert listening.status_code == 200
            assert listening.headers["content-type"].startswith("text/event-stream")
            assert listening.headers["access-control-allow-origin"] == ORIGIN
            async for first in listening.aiter_lines():
                if first.startswith("data: "):
                    break
            assert json.loads(first.removeprefix("data: "))["type"] == "refetchEvaluation"


async def test_12_either_header_opens(served: Served, http: httpx.AsyncClient) -> None:
    """A key opens as ``Authorization: Bearer`` and as ``X-API-Key``; a client's key sees client flags only."""
    for secret, sees in ((served.server_key, len(KEYS)), (served.client_key, len(KEYS) - 1)):
        for headers in ({"Authorization": f"Bearer {secret}"}, {"X-API-Key": secret}):
            answer = await http.post(BULK, json={"context": USER}, headers=headers)
            assert (answer.status_code, len(answer.json()["flags"])) == (200, sees)


async def test_12_nothing_else_does(served: Served, http: httpx.AsyncClient) -> None:
    """Without a key, or with an unknown one, the answer is 401."""
    unknown: tuple[dict[str, str], ...] = ({}, {"Authorization": "Bearer rhs_x"}, {"X-API-Key": "rhs_x"})
    for headers in unknown:
        for path in (BULK, f"{BULK}/conf-int"):
            assert (await http.post(path, json={"context": USER}, headers=headers)).status_code == 401
