"""The document and the ramp: what is in force when a ramp ends, when it is covered, and when the flag is written."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from rheostat.model.kill import KillScope
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import Invalid
from rheostat_server.ramps.model import Action, Status
from tests.integration.ramp_picture import Declared, picture
from tests.integration.ramp_world import RampWorld, flag_document, ramp_world

QUICK: dict[str, Any] = {"unguarded": True, "min_dwell": "1s", "soak": "1s"}
RULE = {
    "name": "sale",
    "when": {"attribute": "country", "operator": "in", "values": ["ES"]},
    "rollout": {"exposure": 0, "split": {"on": 1}, "fallback": "off"},
}


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written, at 0 %."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


async def exposed(world: RampWorld) -> frozenset[str]:
    """Return who of some hundred users is served the variant, by the engine on what is served."""
    return (await picture(world, Declared())).exposed


async def promoted(world: RampWorld, *steps: float, **changes: Any) -> str:
    """Return a ramp that went through these steps and was promoted."""
    ramp = (await world.start(**QUICK, steps=list(steps), **changes)).id
    await world.ride(ramp, None, until=["promoted"], seconds=60)
    return ramp


@pytest.mark.parametrize("keep", [False, True])
async def test_a_holdback_is_released_or_kept_after_promotion(world: RampWorld, *, keep: bool) -> None:
    """Until its promotion a ramp holds a share of the users back; then they get the variant, unless it is to stay."""
    ramp = (await world.start(**QUICK, steps=[100], holdback=20, keep_holdback=keep)).id
    await world.ride(ramp, None, until=["soaking"])
    held = await exposed(world)
    await world.ride(ramp, None, until=["promoted"])
    after = await exposed(world)

    assert 200 < len(held) < 280
    assert (after == held) if keep else (after > held and len(after) == 300)


async def test_a_ramp_goes_on_from_a_kept_holdback(world: RampWorld) -> None:
    """The next ramp begins with those who have the variant: those held back are exposed by its steps, and not by it."""
    await promoted(world, 97, holdback=20, keep_holdback=True)
    before = await exposed(world)

    view = await world.start(steps=[100], holdback=0)

    assert (view.status, view.exposure) == ("arming", 80)
    assert await exposed(world) == before
    await world.act(view.id, Action.ABORT)
    assert await exposed(world) == before


async def test_a_document_that_says_what_is_in_force_moves_nobody(world: RampWorld) -> None:
    """The write that adopts a promoted ramp's exposure ends its overlay, and nobody notices; the next write counts."""
    ramp = await promoted(world, 40)
    before = await exposed(world)

    view = await world.put(flag_document(40))

    assert any("the document says 40 % itself now" in note for note in view.notes)
    assert not (await world.view(ramp)).in_force
    assert await exposed(world) == before
    await world.put(flag_document(10))
    assert await exposed(world) < before


async def test_an_adopted_ramp_does_not_come_back(world: RampWorld) -> None:
    """Once a write has ended an overlay, no later ramp's abort brings it back."""
    await promoted(world, 40)
    await world.put(flag_document(40))
    await world.put(flag_document(20))
    before = await exposed(world)
    second = await world.start(steps=[60])
    await world.act(second.id, Action.ADVANCE)
    await world.act(second.id, Action.ABORT)

    assert await exposed(world) == before


async def test_a_flag_that_is_enabled_again_serves_what_was_in_force_before_its_ramp(world: RampWorld) -> None:
    """Disabling aborts the live ramp; enabled again, the document's exposure serves, and nothing ramps."""
    await world.put(flag_document(5))
    before = await exposed(world)
    ramp = (await world.start(steps=[50])).id
    await world.act(ramp, Action.ADVANCE)

    await world.put(flag_document(5, enabled=False))
    assert await exposed(world) == frozenset()
    await world.put(flag_document(5))

    assert await exposed(world) == before
    assert (await world.view(ramp)).status == "aborted"


async def test_what_was_promoted_outlives_a_disabled_flag_and_the_ramp_above_it(world: RampWorld) -> None:
    """Under a live ramp that is aborted because the flag is disabled, the promoted one serves when it is enabled."""
    first = await promoted(world, 40)
    before = await exposed(world)
    second = (await world.start(steps=[80])).id
    await world.act(second, Action.ADVANCE)

    await world.put(flag_document(0, enabled=False))
    await world.put(flag_document(0))

    assert (await world.view(second)).status == "aborted"
    assert (await world.view(first)).in_force
    assert await exposed(world) == before


async def test_a_second_promotion_takes_the_place_of_the_first(world: RampWorld) -> None:
    """The overlay of the later ramp is in force alone; once it ends, the document speaks, and not the first ramp."""
    first = await promoted(world, 40)
    second = await promoted(world, 60)

    assert [(await world.view(ramp)).in_force for ramp in (first, second)] == [False, True]
    await world.put(flag_document(10))
    assert not (await world.view(first)).in_force
    assert await world.exposure() is None


async def test_a_kill_over_two_ramps_leaves_the_first_to_the_revival(world: RampWorld) -> None:
    """A killed ramp's own exposure never comes back: the revival serves what the promoted one below it had."""
    await promoted(world, 40)
    before = await exposed(world)
    second = (await world.start(steps=[60, 80])).id
    await world.act(second, Action.ADVANCE)
    await world.act(second, Action.ADVANCE)
    await world.kill()
    assert await exposed(world) == frozenset()

    await world.revive()

    assert await exposed(world) == before


async def mark(world: RampWorld, ramp: str, what: str) -> None:
    """Write columns of a ramp past all checks."""
    async with world.storage.transaction() as tx:
        await cast(Any, tx)._connection.execute(f"UPDATE ramps SET {what} WHERE id = $1", ramp)


async def test_one_kill_of_the_flag_ends_every_ramp_and_one_revival_lets_all_go(world: RampWorld) -> None:
    """Two rollouts ramp since before a flag had one ramp at a time: a kill takes both, and a revival frees both."""
    await world.put(flag_document(environment={"rules": [RULE]}))
    first = (await world.start()).id
    await mark(world, first, "live = false, alone = false")
    ramps = [first, (await world.start(rollout="sale")).id]
    await mark(world, first, "live = true")
    assert {overlay.ramp for overlay in (await world.served())[0] if overlay.live} == set(ramps)
    await world.kill(scope=KillScope.FLAG)
    assert [(await world.view(ramp)).actions for ramp in ramps] == [(Action.REVIVE,)] * 2

    await world.revive()

    assert [(await world.view(ramp)).status for ramp in ramps] == [Status.ABORTED, Status.ABORTED]
    assert [(await world.view(ramp)).actions for ramp in ramps] == [(), ()]


async def test_a_revival_says_why(world: RampWorld) -> None:
    """A reason of blanks is none: it is refused, with the place, and the flag stays killed."""
    await world.kill()

    with pytest.raises(Invalid) as caught:
        await world.ramps.revive("shop", "production", "checkout", reason=" \n", actor="ana")

    assert [fault.path for fault in caught.value.faults] == ["reason"]
    assert len((await world.served())[1]) == 1
