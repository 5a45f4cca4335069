"""What every evidence source must do."""

from collections.abc import AsyncIterator, Iterator

import pytest

from rheostat.model.evaluation import Arm
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.ramps.evidence import ArmTotals, Block, Reading, Sight
from rheostat_server.ramps.model import Family
from tests.contract.evidence_feeders import EXPOSURE_PPM, Feeder, feeding
from tests.integration.prometheus_server import PrometheusServer, running_prometheus


@pytest.fixture(scope="module")
def prometheus() -> Iterator[PrometheusServer]:
    """One Prometheus for all of these tests."""
    with running_prometheus() as server:
        yield server


@pytest.fixture(params=list(Family), ids=lambda family: family.value)
async def feeder(
    request: pytest.FixtureRequest, database: Database, prometheus: PrometheusServer
) -> AsyncIterator[Feeder]:
    """Something to be watched, one for each source."""
    async with feeding(request.param, database, prometheus) as made:
        yield made


def totals(reading: Reading) -> tuple[ArmTotals, ArmTotals]:
    """Return what a reading counted in both arms; it is all of one epoch."""
    assert reading.sight is Sight.SEEN, reading.detail
    [block] = reading.blocks
    assert isinstance(block, Block)
    assert (block.epoch, block.exposure_ppm) == (1, EXPOSURE_PPM)
    assert block.from_ms <= block.until_ms
    return block.treatment, block.control


async def begun(feeder: Feeder) -> str:
    """Return the cursor of a first reading, before anything happened."""
    await feeder.begin()
    reading = await feeder.source.read(feeder.question())
    assert (reading.sight, reading.blocks) == (Sight.NO_TRAFFIC, ())
    assert reading.cursor
    return reading.cursor


async def test_what_happened_is_counted_once_in_its_arm(feeder: Feeder) -> None:
    """Requests, bad ones and newly failing users are in the first reading after them and in no later one."""
    start = await begun(feeder)
    await feeder.requests(Arm.TREATMENT, good=7, bad=3)
    await feeder.settle()
    first = await feeder.source.read(feeder.question(start))
    treatment, control = totals(first)

    assert (treatment.ended, treatment.bad) == (10, 3)
    assert treatment.failing == (3 if feeder.failing_users else 0)
    assert control == ArmTotals()

    await feeder.settle()
    second = await feeder.source.read(feeder.question(first.cursor))
    # Nothing more for a moment is no blindness.
    assert (second.sight, second.blocks) == (Sight.SEEN, ())

    await feeder.requests(Arm.CONTROL, good=5, bad=1)
    await feeder.settle()
    treatment, control = totals(await feeder.source.read(feeder.question(second.cursor)))
    assert treatment == ArmTotals()
    assert (control.ended, control.bad) == (6, 1)


async def test_the_holdback_is_control(feeder: Feeder) -> None:
    """Held-back users are pooled with control."""
    start = await begun(feeder)
    await feeder.requests(Arm.HOLDBACK, good=4)
    await feeder.requests(Arm.CONTROL, good=2)
    await feeder.settle()

    treatment, control = totals(await feeder.source.read(feeder.question(start)))

    assert (treatment.ended, control.ended) == (0, 6)


async def test_a_reading_whose_cursor_is_lost_is_read_again(feeder: Feeder) -> None:
    """Asking twice from the same cursor tells the same and more: nothing is lost when a tick is."""
    start = await begun(feeder)
    await feeder.requests(Arm.TREATMENT, good=20)
    await feeder.settle()
    lost = await feeder.source.read(feeder.question(start))
    await feeder.requests(Arm.TREATMENT, good=3)
    await feeder.settle()

    again = await (await feeder.another()).read(feeder.question(start))

    assert totals(lost)[0].ended == 20
    assert totals(again)[0].ended == 23


async def test_nothing_known_is_said_by_name(feeder: Feeder) -> None:
    """Before anybody reported, a reading has no block and does not call itself seen."""
    reading = await feeder.source.read(feeder.question())

    assert (reading.sight, reading.blocks) == (Sight.SERIES_ABSENT, ())
    assert reading.detail


async def test_a_source_that_is_away_is_no_error(feeder: Feeder) -> None:
    """A reading from a source that cannot be reached says so and has no block."""
    start = await begun(feeder)
    await feeder.break_down()

    reading = await feeder.source.read(feeder.question(start))

    assert (reading.sight, reading.blocks) == (Sight.QUERY_FAILED, ())
    assert reading.detail


async def test_letting_go_of_what_was_read_takes_nothing_away(feeder: Feeder) -> None:
    """After a source was told of the saved cursors, each goes on from its own as before."""
    start = await begun(feeder)
    await feeder.requests(Arm.TREATMENT, good=7)
    await feeder.settle()
    behind = await feeder.source.read(feeder.question(start))
    await feeder.requests(Arm.TREATMENT, good=5)
    await feeder.settle()
    ahead = await feeder.source.read(feeder.question(behind.cursor))

    await feeder.source.forget(feeder.question().ramp, [ahead.cursor, behind.cursor])
    again = await feeder.source.read(feeder.question(behind.cursor))

    assert totals(ahead)[0].ended == totals(again)[0].ended == 5


async def test_a_round_answers_each_question_as_if_it_were_alone(feeder: Feeder) -> None:
    """All guardrails of a ramp that read one source are asked about together, and each goes on from its own cursor."""
    start = await begun(feeder)
    await feeder.requests(Arm.TREATMENT, good=7)
    await feeder.settle()
    behind = await feeder.source.read(feeder.question(start))
    await feeder.requests(Arm.TREATMENT, good=5)
    await feeder.settle()

    round_ = await feeder.source.read_all([feeder.question(start), feeder.question(behind.cursor)])

    assert [totals(reading)[0].ended for reading in round_] == [12, 5]
