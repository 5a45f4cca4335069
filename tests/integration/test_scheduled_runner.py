"""What makes scheduled changes: once, in order, by the node that holds the lease, through outages and defects."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import pytest

from rheostat.clock import ManualClock
from rheostat_server.access.model import Principal, Scope, TokenKind
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.storage import PostgresStorage
from rheostat_server.errors import Unavailable
from rheostat_server.flags.seen import NOTHING_SEEN
from rheostat_server.flags.service import ANY, FlagService
from rheostat_server.ports.storage import Transaction
from rheostat_server.ramps.lease import Lease
from rheostat_server.ramps.overlay_rules import OverlayRules
from rheostat_server.scheduled.runner import ScheduleRunner
from rheostat_server.scheduled.service import ScheduleService
from rheostat_server.scheduled.wire import ScheduledView
from tests.admin_server import flag_document, rolled_out

ANA = Principal(kind=TokenKind.API, scope=Scope.WRITE, token_id="t", label="ana")
AT = "2026-01-01T01:00:00Z"

# What a change of the rollout's exposure alone does not fit any more.
_SERVED = {"environments": {"production": {"default": {"serve": "on", "rollout": None}}}}


class World:
    """A project with a flag over a real database, and nodes with one clock."""

    def __init__(self, database: Database) -> None:
        self.clock = ManualClock()
        self.storage = PostgresStorage(database)
        self.announced: list[int] = []
        self.service = ScheduleService(self.storage, self.clock, OverlayRules(), NOTHING_SEEN)
        self.flags = FlagService(self.storage, self.clock, OverlayRules(), self.announced.extend)

    def node(self, name: str) -> tuple[Lease, ScheduleRunner]:
        """Return another node."""
        lease = Lease(self.storage, self.clock, name)
        return lease, ScheduleRunner(self.storage, self.clock, OverlayRules(), self.announced.extend, lease)

    async def leader(self) -> ScheduleRunner:
        """Return a node that leads."""
        lease, runner = self.node("one")
        await lease.step()
        return runner

    async def lay_out(self, *projects: str) -> None:
        """Make projects with the flag at 0 %."""
        for key in projects:
            async with self.storage.transaction() as tx:
                project = await tx.projects.add(key, key, self.clock.wall_ms())
                await tx.projects.add_environment(project.id, "production", "Production", self.clock.wall_ms())
            document = flag_document(environments={"production": rolled_out(0)})
            await self.flags.put(key, "checkout", document, ANA, condition=ANY, restart_ramp=False)
        self.announced.clear()

    async def schedule(self, exposure: float, at: str = AT, project: str = "shop") -> int:
        """Schedule an exposure."""
        patch = {"default": {"rollout": {"exposure": exposure}}}
        body = {"at": at, "environment": "production", "patch": patch}
        return (await self.service.schedule(project, "checkout", body, ANA)).id

    async def view(self, scheduled_id: int, project: str = "shop") -> ScheduledView:
        """Return a scheduled change."""
        return await self.service.get(project, scheduled_id)

    async def exposures(self, project: str = "shop") -> list[Any]:
        """Return the exposure of each version of the flag, the oldest first."""
        async with self.storage.transaction() as tx:
            home = await tx.projects.get(project)
            versions = await tx.flags.versions((await tx.flags.get(home.id, "checkout")).id)
        documents = [msgspec.json.decode(version.document) for version in reversed(versions)]
        return [document["environments"]["production"]["default"]["rollout"]["exposure"] for document in documents]

    async def audited(self, action: str) -> int:
        """Return how many entries of an action there are."""
        async with self.storage.transaction() as tx:
            return sum(entry.action == action for entry in await tx.audit.read(limit=1000))


@pytest.fixture
async def world(database: Database) -> World:
    """A world with one project."""
    made = World(database)
    await made.lay_out("shop")
    return made


async def test_overdue_changes_are_made_in_order(world: World) -> None:
    """A server that was away makes what is due at once when it is back: by time, then by id, never by chance."""
    for exposure, at in ((30, "2026-01-01T03:00:00Z"), (10, AT), (20, AT), (40, "2026-01-01T04:00:00Z")):
        await world.schedule(exposure, at)
    await world.schedule(99, "2026-01-03T00:00:00Z")
    world.clock.advance(86_400)

    await (await world.leader()).tick()

    assert await world.exposures() == [0, 10, 20, 30, 40]
    assert len(world.announced) == 4


async def test_two_nodes_make_a_change_once(world: World) -> None:
    """Two that both hold the lease's token, at the same moment and again and again, make one version and one entry."""
    one, first = world.node("one")
    await one.step()
    two, second = world.node("two")
    two.token = one.token
    made = [await world.schedule(exposure) for exposure in (10, 20, 30)]
    world.clock.advance(3600)

    await asyncio.gather(*(runner.tick() for _ in range(3) for runner in (first, second)))

    assert await world.exposures() == [0, 10, 20, 30]
    assert [(await world.view(one)).version for one in made] == [2, 3, 4]
    assert await world.audited("flag.scheduled-change") == 3


async def test_a_node_that_lost_the_lease_writes_nothing(world: World) -> None:
    """Its transaction begins by looking for the lease: nothing is written, and it knows that it leads no more."""
    one, first = world.node("one")
    await one.step()
    made = await world.schedule(10)
    world.clock.advance(3600)
    two, second = world.node("two")
    await two.step()
    world.clock.advance(7)
    await two.step()
    assert two.token is not None

    await first.tick()

    assert one.token is None
    assert (await world.view(made)).status == "pending"
    assert await world.exposures() == [0]
    assert world.announced == []
    await first.tick()
    await second.tick()
    assert await world.exposures() == [0, 10]


async def test_a_node_that_lost_the_lease_fails_nothing(world: World) -> None:
    """That a change cannot be made is for the leader to say."""
    one, runner = world.node("one")
    await one.step()
    made = await world.schedule(10)
    world.clock.advance(3600)
    await world.flags.archive("shop", "checkout", ANA, condition=ANY, force=True)
    token = one.token

    async def pend_again(tx: Transaction) -> None:
        # As where a server of before this version archived the flag.
        row = await tx.scheduled.get((await tx.projects.get("shop")).id, made)
        await tx.scheduled.add(row)

    await world.storage.run(pend_again)
    await one.give_up()
    one.token = token

    await runner.tick()

    assert (await world.view(made + 1)).status == "pending"
    await one.step()
    await runner.tick()
    failed = await world.view(made + 1)
    assert (failed.status, failed.why) == ("failed", "the flag 'checkout' is archived; unarchive it first")
    assert (await world.view(made)).status == "cancelled"


@asynccontextmanager
async def held(url: str, lock: str) -> AsyncIterator[None]:
    """Hold what the statement locks, for longer than the two seconds that a call of ours may take."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(lock)
            yield
    finally:
        await connection.close()


async def test_a_fault_of_the_database_is_no_failure(world: World, database_url: str) -> None:
    """While its project cannot be had, a change waits, and those behind it too; other projects' do not wait."""
    await world.lay_out("other")
    made = [await world.schedule(10), await world.schedule(20)]
    other = await world.schedule(30, project="other")
    world.clock.advance(3600)
    runner = await world.leader()

    async with held(database_url, "SELECT 1 FROM projects WHERE key = 'shop' FOR NO KEY UPDATE"):
        await runner.tick()

    assert [(await world.view(one)).status for one in made] == ["pending", "pending"]
    assert (await world.view(other, "other")).status == "done"
    await runner.tick()
    assert await world.exposures() == [0, 10, 20]


async def test_a_defect_fails_one_change_alone(world: World) -> None:
    """What cannot even be read is failed, with a word that it is our mistake; the next one is made."""
    made = await world.schedule(10)

    async def spoil(tx: Transaction) -> None:
        row = await tx.scheduled.get((await tx.projects.get("shop")).id, made)
        await tx.scheduled.add(msgspec.structs.replace(row, change=b'{"patch":5}', at_ms=row.at_ms - 1))

    await world.storage.run(spoil)
    world.clock.advance(3600)

    await (await world.leader()).tick()

    assert "the server made a mistake" in ((await world.view(made + 1)).why or "")
    assert await world.exposures() == [0, 10]
    assert await world.audited("flag.scheduled-change-failed") == 1


async def test_what_cannot_even_be_failed_holds_up_its_own_project_alone(world: World, database: Database) -> None:
    """Where the database refuses the record of a failure, the change stays pending, and other projects go on."""
    await world.lay_out("other")
    doomed = await world.schedule(10)
    other = await world.schedule(20, project="other")
    await world.flags.patch("shop", "checkout", _SERVED, ANA, condition=ANY, restart_ramp=False)
    async with database.connection() as connection:
        await connection.execute("ALTER TABLE scheduled_changes ADD CHECK (status <> 'failed')")
    world.clock.advance(3600)

    await (await world.leader()).tick()

    assert (await world.view(doomed)).status == "pending"
    assert (await world.view(other, "other")).status == "done"


async def test_a_project_takes_its_changes_along(world: World) -> None:
    """One that is deleted between the look and the deed leaves nothing behind, and stops nothing."""
    await world.lay_out("other")
    await world.schedule(10, project="other")
    made = await world.schedule(20)
    world.clock.advance(3600)
    runner = await world.leader()

    async with world.storage.transaction() as tx:
        home = await tx.projects.lock("other", to_delete=True)
        ticking = asyncio.create_task(runner.tick())
        await asyncio.wait([ticking], timeout=0.3)
        assert not ticking.done()
        await tx.projects.delete(home.id)
    await ticking

    assert (await world.view(made)).status == "done"


async def test_a_node_that_does_not_lead_does_nothing(world: World) -> None:
    """Without the lease a tick does not even look."""
    await world.schedule(10)
    world.clock.advance(3600)
    _, runner = world.node("one")

    await runner.tick()

    assert await world.exposures() == [0]


async def test_the_component_makes_changes_by_itself(world: World) -> None:
    """Started, it ticks until it is stopped."""
    made = await world.schedule(10)
    world.clock.advance(3600)
    lease = Lease(world.storage, world.clock, "one")
    await lease.step()
    arrived = asyncio.Event()
    runner = ScheduleRunner(
        world.storage, world.clock, OverlayRules(), lambda _: arrived.set(), lease, tick_seconds=0.05
    )

    await runner.start()
    async with asyncio.timeout(10):
        await arrived.wait()
    await runner.stop()

    assert (await world.view(made)).status == "done"


async def test_the_component_outlasts_an_outage(world: World, database_url: str) -> None:
    """While nobody can say what is due it goes on asking, and makes it when it hears."""
    made = await world.schedule(10)
    world.clock.advance(3600)
    lease = Lease(world.storage, world.clock, "one")
    await lease.step()
    arrived = asyncio.Event()
    runner = ScheduleRunner(
        world.storage, world.clock, OverlayRules(), lambda _: arrived.set(), lease, tick_seconds=0.05
    )

    async with held(database_url, "LOCK TABLE scheduled_changes IN ACCESS EXCLUSIVE MODE"):
        await runner.start()
        with pytest.raises(Unavailable):
            await runner.tick()
        assert not arrived.is_set()
    async with asyncio.timeout(10):
        await arrived.wait()
    await runner.stop()

    assert (await world.view(made)).status == "done"
