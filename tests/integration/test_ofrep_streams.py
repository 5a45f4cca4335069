"""OFREP's event streams: when a client is told to ask again."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from rheostat.clock import ManualClock
from rheostat.model.flag import Answer, Condition
from rheostat.model.window import Window
from rheostat_server.access.ticket import TICKET_MS
from rheostat_server.adapters.storage.postgres.pool import Database
from tests.builders import a_flag, a_kill, a_rule
from tests.data_plane import World
from tests.data_plane_node import API_TOKEN, CLIENT_KEY, SERVER_KEY, Events, Node, a_node

BULK = "/ofrep/v1/evaluate/flags"
HOUR = 3_600_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def node(database: Database, clock: ManualClock) -> AsyncIterator[Node]:
    opens = clock.wall_ms() + HOUR
    sale = a_flag("sale", client=True, rules=(a_rule(when=Condition(all=()), active=Window(opens, opens + HOUR)),))
    world = World(database)
    await world.serve(await world.environment(), sale, a_flag(client=True))
    async with a_node(database, clock=clock) as running:
        yield running


async def asked(node: Node, key: str = CLIENT_KEY, *, told: str | None = None, **headers: str) -> httpx.Response:
    """Return the answer of bulk; ``told`` is the ETag that a stream told of."""
    query = "" if told is None else f"?flagConfigEtag={told}"
    return await node.client.post(
        BULK + query, json={"context": {"targetingKey": "u"}}, headers={"X-API-Key": key, **headers}
    )


def address_in(answer: httpx.Response) -> str:
    """Return where the answer says that its events are."""
    [stream] = answer.json()["eventStreams"]
    address: str = stream["endpoint"]["requestUri"]
    return address


def values_in(answer: httpx.Response) -> dict[str, Any]:
    return {item["key"]: item["value"] for item in answer.json()["flags"]}


class Listening(Events):
    """Reads event streams as a browser does: comments are nothing."""

    async def refetch(self) -> tuple[str, str]:
        """Return the id and the ETag of the next event, which tells to ask again."""
        event: dict[str, str] = {}
        while "data" not in event:
            event = await self.next()
        data = json.loads(event["data"])
        assert (event["event"], data["type"]) == ("message", "refetchEvaluation")
        return event["id"], data["etag"]


@asynccontextmanager
async def listening(node: Node, address: str, **headers: str) -> AsyncIterator[Listening]:
    """Open an event stream, without a key."""
    async with node.client.stream("GET", address, headers=headers, timeout=None) as response:
        assert response.status_code == 200, await response.aread()
        yield Listening(response)


async def test_a_change_is_told(node: Node) -> None:
    """At the beginning, and with each revision and kill; the ETag that it tells names the state to ask for."""
    async with listening(node, address_in(await asked(node))) as stream:
        first, _ = await stream.refetch()
        revision = await node.world.serve(1, a_flag(client=True, default=Answer(serve="on"), version=2))
        second, etag = await stream.refetch()

        assert second != first
        assert etag == f'"{second}"'
        assert second.split("-")[1] == str(revision)
        assert values_in(await asked(node, told=etag))["checkout"] is True
        await node.world.serve(1, a_kill())
        third, _ = await stream.refetch()
        assert third not in (first, second)


async def test_a_window_is_told_when_it_opens_and_closes(node: Node, clock: ManualClock) -> None:
    """By the node's clock, though no revision changes; the answers are then the new ones."""
    before = await asked(node)
    async with listening(node, address_in(before)) as stream:
        closed, _ = await stream.refetch()
        clock.advance(HOUR / 1000)
        opened, _ = await stream.refetch()
        during = await asked(node, **{"If-None-Match": before.headers["etag"]})
        clock.advance(HOUR / 1000)
        after, _ = await stream.refetch()

    assert values_in(before)["sale"] is False
    assert (during.status_code, values_in(during)["sale"]) == (200, True)
    assert (opened.startswith(closed), after) == (True, closed)


async def test_who_comes_back_is_told_of_what_it_missed(node: Node) -> None:
    """With the id of the last event it hears nothing until something changes, and at once if something did."""
    address = address_in(await asked(node))
    async with listening(node, address) as stream:
        held, _ = await stream.refetch()
    async with listening(node, address, **{"Last-Event-ID": held}) as stream:
        await node.world.serve(1, a_flag(version=2))
        missed, _ = await stream.refetch()
    async with listening(node, address, **{"Last-Event-ID": held}) as stream:
        again, _ = await stream.refetch()

    assert missed == again != held


async def test_an_address_is_good_for_an_hour(node: Node, clock: ManualClock) -> None:
    """It stays the same meanwhile; then it opens nothing, and another one comes with the next answer, never a 304."""
    first = await asked(node)
    etag = first.headers["etag"]
    unchanged = await asked(node, **{"If-None-Match": etag})
    clock.advance(2 * TICKET_MS / 1000)
    expired = await node.client.get(address_in(first))
    second = await asked(node, **{"If-None-Match": etag})

    assert unchanged.status_code == 304
    assert (expired.status_code, expired.json()["errorCode"]) == (401, "GENERAL")
    assert "has expired" in expired.json()["errorDetails"]
    assert second.status_code == 200
    async with listening(node, address_in(second)) as stream:
        await stream.refetch()


async def test_a_revoked_key_ends_its_streams(node: Node) -> None:
    """Open ones end, and the address opens nothing any more; those of other keys go on."""
    mine, other = address_in(await asked(node)), address_in(await asked(node, SERVER_KEY))
    async with listening(node, mine) as ended, listening(node, other) as going_on:
        await ended.refetch()
        await going_on.refetch()
        async with node.world.database.connection() as connection:
            await connection.execute("UPDATE tokens SET revoked_at_ms = 1 WHERE hint = $1", CLIENT_KEY[:8])
            await connection.execute("UPDATE meta SET access_revision = access_revision + 1")
        node.keyring.nudge()

        assert await ended.ended()
        assert (await node.client.get(mine)).status_code == 401
        await node.world.serve(1, a_flag(version=2))
        await going_on.refetch()


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 401), ("?ticket=", 401), ("?ticket=a.1.b", 401), (f"?ticket={SERVER_KEY}", 401), ("?ticket=a&ticket=b", 400)],
)
async def test_nothing_else_opens_a_stream(node: Node, query: str, status: int) -> None:
    """No address that was made up, and no key in an address."""
    answer = await node.client.get(f"/ofrep/v1/streams{query}", headers={"Authorization": f"Bearer {API_TOKEN}"})

    assert answer.status_code == status
    assert answer.json()["errorDetails"]


async def test_a_stream_is_asked_for_by_get(node: Node) -> None:
    """And a browser may, from the configured origins."""
    address = address_in(await asked(node))
    shop = {"Origin": "https://shop.example.com"}
    posted = await node.client.post(address)
    preflight = await node.client.options(
        address,
        headers={**shop, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "last-event-id"},
    )

    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, OPTIONS")
    assert "GET" in preflight.headers["access-control-allow-methods"]
    assert "last-event-id" in preflight.headers["access-control-allow-headers"]
    async with node.client.stream("GET", address, headers=shop) as response:
        assert response.headers["access-control-allow-origin"] == shop["Origin"]
        assert response.headers["cache-control"] == "no-store"


async def test_a_node_that_is_behind_catches_up_first(node: Node, database: Database, clock: ManualClock) -> None:
    """Told of a change by one node and asking another, a client gets the new answers; nonsense is not waited for."""
    async with a_node(database, clock=clock, poll_seconds=3_600.0) as slow:
        await asked(slow)
        async with listening(node, address_in(await asked(slow))) as stream:
            await stream.refetch()
            await node.world.serve(1, a_flag(client=True, default=Answer(serve="on"), version=2))
            _, etag = await stream.refetch()
        stale = await asked(slow, told="nonsense-1-x")
        fresh = await asked(slow, told=etag)

    assert values_in(stale)["checkout"] is False
    assert values_in(fresh)["checkout"] is True


async def test_streams_end_with_the_node(node: Node) -> None:
    """Their readers are told to come back spread over time, and nobody new is let in."""
    address = address_in(await asked(node))
    async with listening(node, address) as stream:
        await stream.refetch()
        node.hub.close_streams()
        assert await stream.ended()
    refused = await node.client.get(address)

    assert (refused.status_code, refused.json()["errorCode"]) == (503, "PROVIDER_NOT_READY")
