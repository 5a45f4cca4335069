"""The published provider for Node evaluates on a running server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conformance.conftest import Served
from tests.conformance.flags import CONSTANTS, METADATA, ODD_TEXT, other_than
from tests.conformance.npm_clients import NpmClient, npm_client


@pytest.fixture
async def provider(served: Served) -> AsyncIterator[NpmClient]:
    async with npm_client("server_client.mjs") as client:
        await client.ask("connect", url=served.url, headers=served.bearer)
        yield client


async def evaluate(client: NpmClient, key: str, fallback: Any, **context: Any) -> dict[str, Any]:
    said: dict[str, Any] = await client.ask("evaluate", key=key, fallback=fallback, context=context)
    return said


async def test_every_type_arrives(provider: NpmClient) -> None:
    """Each type's value and variant arrive, with an empty context, and its reason is STATIC."""
    for key, (_, variant, value) in CONSTANTS.items():
        said = await evaluate(provider, key, other_than(value))

        assert said["value"] == value, key
        assert (said["variant"], said["reason"], said.get("errorCode")) == (variant, "STATIC", None), key


async def test_contexts_and_metadata_pass_through(provider: NpmClient) -> None:
    """Rules read attributes with and without a targeting key; splits need one; metadata comes along."""
    keyless = await evaluate(provider, "conf-targeted", "", plan="premium")
    staff = await evaluate(provider, "conf-targeted", "", targetingKey="u", email="a@example.com")
    other = await evaluate(provider, "conf-targeted", "", targetingKey="u")
    split = await evaluate(provider, "conf-split", "", targetingKey="user-1")
    unsplit = await evaluate(provider, "conf-split", "fallback")
    described = await evaluate(provider, "conf-metadata", False, targetingKey="u")

    assert (keyless["value"], keyless["reason"]) == ("gold", "TARGETING_MATCH")
    assert (staff["value"], other["value"], other["reason"]) == ("beta", "standard", "DEFAULT")
    assert split["value"] in ("a", "b")
    assert split["reason"] == "SPLIT"
    assert (unsplit["value"], unsplit["errorCode"]) == ("fallback", "TARGETING_KEY_MISSING")
    assert described["flagMetadata"] == METADATA


@pytest.mark.parametrize("fallback", [True, False])
async def test_what_cannot_be_served_ends_in_the_default(provider: NpmClient, fallback: bool) -> None:
    """A disabled flag, a missing one and one of another type end in the caller's default."""
    disabled = await evaluate(provider, "conf-disabled", fallback, targetingKey="u")
    off = await evaluate(provider, "conf-disabled-off", fallback, targetingKey="u")
    missing = await evaluate(provider, "conf-missing", fallback, targetingKey="u")
    wrong = await evaluate(provider, "conf-string", fallback, targetingKey="u")

    assert disabled["value"] is fallback
    assert (off["value"], off["reason"], off["variant"]) == (False, "DISABLED", "off")
    assert (missing["value"], missing["errorCode"]) == (fallback, "FLAG_NOT_FOUND")
    assert (wrong["value"], wrong["errorCode"]) == (fallback, "TYPE_MISMATCH")


async def test_a_write_is_seen_at_once(served: Served, provider: NpmClient) -> None:
    """After a write's answer the next evaluation has it."""
    before = await evaluate(provider, "conf-toggle", True)
    await served.toggle("on")
    after = await evaluate(provider, "conf-toggle", False)

    assert (before["value"], after["value"]) == (False, True)


async def test_either_header_opens_and_a_wrong_key_does_not(served: Served) -> None:
    """The key is taken from X-API-Key as well; with an unknown one the caller's default remains."""
    async with npm_client("server_client.mjs") as client:
        await client.ask("connect", url=served.url, headers={"X-API-Key": served.server_key})
        assert (await evaluate(client, "conf-string", ""))["value"] == ODD_TEXT
        await client.ask("connect", url=served.url, headers={"X-API-Key": "rhs_unknown"})
        refused = await evaluate(client, "conf-string", "fallback")
    assert (refused["value"], refused["reason"]) == ("fallback", "ERROR")
