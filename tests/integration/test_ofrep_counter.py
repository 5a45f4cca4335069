"""Counting OFREP evaluations in a real PostgreSQL."""

from collections.abc import Callable

from rheostat.clock import ManualClock
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.evaluation.counter import EvaluationCounter
from tests.data_plane import World, let_in, shut


async def test_counts_are_written_at_the_end(database: Database) -> None:
    """What was counted since the last writing is written when the server stops, with names made plain."""
    world = World(database)
    environment = await world.environment()
    clock = ManualClock()
    counter = EvaluationCounter(world.storage, clock)
    await counter.start()
    for service in ("shop", "shop", "odd\u0000name", "x" * 500):
        counter.count(environment, "checkout", "on", service)
    counter.count(999_999, "checkout", "on", "of a deleted environment")

    await counter.stop()

    rows = await world.fetch("SELECT service, count, day, last_at_ms FROM evaluations ORDER BY service")
    assert [(row["service"], row["count"]) for row in rows] == [("oddname", 1), ("shop", 2), ("x" * 128, 1)]
    assert {(row["day"], row["last_at_ms"]) for row in rows} == {(clock.wall_ms() // 86_400_000, clock.wall_ms())}


async def test_counts_outlive_an_outage(fresh_database: Callable[[], str]) -> None:
    """What cannot be written is kept and added to what comes after."""
    async with await Database.open(fresh_database()) as control, await Database.open(fresh_database()) as database:
        world = World(database)
        environment = await world.environment()
        [row] = await world.fetch("SELECT current_database() AS name")
        counter = EvaluationCounter(world.storage, ManualClock())
        await shut(control, row["name"])
        counter.count(environment, "checkout", "on", "shop")
        await counter.flush()
        counter.count(environment, "checkout", "on", "shop")
        await let_in(control, row["name"])

        await counter.flush()
        await counter.flush()

        assert await world.fetch("SELECT count FROM evaluations") == [{"count": 2}]
