"""What a ramp leaves behind in the database: no more than somebody will ask for."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.outcomes import pruning
from rheostat_server.outcomes.reporting import DAY_MS
from rheostat_server.ramps.model import Action, State
from rheostat_server.ramps.replay import replay
from tests.integration.ramp_world import Application, RampWorld, ramp_world, without_cursors

HOUR_S = 3_600


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


async def fetch(database: Database, query: str, *arguments: Any) -> Any:
    """Return one value."""
    async with database.connection() as conn:
        return await conn.fetchval(query, *arguments)


async def counts(database: Database) -> dict[str, int]:
    """Return how many rows there are of each kind."""
    tables = ("ramp_inbox", "failing_units", "sampled_units", "badly_sampled_units")
    return {table: await fetch(database, f"SELECT count(*) FROM {table}") for table in tables}


async def replayed_state(world: RampWorld, ramp: str) -> State:
    """Return the state that a ramp's stored decisions give, each of which the rule must decide again."""
    async with world.storage.transaction() as tx:
        rows = await tx.ramps.decisions(ramp, limit=10_000)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    state = State()
    for step in replay(rows):
        assert step.now == step.then
        state = step.state
    return state


async def test_what_every_guardrail_read_leaves_the_inbox(world: RampWorld, database: Database) -> None:
    """Clearing away takes the rows behind the saved cursor, and the ramp goes on as if they were there."""
    ramp = (await world.start()).id
    application = Application(world)
    for _ in range(5):
        await application.serve()
        await world.tick()
    await application.serve()

    await world.controller.prune()

    assert await fetch(database, "SELECT array_agg(seq ORDER BY seq) FROM ramp_inbox") == [6]
    await world.controller.prune()
    await world.tick()
    seen = (await world.row(ramp)).state.guardrails["errors"]
    assert seen.treatment.ended + seen.control.ended == 6 * 500
    assert (await world.ride(ramp, application, until=["promoted", "killed"]))[-1].status == "promoted"
    assert without_cursors(await replayed_state(world, ramp)) == without_cursors((await world.row(ramp)).state)


async def test_an_inbox_that_nobody_reads_is_emptied(world: RampWorld, database: Database) -> None:
    """A ramp that reads elsewhere keeps no increments."""
    await world.start(unguarded=True)
    await Application(world).serve()
    assert (await counts(database))["ramp_inbox"] == 1

    await world.controller.prune()

    assert (await counts(database))["ramp_inbox"] == 0


async def test_a_node_that_does_not_lead_clears_nothing(world: RampWorld, database: Database) -> None:
    """Clearing away is the leader's."""
    await world.start(unguarded=True)
    await Application(world).serve()

    await world.another_controller("two").prune()

    assert (await counts(database))["ramp_inbox"] == 1


async def test_units_are_forgotten_a_day_after_the_end(world: RampWorld, database: Database) -> None:
    """The units of a ramp that lives, or ended today, stay; a day later they are gone, and the ramp is not."""
    ramp = (await world.start()).id
    await Application(world, usual=0.1).serve()
    before = await counts(database)
    assert all(before.values())

    await world.controller.prune()
    assert await counts(database) == before
    await world.act(ramp, Action.ABORT)
    world.manual.advance(24 * HOUR_S)
    await world.controller.prune()
    assert await counts(database) == before
    world.manual.advance(1)
    await world.controller.prune()

    assert not any((await counts(database)).values())
    assert (await world.view(ramp)).status == "aborted"


async def test_evaluations_are_forgotten_in_bounded_batches(
    world: RampWorld, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days older than 90 go, so many at a time; the others stay."""
    monkeypatch.setattr(pruning, "BATCH_ROWS", 2)
    monkeypatch.setattr(pruning, "MOST_BATCHES", 2)
    today = world.clock.wall_ms() // DAY_MS
    async with database.connection() as conn:
        await conn.execute(
            "INSERT INTO evaluations SELECT $1, 'checkout', 'on', 'shop', day, 1, 0 "
            "FROM generate_series($2::bigint, $3::bigint) AS day",
            world.environment.id,
            today - 95,
            today,
        )

    await world.controller.prune()
    assert await fetch(database, "SELECT count(*) FROM evaluations WHERE day < $1", today - 90) == 1
    await world.controller.prune()

    assert await fetch(database, "SELECT min(day) FROM evaluations") == today - 90
    assert await fetch(database, "SELECT count(*) FROM evaluations") == 91


async def test_a_ramp_to_which_nothing_happens_is_told_once_a_minute(world: RampWorld, database: Database) -> None:
    """Ten quiet minutes are a few decisions, not hundreds, and what is recorded gives the ramp's state again."""
    ramp = (await world.start(min_dwell="1h")).id
    application = Application(world)
    await world.ride(ramp, application, until=["running"])
    await world.ride(ramp, None, until=["blind"])
    before = (await world.row(ramp)).version

    for _ in range(600):
        await world.tick()

    after = await world.row(ramp)
    assert 9 <= after.version - before <= 11
    assert after.state.status == "blind"
    assert world.clock.wall_ms() - (after.state.observed_ms or 0) < 60_000
    for _ in range(5):
        await application.serve()
        await world.tick()
    row = await world.row(ramp)
    assert row.state.status == "running"
    assert without_cursors(await replayed_state(world, ramp)) == without_cursors(row.state)


async def test_a_late_report_is_shown_and_moves_nothing(world: RampWorld) -> None:
    """A batch that waited ten minutes is in the totals that people see; M and the proofs stand as they stood."""
    ramp = (await world.start(min_dwell="1h")).id
    application = Application(world, harm=0.5)
    await world.ride(ramp, application, until=["running"])
    seen = (await world.row(ramp)).state.guardrails["errors"]

    await application.serve(age_ms=600_000)
    await world.tick()

    after = (await world.row(ramp)).state.guardrails["errors"]
    assert (after.kill, after.proof, after.treatment, after.control) == (
        seen.kill,
        seen.proof,
        seen.treatment,
        seen.control,
    )
    [shown] = (await world.view(ramp)).guardrails
    assert shown.treatment.requests + shown.control.requests == 500
    assert shown.treatment.bad > 0
    assert without_cursors(await replayed_state(world, ramp)) == without_cursors((await world.row(ramp)).state)
