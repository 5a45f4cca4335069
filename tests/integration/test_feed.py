"""The feed over real HTTP and a real PostgreSQL."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from rheostat.clock import ManualClock
from rheostat.engine import Ruleset, apply_patch
from rheostat.model.context import Context
from rheostat.model.kill import KillScope
from rheostat.model.snapshot import Patch, Snapshot
from rheostat_server.access.model import Scope, TokenKind
from rheostat_server.adapters.propagation.postgres import PostgresPropagation
from rheostat_server.adapters.storage.postgres.identity import ensure_generation
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import Unavailable
from tests.builders import a_flag, a_kill, a_rollout, an_overlay
from tests.data_plane import World, let_in, shut
from tests.data_plane_node import API_TOKEN, CLIENT_KEY, SERVER_KEY, Node, a_node, a_stream, add_key

AUTH = {"Authorization": f"Bearer {SERVER_KEY}"}


@pytest.fixture
async def world(database: Database) -> World:
    return World(database)


@pytest.fixture
async def environment(world: World) -> int:
    return await world.environment()


@pytest.fixture
async def node(database: Database, environment: int) -> AsyncIterator[Node]:
    async with a_node(database) as running:
        yield running


async def get_snapshot(node: Node, **headers: str) -> Snapshot:
    answer = await node.client.get("/sdk/v1/snapshot", headers={**AUTH, **headers})
    assert answer.status_code == 200
    return msgspec.json.decode(answer.content, type=Snapshot)


async def test_a_snapshot_holds_what_is_served(node: Node, world: World, environment: int) -> None:
    """The snapshot has every served thing at the environment's identity, and names both."""
    overlay = an_overlay()
    revision = await world.serve(environment, a_flag("b"), a_flag("a"), overlay, a_kill())
    await node.settle(environment, revision)

    snapshot = await get_snapshot(node)

    assert [flag.key for flag in snapshot.flags] == ["a", "b"]
    assert snapshot.ramps == (overlay,)
    assert snapshot.kills == (a_kill(),)
    assert (snapshot.project, snapshot.environment, snapshot.revision) == ("default", "production", revision)


async def test_a_snapshot_that_is_held_is_not_sent_again(node: Node, world: World, environment: int) -> None:
    """With the ETag that it gave the answer is 304; after a change it is not."""
    await node.settle(environment, await world.serve(environment, a_flag()))
    first = await node.client.get("/sdk/v1/snapshot", headers=AUTH)
    held = {**AUTH, "If-None-Match": f'"other", W/{first.headers["etag"]}'}

    unchanged = await node.client.get("/sdk/v1/snapshot", headers=held)
    await node.settle(environment, await world.serve(environment, a_flag(version=2)))
    changed = await node.client.get("/sdk/v1/snapshot", headers=held)

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert int(unchanged.headers["rheostat-age"]) < 5_000
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_a_compressed_snapshot_is_the_same_one(node: Node, world: World, environment: int) -> None:
    """Where gzip is accepted the answer is one gzip member with the same JSON."""
    await node.settle(environment, await world.serve(environment, *(a_flag(f"flag-{n}") for n in range(200))))

    async with node.client.stream("GET", "/sdk/v1/snapshot", headers={**AUTH, "Accept-Encoding": "gzip"}) as answer:
        packed = b"".join([part async for part in answer.aiter_raw()])
    plain = await node.client.get("/sdk/v1/snapshot", headers={**AUTH, "Accept-Encoding": "identity"})

    assert answer.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert len(packed) < len(plain.content) / 5
    unpacked = json.loads(gzip.decompress(packed))
    assert {**unpacked, "age_ms": 0} == {**plain.json(), "age_ms": 0}


@pytest.mark.parametrize(("key", "status"), [(CLIENT_KEY, 403), (API_TOKEN, 403), ("rhs_unknown", 401), (None, 401)])
async def test_only_a_server_key_opens_the_feed(node: Node, key: str | None, status: int) -> None:
    """Client-scoped keys and API tokens get no snapshot and no stream; nor does who shows nothing."""
    headers = {} if key is None else {"X-API-Key": key}
    for path in ("/sdk/v1/snapshot", "/sdk/v1/stream"):
        answer = await node.client.get(path, headers=headers)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "application/problem+json"


async def test_another_method_is_refused(node: Node) -> None:
    """A stream is asked for by GET alone."""
    answer = await node.client.post("/sdk/v1/stream", headers=AUTH)

    assert answer.status_code == 405


async def test_a_stream_begins_with_a_beat_and_then_sends_patches(node: Node, world: World, environment: int) -> None:
    """A reader at the present state gets a beat, and from then on each change as a patch that fits what it holds."""
    await node.settle(environment, await world.serve(environment, a_flag("a"), a_flag("b")))
    held = await get_snapshot(node)

    async with a_stream(node, held=str(held.identity)) as events:
        assert events.response.headers["content-type"].startswith("text/event-stream")
        assert events.response.headers["cache-control"] == "no-store"
        assert events.response.headers["x-accel-buffering"] == "no"
        beat = await events.data("beat")
        assert (beat["path"], beat["instances"]) == (["node-1"], 1)
        assert "behind" not in beat
        await world.serve(environment, a_flag("a", version=2), an_overlay(flag="a"))
        await node.settle(environment, held.revision + 1)
        await world.serve(environment, gone=[("flag", "b")])
        for _ in range(2):
            event = await events.next()
            patch = msgspec.json.decode(event["data"], type=Patch)
            assert event["id"] == str(patch.to)
            held = apply_patch(held, patch)

    whole = await get_snapshot(node)
    assert msgspec.structs.replace(whole, age_ms=0) == msgspec.structs.replace(held, age_ms=0)
    assert [flag.key for flag in whole.flags] == ["a"]


async def test_a_reader_that_was_away_is_brought_up_in_one_patch(node: Node, world: World, environment: int) -> None:
    """A reader from 900 revisions before gets one patch to the present, removals in it."""
    held = await get_snapshot(node)
    await node.settle(environment, await world.serve(environment, a_flag("gone")))
    held_later = await get_snapshot(node)
    async with world.database.connection() as connection:
        await connection.execute("UPDATE environments SET revision = revision + 900 WHERE id = $1", environment)
    await world.serve(environment, a_flag("here", version=3), gone=[("flag", "gone")])
    await node.settle(environment, held_later.revision + 901)

    whole = await get_snapshot(node)
    for before in (held, held_later):
        async with a_stream(node, held=str(before.identity)) as events:
            patch = msgspec.convert(await events.data("patch"), Patch)
        assert apply_patch(before, patch).flags == whole.flags
        assert patch.to == whole.identity


@pytest.mark.parametrize("held", [None, "0-0", "nonsense", "1-"])
async def test_a_reader_that_cannot_be_patched_is_told_to_fetch(
    database: Database, world: World, environment: int, held: str | None
) -> None:
    """A reader that holds nothing of this generation gets the kills in force and a resync."""
    await world.raise_generation(5)
    kill = a_kill(scope=KillScope.FLAG)
    revision = await world.serve(environment, a_flag(), kill, a_kill("other", revived=True))
    async with a_node(database) as node, a_stream(node, held=held) as events:
        assert (await events.data("kill"))["kill_id"] == kill.kill_id
        event = await events.next()

    assert event["event"] == "resync"
    assert event["id"] == f"5-{revision}"
    assert json.loads(event["data"])["to"] == {"generation": 5, "revision": revision}


async def test_a_kill_comes_before_its_patch(node: Node, world: World, environment: int) -> None:
    """A new kill is sent by itself and then in the patch; a revival in the patch alone."""
    await node.settle(environment, await world.serve(environment, a_flag()))
    held = await get_snapshot(node)

    async with a_stream(node, held=str(held.identity)) as events:
        await world.serve(environment, a_kill())
        kill = await events.next()
        patch = await events.next()
        await world.serve(environment, a_kill(revived=True))
        revival = await events.next()

    assert [kill["event"], patch["event"], revival["event"]] == ["kill", "patch", "patch"]
    assert "id" not in kill
    assert json.loads(patch["data"])["kills"][0]["kill_id"] == a_kill().kill_id
    assert json.loads(revival["data"])["kills"][0]["revived"]


async def test_a_node_behind_its_reader_says_so_and_sends_nothing_older(
    node: Node, world: World, environment: int
) -> None:
    """To a reader ahead of it a node says behind; once past it, the patch starts from what the reader holds."""
    await node.settle(environment, await world.serve(environment, a_flag("a")))
    now = (await get_snapshot(node)).identity
    ahead = f"{now.generation}-{now.revision + 2}"

    async with a_stream(node, held=ahead) as events:
        beat = await events.data("beat")
        assert beat["behind"]
        for number in range(3):
            await world.serve(environment, a_flag(f"flag-{number}"))
            await node.settle(environment, now.revision + 1 + number)
        patch = msgspec.convert(await events.data("patch"), Patch)

    assert str(patch.from_) == ahead
    assert [flag.key for flag in patch.flags] == ["flag-2"]


async def test_a_raised_generation_resyncs_everybody(node: Node, world: World, environment: int) -> None:
    """After a restore all is read anew, and readers are sent to fetch it."""
    await node.settle(environment, await world.serve(environment, a_flag()))
    held = await get_snapshot(node)

    async with a_stream(node, held=str(held.identity)) as events:
        await world.raise_generation(held.generation + 1)
        resync = await events.data("resync")

    assert resync["to"] == {"generation": held.generation + 1, "revision": held.revision}


async def test_a_failover_under_a_running_node_resyncs_everybody(node: Node, world: World, environment: int) -> None:
    """Another timeline raises the generation within a poll: a revision that was used twice reaches every reader."""
    async with world.database.connection() as connection:
        await ensure_generation(connection, 1_000)
    await node.settle(environment, await world.serve(environment, a_flag("lost")))
    held = await get_snapshot(node)

    async with a_stream(node, held=str(held.identity)) as events:
        async with world.database.connection() as connection:
            # As on a standby that had not heard of the last revision, and was promoted.
            await connection.execute("UPDATE environments SET revision = revision - 1 WHERE id = $1", environment)
            await connection.execute("DELETE FROM served WHERE environment_id = $1", environment)
            await connection.execute("UPDATE meta SET timeline = timeline - 1")
        assert await world.serve(environment, a_flag("written-again")) == held.revision
        resync = await events.data("resync")
    after = await get_snapshot(node)

    assert resync["to"]["generation"] > held.generation
    assert [flag.key for flag in after.flags] == ["written-again"]
    assert (after.revision, after.generation) == (held.revision, resync["to"]["generation"])


async def test_a_node_never_goes_back(node: Node, world: World, environment: int) -> None:
    """A database that says less than is served changes nothing, and its answers confirm nothing."""
    await node.settle(environment, await world.serve(environment, a_flag("kept")))
    held = await get_snapshot(node)
    async with world.database.connection() as connection:
        await connection.execute("UPDATE environments SET revision = 0 WHERE id = $1", environment)
        await connection.execute("DELETE FROM served WHERE environment_id = $1", environment)
    await asyncio.sleep(0.6)

    after = await get_snapshot(node)

    assert (after.identity, after.flags) == (held.identity, held.flags)
    assert after.age_ms >= 300


async def test_evaluation_follows_the_feed(node: Node, world: World, environment: int) -> None:
    """The ruleset that answers is that of the newest revision, kills included."""
    rollout = a_rollout(1_000_000)
    await node.settle(environment, await world.serve(environment, a_flag(rollout=rollout)))
    feed = node.hub.feed(environment)
    user = Context("user-1")
    assert feed.ruleset.evaluate("checkout", user).variant == "on"

    await node.settle(environment, await world.serve(environment, a_kill()))
    killed = feed.ruleset.evaluate("checkout", user).variant
    await node.settle(environment, await world.serve(environment, gone=[("kill", a_kill().kill_id)]))

    assert killed == "off"
    assert feed.ruleset.evaluate("checkout", user).variant == "on"


async def test_patched_rulesets_equal_one_made_anew(node: Node, world: World, environment: int) -> None:
    """After any changes the ruleset's snapshot is the one that a new node reads."""
    for number in range(6):
        things = (a_flag(f"flag-{number % 3}", version=number + 1), an_overlay(flag=f"flag-{number % 2}", epoch=number))
        revision = await world.serve(environment, *things, gone=[("flag", f"flag-{(number + 1) % 3}")])
        await node.settle(environment, revision)
    followed = node.hub.feed(environment).ruleset

    async with a_node(world.database) as fresh:
        assert fresh.hub.feed(environment).ruleset.snapshot == followed.snapshot
    assert isinstance(followed, Ruleset)


async def test_environments_come_and_go(node: Node, world: World) -> None:
    """A new environment is served without a restart; a deleted one's streams end and its key finds nothing."""
    staging = await world.environment("staging")
    await add_key(world, "rhs_staging-in-a-test", staging, Scope.SERVER, TokenKind.SDK)
    await node.settle(staging, await world.serve(staging, a_flag()))
    await node.keyring.refresh()

    async with a_stream(node, key="rhs_staging-in-a-test") as events:
        await events.data("resync")
        async with world.database.connection() as connection:
            await connection.execute("DELETE FROM environments WHERE id = $1", staging)
        assert await events.ended()

    answer = await node.client.get("/sdk/v1/snapshot", headers={"X-API-Key": "rhs_staging-in-a-test"})
    assert answer.status_code in (401, 404)


async def test_an_environment_that_cannot_be_read_stops_no_other(node: Node, world: World, environment: int) -> None:
    """What a mistake in one environment's rows keeps back is that environment alone, until it is mended."""
    staging = await world.environment("staging")
    before = await world.serve(staging, a_flag())
    await node.settle(staging, before)
    async with world.database.connection() as connection:
        await connection.execute(
            "UPDATE served SET body = E'{\\n', revision = $2 WHERE environment_id = $1", staging, before + 1
        )
        await connection.execute("UPDATE environments SET revision = revision + 1 WHERE id = $1", staging)

    await node.settle(environment, await world.serve(environment, a_flag("after")))

    assert node.hub.feed(staging).identity.revision == before
    async with a_node(world.database) as fresh:
        assert fresh.hub.feed(environment).ruleset.flag("after") is not None
        with pytest.raises(Unavailable):
            fresh.hub.feed(staging)
    await node.settle(staging, await world.serve(staging, a_flag()))
    assert node.hub.feed(staging).ruleset.flag(a_flag().key) is not None


async def test_a_revoked_keys_stream_ends(node: Node, world: World, environment: int) -> None:
    """A stream ends soon after its key was revoked; others go on."""
    secret = "rhs_soon-revoked-in-a-test"
    key = await add_key(world, secret, environment, Scope.SERVER, TokenKind.SDK)
    await node.keyring.refresh()

    async with a_stream(node, key=secret) as events, a_stream(node, held=None) as other:
        await events.data("resync")
        await other.data("resync")
        async with world.storage.transaction() as transaction:
            await transaction.tokens.change(key, label="a test's", expires_at_ms=None, revoked_at_ms=1)
            await transaction.tokens.raise_access_revision()
        assert await events.ended()
        await world.serve(environment, a_flag())
        await other.data("patch")


async def test_stopping_ends_streams_with_a_time_to_come_back(node: Node) -> None:
    """A node that stops ends its streams, says when to come back, and takes no new ones."""
    async with a_stream(node) as events:
        await events.data("resync")
        node.hub.close_streams()
        last = await events.next()
        assert await events.ended()
    late = await node.client.get("/sdk/v1/stream", headers=AUTH)

    assert 500 <= int(last["retry"]) <= 5_000
    assert late.status_code == 503
    assert late.headers["retry-after"] == "1"


async def test_streams_are_counted(node: Node) -> None:
    """The gauge of open streams goes up and comes down again."""
    labels = {"project": "default", "environment": "production"}

    async with a_stream(node) as events:
        await events.data("resync")
        assert node.metrics.registry.get_sample_value("rheostat_streams", labels) == 1
    for _ in range(200):
        if node.metrics.registry.get_sample_value("rheostat_streams", labels) == 0:
            break
        await asyncio.sleep(0.02)

    assert node.metrics.registry.get_sample_value("rheostat_streams", labels) == 0


async def test_with_postgresql_away_a_node_serves_from_memory(fresh_database: Callable[[], str]) -> None:
    """Answers go on with a growing age while the database is away, and follow again when it is back."""
    clock = ManualClock()
    async with await Database.open(fresh_database()) as control, await Database.open(fresh_database()) as database:
        world = World(database)
        [row] = await world.fetch("SELECT current_database() AS name")
        environment = await world.environment()
        revision = await world.serve(environment, a_flag())
        async with a_node(database, clock=clock) as node:
            async with a_stream(node, held=f"0-{revision}") as events:
                await shut(control, row["name"])
                clock.advance(90)
                during = await get_snapshot(node)
                await let_in(control, row["name"])
                changed = await world.serve(environment, a_flag(version=2))
                patch = msgspec.convert(await events.data("patch"), Patch)
            after = await get_snapshot(node)

    assert (during.revision, during.flags) == (revision, (a_flag(),))
    assert during.age_ms >= 90_000
    assert patch.to.revision == changed
    assert after.age_ms < 5_000


async def test_a_hint_is_faster_than_the_poll(database: Database, world: World, environment: int) -> None:
    """A change is served long before the next poll where the transaction's hint is heard."""
    async with a_node(database, propagation=PostgresPropagation(database.connect), poll_seconds=30.0) as node:
        await asyncio.sleep(0.5)
        revision = await world.serve(environment, a_flag())
        feed = node.hub.feed(environment)
        for _ in range(400):
            if feed.identity.revision == revision:
                break
            await asyncio.sleep(0.02)

    assert feed.identity.revision == revision


async def test_many_readers_get_the_same_change(node: Node, world: World, environment: int) -> None:
    """Every one of many open streams gets each change, in order."""
    await node.settle(environment, await world.serve(environment, a_flag()))
    held = await get_snapshot(node)
    node.client.timeout = 60

    async def read() -> list[int]:
        async with a_stream(node, held=str(held.identity)) as events:
            started.release()
            current = held
            while current.revision < held.revision + 5:
                current = apply_patch(current, msgspec.convert(await events.data("patch"), Patch))
            return [flag.version for flag in current.flags]

    started = asyncio.Semaphore(0)
    readers = [asyncio.create_task(read()) for _ in range(30)]
    for _ in readers:
        await started.acquire()
    for number in range(5):
        await world.serve(environment, a_flag(version=number + 2))
        await asyncio.sleep(0.05)

    assert await asyncio.gather(*readers) == [[6]] * 30
