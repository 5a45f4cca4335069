"""The published provider for browsers, under Node: all flags at once, by ETag, by poll, by context."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conformance.conftest import Served
from tests.conformance.flags import CONSTANTS, METADATA, other_than
from tests.conformance.npm_clients import NpmClient, npm_client

USER = {"targetingKey": "user-1", "plan": "free"}


@pytest.fixture
async def browser() -> AsyncIterator[NpmClient]:
    async with npm_client("web_client.mjs") as client:
        yield client


async def connect(
    browser: NpmClient,
    served: Served,
    context: dict[str, Any] | None = None,
    *,
    poll: int = 0,
    listen: bool = False,
) -> None:
    given = USER if context is None else context
    await browser.ask("connect", url=served.url, headers=served.api_key, context=given, poll=poll, listen=listen)


async def evaluate(browser: NpmClient, key: str, fallback: Any) -> dict[str, Any]:
    said: dict[str, Any] = await browser.ask("evaluate", key=key, fallback=fallback)
    return said


async def test_every_type_arrives_by_one_request(browser: NpmClient, served: Served) -> None:
    """One request brings all that a client-scoped key may see, and says where to listen."""
    await connect(browser, served)
    for key, (_, variant, value) in CONSTANTS.items():
        said = await evaluate(browser, key, other_than(value))

        assert said["value"] == value, key
        assert (said["variant"], said["reason"], said.get("errorCode")) == (variant, "STATIC", None), key
    assert (await evaluate(browser, "conf-metadata", False))["flagMetadata"] == METADATA
    assert (await evaluate(browser, "conf-split", ""))["reason"] == "SPLIT"
    hidden = await evaluate(browser, "conf-server-only", False)
    assert (hidden["value"], hidden["errorCode"]) == (False, "FLAG_NOT_FOUND")
    [exchange] = await browser.ask("exchanges")
    assert (exchange["status"], exchange["if_none_match"], len(exchange["streams"])) == (200, None, 1)


@pytest.mark.parametrize("fallback", [True, False])
async def test_what_cannot_be_served_ends_in_the_default(browser: NpmClient, served: Served, fallback: bool) -> None:
    """A disabled flag ends in the caller's default with reason DISABLED; an off variant is served."""
    await connect(browser, served)
    disabled = await evaluate(browser, "conf-disabled", fallback)
    off = await evaluate(browser, "conf-disabled-off", fallback)
    wrong = await evaluate(browser, "conf-string", fallback)

    assert (disabled["value"], disabled["reason"]) == (fallback, "DISABLED")
    assert (off["value"], off["variant"]) == (False, "off")
    assert (wrong["value"], wrong["errorCode"]) == (fallback, "TYPE_MISMATCH")


async def test_a_flag_that_fails_leaves_the_others(browser: NpmClient, served: Served) -> None:
    """Without a targeting key, even without any context, only the flag that needs one fails."""
    await connect(browser, served, {})
    split = await evaluate(browser, "conf-split", "fallback")

    assert (split["value"], split["errorCode"]) == ("fallback", "TARGETING_KEY_MISSING")
    assert (await evaluate(browser, "conf-targeted", ""))["value"] == "standard"
    assert (await browser.ask("exchanges"))[0]["body"] == {"context": {}}


async def test_polls_cost_nothing_until_something_changes(browser: NpmClient, served: Served) -> None:
    """Polls with the last ETag are 304; a write makes one a 200 with a new ETag, and the change is told."""
    await connect(browser, served, poll=50)
    first, *polls = await browser.until("exchanges", 4)
    await served.toggle("on")
    [changed, *_] = await browser.until("changes", 1)
    since = len(await browser.ask("exchanges"))
    *_, last = await browser.until("exchanges", since + 2)

    assert first["status"] == 200
    assert {(poll["status"], poll["if_none_match"]) for poll in polls} == {(304, first["etag"])}
    assert changed == ["conf-toggle"]
    assert (await evaluate(browser, "conf-toggle", False))["value"] is True
    assert last["status"] == 304
    assert last["if_none_match"] != first["etag"]


async def test_a_change_is_told_by_the_stream(browser: NpmClient, served: Served) -> None:
    """Without polls: the first event is answered 304, as nothing has changed; one of a write brings the new values."""
    await connect(browser, served, listen=True)
    first, second = await browser.until("exchanges", 2)
    await served.toggle("on")
    [changed] = await browser.until("changes", 1)

    assert (second["status"], second["if_none_match"]) == (304, first["etag"])
    assert changed == ["conf-toggle"]
    assert (await evaluate(browser, "conf-toggle", False))["value"] is True


async def test_a_window_that_opens_is_told_by_the_stream(browser: NpmClient, served: Served) -> None:
    """By the server's clock alone: nobody writes anything."""
    opens = served.running.clock.wall_ms() + 3_600_000
    window = {"from": datetime.fromtimestamp(opens / 1000, UTC).isoformat()}
    rule = {"when": {"not": {"attribute": "nobody-has-this", "operator": "exists"}}, "active": window, "serve": "on"}
    change = {"environments": {"production": {"rules": [rule]}}}
    answer = await served.running.admin.patch("/projects/default/flags/conf-toggle", json=change)
    assert answer.is_success, answer.text
    await connect(browser, served, listen=True)
    await browser.until("exchanges", 2)
    before = await evaluate(browser, "conf-toggle", False)
    served.running.clock.advance(3_600)
    [changed] = await browser.until("changes", 1)

    assert (before["value"], changed) == (False, ["conf-toggle"])
    assert (await evaluate(browser, "conf-toggle", False))["value"] is True


async def test_a_changed_attribute_is_answered_anew(browser: NpmClient, served: Served) -> None:
    """The provider keeps its ETag when an attribute changes, and yet gets the new context's answers."""
    await connect(browser, served)
    before = await evaluate(browser, "conf-targeted", "")
    await browser.ask("context", context={**USER, "plan": "premium"})
    after = await evaluate(browser, "conf-targeted", "")
    await browser.ask("context", context=USER)
    back = await evaluate(browser, "conf-targeted", "")
    first, second, third = await browser.ask("exchanges")

    assert [said["value"] for said in (before, after, back)] == ["standard", "gold", "standard"]
    assert second["if_none_match"] == first["etag"]
    assert (second["status"], third["status"]) == (200, 200)
    assert first["etag"] == third["etag"] != second["etag"]


async def test_another_user_is_another_question(browser: NpmClient, served: Served) -> None:
    """A new targeting key is asked for without the old ETag."""
    await connect(browser, served)
    await browser.ask("context", context={"targetingKey": "user-2", "plan": "premium"})
    first, second = await browser.ask("exchanges")

    assert (second["if_none_match"], second["status"]) == (None, 200)
    assert second["etag"] != first["etag"]
    assert (await evaluate(browser, "conf-targeted", ""))["value"] == "gold"


async def test_a_wrong_key_is_fatal_to_the_provider(browser: NpmClient, served: Served) -> None:
    """401 is an error that the provider does not wait out."""
    with pytest.raises(AssertionError, match="Initialization failed"):
        await browser.ask("connect", url=served.url, headers={"X-API-Key": "rhc_unknown"}, context=USER, poll=0)
