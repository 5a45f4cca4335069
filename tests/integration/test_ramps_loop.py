"""A ramp from its start to its end: real database, real batches, the clock moved by hand."""

import itertools
from collections.abc import AsyncIterator, Sequence

import pytest

from rheostat.model.kill import KillScope
from rheostat_server.adapters.evidence.reported import ReportedEvidence
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.storage import PostgresStorage
from rheostat_server.ports.evidence import EvidenceSource, Question
from rheostat_server.ramps.evidence import Reading
from rheostat_server.ramps.model import Action, Family, State
from rheostat_server.ramps.replay import replay
from tests.integration.ramp_world import Application, RampWorld, ramp_world, without_cursors


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


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


async def test_a_harmful_change_is_taken_back(world: RampWorld) -> None:
    """Faults of the exposed end the ramp within seconds: a latched kill, the exposure of before, and why."""
    ramp = (await world.start()).id
    application = Application(world, harm=0.3)

    seen = await world.ride(ramp, application, until=["killed", "promoted", "aborted"])

    assert seen[-1].status == "killed"
    assert max(view.exposure for view in seen) == 10
    exposed = [view for view in seen if view.exposure == 10]
    assert len(exposed) <= 10
    overlays, kills = await world.served()
    assert overlays == []
    assert [(kill.scope, kill.rollout, kill.ramp, kill.source) for kill in kills] == [
        (KillScope.ROLLOUT, "default", ramp, "controller")
    ]
    assert "newly failed" in seen[-1].why
    actions = await world.audited()
    assert actions[-4:] == ["ramp.start", "ramp.begin", "ramp.kill", "flag.kill"]
    assert without_cursors(await replayed_state(world, ramp)) == without_cursors((await world.row(ramp)).state)


async def test_a_harmless_change_is_promoted(world: RampWorld) -> None:
    """Without a fault the ramp goes up step by step, soaks, and stays in force at 100 %, without its holdback."""
    ramp = (await world.start()).id

    seen = await world.ride(ramp, Application(world), until=["killed", "promoted", "aborted"])

    assert seen[-1].status == "promoted"
    assert [exposure for exposure, _ in itertools.groupby(view.exposure for view in seen)] == [0, 10, 50, 100]
    [overlay], kills = await world.served()
    assert (overlay.exposure_ppm, overlay.live, overlay.holdback_ppm) == (1_000_000, False, 0)
    assert kills == []
    assert without_cursors(await replayed_state(world, ramp)) == without_cursors((await world.row(ramp)).state)


async def test_nobody_is_exposed_while_arming(world: RampWorld) -> None:
    """During the pre-flight the exposure in force stays, and outcomes go to the arms as they will be."""
    ramp = (await world.start()).id

    seen = await world.ride(ramp, Application(world), until=["running"])

    arming = [view for view in seen if view.status == "arming"]
    assert len(arming) >= 8
    assert {view.exposure for view in arming} == {0}
    assert arming[-1].guardrails[0].treatment.requests > 0
    assert arming[-1].guardrails[0].control.requests > arming[-1].guardrails[0].treatment.requests


async def test_each_change_of_exposure_is_one_revision_and_one_epoch(world: RampWorld) -> None:
    """The environment's revision moves when what is served changes, and not at each observation."""
    ramp = (await world.start()).id
    before = await world.revision()

    await world.ride(ramp, Application(world), until=["promoted"])

    state = (await world.row(ramp)).state
    assert await world.revision() - before == state.epoch - 1
    async with world.storage.transaction() as tx:
        marks = await tx.ramps.epochs(ramp)
    assert [mark.epoch for mark in marks] == list(range(1, state.epoch + 1))
    assert [mark.exposure_ppm for mark in marks] == [100_000, 100_000, 500_000, 1_000_000, 1_000_000]


async def test_without_reports_a_ramp_is_blind_and_stands_still(world: RampWorld) -> None:
    """Nobody reporting is no evidence: the ramp says so by name, and neither begins nor is killed."""
    ramp = (await world.start()).id

    seen = await world.ride(ramp, None, until=["blind"], seconds=20)
    for _ in range(30):
        await world.tick()

    view = await world.view(ramp)
    assert (view.status, view.exposure) == ("blind", 0)
    assert seen[-1].guardrails[0].sight == "series absent"


async def test_reports_that_end_mid_ramp_stop_it(world: RampWorld) -> None:
    """When traffic ends on the way up, the ramp holds where it is; when it comes back, it goes on."""
    ramp = (await world.start()).id
    application = Application(world)
    await world.ride(ramp, application, until=["running"])

    seen = await world.ride(ramp, None, until=["blind"], seconds=60)

    assert (seen[-1].exposure, seen[-1].guardrails[0].sight) == (10, "no traffic")
    assert (await world.ride(ramp, application, until=["promoted"]))[-1].status == "promoted"


async def test_another_node_goes_on_where_the_first_stopped(world: RampWorld) -> None:
    """After a takeover the ramp has the same evidence, and no observation is lost or counted twice."""
    ramp = (await world.start()).id
    application = Application(world)
    await world.ride(ramp, application, until=["running"])
    await application.serve()
    before = (await world.row(ramp)).state.guardrails["errors"]
    second = world.another_controller("two")

    await second.lease.step()
    world.manual.advance(7)
    await second.lease.step()
    await world.tick(second)

    after = (await world.row(ramp)).state.guardrails["errors"]
    assert second.lease.token is not None
    counted = after.treatment.ended + after.control.ended - before.treatment.ended - before.control.ended
    assert counted == 500


async def test_a_node_that_lost_the_lease_writes_nothing(world: RampWorld) -> None:
    """The leader of before finds in its next transaction that it leads no more, and changes nothing."""
    ramp = (await world.start()).id
    second = world.another_controller("two")
    await second.lease.step()
    world.manual.advance(7)
    await second.lease.step()
    before = await world.row(ramp)

    await world.tick(world.controller)

    assert await world.row(ramp) == before
    assert world.controller.lease.token is None


async def test_a_node_that_lost_the_lease_clears_nothing_away(world: RampWorld) -> None:
    """The leader of before drops nothing that the new one may still have to read."""
    ramp = (await world.start()).id
    await Application(world).serve()
    await world.tick()
    second = world.another_controller("two")
    await second.lease.step()
    world.manual.advance(7)
    await second.lease.step()

    async def waiting() -> int:
        async with world.storage.transaction() as tx:
            return len(await tx.outcomes.inbox_after(ramp, 0))

    before = await waiting()
    await world.controller.prune()
    assert await waiting() == before > 0
    assert world.controller.lease.token is None
    await second.prune()
    assert await waiting() == 0


class Interrupting:
    """A source during whose reading somebody pauses the ramp."""

    def __init__(self, world: RampWorld) -> None:
        self.world = world
        self.source = world.sources[Family.REPORTED]

    async def read_all(self, questions: Sequence[Question]) -> tuple[Reading, ...]:
        """Answer each."""
        return tuple([await self.read(question) for question in questions])

    async def read(self, question: Question) -> Reading:
        """Pause, then read."""
        reading = await self.source.read(question)
        if (await self.world.view(question.ramp)).status != "paused":
            await self.world.act(question.ramp, Action.PAUSE)
        return reading

    async def forget(self, ramp: str, cursors: Sequence[str]) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""


async def test_a_person_between_reading_and_saving_wins(world: RampWorld) -> None:
    """A tick that a person's action overtakes writes nothing; the next one reads the same evidence again."""
    application = Application(world)
    ramp = (await world.start()).id
    world.sources[Family.REPORTED] = Interrupting(world)
    await application.serve()

    await world.tick()
    overtaken = (await world.row(ramp)).state

    assert (overtaken.status, overtaken.observations) == ("paused", 0)
    await world.tick()
    state = (await world.row(ramp)).state
    assert (state.status, state.observations) == ("paused", 1)
    assert state.guardrails["errors"].control.ended + state.guardrails["errors"].treatment.ended == 500


async def test_a_pause_stops_no_kill(world: RampWorld) -> None:
    """A paused ramp stays where it is without a fault, and is killed with one."""
    ramp = (await world.start()).id
    application = Application(world)
    await world.ride(ramp, application, until=["running"])
    await world.act(ramp, Action.PAUSE)
    for _ in range(10):
        await application.serve()
        await world.tick()
    assert (await world.view(ramp)).status == "paused"

    application.harm = 0.5
    seen = await world.ride(ramp, application, until=["killed", "running"])

    assert seen[-1].status == "killed"


async def test_one_ramps_defect_stops_no_other(world: RampWorld, database: Database) -> None:
    """A ramp whose evidence cannot be read at all does not keep the others from moving."""
    ramp = (await world.start()).id
    async with database.connection() as conn:
        await conn.execute(
            "INSERT INTO ramps SELECT gen_random_uuid(), environment_id, 'other', rollout, status, live, overlaid, "
            "version, replace(plan, '\"reported\"', '\"application\"'), state, unit_key, declared_ppm, start_ppm, "
            "before_ramp, started_by, started_at_ms FROM ramps"
        )

    class Broken:
        async def read_all(self, questions: Sequence[Question]) -> tuple[Reading, ...]:
            return tuple([await self.read(question) for question in questions])

        async def read(self, question: Question) -> Reading:
            raise ZeroDivisionError

        async def forget(self, ramp: str, cursors: Sequence[str]) -> None:
            pass

        async def close(self) -> None:
            pass

    world.sources[Family.APPLICATION] = Broken()
    await Application(world).serve()

    await world.tick()

    assert (await world.row(ramp)).state.observations == 1


async def test_a_plan_may_kill_the_whole_flag(world: RampWorld) -> None:
    """With ``kill: flag`` the controller takes the flag back for everyone."""
    ramp = (await world.start(kill="flag")).id

    await world.ride(ramp, Application(world, harm=0.5), until=["killed", "promoted"])

    _, [kill] = await world.served()
    assert (kill.scope, kill.rollout, kill.ramp) == (KillScope.FLAG, None, ramp)


async def test_an_unguarded_ramp_moves_by_time_alone(world: RampWorld) -> None:
    """It needs no report and is killed by none; everywhere it says that it is unguarded."""
    view = await world.start(unguarded=True)

    seen = await world.ride(view.id, None, until=["promoted"], seconds=60)

    assert (view.proof, view.guarded, view.status) == ("none", False, "running")
    assert "unguarded" in view.notes[0]
    assert [exposure for exposure, _ in itertools.groupby(one.exposure for one in seen)] == [10, 50, 100]


async def test_harm_that_is_there_before_anybody_is_exposed_refuses_the_start(world: RampWorld) -> None:
    """Users who fail anyway in the arm to be: the pre-flight finds it, and nobody is exposed."""
    ramp = (await world.start()).id
    application = Application(world)
    application.unlucky_below = 100_000

    seen = await world.ride(ramp, application, until=["aborted", "running"])

    assert seen[-1].status == "aborted"
    assert "cohort differs" in seen[-1].why
    assert await world.exposure() is None
    assert (await world.served())[1] == []


async def test_one_sources_defect_blinds_no_other_guardrail(database: Database) -> None:
    """A ramp of whose two sources one fails in an unforeseen way is killed on the word of the other."""

    class Broken:
        async def read_all(self, questions: Sequence[Question]) -> tuple[Reading, ...]:
            return tuple([await self.read(question) for question in questions])

        async def read(self, question: Question) -> Reading:
            raise ZeroDivisionError

        async def forget(self, ramp: str, cursors: Sequence[str]) -> None:
            pass

        async def close(self) -> None:
            pass

    # A plan reads the application's counters only where it reads the server's from Prometheus too; any source will do.
    sources: dict[Family, EvidenceSource] = {
        Family.REPORTED_METRICS: ReportedEvidence(PostgresStorage(database)),
        Family.APPLICATION: Broken(),
    }
    async with ramp_world(database, sources, family=Family.REPORTED_METRICS) as world:
        await world.put()
        watched = {"metric": "request-success-rate", "source": "application", "kill": True}
        ramp = (await world.start(guardrails=[watched])).id
        application = Application(world, harm=0.5)
        for _ in range(20):
            await application.serve()
            await world.tick()
        # Time in which one guardrail saw nothing is no pre-flight.
        assert (await world.view(ramp)).status == "blind"
        await world.act(ramp, Action.ADVANCE)

        seen = await world.ride(ramp, application, until=["killed", "promoted"], seconds=30)

        assert seen[-1].status == "killed"
        assert "errors: " in seen[-1].why
