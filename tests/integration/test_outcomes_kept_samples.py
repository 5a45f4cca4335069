"""Samples that grade 2 keeps, counted in a real PostgreSQL: a unit's bad one counts once a ramp."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from rheostat.clock import ManualClock
from rheostat.model.evaluation import Arm
from rheostat.model.outcome import HELD, Batch, SampledUnits
from rheostat_server.adapters.evidence.reported import ReportedEvidence
from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.outcomes.grouping import LATE_MS, WINDOW_MS
from rheostat_server.outcomes.model import Increment, SlowCount
from rheostat_server.outcomes.service import OutcomeService
from rheostat_server.ports.evidence import Question
from rheostat_server.ports.ramps import EpochMark
from rheostat_server.ramps.evidence import ArmTotals
from rheostat_server.ramps.model import Family, Guardrail, Measure, Plan
from tests.data_plane import World, a_batch, a_row, orphaned, sampled

BOUNDS = (100, 500)
WINDOW_S = WINDOW_MS / 1000
NEVER_BAD = {"errors": (0, 0), "100": (0, 0), "500": (0, 0)}
ERRORS = Guardrail(name="errors", family=Family.REPORTED, grade=1)
PLAN = Plan(
    project="default",
    environment="production",
    flag="checkout",
    rollout="default",
    start_ppm=0,
    steps=(),
    guardrails=(),
    interval_s=1.0,
)


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
def clock() -> ManualClock:
    """At the beginning of a window of even number."""
    clock = ManualClock()
    assert clock.wall_ms() % (2 * WINDOW_MS) == 0
    return clock


@pytest.fixture
async def nodes(world: World, clock: ManualClock) -> AsyncIterator[list[OutcomeService]]:
    """Two nodes that count."""
    metrics = PrometheusMetrics(clock, version="test")
    made = [OutcomeService(world.storage, metrics, clock, group_seconds=0.001) for _ in range(2)]
    for node in made:
        await node.start()
    yield made
    for node in made:
        await node.stop()


async def a_ramp(world: World, environment: int, flag: str = "checkout") -> str:
    return await world.ramp(environment, flag=flag, epochs={1: 100_000, 2: 500_000}, slow_bounds_ms=BOUNDS)


async def increments(world: World, ramp: str) -> list[Increment]:
    async with world.storage.transaction() as transaction:
        return [row.increment for row in await transaction.outcomes.inbox_after(ramp, 0)]


def kept(seen: list[Increment], arm: str = "treatment") -> dict[str, tuple[int, int]]:
    """Return the bad samples that were kept of an arm among how many, by measure."""
    found = dict(NEVER_BAD)
    for each in seen:
        totals: ArmTotals = getattr(each, arm)
        more = {"errors": (totals.sampled_bad, totals.sampled)}
        more |= {bound: (count.sampled_bad, count.sampled or 0) for bound, count in each.slow.get(arm, {}).items()}
        found |= {name: (found[name][0] + bad, found[name][1] + among) for name, (bad, among) in more.items()}
    return found


async def read(world: World, environment: int, ramp: str, bound_ms: int | None, clock: ManualClock) -> ArmTotals:
    """Return what a guardrail is told of the treatment: of errors, or of latency by a bound."""
    guardrail = ERRORS
    if bound_ms is not None:
        guardrail = Guardrail(name="slow", family=Family.REPORTED, grade=2, measure=Measure.LATENCY, bound_ms=bound_ms)
    question = Question(
        ramp=ramp,
        environment_id=environment,
        plan=PLAN,
        guardrail=guardrail,
        marks=(EpochMark(1, 100_000, 0),),
        asked_ms=clock.wall_ms(),
        cursor="",
    )
    [block] = (await ReportedEvidence(world.storage).read(question)).blocks
    return block.treatment


async def test_a_units_bad_sample_counts_once_whatever_node_counts_it(
    world: World, nodes: list[OutcomeService], clock: ManualClock
) -> None:
    """An account that always fails, over eight windows and two nodes, is one bad sample; one that never fails is a
    sample in each window."""
    environment = await world.environment()
    ramp = await a_ramp(world, environment)

    for turn in range(8):
        window = clock.wall_ms() // WINDOW_MS
        failing, fine = sampled(ramp, (1, 1), window=window, bad=True)[ramp], sampled(ramp, (2, 1), window=window)[ramp]
        units = failing.units + fine.units
        await nodes[turn % 2].ingest(environment, a_batch(turn + 1, sampled={ramp: SampledUnits(1.0, units)}))
        clock.advance(WINDOW_S)

    seen = await increments(world, ramp)
    assert [each.treatment.sampled for each in seen] == [2, 1, 1, 1, 1, 1, 1, 1]
    assert [each.treatment.sampled_bad for each in seen] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert [each.treatment.seen for each in seen] == [2] * 8
    assert await world.fetch("SELECT measures FROM badly_sampled_units") == [{"measures": 1}]


async def test_errors_and_each_bound_leave_out_their_own_units(
    world: World, nodes: list[OutcomeService], clock: ManualClock
) -> None:
    """What a guardrail is told leaves out those who were bad to it before, and nobody else."""
    environment = await world.environment()
    ramp = await a_ramp(world, environment)
    slow, slower, broken = 0b01, 0b11, 0
    ways = [(slow, False), (slower, False), (broken, True), (0, False)]

    for turn in range(2):
        window = clock.wall_ms() // WINDOW_MS
        units = tuple(
            seen
            for number, (bits, bad) in enumerate(ways)
            for seen in sampled(ramp, (number, 1), window=window, slow=bits, bad=bad)[ramp].units
        )
        batch = a_batch(turn + 1, rows=(a_row(ramp),), sampled={ramp: SampledUnits(1.0, units)})
        await nodes[turn].ingest(environment, batch)
        clock.advance(2 * WINDOW_S)

    told = [await read(world, environment, ramp, bound, clock) for bound in (None, 100, 500)]
    assert [(each.sampled_bad, each.sampled) for each in told] == [(1, 4 + 3), (2, 4 + 2), (1, 4 + 3)]
    assert [each.seen for each in told] == [8, 8, 8]
    rows = await world.fetch("SELECT measures FROM badly_sampled_units ORDER BY unit")
    assert [row["measures"] for row in rows] == [0b010, 0b110, 0b001]


async def test_a_unit_that_becomes_bad_to_another_measure_is_left_out_of_both(
    world: World, nodes: list[OutcomeService], clock: ManualClock
) -> None:
    """What is new of a unit is remembered beside what was known of it."""
    environment = await world.environment()
    ramp = await a_ramp(world, environment)

    for turn, (bits, bad) in enumerate([(0b01, False), (0b01, True), (0b11, True), (0b11, True)]):
        window = clock.wall_ms() // WINDOW_MS
        batch = a_batch(turn + 1, sampled=sampled(ramp, (1, 1), window=window, slow=bits, bad=bad))
        await nodes[turn % 2].ingest(environment, batch)
        clock.advance(2 * WINDOW_S)

    assert kept(await increments(world, ramp)) == {"errors": (1, 2), "100": (1, 1), "500": (1, 3)}
    assert await world.fetch("SELECT measures FROM badly_sampled_units") == [{"measures": 0b111}]


async def test_a_bad_sample_of_arming_or_of_another_arm_is_the_units_only_one(
    world: World, nodes: list[OutcomeService], clock: ManualClock
) -> None:
    """A unit that was bad as control is left out of the treatment, into which a later step takes it."""
    environment = await world.environment()
    ramp = await a_ramp(world, environment)
    window = clock.wall_ms() // WINDOW_MS

    await nodes[0].ingest(environment, a_batch(1, sampled=sampled(ramp, (1, 2), window=window, bad=True)))
    clock.advance(2 * WINDOW_S)
    later = sampled(ramp, (1, 2), window=window + 2, epoch=2, bad=True)
    await nodes[0].ingest(environment, a_batch(2, sampled=later))

    seen = await increments(world, ramp)
    assert (kept(seen, "control")["errors"], kept(seen)["errors"]) == ((1, 1), (0, 0))
    assert seen[1].treatment.seen == 1


async def test_late_and_thinned_samples_leave_a_unit_out_too(
    world: World, nodes: list[OutcomeService], clock: ManualClock
) -> None:
    """A bad sample that came too late for evidence is in the late totals, and its unit's last; a limit changes none."""
    environment = await world.environment()
    ramp = await a_ramp(world, environment)
    window = clock.wall_ms() // WINDOW_MS
    thinned = SampledUnits(limit=0.25, units=sampled(ramp, (2, 1), window=window + 2, bad=True)[ramp].units)
    clock.advance(2 * WINDOW_S + LATE_MS / 1000 + 1)

    await nodes[0].ingest(environment, a_batch(1, sampled=sampled(ramp, (1, 1), window=window, bad=True)))
    await nodes[1].ingest(environment, a_batch(2, sampled=sampled(ramp, (1, 1), window=window + 2, bad=True)))
    await nodes[0].ingest(environment, a_batch(3, sampled={ramp: thinned}))
    clock.advance(2 * WINDOW_S)
    await nodes[1].ingest(environment, a_batch(4, sampled=sampled(ramp, (2, 1), window=window + 4, bad=True)))

    late, *others = await increments(world, ramp)
    assert (late.late, late.treatment.sampled_bad) == (True, 1)
    assert [(each.late, each.treatment.sampled_bad, each.treatment.sampled) for each in others] == [
        (False, 0, 0),
        (False, 1, 1),
        (False, 0, 0),
    ]
    assert [each.treatment.seen for each in others] == [1, 4, 1]


def a_window(chance: random.Random, turn: int, window: int, ramps: tuple[str, str]) -> dict[str, list[Batch]]:
    """Return ten batches for each of two ramps that tell the same of a window: units, and what the dead left open."""
    # How a user's window went is the user's, whichever batch tells of it.
    ways = [
        {"entry": chance.choice((1, 2, HELD)), "bad": chance.random() < 0.2, "slow": chance.randrange(4)}
        for _ in range(40)
    ]
    drawn = [chance.sample(range(40), 8) for _ in range(10)]
    told: dict[str, list[Batch]] = {ramp: [] for ramp in ramps}
    for ramp in ramps:
        for place, numbers in enumerate(drawn, 10 * turn + 1):
            units = [
                seen
                for number in numbers
                for way in [ways[number]]
                for seen in sampled(
                    ramp, (number, way["entry"]), window=window, bad=bool(way["bad"]), slow=int(way["slow"])
                )[ramp].units
            ]
            told[ramp].append(
                a_batch(
                    place,
                    instance=f"{ramps.index(ramp):032x}",
                    rows=(a_row(ramp),),
                    sampled={ramp: SampledUnits(1.0, tuple(units))},
                    orphans=orphaned(ramp, (100 + place % 10, 1), instance=f"{place:032x}"),
                )
            )
    return told


async def test_two_nodes_count_as_one_whatever_comes_twice_or_out_of_order(
    world: World, nodes: list[OutcomeService], clock: ManualClock
) -> None:
    """Batches of each window, shuffled and doubled over two nodes, keep what one node keeps of them in order."""
    environment = await world.environment()
    straight, shuffled = [await a_ramp(world, environment, flag) for flag in ("one", "two")]
    chance = random.Random(7)
    for turn in range(6):
        told = a_window(chance, turn, clock.wall_ms() // WINDOW_MS, (straight, shuffled))
        for batch in told[straight]:
            await nodes[0].ingest(environment, batch)
        order = told[shuffled] * 2
        chance.shuffle(order)
        await asyncio.gather(*(nodes[chance.randrange(2)].ingest(environment, batch) for batch in order))
        clock.advance(WINDOW_S)

    expected, got = await increments(world, straight), await increments(world, shuffled)
    assert [kept(got, arm) for arm in Arm] == [kept(expected, arm) for arm in Arm]
    bad = sum(kept(expected, arm)["errors"][0] for arm in Arm)
    rows = await world.fetch("SELECT count(*) AS n FROM badly_sampled_units WHERE measures & 1 = 1 GROUP BY ramp_id")
    assert [row["n"] for row in rows] == [bad, bad]
    assert bad > 20


async def test_an_increment_of_a_server_before_is_read_as_it_was_meant(
    world: World, nodes: list[OutcomeService], clock: ManualClock
) -> None:
    """While servers are being replaced, one that does not tell how many it kept for a bound kept all for it."""
    environment = await world.environment()
    ramp = await a_ramp(world, environment)
    before = Increment(
        epoch=1,
        exposure_ppm=100_000,
        from_ms=clock.wall_ms(),
        until_ms=clock.wall_ms(),
        treatment=ArmTotals(ended=10, sampled=5),
        slow={"treatment": {"100": SlowCount(4, 2, 3)}},
    )
    async with world.storage.transaction() as transaction:
        await transaction.outcomes.append(ramp, [before], clock.wall_ms())

    told = await read(world, environment, ramp, 100, clock)

    assert (told.sampled_bad, told.sampled) == (3, 5)
