"""Two nodes, leaders that come and go, and batches that come late, twice and out of order: everything counts once."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable

import msgspec
import pytest

from rheostat.model.outcome import NEVER, Batch, FailingUnit, FailingUnits, Row, SampledUnit, SampledUnits
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.outcomes.service import OutcomeService
from rheostat_server.ramps.controller import RampController
from rheostat_server.ramps.evidence import ArmTotals, Block
from rheostat_server.ramps.records import DecisionRecord
from tests.integration.ramp_world import WINDOW_MS, RampWorld, ramp_world

SECONDS = 60
INSTANCES = 3
USERS = 40


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


def total(blocks: Iterable[Block]) -> ArmTotals:
    """Return what both arms saw."""
    sums: Counter[str] = Counter()
    for block in blocks:
        for arm in (block.treatment, block.control):
            sums.update({name: getattr(arm, name) for name in ArmTotals.__struct_fields__})
    return ArmTotals(**sums)


class Reporters:
    """Instances that serve random users, and remember what they came to."""

    def __init__(self, world: RampWorld, ramp: str, epoch: int, exposure_ppm: int, chance: random.Random) -> None:
        self.world, self.ramp, self.epoch, self.exposure_ppm, self.chance = world, ramp, epoch, exposure_ppm, chance
        self.sequences = dict.fromkeys(range(INSTANCES), 0)
        self.ended = self.bad = 0
        self.failed: set[int] = set()
        self.seen: set[int] = set()

    def batch(self, instance: int) -> Batch:
        """Return the instance's next batch."""
        self.sequences[instance] += 1
        served = [self.chance.randrange(USERS) for _ in range(5)]
        failed = [user for user in served if self.chance.random() < 0.1]
        self.ended += len(served)
        self.bad += len(failed)
        self.failed.update(failed)
        self.seen.update(served)
        window = self.world.clock.wall_ms() // WINDOW_MS
        row = Row(
            ramp=self.ramp,
            epoch=self.epoch,
            exposure_ppm=self.exposure_ppm,
            arm="control",  # type: ignore[arg-type]
            variant="off",
            ages=(900, 0),
            started=len(served),
            ended=len(served),
            bad=len(failed),
        )
        entry = {user: 1 if user % 10 == 0 else NEVER for user in served}
        failing = tuple(FailingUnit(f"{user:016x}", entry[user], self.epoch) for user in set(failed))
        sampled = tuple(SampledUnit(f"{user:016x}", entry[user], self.epoch, window) for user in set(served))
        return Batch(
            instance=f"{instance:032x}",
            sequence=self.sequences[instance],
            service="shop",
            rows=(row,),
            failing={self.ramp: FailingUnits(1.0, failing)},
            sampled={self.ramp: SampledUnits(1.0, sampled)},
        )


async def test_takeovers_and_disorder_lose_nothing_and_count_nothing_twice(world: RampWorld) -> None:
    """What the rule was told over all leaders, by guardrail and by crowd, is what the applications did, once."""
    chance = random.Random(11)
    ramp = (await world.start(preflight="1h")).id
    [overlay], _ = await world.served()
    reporters = Reporters(world, ramp, overlay.epoch, overlay.arm_ppm, chance)
    second = OutcomeService(world.storage, world.metrics, world.clock, group_seconds=0)
    await second.start()
    nodes = [world.outcomes, second]
    leaders = [world.controller, world.another_controller("two")]
    leader = leaders[0]
    on_their_way: list[tuple[int, int, Batch]] = []

    async def deliver(now: int) -> None:
        due = [each for each in on_their_way if each[0] <= now]
        on_their_way[:] = [each for each in on_their_way if each[0] > now]
        chance.shuffle(due)
        for _, made, batch in due:
            await chance.choice(nodes).ingest(world.environment.id, batch, age_ms=(now - made) * 1000)

    for number in range(SECONDS):
        for instance in range(INSTANCES):
            batch = reporters.batch(instance)
            times = chance.choice((1, 1, 2, 3))
            on_their_way += [(number + chance.randrange(20), number, batch) for _ in range(times)]
        await deliver(number)
        if chance.random() < 0.2:
            # The leader read, and died before it could write.
            await leader._gathering.evidence(await world.row(ramp))
            leader = await taken_over(leader, leaders)
        await world.tick(leader)
    await deliver(SECONDS + 20)
    await world.tick(leader)
    await second.stop()

    async with world.storage.transaction() as tx:
        rows = await tx.ramps.decisions(ramp, limit=1_000)
    told = [
        record.evidence
        for row in rows
        if (record := msgspec.json.decode(row.body, type=DecisionRecord)).evidence is not None
    ]
    by_guardrail = total(block for evidence in told for reading in evidence.readings for block in reading.blocks)
    by_crowd = total(block for evidence in told for block in evidence.crowd)
    assert by_guardrail == by_crowd
    assert (by_crowd.ended, by_crowd.bad) == (reporters.ended, reporters.bad)
    assert by_crowd.failing == by_crowd.active_failed == by_crowd.recounted == len(reporters.failed)
    assert by_crowd.units == by_crowd.seen == by_crowd.active == by_crowd.arrivals == len(reporters.seen)
    assert sum(evidence.vanished for evidence in told) == 0
    assert not any(reading.late for evidence in told for reading in evidence.readings)


async def taken_over(leader: RampController, leaders: list[RampController]) -> RampController:
    """Let the other node lead."""
    await leader.lease.give_up()
    other = leaders[1 - leaders.index(leader)]
    await other.lease.step()
    assert other.lease.token is not None
    return other
