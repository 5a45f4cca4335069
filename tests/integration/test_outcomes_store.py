"""Counting outcomes in a real PostgreSQL."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from rheostat.clock import ManualClock
from rheostat.engine.hashing import place, unit_hash
from rheostat.model.evaluation import Arm
from rheostat.model.outcome import (
    HELD,
    NEVER,
    Applied,
    Batch,
    BatchReceipt,
    FailingUnit,
    FailingUnits,
    SampledUnit,
    SampledUnits,
)
from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import StorageUnavailable
from rheostat_server.outcomes.grouping import WINDOW_MS
from rheostat_server.outcomes.model import InboxRow
from rheostat_server.outcomes.service import OutcomeService
from rheostat_server.ramps.evidence import ArmTotals
from tests.builders import a_flag, a_rollout
from tests.data_plane import World, a_batch, a_row, failing, orphaned, sampled


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def metrics(clock: ManualClock) -> PrometheusMetrics:
    return PrometheusMetrics(clock, version="test")


@pytest.fixture
async def service(world: World, metrics: PrometheusMetrics, clock: ManualClock) -> AsyncIterator[OutcomeService]:
    component = OutcomeService(world.storage, metrics, clock, group_seconds=0.02)
    await component.start()
    yield component
    await component.stop()


async def inbox(world: World, ramp: str, after: int = 0) -> list[InboxRow]:
    async with world.storage.transaction() as transaction:
        return await transaction.outcomes.inbox_after(ramp, after)


async def test_a_batch_becomes_evidence(world: World, service: OutcomeService, clock: ManualClock) -> None:
    """A committed batch is one increment in the ramp's inbox, and its units are remembered."""
    environment = await world.environment()
    ramp = await world.ramp(environment)
    batch = a_batch(
        rows=(a_row(ramp, bad=2), a_row(ramp, arm="control", bad=1)),
        failing=failing(ramp, (1, 1), (2, 1), (3, 2)),
        sampled=sampled(ramp, (1, 1), bad=True) | {},
        evaluations={"checkout": {"on": 4}},
        applied=Applied(3, 9),
        goodbye=True,
    )

    receipt = await service.ingest(environment, batch)

    assert receipt == BatchReceipt(1, duplicate=False, at_ms=clock.wall_ms(), sampled_limits={ramp: 1.0})
    [row] = await inbox(world, ramp)
    assert row.seq == 1
    assert (row.increment.treatment.ended, row.increment.treatment.bad, row.increment.treatment.failing) == (10, 2, 2)
    assert (row.increment.treatment.units, row.increment.treatment.units_bad) == (1, 1)
    assert (row.increment.control.bad, row.increment.control.failing) == (1, 1)
    async with world.storage.transaction() as transaction:
        outcomes = transaction.outcomes
        assert await outcomes.distinct_exposed_units(ramp, 1) == 1
        assert await outcomes.distinct_exposed_units(ramp, 1, "control") == 0
        [reporter] = await outcomes.reporters(environment, clock.wall_ms())
        assert (reporter.service, reporter.generation, reporter.revision, reporter.goodbye) == ("shop", 3, 9, True)
        assert await outcomes.reporters(environment, clock.wall_ms() + 1) == []
        assert await outcomes.evaluated_since("default", "checkout", clock.wall_ms()) == ["shop"]
        assert await outcomes.evaluated_since("default", "checkout", clock.wall_ms() + 1) == []
        assert await outcomes.evaluated_since("other", "checkout", 0) == []


async def test_a_batch_counts_once(world: World, service: OutcomeService) -> None:
    """The same (instance, sequence) sent twice, together or later, says so and adds nothing."""
    environment = await world.environment()
    ramp = await world.ramp(environment)
    batch = a_batch(rows=(a_row(ramp),), evaluations={"checkout": {"on": 1}})

    together = await asyncio.gather(service.ingest(environment, batch), service.ingest(environment, batch))
    later = await service.ingest(environment, batch)

    assert sorted(receipt.duplicate for receipt in together) == [False, True]
    assert later.duplicate
    assert [row.increment.treatment.ended for row in await inbox(world, ramp)] == [10]
    assert await world.fetch("SELECT count FROM evaluations") == [{"count": 1}]


async def test_two_nodes_count_a_unit_once(world: World, metrics: PrometheusMetrics, clock: ManualClock) -> None:
    """Units reported to two nodes at once, in opposite order, are newly failing exactly once, without deadlock."""
    environment = await world.environment()
    ramps = [await world.ramp(environment, flag=flag) for flag in ("one", "two")]
    nodes = [OutcomeService(world.storage, metrics, clock, group_seconds=0.001) for _ in range(2)]
    for node in nodes:
        await node.start()
    units = [(number, 1) for number in range(40)]

    async def report(node: OutcomeService, instance: str, order: int) -> None:
        for sequence in range(1, 9):
            named = {ramp: failing(ramp, *units[::order])[ramp] for ramp in ramps[::order]}
            seen = {ramp: sampled(ramp, *units[::order])[ramp] for ramp in ramps[::order]}
            await node.ingest(environment, a_batch(sequence, instance=instance * 32, failing=named, sampled=seen))

    await asyncio.gather(report(nodes[0], "a", 1), report(nodes[1], "b", -1))
    for node in nodes:
        await node.stop()

    for ramp in ramps:
        rows = await inbox(world, ramp)
        assert sum(row.increment.treatment.failing for row in rows) == 40
        assert sum(row.increment.treatment.units for row in rows) == 40
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert {row["k"] for row in await world.fetch("SELECT k FROM failing_units")} == {1}


async def test_a_unit_is_newly_failing_once_a_ramp(world: World, service: OutcomeService) -> None:
    """A unit that failed as control and fails again as treatment of a later step counts for nothing."""
    environment = await world.environment()
    ramp = await world.ramp(environment, epochs={1: 100_000, 2: 500_000})

    await service.ingest(environment, a_batch(1, failing=failing(ramp, (1, 2), epoch=1)))
    await service.ingest(environment, a_batch(2, failing=failing(ramp, (1, 2), epoch=2)))

    increments = [row.increment for row in await inbox(world, ramp)]
    assert [(each.control.failing, each.treatment.failing) for each in increments] == [(1, 0)]
    [unit] = await world.fetch("SELECT first_arm, first_epoch, k FROM failing_units")
    assert unit == {"first_arm": "control", "first_epoch": 1, "k": 1}


async def test_a_unit_is_sampled_anew_in_each_epoch(world: World, service: OutcomeService) -> None:
    """A unit counts once an epoch, however many windows that has; and again in the next epoch of the same window."""
    environment = await world.environment()
    ramp = await world.ramp(environment, epochs={1: 100_000, 2: 500_000})
    window = ManualClock().wall_ms() // WINDOW_MS

    await service.ingest(environment, a_batch(1, sampled=sampled(ramp, (1, 1), window=window)))
    await service.ingest(environment, a_batch(2, sampled=sampled(ramp, (1, 1), window=window + 1)))
    await service.ingest(environment, a_batch(3, sampled=sampled(ramp, (1, 1), window=window + 1, epoch=2)))

    increments = [row.increment for row in await inbox(world, ramp)]
    assert [(each.epoch, each.treatment.units, each.treatment.seen) for each in increments] == [
        (1, 1, 1),
        (1, 0, 1),
        (2, 1, 1),
    ]


async def test_ramps_that_do_not_count_are_acknowledged(world: World, service: OutcomeService) -> None:
    """Outcomes of ended, foreign, unknown or misspelt ramps are dropped, and their batch is not sent again."""
    environment = await world.environment()
    ended = await world.ramp(environment, live=False)
    foreign = await world.ramp(await world.environment("staging"))
    rows = tuple(a_row(ramp) for ramp in (ended, foreign, str(uuid.uuid4()), "nonsense", foreign.upper()))

    receipt = await service.ingest(environment, a_batch(rows=rows, failing=failing(foreign, (1, 1))))

    assert not receipt.duplicate
    assert await world.fetch("SELECT 1 FROM ramp_inbox") == []
    assert await world.fetch("SELECT 1 FROM failing_units") == []


async def test_a_deleted_environments_batch_spoils_no_other(world: World, service: OutcomeService) -> None:
    """A batch of an environment that is gone is dropped, and those counted with it stand."""
    environment = await world.environment()
    ramp = await world.ramp(environment)

    gone, good = await asyncio.gather(
        service.ingest(999_999, a_batch(1, evaluations={"checkout": {"on": 1}})),
        service.ingest(environment, a_batch(1, instance="1" * 32, rows=(a_row(ramp),))),
    )

    assert not gone.duplicate
    assert not good.duplicate
    assert len(await inbox(world, ramp)) == 1


async def test_with_the_database_away_nothing_is_acknowledged(
    fresh_database: Callable[[], str], metrics: PrometheusMetrics, clock: ManualClock
) -> None:
    """A batch that was not committed is refused, and counts once when it comes again."""
    url = fresh_database()
    away = await Database.open(url)
    broken = OutcomeService(World(away).storage, metrics, clock, group_seconds=0.001)
    await broken.start()
    async with await Database.open(url) as database:
        world = World(database)
        environment = await world.environment()
        ramp = await world.ramp(environment)
        await away.close()
        batch = a_batch(rows=(a_row(ramp),))

        with pytest.raises(StorageUnavailable):
            await broken.ingest(environment, batch)
        await broken.stop()
        working = OutcomeService(world.storage, metrics, clock, group_seconds=0.001)
        await working.start()
        receipt = await working.ingest(environment, batch)
        await working.stop()

        assert not receipt.duplicate
        assert len(await inbox(world, ramp)) == 1


async def test_stopping_counts_what_has_arrived(world: World, metrics: PrometheusMetrics, clock: ManualClock) -> None:
    """A batch that waits for its group when the server stops is still counted and acknowledged."""
    environment = await world.environment()
    component = OutcomeService(world.storage, metrics, clock, group_seconds=0.2)
    await component.start()
    waiting = [asyncio.create_task(component.ingest(environment, a_batch(number))) for number in range(1, 6)]
    await asyncio.sleep(0.01)

    await component.stop()

    assert [receipt.duplicate for receipt in await asyncio.gather(*waiting)] == [False] * 5


async def test_old_batches_are_forgotten(world: World, service: OutcomeService, clock: ManualClock) -> None:
    """A batch's key is kept for a day, an instance for a week."""
    environment = await world.environment()
    await service.ingest(environment, a_batch())
    now = clock.wall_ms()

    async with world.storage.transaction() as transaction:
        await transaction.outcomes.prune(batches_before_ms=now, instances_before_ms=now, minutes_before_ms=now, limit=9)
    assert len(await world.fetch("SELECT 1 FROM batches")) == 1
    async with world.storage.transaction() as transaction:
        await transaction.outcomes.prune(
            batches_before_ms=now + 1, instances_before_ms=now, minutes_before_ms=now, limit=9
        )

    assert await world.fetch("SELECT 1 FROM batches") == []
    assert len(await world.fetch("SELECT 1 FROM instances")) == 1


async def test_what_was_committed_is_exported(
    world: World, service: OutcomeService, metrics: PrometheusMetrics
) -> None:
    """The server's families hold what this node committed: duplicates and late rows left out."""
    environment = await world.environment()
    ramp = await world.ramp(environment)
    batch = a_batch(
        rows=(a_row(ramp, bad=3, timeouts=1), a_row(ramp, ages=(200_000, 0), ended=99)),
        failing=failing(ramp, (1, 1)),
        sampled=sampled(ramp, (1, 1), bad=True),
    )

    await service.ingest(environment, batch)
    await service.ingest(environment, batch)

    labels = {"project": "default", "environment": "production", "flag": "checkout", "ramp": ramp, "node": metrics.node}
    treatment = {**labels, "arm": "treatment", "exposure_ppm": "100000"}
    value: Callable[..., float | None] = metrics.registry.get_sample_value
    assert value("rheostat_failing_units_total", treatment) == 1
    by_outcome = {
        outcome: value("rheostat_reported_requests_total", {**treatment, "outcome": outcome})
        for outcome in ("ok", "error", "timeout")
    }
    assert by_outcome == {"ok": 7, "error": 2, "timeout": 1}
    assert value("rheostat_sampled_units_total", {**treatment, "bad": "true"}) == 1
    assert value("rheostat_failing_units_total", {**treatment, "arm": "control"}) == 0
    assert value("rheostat_outcome_batches_total", {"result": "duplicate"}) == 1
    assert value("rheostat_late_rows_total", {}) == 1


async def test_many_batches_at_once_share_transactions(world: World, service: OutcomeService) -> None:
    """Batches that arrive together are committed together: far fewer increments than batches, and nothing lost."""
    environment = await world.environment()
    ramp = await world.ramp(environment)
    batches: list[Batch] = [a_batch(1, instance=f"{number:032x}", rows=(a_row(ramp),)) for number in range(150)]

    await asyncio.gather(*(service.ingest(environment, batch) for batch in batches))

    rows = await inbox(world, ramp)
    assert sum(row.increment.treatment.ended for row in rows) == 1_500
    assert sum(row.increment.reporters for row in rows) == 150
    assert len(rows) <= 5


async def test_what_is_new_of_a_unit_is_told_by_what_is_remembered(world: World, service: OutcomeService) -> None:
    """Over transactions a unit is active once, seen once a window and epoch, kept once a window, and arrives
    only when it was away for a window."""
    environment = await world.environment()
    ramp = await world.ramp(environment, epochs={1: 100_000, 2: 500_000})
    even = ManualClock().wall_ms() // WINDOW_MS // 2 * 2 - 4
    samples = [(even, 1), (even, 1), (even, 2), (even + 1, 2), (even + 2, 2), (even + 4, 2)]

    for sequence, (window, epoch) in enumerate(samples, 1):
        await service.ingest(environment, a_batch(sequence, sampled=sampled(ramp, (1, 1), window=window, epoch=epoch)))

    seen = [row.increment.treatment for row in await inbox(world, ramp)]
    assert [each.seen for each in seen] == [1, 1, 1, 1, 1]
    assert [each.units for each in seen] == [1, 1, 0, 0, 0]
    assert [each.sampled for each in seen] == [1, 0, 1, 1, 1]
    assert [each.arrivals for each in seen] == [1, 0, 0, 0, 1]
    assert [each.active for each in seen] == [1, 0, 0, 0, 0]


async def test_a_unit_that_is_sampled_and_fails_counts_once_both_are_so(world: World, service: OutcomeService) -> None:
    """Whichever comes second, in one batch or in two, makes the unit an active one that failed, once."""
    environment = await world.environment()
    ramp = await world.ramp(environment)

    await service.ingest(environment, a_batch(1, failing=failing(ramp, (1, 1)), sampled=sampled(ramp, (2, 1))))
    await service.ingest(environment, a_batch(2, failing=failing(ramp, (2, 1)), sampled=sampled(ramp, (1, 1))))
    await service.ingest(environment, a_batch(3, failing=failing(ramp, (3, 1)), sampled=sampled(ramp, (3, 1))))
    await service.ingest(environment, a_batch(4, failing=failing(ramp, (3, 1)), sampled=sampled(ramp, (3, 1))))

    assert [row.increment.treatment.active_failed for row in await inbox(world, ramp)] == [0, 2, 1]


async def test_a_failing_unit_is_counted_again_after_five_minutes(
    world: World, service: OutcomeService, clock: ManualClock
) -> None:
    """Its failures each begin the five minutes anew; it is newly failing but once."""
    environment = await world.environment()
    ramp = await world.ramp(environment)

    for sequence, wait in enumerate([0, 200, 200, 300, 299, 300], 1):
        clock.advance(wait)
        await service.ingest(environment, a_batch(sequence, rows=(a_row(ramp),), failing=failing(ramp, (1, 1))))

    seen = [row.increment.treatment for row in await inbox(world, ramp)]
    assert [each.recounted for each in seen] == [1, 0, 0, 1, 0, 1]
    assert [each.recounted_squares for each in seen] == [1, 0, 0, 3, 0, 5]
    assert [each.failing for each in seen] == [1, 0, 0, 0, 0, 0]
    assert await world.fetch("SELECT k FROM failing_units") == [{"k": 3}]


async def test_orphans_count_once_whoever_reports_them(world: World, service: OutcomeService) -> None:
    """A dead process's open requests are bad requests of failing units, once; those of an ended ramp are nobody's."""
    environment = await world.environment()
    ramp = await world.ramp(environment)
    ended = await world.ramp(environment, flag="over", live=False)
    left = orphaned(ramp, (1, 1), (2, 2)) + orphaned(ended, (3, 1))

    await service.ingest(environment, a_batch(1, orphans=left))
    await service.ingest(environment, a_batch(1, instance="1" * 32, orphans=left))

    [row] = await inbox(world, ramp)
    treatment, control = row.increment.treatment, row.increment.control
    assert (treatment.ended, treatment.bad, treatment.failing, treatment.seen) == (1, 1, 1, 1)
    assert (control.ended, control.bad, control.failing) == (1, 1, 1)
    assert await world.fetch("SELECT count(*) AS n FROM orphans") == [{"n": 2}]


async def test_a_busy_ramp_asks_for_fewer_samples(world: World, service: OutcomeService, clock: ManualClock) -> None:
    """Each receipt says below which hash units are to be sampled; what the window before came to decides it."""
    environment = await world.environment()
    ramp = await world.ramp(environment)
    window, step = clock.wall_ms() // WINDOW_MS, 2**64 // 10_000
    many = sampled(ramp, *((number * step, 1) for number in range(10_000)), window=window)

    crowded = await service.ingest(environment, a_batch(1, sampled=many))
    clock.advance(WINDOW_MS / 1000)
    later = await service.ingest(environment, a_batch(2, sampled=sampled(ramp, (1, 1), window=window + 1)))

    assert crowded.sampled_limits[ramp] == 0.125
    assert later.sampled_limits == {ramp: 0.2}
    async with world.storage.transaction() as transaction:
        assert await transaction.outcomes.distinct_exposed_units(ramp, 1) == 10_001
    thinned = {ramp: SampledUnits(limit=0.2, units=sampled(ramp, (10**15, 1), window=window + 1)[ramp].units)}
    await service.ingest(environment, a_batch(3, sampled=thinned))
    async with world.storage.transaction() as transaction:
        assert await transaction.outcomes.distinct_exposed_units(ramp, 1) == 10_006


async def test_duplicates_delays_and_disorder_over_two_nodes_change_no_count(
    world: World, metrics: PrometheusMetrics, clock: ManualClock
) -> None:
    """Batches that come twice, to either node, late within two minutes and out of order count as if in order, once."""
    clock.advance(200)
    environment = await world.environment()
    straight, shuffled = [await world.ramp(environment, flag=flag) for flag in ("one", "two")]
    window, chance = clock.wall_ms() // WINDOW_MS, random.Random(5)
    entries = (1, 2, HELD)
    drawn = [sorted({chance.randrange(30) for _ in range(6)}) for _ in range(40)]

    def batch(ramp: str, sequence: int, instance: str) -> Batch:
        units = [(number, entries[number % 3]) for number in drawn[sequence - 1]]
        return a_batch(
            sequence,
            instance=instance * 32,
            rows=(a_row(ramp, bad=len(units)),),
            failing=failing(ramp, *units),
            sampled=sampled(ramp, *units, window=window),
            orphans=orphaned(ramp, (100 + sequence, 1), instance=f"{sequence:032x}"),
        )

    nodes = [OutcomeService(world.storage, metrics, clock, group_seconds=0.001) for _ in range(2)]
    for node in nodes:
        await node.start()
    for sequence in range(1, 41):
        await nodes[0].ingest(environment, batch(straight, sequence, "a"))
    order = [*range(1, 41), *range(1, 41), *range(1, 41)]
    chance.shuffle(order)
    for begin in range(0, len(order), 10):
        await asyncio.gather(
            *(
                nodes[chance.randrange(2)].ingest(environment, batch(shuffled, sequence, "b"), age_ms=sequence * 1000)
                for sequence in order[begin : begin + 10]
            )
        )
    for node in nodes:
        await node.stop()

    def total(rows: list[InboxRow], arm: Arm) -> ArmTotals:
        each: list[ArmTotals] = [getattr(row.increment, arm) for row in rows]
        return ArmTotals(**{name: sum(getattr(one, name) for one in each) for name in ArmTotals.__struct_fields__})

    expected, got = await inbox(world, straight), await inbox(world, shuffled)
    assert [total(got, arm) for arm in Arm] == [total(expected, arm) for arm in Arm]
    assert total(got, Arm.TREATMENT).failing > 5


async def test_raw_units_are_hashed_on_arrival(world: World, service: OutcomeService) -> None:
    """A unit that is sent as it is counts as the one that an SDK hashed, and is nowhere kept as it came."""
    environment = await world.environment()
    ramp = await world.ramp(environment, levels=(0, 500_000), exposure_ppm=500_000)
    await world.serve(environment, a_flag("checkout", rollout=a_rollout(0, salt="checkout")))
    users = [f"user-{number}" for number in range(40)]
    treated = {user for user in users if place("checkout", user) < 500_000}
    hashed = {user: unit_hash(b"k" * 16, user) for user in users}
    raw = tuple(FailingUnit(f"raw:{user}", 0, 1) for user in users)
    seen = tuple(SampledUnit(f"raw:{user}", 0, 1, 5_890_752) for user in users)

    await service.ingest(
        environment, a_batch(1, failing={ramp: FailingUnits(1.0, raw)}, sampled={ramp: SampledUnits(1.0, seen)})
    )
    again = tuple(FailingUnit(name, 1 if user in treated else NEVER, 1) for user, name in hashed.items())
    await service.ingest(environment, a_batch(2, rows=(a_row(ramp),), failing={ramp: FailingUnits(1.0, again)}))

    first, second = [row.increment for row in await inbox(world, ramp)]
    assert 0 < len(treated) < 40
    assert (first.treatment.failing, first.control.failing) == (len(treated), 40 - len(treated))
    assert (first.treatment.seen, first.control.seen) == (len(treated), 40 - len(treated))
    assert (second.treatment.failing, second.control.failing) == (0, 0)
    kept = {row["unit"].hex() for row in await world.fetch("SELECT unit FROM failing_units")}
    assert kept == set(hashed.values())


async def test_raw_units_of_a_flag_that_is_not_served_are_dropped(world: World, service: OutcomeService) -> None:
    """Where nobody can tell a unit's place it has no arm; the batch counts all the same."""
    environment = await world.environment()
    ramp = await world.ramp(environment)
    raw = FailingUnits(1.0, (FailingUnit("raw:user-1", 0, 1),))

    await service.ingest(environment, a_batch(1, rows=(a_row(ramp),), failing={ramp: raw}))

    assert [row.increment.treatment.ended for row in await inbox(world, ramp)] == [10]
    assert await world.fetch("SELECT 1 FROM failing_units") == []
