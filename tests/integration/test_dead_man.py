"""A ramp at which no controller looks is noticed by every node, by its own clock."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from rheostat.clock import ManualClock
from rheostat_server.adapters.metrics.watches import PrometheusWatches
from rheostat_server.adapters.storage.postgres.beats import PostgresBeats
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import StorageUnavailable
from rheostat_server.ports.evidence import Question
from rheostat_server.ramps.dead_man import DeadMan
from rheostat_server.ramps.evidence import Reading
from rheostat_server.ramps.model import Action, Family
from rheostat_server.ramps.service import RampService
from rheostat_server.ramps.starting import Sources
from tests.integration.ramp_world import ENVIRONMENT, FLAG, PROJECT, RampWorld, flag_document, ramp_world
from tests.integration.watching import HeardAlarms, gauge

TUPLES = """
SELECT pg_stat_get_xact_tuples_updated('ramp_beats'::regclass),
       pg_stat_get_xact_tuples_hot_updated('ramp_beats'::regclass)
"""


class Watcher:
    """One node's dead man, with a clock of its own unless it is given the world's."""

    def __init__(self, world: RampWorld, alarms: HeardAlarms, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.registry = CollectorRegistry()
        self.dead_man = DeadMan(world.storage, self.clock, PrometheusWatches(self.registry), alarms)

    async def look(self, seconds: float = 0) -> dict[str, float]:
        """Let time pass and look; return who is unattended."""
        self.clock.advance(seconds)
        await self.dead_man.look()
        return gauge(self.registry, "rheostat_ramp_unattended")


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written, with a rollout of a rule beside the default's."""
    async with ramp_world(database, interval_s=2.0) as made:
        rollout = {"exposure": 0, "split": {"on": 1}, "fallback": "off"}
        when = {"attribute": "country", "operator": "in", "values": ["ES"]}
        await made.put(flag_document(environment={"rules": [{"name": "sale", "when": when, "rollout": rollout}]}))
        yield made


@pytest.fixture
def alarms() -> HeardAlarms:
    return HeardAlarms()


async def test_a_ramp_that_is_looked_at_is_attended(world: RampWorld, alarms: HeardAlarms) -> None:
    """Also while nothing new is read, so that no state is saved."""
    ramp = (await world.start(preflight="10m")).id
    node = Watcher(world, alarms)
    for _ in range(30):
        await world.tick()
        assert await node.look(1) == {ramp: 0.0}

    assert gauge(node.registry, "rheostat_ramps_unattended") == {"": 0.0}
    attendance = node.dead_man.attendance(ramp)
    assert attendance is not None
    assert attendance.attended
    assert alarms.events == []


async def test_after_three_intervals_without_a_look_it_is_unattended(world: RampWorld, alarms: HeardAlarms) -> None:
    """On every node; people are told once, by one of them, when another leader would have taken over."""
    ramp = (await world.start()).id
    await world.tick()
    await world.tick()
    nodes = [Watcher(world, alarms), Watcher(world, alarms)]
    assert [await node.look() for node in nodes] == [{ramp: 0.0}] * 2

    assert [await node.look(6.9) for node in nodes] == [{ramp: 0.0}] * 2
    assert [await node.look(0.2) for node in nodes] == [{ramp: 1.0}] * 2
    assert alarms.events == []
    assert [await node.look(8) for node in nodes] == [{ramp: 1.0}] * 2
    assert [await node.look(8) for node in nodes] == [{ramp: 1.0}] * 2

    [event] = alarms.events
    assert (event.kind, event.project, event.environment, event.flag, event.ramp) == (
        "ramp-unattended",
        PROJECT,
        ENVIRONMENT,
        FLAG,
        ramp,
    )
    assert event.summary == "checkout: no controller has looked at its ramp in production for 0:16"
    assert gauge(nodes[0].registry, "rheostat_ramps_unattended") == {"": 1.0}

    await world.tick()
    await world.tick()
    assert [await node.look(1) for node in nodes] == [{ramp: 0.0}] * 2
    assert [await node.look(20) for node in nodes] == [{ramp: 1.0}] * 2
    assert len(alarms.events) == 2, "another silence is another event"


async def test_a_ramp_that_was_never_looked_at_is_unattended_too(world: RampWorld, alarms: HeardAlarms) -> None:
    """Where no node moves ramps at all; a ramp that is over is no longer shown."""
    ramp = (await world.start()).id
    node = Watcher(world, alarms)
    await node.look()

    assert await node.look(30) == {ramp: 1.0}
    assert len(alarms.events) == 1
    await world.kill()
    assert await node.look(1) == {}
    assert node.dead_man.attendance(ramp) is None


async def test_one_ramp_that_hangs_is_seen_beside_one_that_does_not(
    world: RampWorld, alarms: HeardAlarms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader lives and beats; only its task for one ramp waits for ever."""
    hung, fine = (await world.start()).id, (await world.start_beside(rollout="sale")).id
    source = world.sources[Family.REPORTED]
    whole = source.read

    async def read(question: Question) -> Reading:
        if question.ramp == hung:
            await asyncio.Event().wait()
        return await whole(question)

    monkeypatch.setattr(source, "read", read)
    node = Watcher(world, alarms)
    begun: set[asyncio.Task[None]] = set()
    for _ in range(20):
        world.manual.advance(1)
        begun |= set(await world.controller.tick())
        await asyncio.wait(begun, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
        seen = await node.look(1)

    assert seen == {hung: 1.0, fine: 0.0}
    assert [event.ramp for event in alarms.events] == [hung]
    for task in begun:
        task.cancel()
    await asyncio.gather(*begun, return_exceptions=True)


async def test_a_leader_that_lost_the_lease_attends_nothing(world: RampWorld, alarms: HeardAlarms) -> None:
    """What a frozen leader says when it goes on does not count: its beat is written under the lease."""
    ramp = (await world.start()).id
    await world.tick()
    await world.controller.lease.give_up()
    other = world.another_controller("two")
    await other.lease.step()
    world.controller.lease.token = 1
    node = Watcher(world, alarms)
    await node.look()

    await world.tick()
    await world.tick()

    assert await node.look(8) == {ramp: 1.0}
    assert world.controller.lease.token is None


async def test_while_the_database_is_away_ramps_are_unattended_and_nobody_is_told_anew(
    world: RampWorld, alarms: HeardAlarms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can move them then; when it is back the controller has its time before people are told."""
    ramp = (await world.start()).id
    node = Watcher(world, alarms)
    await node.look()

    def away(**_: object) -> object:
        raise StorageUnavailable("away")

    with monkeypatch.context() as broken:
        broken.setattr(world.storage, "transaction", away)
        node.clock.advance(60)
        with pytest.raises(StorageUnavailable):
            await node.look()
    assert gauge(node.registry, "rheostat_ramp_unattended") == {ramp: 1.0}

    assert await node.look(1) == {ramp: 1.0}
    assert alarms.events == []
    await world.tick()
    await world.tick()
    assert await node.look(1) == {ramp: 0.0}


async def test_people_see_that_a_ramp_is_unattended(world: RampWorld, alarms: HeardAlarms) -> None:
    """In its view and in the list, with how long for."""
    ramp = (await world.start()).id
    node = Watcher(world, alarms, world.manual)
    service = RampService(
        world.storage,
        world.clock,
        world.metrics,
        world.announced.extend,
        sources=Sources(family=Family.REPORTED, interval_s=2.0),
        attendance=node.dead_man.attendance,
    )
    assert (await service.get(PROJECT, ENVIRONMENT, ramp)).attended is None
    await node.look()
    await node.look(9.5)

    view = await service.get(PROJECT, ENVIRONMENT, ramp)
    [listed] = (await service.all(PROJECT, ENVIRONMENT)).ramps

    assert (view.attended, view.silent_s) == (listed.attended, listed.silent_s) == (False, 9.5)


async def test_the_beats_of_ramps_that_are_over_are_forgotten(world: RampWorld, database: Database) -> None:
    """With the next pruning; those of live ones stay."""
    over, live = (await world.start()).id, (await world.start_beside(rollout="sale")).id
    await world.tick()
    await world.tick()
    await world.act(over, Action.ABORT)

    await world.controller.prune()

    async with database.connection() as connection:
        assert [str(row["ramp_id"]) for row in await connection.fetch("SELECT ramp_id FROM ramp_beats")] == [live]


async def test_beats_of_many_ramps_are_one_small_write(world: RampWorld, database: Database) -> None:
    """Looking again changes no index: what is written stays on its page (HOT)."""
    ramps = [(await world.start()).id, (await world.start_beside(rollout="sale")).id]
    async with database.transaction() as connection:
        await PostgresBeats(connection).beat(ramps)
        before = await connection.fetchrow(TUPLES)
        for _ in range(10):
            await PostgresBeats(connection).beat(ramps)
        after = await connection.fetchrow(TUPLES)
        beats = [row["beat"] for row in await connection.fetch("SELECT beat FROM ramp_beats")]

    assert before is not None
    assert after is not None
    assert beats == [11, 11]
    assert [after[0] - before[0], after[1] - before[1]] == [20, 20]
