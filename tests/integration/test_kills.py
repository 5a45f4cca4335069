"""Kills by people: latched, once, and undone by a revival alone."""

from collections.abc import AsyncIterator

import pytest

from rheostat.model.kill import KillScope
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import Conflict, NotFound, Refused
from rheostat_server.ramps.model import Action
from tests.integration.ramp_world import Application, RampWorld, flag_document, ramp_world


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


async def test_a_kill_without_a_ramp_takes_the_flag(world: RampWorld) -> None:
    """By default a flag that does not ramp is killed whole; the kill is served, announced and audited."""
    world.announced.clear()

    answer = await world.kill()

    _, [kill] = await world.served()
    assert (kill.scope, kill.rollout, kill.source, kill.flag) == (KillScope.FLAG, None, "person", "checkout")
    assert [one.kill_id for one in answer.kills] == [kill.kill_id]
    assert world.announced == [world.environment.id]
    assert (await world.audited())[-1] == "flag.kill"


async def test_a_kill_of_a_ramping_flag_takes_the_rollout_and_ends_the_ramp(world: RampWorld) -> None:
    """By default the ramping rollout goes back to its fallback; the ramp is killed, whatever it waits for."""
    ramp = (await world.start()).id
    await world.act(ramp, Action.ADVANCE)
    await world.act(ramp, Action.PAUSE)

    await world.kill()

    overlays, [kill] = await world.served()
    assert overlays == []
    assert (kill.scope, kill.rollout, kill.ramp) == (KillScope.ROLLOUT, "default", ramp)
    view = await world.view(ramp)
    assert (view.status, view.exposure) == ("killed", 0)
    assert "it burns" in view.why


async def test_a_flag_kill_ends_the_ramp_too(world: RampWorld) -> None:
    """A kill of the whole flag leaves no live ramp on it."""
    ramp = (await world.start()).id

    await world.kill(scope=KillScope.FLAG)

    assert (await world.view(ramp)).status == "killed"


async def test_killing_twice_is_killing_once(world: RampWorld) -> None:
    """The second kill of the same kind changes nothing and says what stands; one of another kind adds to it."""
    first = await world.kill()
    before = await world.revision()

    second = await world.kill(reason="again")

    assert second.kills == first.kills
    assert await world.revision() == before
    assert "killed in production already: it burns" in second.notes[0]
    assert len((await world.kill(scope=KillScope.ROLLOUT)).kills) == 2


async def test_a_flag_kill_needs_an_off_variant_or_a_word(world: RampWorld) -> None:
    """Without an off variant callers would fall back to their own defaults; that has to be asked for."""
    document = flag_document()
    del document["off_variant"]
    await world.put(document)

    with pytest.raises(Refused, match="no off variant"):
        await world.kill()
    assert len((await world.kill(to_code_default=True)).kills) == 1


async def test_a_rollout_kill_needs_a_rollout(world: RampWorld) -> None:
    """A flag that serves one variant has no rollout to take back."""
    document = flag_document()
    document["environments"]["production"]["default"] = {"serve": "on"}
    await world.put(document)

    with pytest.raises(Refused, match="no rollout"):
        await world.kill(scope=KillScope.ROLLOUT)


async def test_no_write_of_the_flag_ends_a_kill(world: RampWorld) -> None:
    """A latched kill outlives every edit, disabling and enabling."""
    await world.kill()

    await world.put(flag_document(50))
    await world.put(flag_document(50, enabled=False))
    await world.put(flag_document(60))

    _, kills = await world.served()
    assert len(kills) == 1


async def test_a_killed_flag_cannot_ramp(world: RampWorld) -> None:
    """A ramp on a killed flag would expose nobody: revive first."""
    await world.kill()

    with pytest.raises(Conflict, match="revive it first"):
        await world.start()


async def test_a_revival_brings_back_what_was_there_before_the_ramp(world: RampWorld) -> None:
    """After a revival the document's exposure serves, not the one that the killed ramp had reached."""
    await world.put(flag_document(5))
    ramp = (await world.start()).id
    await world.act(ramp, Action.ADVANCE)
    await world.act(ramp, Action.ADVANCE)
    assert await world.exposure() == 500_000
    await world.kill()

    answer = await world.revive()

    overlays, kills = await world.served()
    assert (overlays, kills, answer.kills) == ([], [], ())
    assert answer.notes == ("rollout default: in force 5 %, as declared",)
    assert (await world.view(ramp)).status == "aborted"
    assert (await world.start()).status == "arming"


async def test_a_revival_is_told_to_those_who_hold_the_kill(world: RampWorld, database: Database) -> None:
    """The kill's entry is served on, as revived: a holder that heard of the kill alone learns of its end."""
    [kill] = (await world.kill()).kills

    await world.revive()

    async with database.connection() as conn:
        body = await conn.fetchval("SELECT body FROM served WHERE kind = 'kill' AND key = $1", kill.kill_id)
    assert '"revived":true' in body


async def test_a_kill_over_a_promoted_ramp_leaves_its_exposure_to_the_revival(world: RampWorld) -> None:
    """Killing the rollout of a promoted ramp does not end its overlay: the revival brings it back."""
    ramp = (await world.start(steps=[10, 40])).id
    while (await world.view(ramp)).status != "soaking":
        await world.act(ramp, Action.ADVANCE)
    await world.ride(ramp, Application(world, users=500), until=["promoted"], seconds=60)
    await world.kill(scope=KillScope.ROLLOUT)

    answer = await world.revive()

    assert await world.exposure() == 400_000
    assert answer.notes == (f"rollout default: in force 40 % by ramp {ramp}",)


async def test_only_what_is_killed_is_revived(world: RampWorld) -> None:
    """Reviving a flag that is not killed is a conflict; one that does not exist is not found."""
    with pytest.raises(Conflict, match="not killed"):
        await world.revive()
    with pytest.raises(NotFound):
        await world.kill(flag="nothing")
