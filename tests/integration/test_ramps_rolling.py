"""Rolling ramps and comparisons through the SDK, the server and the controller, by a clock moved by hand."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from rheostat.model.kill import KillScope
from rheostat.model.ramp import Cells
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import Conflict, Invalid
from rheostat_server.ramps.model import Action
from rheostat_server.ramps.replay import replay
from rheostat_server.ramps.wire import RampView
from tests.integration.crowd import Crowd
from tests.integration.ramp_world import (
    ENVIRONMENT,
    PROJECT,
    RampWorld,
    flag_document,
    ramp_document,
    ramp_world,
    without_cursors,
)

pytestmark = pytest.mark.timeout(600)

INTERVAL_S = 5
OVER = ("killed", "aborted", "promoted")
REGIONS = ["eu", "us", "ap", None]
ROLLING = {
    "strategy": "rolling",
    "by": "region",
    "values": ["eu", "us"],
    "steps": [20, 100],
    "preflight": "60s",
    "min_dwell": "20s",
    "soak": "30s",
    "holdback": 5,
}
HALVES = {"on": 1.0, "off": 1.0}


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which sources have something new every five seconds."""
    async with ramp_world(database, interval_s=INTERVAL_S) as made:
        yield made


async def ride(
    world: RampWorld, ramp: str, crowd: Crowd, *, per_s: int = 150, minutes: float, until: tuple[str, ...] = OVER
) -> list[RampView]:
    """Serve and observe every five seconds until the ramp is in one of these states; return how it looked."""
    seen = []
    for _ in range(int(minutes * 60 / INTERVAL_S)):
        world.manual.advance(INTERVAL_S - 1)
        await crowd.visit(per_s * INTERVAL_S)
        await world.tick()
        seen.append(await world.view(ramp))
        if seen[-1].status in until:
            break
    return seen


def moment(world: RampWorld, minutes: float) -> str:
    """Return the moment so many minutes from now, as a document has it."""
    at = datetime.fromtimestamp(world.clock.wall_ms() / 1000 + 60 * minutes, UTC)
    return at.isoformat().replace("+00:00", "Z")


async def replays(world: RampWorld, ramp: str) -> None:
    """Assert that the log gives each decision, and the state, again."""
    async with world.storage.transaction() as tx:
        rows = await tx.ramps.decisions(ramp, limit=5_000)
    again = list(replay(rows))
    assert [one.differences for one in again] == [()] * len(rows)
    assert without_cursors(again[-1].state) == without_cursors((await world.row(ramp)).state)


async def test_a_harmless_change_rolls_from_region_to_region(world: RampWorld) -> None:
    """Each stage arms, climbs and is left on proof; nobody of a later one is exposed before; then it is promoted."""
    await world.put()
    started = await world.start(**ROLLING)
    crowd = Crowd(world, [1.0] * 4_000, regions=REGIONS, usual=0.01)

    seen = await ride(world, started.id, crowd, minutes=25)

    assert seen[-1].status == "promoted", seen[-1].standing.line
    assert started.stages == ("region eu", "region us", "everyone else")
    stages = [view.stage for view in seen if view.status not in OVER]
    assert stages == sorted(stages, key=lambda stage: stage or 0)
    assert set(stages) == {0, 1, 2}
    for stage in range(3):
        states = [view.status for view in seen if view.stage == stage]
        assert states[0] in {"arming", "running"}
        assert "arming" in states
    overlays, _ = await world.served()
    assert (overlays[0].exposure_ppm, overlays[0].cells, overlays[0].live) == (1_000_000, None, False)
    assert "ramp.stage" in await world.audited()
    await replays(world, started.id)


async def test_nobody_is_exposed_before_the_stage(world: RampWorld) -> None:
    """While the first region climbs, the others get what they got, and are in neither arm."""
    await world.put()
    ramp = (await world.start(**ROLLING)).id
    crowd = Crowd(world, [1.0] * 4_000, regions=REGIONS, usual=0.01)

    await ride(world, ramp, crowd, minutes=2.5)

    view = await world.view(ramp)
    assert (view.stage, view.status) == (0, "running")
    assert crowd.exposed_of["eu"] > 100
    assert crowd.exposed_of["us"] == crowd.exposed_of["ap"] == crowd.exposed_of[None] == 0
    assert crowd.requests_of["us"] > 1_000
    (errors,) = view.guardrails
    # Nobody but the region's users, a quarter of all, was counted.
    assert errors.treatment.requests + errors.control.requests < crowd.requests_of["eu"] * 1.05


async def test_harm_in_one_region_is_found_in_its_stage_and_taken_back_from_all(world: RampWorld) -> None:
    """The first region bears it, the second does not: the variant is gone from both."""
    await world.put()
    ramp = (await world.start(**ROLLING)).id
    crowd = Crowd(world, [1.0] * 4_000, regions=REGIONS, usual=0.01, harm=0.3, harmed={"us"})

    seen = await ride(world, ramp, crowd, minutes=25)

    view = seen[-1]
    assert (view.status, view.stage) == ("killed", 1), view.why
    assert view.why.startswith("region us: errors: ")
    assert crowd.exposed_of["ap"] == crowd.exposed_of[None] == 0
    before = crowd.exposed_requests
    await crowd.visit(2_000)
    assert crowd.exposed_requests == before, "somebody still has it"
    await replays(world, ramp)
    await world.revive()
    await crowd.visit(500)
    assert crowd.exposed_requests == before, "a revival brings back the start, in every region"


async def test_left_out_others_stay_at_the_start_after_promotion(world: RampWorld) -> None:
    """The listed keep what was proved; a new ramp over the two exposures is refused, and an abort takes all back."""
    await world.put()
    ramp = (await world.start(**{**ROLLING, "values": [["eu", "us"]], "others": False, "steps": [100]})).id
    crowd = Crowd(world, [1.0] * 2_000, regions=REGIONS, usual=0.01)

    seen = await ride(world, ramp, crowd, minutes=20)

    assert seen[-1].status == "promoted", seen[-1].standing.line
    overlays, _ = await world.served()
    assert overlays[0].cells == Cells(attribute="region", done=("eu", "us"), done_ppm=1_000_000)
    crowd.exposed_of.clear()
    await crowd.visit(2_000)
    assert crowd.exposed_of["eu"] > 0
    assert crowd.exposed_of["us"] > 0
    assert crowd.exposed_of["ap"] == crowd.exposed_of[None] == 0
    await world.kill(scope=KillScope.ROLLOUT)
    assert (await world.revive()).notes == (
        f"rollout default: in force 100 % of region eu, us and 0 % of others by ramp {ramp}",
    )
    with pytest.raises(Conflict, match="has left region eu, us above all other users"):
        await world.start(steps=[50, 100])
    written = await world.put(flag_document(100))
    assert any("the overlay of ramp" in note for note in written.notes)


async def test_a_service_of_another_region_is_no_service_that_does_not_report(world: RampWorld) -> None:
    """Most evaluations are of a service whose users' turn is over, or is to come: the stage is covered all the same."""
    await world.put()
    ramp = (await world.start(**{**ROLLING, "values": ["eu"], "steps": [100], "holdback": 10})).id
    most = Crowd(world, [1.0] * 500, regions=["us"], service="shop-us")
    few = Crowd(world, [1.0] * 1_000, regions=["eu"], usual=0.01)

    for _ in range(40):
        await most.visit(400)
        seen = await ride(world, ramp, few, minutes=INTERVAL_S / 60)
        if seen[-1].stage == 1:
            break

    assert seen[-1].stage == 1, seen[-1].standing.line
    assert seen[-1].standing.crowd.coverage == 1.0
    assert seen[-1].reporting is not None
    assert {one.service: one.reports for one in seen[-1].reporting.services} == {"shop": True, "shop-us": True}
    assert most.exposed_requests == 0


async def test_an_abort_takes_it_back_from_every_stage(world: RampWorld) -> None:
    """The exposure of the start is in force again, for all."""
    await world.put()
    ramp = (await world.start(**{**ROLLING, "preflight": "0s", "unguarded": True, "min_dwell": "1s"})).id
    crowd = Crowd(world, [1.0] * 800, regions=REGIONS)
    await ride(world, ramp, crowd, per_s=20, minutes=0.3)
    assert (await world.view(ramp)).stage == 1
    assert crowd.exposed_of["us"] > 0

    await world.act(ramp, Action.ABORT)

    before = crowd.exposed_requests
    await crowd.visit(800)
    assert crowd.exposed_requests == before
    assert await world.exposure() is None


async def test_an_edit_that_spoils_the_evidence_starts_the_stages_afresh(world: RampWorld) -> None:
    """Another split is 409 in any stage; restarted, the ramp begins with the first one again."""
    await world.put()
    ramp = (await world.start(**{**ROLLING, "preflight": "0s", "unguarded": True, "min_dwell": "1s"})).id
    crowd = Crowd(world, [1.0] * 800, regions=REGIONS)
    await ride(world, ramp, crowd, per_s=20, minutes=0.3)
    assert (await world.view(ramp)).stage == 1
    edited = flag_document(rollout={"split": HALVES})

    with pytest.raises(Conflict, match="split"):
        await world.put(edited)
    await world.put(edited, restart=True)

    newest, before = (await world.ramps.all(PROJECT, ENVIRONMENT)).ramps
    assert (before.id, before.status) == (ramp, "aborted")
    assert (newest.stage, newest.stages) == (0, ("region eu", "region us", "everyone else"))
    overlays, _ = await world.served()
    assert [overlay.cells and overlay.cells.done for overlay in overlays] == [()]


# --- comparisons ---


async def comparison(world: RampWorld, exposure: float = 0, **changes: Any) -> RampView:
    """Start a comparison of ``on`` with ``off``."""
    await world.put(flag_document(exposure, rollout={"split": HALVES}))
    document = ramp_document(strategy="a-b", baseline="off", preflight="60s", **changes)
    plain = {name: value for name, value in document.items() if name not in {"steps", "holdback"}}
    return await world.ramps.start(PROJECT, ENVIRONMENT, plain, actor="ana")


async def test_a_harmless_comparison_runs_to_its_date_and_waits(world: RampWorld) -> None:
    """It never promotes itself; a person's word does, and the split stays."""
    ramp = (await comparison(world, until=moment(world, 6), sample=100_000)).id
    crowd = Crowd(world, [1.0] * 3_000, usual=0.01, split=HALVES)

    seen = await ride(world, ramp, crowd, minutes=12, until=(*OVER, "awaiting-approval"))

    view = seen[-1]
    assert view.status == "awaiting-approval", view.why
    assert len(seen) * INTERVAL_S >= 6 * 60
    assert "requests of the others are bad" in view.why
    assert "no harm found" in view.why
    row = await world.row(ramp)
    # Thousands of users and half of them on each side: by the split, and not by the exposure.
    assert row.state.crowd.log_srm < 0
    assert row.state.exposed_units > 1_000
    assert abs(row.state.exposed_units - row.state.control_units) < 200
    assert (await ride(world, ramp, crowd, minutes=0.5))[-1].status == "awaiting-approval"

    await world.act(ramp, Action.APPROVE, "it does no harm")
    assert (await ride(world, ramp, crowd, minutes=0.5))[-1].status == "promoted"
    crowd.exposed_of.clear()
    crowd.requests_of.clear()
    await crowd.visit(3_000)
    assert 0.4 < crowd.exposed_of[None] / crowd.requests_of[None] < 0.6
    await replays(world, ramp)


async def test_a_comparison_ends_at_its_sample(world: RampWorld) -> None:
    """Distinct users of the smaller side."""
    ramp = (await comparison(world, sample=400)).id
    crowd = Crowd(world, [1.0] * 3_000, usual=0.01, split=HALVES)

    seen = await ride(world, ramp, crowd, per_s=60, minutes=10, until=(*OVER, "awaiting-approval"))

    assert seen[-1].status == "awaiting-approval", seen[-1].why
    assert "both sides have had 400 users" in seen[-1].why


@pytest.mark.parametrize("exposure", [0, 60])
async def test_a_harmful_variant_is_killed(world: RampWorld, exposure: float) -> None:
    """Whether the comparison exposes it, or it was served before: everybody gets the fallback."""
    started = await comparison(world, exposure, until=moment(world, 60))
    crowd = Crowd(world, [1.0] * 3_000, usual=0.01, harm=0.2, split=HALVES)

    seen = await ride(world, started.id, crowd, minutes=10)

    assert seen[-1].status == "killed", seen[-1].why
    assert started.status == ("arming" if exposure == 0 else "running")
    before = crowd.exposed_requests
    await crowd.visit(1_000)
    assert crowd.exposed_requests == before


async def test_a_moment_that_is_past_is_refused(world: RampWorld) -> None:
    """With its path."""
    with pytest.raises(Invalid) as caught:
        await comparison(world, until=moment(world, -1))
    assert caught.value.faults[0].path == "until"
