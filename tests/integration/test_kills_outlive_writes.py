"""No write of any kind ends a kill: only a revival does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from rheostat.model.kill import KillScope
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import Conflict
from rheostat_server.flags.apply import ApplyService
from rheostat_server.flags.service import ANY
from rheostat_server.flags.wire import FlagView
from rheostat_server.ramps.model import Action
from rheostat_server.ramps.overlay_rules import OverlayRules
from tests.integration.ramp_world import ADMIN, ENVIRONMENT, FLAG, PROJECT, RampWorld, flag_document, ramp_world

SERVES = flag_document()
SERVES["environments"][ENVIRONMENT]["default"] = {"serve": "on"}
NOWHERE = flag_document()
NOWHERE["environments"] = {}


def in_rule(name: str, **answer: Any) -> dict[str, Any]:
    """Return the flag with one rule, which has a rollout unless it serves."""
    rollout = {"exposure": 50, "split": {"on": 1}, "fallback": "off"}
    rule = {"name": name, "when": {"attribute": "country", "operator": "in", "values": ["ES"]}}
    document = flag_document()
    document["environments"][ENVIRONMENT] = {
        "enabled": True,
        "rules": [{**rule, **(answer or {"rollout": rollout})}],
        "default": {"serve": "off"},
    }
    return document


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


async def apply(world: RampWorld, *documents: dict[str, Any], prune: bool = False) -> None:
    """Apply documents."""
    service = ApplyService(world.storage, world.clock, OverlayRules(), world.announced.extend)
    await service.apply(PROJECT, list(documents), ADMIN, dry_run=False, prune=prune, force=True)


async def put(world: RampWorld, document: dict[str, Any]) -> None:
    """Write the whole document."""
    await world.put(document)


async def patch(world: RampWorld, document: dict[str, Any]) -> None:
    """Merge the document's environments into what is there."""
    here = document["environments"][ENVIRONMENT]
    default = {"rollout": None, "serve": None, **here["default"]}
    change = {"environments": {ENVIRONMENT: {"rules": here.get("rules"), "default": default}}}
    await world.flags.patch(PROJECT, FLAG, change, ADMIN, condition=ANY, restart_ramp=True)


async def archive(world: RampWorld) -> FlagView:
    """Archive the flag."""
    return await world.flags.archive(PROJECT, FLAG, ADMIN, condition=ANY, force=True)


async def unarchive(world: RampWorld) -> FlagView:
    """Put the flag back into service."""
    return await world.flags.unarchive(PROJECT, FLAG, ADMIN, condition=ANY)


@pytest.mark.parametrize("write", [put, patch, apply])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (flag_document(5), SERVES),
        (in_rule("sale"), in_rule("offers")),
        (in_rule("sale"), in_rule("sale", serve="on")),
        (in_rule("sale"), SERVES),
        (flag_document(5), flag_document(5, rollout={"fallback": "on"})),
    ],
)
async def test_a_killed_rollout_cannot_be_written_away(
    world: RampWorld,
    write: Callable[[RampWorld, dict[str, Any]], Awaitable[None]],
    before: dict[str, Any],
    after: dict[str, Any],
) -> None:
    """To remove, rename or replace a killed rollout is a conflict that names it; revived, it is an ordinary write."""
    await world.put(before)
    rollout = "sale" if "rules" in before["environments"][ENVIRONMENT] else "default"
    await world.start(rollout=rollout, steps=[60])
    [kill] = (await world.kill()).kills

    with pytest.raises(Conflict, match=f"{kill.kill_id}.*{rollout}.*revive first"):
        await write(world, after)
    _, kills = await world.served()
    assert [one.kill_id for one in kills] == [kill.kill_id]

    await world.revive()
    await write(world, after)


async def test_a_restore_ends_no_kill(world: RampWorld) -> None:
    """An earlier version without the killed rollout, or without the environment, is not written again."""
    for document in (SERVES, in_rule("sale")):
        await world.put(document)
    await world.start(rollout="sale", steps=[60])
    await world.kill()

    async def restore(version: int) -> FlagView:
        return await world.flags.restore(PROJECT, FLAG, version, None, ADMIN, condition=ANY, restart_ramp=True)

    for version in (1, 2):
        with pytest.raises(Conflict, match="rollout kill"):
            await restore(version)
    assert (await restore(3)).notes == ("nothing changed",)


async def test_a_flag_kill_keeps_what_it_serves(world: RampWorld) -> None:
    """The off variant stands still under a flag kill; the rest of the document is free."""
    await world.kill(scope=KillScope.FLAG)

    with pytest.raises(Conflict, match="off variant"):
        await world.put(flag_document(off_variant="on"))
    await world.put(SERVES)

    _, kills = await world.served()
    assert [kill.scope for kill in kills] == [KillScope.FLAG]


async def test_an_archived_flag_comes_back_killed(world: RampWorld) -> None:
    """Archiving leaves the kill latched, and says so; the flag is killed as before once it is unarchived."""
    [kill] = (await world.kill(scope=KillScope.ROLLOUT)).kills

    archived = await archive(world)
    back = await unarchive(world)

    assert any(f"kill {kill.kill_id} stays latched" in note for note in archived.notes)
    assert [one.id for one in back.in_force[ENVIRONMENT].kills] == [kill.kill_id]
    _, kills = await world.served()
    assert [one.kill_id for one in kills] == [kill.kill_id]


@pytest.mark.parametrize("scope", list(KillScope))
async def test_under_a_kill_nothing_is_in_force(world: RampWorld, scope: KillScope) -> None:
    """What is shown as in force is what users get: nobody is exposed while the kill stands."""
    await world.put(flag_document(5))
    await world.kill(scope=scope)

    killed = (await world.put(flag_document(20))).in_force[ENVIRONMENT].rollouts["default"]
    await world.revive()
    revived = (await world.put(flag_document(30))).in_force[ENVIRONMENT].rollouts["default"]

    assert (killed.declared, killed.in_force) == (20, 0)
    assert (revived.declared, revived.in_force) == (30, 30)


async def test_no_way_over_the_archive_ends_a_kill(world: RampWorld) -> None:
    """Applying another document to an archived flag, or pruning it first, is no way around the kill either."""
    await world.kill(scope=KillScope.ROLLOUT)
    await apply(world, {**flag_document(), "key": "another"}, prune=True)

    with pytest.raises(Conflict, match="revive first"):
        await apply(world, SERVES)
    await apply(world, flag_document(20))

    _, kills = await world.served()
    assert len(kills) == 1


async def test_a_killed_rollout_at_nothing_is_revived_and_cleaned_away(world: RampWorld) -> None:
    """The way out that the conflict names: no exposure, then the revival, then any edit."""
    await world.put(flag_document(50))
    await world.kill(scope=KillScope.ROLLOUT)

    await world.put(flag_document(0))
    answer = await world.revive()
    await world.put(SERVES)

    assert answer.notes == ("rollout default: in force 0 %, as declared",)


async def test_after_the_archive_the_document_is_in_force(world: RampWorld) -> None:
    """A promoted ramp's overlay ends with the archive: the unarchived flag serves what it declares."""
    await world.put(flag_document(5))
    await _promoted(world)
    assert (await world.put(flag_document(5, owner="a@example.com"))).in_force[ENVIRONMENT].rollouts[
        "default"
    ].in_force == 100

    await archive(world)
    back = (await unarchive(world)).in_force[ENVIRONMENT].rollouts["default"]

    assert (back.declared, back.in_force, back.ramp) == (5, 5, None)
    assert await world.exposure() is None


async def test_after_a_restore_the_ramp_or_the_document_is_in_force(world: RampWorld) -> None:
    """An old version with the exposure that the ramp started from leaves it in force; one with another ends it."""
    await world.put(flag_document(5))
    await world.put(flag_document(5, owner="a@example.com"))
    ramp = await _promoted(world)

    async def restored(version: int) -> tuple[float, float, str | None]:
        view = await world.flags.restore(PROJECT, FLAG, version, None, ADMIN, condition=ANY, restart_ramp=False)
        rollout = view.in_force[ENVIRONMENT].rollouts["default"]
        return rollout.declared, rollout.in_force, rollout.ramp

    assert await restored(2) == (5, 100, ramp)
    assert await restored(1) == (0, 0, None)
    assert await restored(3) == (5, 5, None)


async def _promoted(world: RampWorld) -> str:
    """Run a ramp to its promotion at 100 %, and return its id."""
    ramp = (await world.start(unguarded=True, steps=[100], soak="1s", min_dwell="1s", holdback=0)).id
    for _ in range(30):
        if (await world.view(ramp)).status == "soaking":
            break
        await world.act(ramp, Action.ADVANCE)
    await world.ride(ramp, None, until=["promoted"], seconds=60)
    return ramp
