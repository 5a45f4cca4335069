"""Ramps are watched whatever the volume, and whatever hangs."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from rheostat.model.outcome import Batch, SampledUnit, SampledUnits
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.ports.evidence import Question
from rheostat_server.ramps.evidence import Reading, Sight
from rheostat_server.ramps.model import Family
from tests.integration.ramp_world import WINDOW_MS, Application, RampWorld, ramp_world

UNITS = 300_000
A_BATCH = 10_000


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


async def exposed(world: RampWorld) -> tuple[str, Application]:
    """Return a ramp at its first step, and the application that brought it there."""
    ramp = (await world.start(min_dwell="1h")).id
    application = Application(world)
    await world.ride(ramp, application, until=["running"])
    return ramp, application


async def test_hundreds_of_thousands_of_units_are_watched(world: RampWorld, database: Database) -> None:
    """While 300 000 sampled users come in, each tick observes; they are counted, and never counted over."""
    ramp, application = await exposed(world)
    before = (await world.row(ramp)).state
    [overlay], _ = await world.served()
    window = world.clock.wall_ms() // WINDOW_MS
    for number in range(UNITS // A_BATCH):
        hashes = range(number * A_BATCH, (number + 1) * A_BATCH)
        # The first level is that of the start, the second that of the first step: all of these are exposed.
        units = tuple(SampledUnit(f"{unit:016x}", 1, overlay.epoch, window, False) for unit in hashes)
        batch = Batch(instance="f" * 32, sequence=number + 1, sampled={ramp: SampledUnits(1.0, units)})
        await application.serve(50)
        await asyncio.gather(world.report(batch), world.tick())
    await application.serve()
    async with database.transaction() as conn:
        # Whoever reads the units themselves now waits until the time limit.
        await conn.execute("LOCK TABLE sampled_units IN ACCESS EXCLUSIVE MODE")
        await world.tick()

    state = (await world.row(ramp)).state
    assert state.observations - before.observations == UNITS // A_BATCH + 1
    assert state.exposed_units >= before.exposed_units + UNITS
    assert state.guardrails["errors"].sight is Sight.SEEN
    rows = await database_rows(database, "SELECT count(DISTINCT unit) FROM sampled_units WHERE arm = 'treatment'")
    assert rows >= state.exposed_units >= UNITS


async def database_rows(database: Database, query: str) -> int:
    """Return a figure that is too slow for the server's own time limits."""
    async with database.connection() as conn:
        await conn.execute("SET statement_timeout = '60s'")
        value: int = await conn.fetchval(query, timeout=60)
        await conn.execute("SET statement_timeout = '3s'")
    return value


async def test_a_ramp_whose_units_cannot_be_told_still_kills(world: RampWorld, database: Database) -> None:
    """Where the number of exposed units cannot be read, the last one stands, and faults take the variant back."""
    ramp, application = await exposed(world)
    known = (await world.row(ramp)).state.exposed_units
    application.harm = 0.5
    await application.serve(2_000)

    async with database.transaction() as conn:
        await conn.execute("LOCK TABLE sampled_counts IN ACCESS EXCLUSIVE MODE")
        await world.tick()

    state = (await world.row(ramp)).state
    assert (state.status, state.exposed_units) == ("killed", known)


class Hanging:
    """A source that answers nobody."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = asyncio.Event()

    async def read_all(self, questions: Sequence[Question]) -> tuple[Reading, ...]:
        """Answer each."""
        return tuple([await self.read(question) for question in questions])

    async def read(self, question: Question) -> Reading:
        """Wait."""
        self.asked.append(question.ramp)
        await self.answer.wait()
        return Reading(guardrail=question.guardrail.name, sight=Sight.QUERY_FAILED)

    async def forget(self, ramp: str, cursors: Sequence[str]) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""


async def test_a_source_that_hangs_slows_its_own_ramps_alone(world: RampWorld, database: Database) -> None:
    """Many ramps that wait for an answer keep no other from being moved, and none is asked for twice."""
    ramp = (await world.start()).id
    async with database.connection() as conn:
        for number in range(8):
            await conn.execute(
                "INSERT INTO ramps SELECT gen_random_uuid(), environment_id, $1, rollout, status, live, overlaid, "
                "version, replace(plan, '\"reported\"', '\"application\"'), state, unit_key, declared_ppm, start_ppm, "
                "before_ramp, started_by, started_at_ms FROM ramps WHERE flag = 'checkout'",
                f"other-{number}",
            )
            await conn.execute("INSERT INTO ramp_epochs SELECT id, 1, 100000, 0 FROM ramps ON CONFLICT DO NOTHING")
    hanging = Hanging()
    world.sources[Family.APPLICATION] = hanging
    application = Application(world)

    waiting = []
    for _ in range(5):
        await application.serve()
        world.manual.advance(1)
        begun = await asyncio.wait_for(world.controller.tick(), 5)
        waiting += [task for task in begun if task.get_name() != ramp]
        [mine] = [task for task in begun if task.get_name() == ramp]
        await asyncio.wait_for(mine, 5)

    assert (await world.row(ramp)).state.observations == 5
    assert len(hanging.asked) == len(set(hanging.asked)) == len(waiting) == 8
    hanging.answer.set()
    await asyncio.gather(*waiting)
    world.manual.advance(1)
    assert len(await world.controller.tick()) == 9
    await world.controller.stop()
