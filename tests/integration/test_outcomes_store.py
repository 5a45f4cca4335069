"""Counting outcomes in a real PostgreSQL."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from rheostat.clock import ManualClock
from rheostat.model.outcome import Applied, Batch, BatchReceipt
from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import StorageUnavailable
from rheostat_server.outcomes.grouping import WINDOW_MS
from rheostat_server.outcomes.model import InboxRow
from rheostat_server.outcomes.service import OutcomeService
from tests.data_plane import World, a_batch, a_row, failing, sampled


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

    assert receipt == BatchReceipt(1, duplicate=False, at_ms=clock.wall_ms())
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
    assert {row["k"] for row in await world.fetch("SELECT k FROM failing_units")} == {16}


async def test_a_unit_is_newly_failing_once_a_ramp(world: World, service: OutcomeService) -> None:
    """A unit that failed as control and fails again as treatment of a later step counts for nothing."""
    environment = await world.environment()
    ramp = await world.ramp(environment, epochs={1: 100_000, 2: 500_000})

    await service.ingest(environment, a_batch(1, failing=failing(ramp, (1, 2), epoch=1)))
    await service.ingest(environment, a_batch(2, failing=failing(ramp, (1, 2), epoch=2)))

    increments = [row.increment for row in await inbox(world, ramp)]
    assert [(each.control.failing, each.treatment.failing) for each in increments] == [(1, 0)]
    [unit] = await world.fetch("SELECT first_arm, first_epoch, k FROM failing_units")
    assert unit == {"first_arm": "control", "first_epoch": 1, "k": 2}


async def test_a_unit_is_sampled_anew_in_each_epoch(world: World, service: OutcomeService) -> None:
    """A unit counts once an epoch, however many windows that has; and again in the next epoch of the same window."""
    environment = await world.environment()
    ramp = await world.ramp(environment, epochs={1: 100_000, 2: 500_000})
    window = ManualClock().wall_ms() // WINDOW_MS

    await service.ingest(environment, a_batch(1, sampled=sampled(ramp, (1, 1), window=window)))
    await service.ingest(environment, a_batch(2, sampled=sampled(ramp, (1, 1), window=window + 1)))
    await service.ingest(environment, a_batch(3, sampled=sampled(ramp, (1, 1), window=window + 1, epoch=2)))

    increments = [row.increment for row in await inbox(world, ramp)]
    assert [(each.epoch, each.treatment.units) for each in increments] == [(1, 1), (2, 1)]


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
        await transaction.outcomes.prune(batches_before_ms=now, instances_before_ms=now, limit=9)
    assert len(await world.fetch("SELECT 1 FROM batches")) == 1
    async with world.storage.transaction() as transaction:
        await transaction.outcomes.prune(batches_before_ms=now + 1, instances_before_ms=now, limit=9)

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
