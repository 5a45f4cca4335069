"""What the controller and people are told of those who report to a ramp."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from rheostat.model.outcome import Batch
from rheostat_server.adapters.evidence.reported import ReportedEvidence
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.storage import PostgresStorage
from rheostat_server.cli.ramp_panel import ramp_picture
from rheostat_server.cli.ramp_picture.look import Look
from rheostat_server.ports.evidence import EvidenceSource, Question
from rheostat_server.ramps.evidence import Evidence, Reading, Sight
from rheostat_server.ramps.model import Action, Family
from rheostat_server.ramps.wire import Reporting, ServiceReport
from tests.integration.ramp_world import Application, RampWorld, ramp_world


class Elsewhere:
    """A source that has nothing to do with reports."""

    async def read(self, question: Question) -> Reading:
        """Say that nobody came."""
        return Reading(guardrail=question.guardrail.name, sight=Sight.NO_TRAFFIC, cursor="here")

    async def read_all(self, questions: Sequence[Question]) -> tuple[Reading, ...]:
        """Say so to each."""
        return tuple([await self.read(question) for question in questions])

    async def forget(self, ramp: str, cursors: Sequence[str]) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world whose ramps read elsewhere, beside reports."""
    reported = ReportedEvidence(PostgresStorage(database))
    sources: dict[Family, EvidenceSource] = {Family.APPLICATION: Elsewhere(), Family.REPORTED: reported}
    async with ramp_world(database, sources, family=Family.APPLICATION) as made:
        await made.put()
        yield made


async def inbox(database: Database) -> int:
    """Return how many increments wait to be read."""
    async with database.connection() as conn:
        count: int = await conn.fetchval("SELECT count(*) FROM ramp_inbox")
    return count


async def last_evidence(world: RampWorld, ramp: str) -> Evidence:
    """Return what the rule was told last."""
    async with world.storage.transaction() as tx:
        [row] = await tx.ramps.last_decisions(ramp, 1)
    evidence = msgspec.json.decode(row.body)["evidence"]
    return msgspec.convert(evidence, Evidence)


async def test_the_rule_is_told_of_the_crowd_whatever_it_reads(world: RampWorld, database: Database) -> None:
    """Reports reach the rule of a ramp that reads elsewhere, once, and leave the inbox after that, not before."""
    ramp = (await world.start()).id
    application = Application(world)
    await application.serve(200)
    await world.controller.prune()
    assert await inbox(database) == 1

    await world.tick()
    told = await last_evidence(world, ramp)
    await world.controller.prune()

    assert sum(block.treatment.ended + block.control.ended for block in told.crowd) == 200
    assert sum(units for _, units in told.arrivals_by_level) > 50
    assert (await world.row(ramp)).state.crowd_cursor == told.crowd_cursor != ""
    assert await inbox(database) == 0
    await application.serve(100)
    await world.tick()
    told = await last_evidence(world, ramp)
    assert sum(block.treatment.ended + block.control.ended for block in told.crowd) == 100


async def test_a_crowd_that_cannot_be_read_keeps_no_guardrail_from_its_evidence(world: RampWorld) -> None:
    """A defect there costs the crowd of that time alone; the next reading goes on where the last one ended."""
    ramp = (await world.start()).id
    application = Application(world)
    await application.serve(200)
    working = world.controller._gathering._crowd_source

    class Broken(ReportedEvidence):
        async def crowd(self, question: Any) -> Any:
            raise ZeroDivisionError

    world.controller._gathering._crowd_source = Broken(world.storage)
    await world.tick()
    assert (await last_evidence(world, ramp)).crowd == ()
    world.controller._gathering._crowd_source = working
    await world.tick()

    told = await last_evidence(world, ramp)
    assert sum(block.treatment.ended + block.control.ended for block in told.crowd) == 200


async def test_people_see_who_evaluates_without_reporting(world: RampWorld) -> None:
    """A live ramp is shown with its services and those that vanished; a list, and a ramp that is over, without."""
    ramp = (await world.start()).id
    await Application(world).serve(50)
    for instance, service, count in (("1", "shop", 60), ("2", "mail", 40)):
        await world.report(
            Batch(instance=instance * 32, sequence=1, service=service, evaluations={"checkout": {"on": count}})
        )
    async with world.storage.transaction() as tx:
        await tx.outcomes.count_vanished(ramp, world.clock.wall_ms())

    view = await world.view(ramp)

    services = (
        ServiceReport(service="mail", evaluations=40, reports=False),
        ServiceReport(service="shop", evaluations=60, reports=True),
    )
    assert view.reporting == Reporting(coverage=0.6, services=services, vanished=())
    assert (await world.ramps.all("shop", "production")).ramps[0].reporting is None
    await world.act(ramp, Action.ABORT)
    assert (await world.view(ramp)).reporting is None


async def test_the_picture_says_who_does_not_report_and_who_vanished(world: RampWorld) -> None:
    """Coverage is told by service, those that do not report first; where nothing is known nothing is said."""
    view = msgspec.to_builtins(await world.view((await world.start()).id))

    def shown(reporting: Reporting | None) -> str:
        lines = ramp_picture({**view, "reporting": msgspec.to_builtins(reporting)}, Look(width=120))
        return "\n".join(line.plain for line in lines)

    services = (
        ServiceReport(service="shop", evaluations=500, reports=True),
        ServiceReport(service="", evaluations=1_500, reports=False),
    )
    text = shown(Reporting(coverage=0.25, services=services, vanished=("mail", "shop", "shop")))

    assert "coverage 25 % of 5 min: (no name) 1 500 WITHOUT REPORTING, shop 500" in text
    assert "vanished without a goodbye: 1 of mail, 2 of shop" in text
    well = shown(Reporting(coverage=1.0, services=services[:1], vanished=()))
    assert "coverage 100 % of 5 min: shop 500" in well
    assert "vanished" not in well
    assert "coverage" not in shown(None)
