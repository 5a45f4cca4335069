"""What people do with ramps: start, act, and write flags under them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rheostat.model.kill import KillScope
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import Conflict, Invalid, NotFound, Refused
from rheostat_server.flags.service import ANY
from rheostat_server.ramps.kill_of_ramp import kill_of_ramp
from rheostat_server.ramps.model import Action
from rheostat_server.ramps.replay import replay
from tests.integration.ramp_world import (
    ADMIN,
    ENVIRONMENT,
    FLAG,
    PROJECT,
    Application,
    RampWorld,
    flag_document,
    ramp_document,
    ramp_world,
    without_cursors,
)


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written, at 0 %."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


async def promoted(world: RampWorld, **changes: object) -> str:
    """Return a ramp that ended well."""
    ramp = (await world.start(**changes)).id
    while (await world.view(ramp)).status not in {"soaking", "promoted"}:
        await world.act(ramp, Action.ADVANCE)
    await world.ride(ramp, Application(world, users=500), until=["promoted"], seconds=60)
    return ramp


async def test_a_started_ramp_is_served_announced_and_audited(world: RampWorld) -> None:
    """Starting a ramp serves its overlay with a unit key, announces the environment, and tells who started it."""
    world.announced.clear()

    view = await world.start()

    [overlay], _ = await world.served()
    assert (overlay.ramp, overlay.exposure_ppm, overlay.arming_ppm, overlay.epoch, overlay.live) == (
        view.id, 0, 100_000, 1, True
    )  # fmt: skip
    assert len(bytes.fromhex(overlay.unit_key or "")) == 32
    assert world.announced == [world.environment.id]
    assert (view.status, view.started_by, view.steps, view.proof) == ("arming", "ana", (10, 50, 100), "randomised")
    assert any("can kill after 4 failing users" in note for note in view.notes)
    assert b'arm="treatment",environment="production",exposure_ppm="100000"' in world.metrics.render()[0]


async def test_two_ramps_have_two_unit_keys(world: RampWorld) -> None:
    """The hash of a unit in one ramp says nothing of it in the next."""
    first = await world.start()
    await world.act(first.id, Action.ABORT)
    second = await world.start()

    assert (await world.row(first.id)).unit_key != (await world.row(second.id)).unit_key


async def test_a_second_ramp_of_a_rollout_is_refused(world: RampWorld) -> None:
    """While a ramp of the rollout is live, another is a conflict that names it."""
    first = await world.start()

    with pytest.raises(Conflict, match=first.id):
        await world.start()


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"rollout": "sale"}, "rollout"),
        ({"environment": "staging"}, "environment"),
        ({"steps": [10], "holdback": 60}, "holdback"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
async def test_a_plan_that_cannot_work_changes_nothing(
    world: RampWorld, document: dict[str, object], fault: str
) -> None:
    """A fault in the document is named by its path, and nothing is written."""
    before = await world.revision()

    with pytest.raises(Invalid) as caught:
        await world.start(**document)

    assert [one.path for one in caught.value.faults] == [fault]
    assert await world.revision() == before


async def test_a_rollout_without_fallback_cannot_ramp(world: RampWorld) -> None:
    """A ramp needs to know what the unexposed get."""
    document = flag_document()
    del document["environments"][ENVIRONMENT]["default"]["rollout"]["fallback"]
    await world.put(document)

    with pytest.raises(Invalid) as caught:
        await world.start()

    assert "fallback" in str(caught.value.faults[0])


async def test_a_disabled_or_unknown_flag_cannot_ramp(world: RampWorld) -> None:
    """A ramp on a flag that serves nobody is refused with the reason."""
    with pytest.raises(NotFound):
        await world.start(flag="nothing")
    await world.put(flag_document(enabled=False))
    with pytest.raises(Refused, match="disabled"):
        await world.start()


async def test_a_flag_without_off_variant_cannot_be_planned_to_be_killed_whole(world: RampWorld) -> None:
    """``kill: flag`` needs an off variant at the start, not at the moment of need."""
    document = flag_document()
    del document["off_variant"]
    await world.put(document)

    with pytest.raises(Invalid, match="1 fault"):
        await world.start(kill="flag")


async def test_an_abort_brings_back_what_was_in_force(world: RampWorld) -> None:
    """Aborting a ramp restores the exposure of its start: the document's, or the ramp's before it."""
    ramp = (await world.start()).id
    await world.act(ramp, Action.ADVANCE)
    assert await world.exposure() == 100_000

    view = await world.act(ramp, Action.ABORT, "not today")

    assert (view.status, view.in_force) == ("aborted", False)
    assert "not today" in view.why
    assert await world.exposure() is None


async def test_an_abort_brings_back_the_earlier_ramp(world: RampWorld) -> None:
    """A ramp over a promoted one covers it, and its abort uncovers it again."""
    first = await promoted(world, steps=[10, 40])
    assert await world.exposure() == 400_000
    second = await world.start(steps=[60, 100])
    assert "declared 0 %, in force 40 %" in second.notes[0]
    await world.act(second.id, Action.ADVANCE)
    assert await world.exposure() == 600_000

    await world.act(second.id, Action.ABORT)

    [overlay], _ = await world.served()
    assert (overlay.ramp, overlay.exposure_ppm, overlay.live) == (first, 400_000, False)


async def test_steps_at_or_below_the_exposure_in_force_are_skipped(world: RampWorld) -> None:
    """A ramp goes on from the exposure in force, which an earlier ramp may have raised."""
    await promoted(world, steps=[10, 40])

    view = await world.start(steps=[10, 40, 60])

    assert view.steps == (60,)


async def test_an_action_that_is_not_allowed_says_where_the_ramp_stands(world: RampWorld) -> None:
    """A resume of a ramp that is not paused, and anything after its end, is a conflict."""
    ramp = (await world.start()).id

    with pytest.raises(Conflict, match="arming"):
        await world.act(ramp, Action.RESUME)
    await world.act(ramp, Action.ABORT)
    with pytest.raises(Conflict, match="aborted"):
        await world.act(ramp, Action.PAUSE)


async def test_a_ramp_is_found_in_its_own_environment_alone(world: RampWorld) -> None:
    """Asking for a ramp by another environment, or by what is no id, finds nothing."""
    ramp = (await world.start()).id
    async with world.storage.transaction() as tx:
        await tx.projects.add_environment(world.environment.project_id, "staging", "staging", 0)

    with pytest.raises(NotFound):
        await world.ramps.get(PROJECT, "staging", ramp)
    with pytest.raises(NotFound):
        await world.view("no-id")


async def test_what_people_did_is_among_the_decisions_and_replays(world: RampWorld) -> None:
    """Actions are stored with actor and reason, in order with the rule's own, and give the same states again."""
    ramp = (await world.start()).id
    await world.act(ramp, Action.ADVANCE, "hurry")
    await world.tick()
    await world.act(ramp, Action.PAUSE)
    await world.act(ramp, Action.RESUME)
    await world.act(ramp, Action.ABORT, "enough")

    told = await world.ramps.decisions(PROJECT, ENVIRONMENT, ramp)
    last = await world.ramps.decisions(PROJECT, ENVIRONMENT, ramp, last=2)
    async with world.storage.transaction() as tx:
        rows = await tx.ramps.decisions(ramp)

    assert [one.kind for one in told.decisions] == ["start", "advance", "hold", "pause", "resume", "abort"]
    assert [one.kind for one in last.decisions] == ["resume", "abort"]
    assert (told.decisions[1].detail.actor, told.decisions[1].detail.reason) == ("ana", "hurry")
    assert without_cursors(list(replay(rows))[-1].state) == without_cursors((await world.row(ramp)).state)


async def test_a_write_of_another_exposure_aborts_the_ramp(world: RampWorld) -> None:
    """Whoever sets the exposure by hand means it: the live ramp ends, and the answer says so."""
    ramp = (await world.start()).id
    await world.act(ramp, Action.ADVANCE)

    view = await world.put(flag_document(20))

    assert (await world.view(ramp)).status == "aborted"
    assert await world.exposure() is None
    assert any("was aborted: the document's exposure was changed from 0 % to 20 %" in note for note in view.notes)
    assert "ramp.abort" in await world.audited()


async def test_applying_the_same_document_leaves_the_ramp_alone(world: RampWorld) -> None:
    """A file that says what it always said never fights a ramp; edits beside the rollout are no matter either."""
    ramp = (await world.start()).id
    await world.act(ramp, Action.ADVANCE)

    await world.put(flag_document(0))
    await world.put(flag_document(0, owner="payments@example.com", variants={"on": True, "off": False}))

    assert (await world.view(ramp)).status == "running"
    assert await world.exposure() == 100_000


async def test_disabling_the_flag_aborts_the_ramp(world: RampWorld) -> None:
    """A disabled flag exposes nobody, so its ramp is over."""
    ramp = (await world.start()).id

    await world.put(flag_document(enabled=False))

    assert (await world.view(ramp)).why == "the flag was disabled"


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        ({"rollout": {"salt": "fresh"}}, "salt"),
        ({"rollout": {"bucket_by": "company"}}, "bucket_by"),
        ({"rollout": {"fallback": "on"}}, "fallback"),
        ({"environment": {"targets": {"on": ["user-1"]}}}, "targets"),
        (
            {
                "environment": {
                    "rules": [
                        {"name": "pro", "when": {"attribute": "p", "operator": "in", "values": [1]}, "serve": "on"}
                    ]
                }
            },
            "earlier rules",
        ),
    ],
)
async def test_an_edit_that_spoils_the_evidence_is_refused(world: RampWorld, edit: dict[str, Any], word: str) -> None:
    """What decides who meets the rollout stands still while its ramp runs; a restart starts the ramp afresh."""
    ramp = (await world.start()).id
    await world.act(ramp, Action.ADVANCE)

    with pytest.raises(Conflict, match=word):
        await world.put(flag_document(**edit))
    assert (await world.view(ramp)).status == "running"

    view = await world.put(flag_document(**edit), restart=True)

    assert (await world.view(ramp)).status == "aborted"
    [overlay], _ = await world.served()
    fresh = await world.view(overlay.ramp)
    assert (fresh.status, fresh.steps, overlay.exposure_ppm) == ("arming", (10, 50, 100), 0)
    assert any(fresh.id in note for note in view.notes)


async def test_a_restart_passes_the_checks_of_a_start(world: RampWorld) -> None:
    """An edit after which a ramp could not be started is refused with a restart too, and says what is missing."""
    ramp = (await world.start()).id
    await world.act(ramp, Action.ADVANCE)

    with pytest.raises(Conflict, match=r"cannot start afresh: .*fallback"):
        await world.put(flag_document(rollout={"fallback": None}), restart=True)

    assert (await world.view(ramp)).status == "running"
    assert await world.exposure() == 100_000


async def test_a_ramp_on_a_flag_that_is_killed_elsewhere_does_not_start_afresh(world: RampWorld) -> None:
    """While another rollout of the flag is killed there is no fresh start, as there is no start."""
    rollout = {"exposure": 0, "split": {"on": 1}, "fallback": "off"}
    when = {"attribute": "country", "operator": "in", "values": ["ES"]}
    rule = {"name": "sale", "when": when, "rollout": rollout}
    await world.put(flag_document(environment={"rules": [rule]}))
    sale = await world.start(rollout="sale")
    await world.act(sale.id, Action.ABORT)
    ramp = (await world.start()).id
    async with world.storage.transaction() as tx:
        row = await tx.ramps.get(sale.id)
        kill = kill_of_ramp(
            row, scope=KillScope.ROLLOUT, source="controller", actor="controller", reason="it burns", at_ms=1
        )
        await tx.kills.add(kill)

    with pytest.raises(Conflict, match="is killed in production"):
        await world.put(flag_document(rollout={"salt": "fresh"}, environment={"rules": [rule]}), restart=True)
    assert (await world.view(ramp)).status == "arming"


async def test_a_ramp_that_would_kill_the_flag_keeps_its_off_variant(world: RampWorld) -> None:
    """What its kill will serve was settled at the start: another off variant is refused, or starts the ramp afresh."""
    await world.start(kill="flag")

    with pytest.raises(Conflict, match="this changes off_variant"):
        await world.put(flag_document(off_variant="on"))
    with pytest.raises(Conflict, match=r"cannot start afresh: .*no off variant"):
        await world.put(flag_document(off_variant=None), restart=True)


@pytest.mark.parametrize(("exposure", "words"), [(20, "20 % now"), (40, "says 40 % itself")])
async def test_a_promoted_overlay_ends_when_the_document_speaks(world: RampWorld, exposure: int, words: str) -> None:
    """After promotion a write of another exposure, or of the one in force, puts the document in force again."""
    await promoted(world, steps=[10, 40])
    await world.put(flag_document(0, owner="someone@example.com"))
    assert await world.exposure() == 400_000

    view = await world.put(flag_document(exposure))

    assert await world.exposure() is None
    assert any(words in note for note in view.notes)


async def test_a_write_under_a_ramp_over_a_ramp_ends_both(world: RampWorld) -> None:
    """The abort uncovers the earlier ramp, which the same write ends: the document alone is in force."""
    await promoted(world, steps=[10, 40])
    second = (await world.start(steps=[60])).id

    await world.put(flag_document(20))

    assert (await world.view(second)).status == "aborted"
    assert await world.exposure() is None


async def test_archiving_the_flag_ends_its_ramps(world: RampWorld) -> None:
    """An archived flag keeps neither a live ramp nor an overlay."""
    ramp = (await world.start()).id

    await world.flags.archive(PROJECT, FLAG, ADMIN, condition=ANY, force=True)

    assert (await world.view(ramp)).status == "aborted"
    assert await world.exposure() is None


async def test_ramps_are_listed_newest_first(world: RampWorld) -> None:
    """The list of an environment has each ramp, by flag if asked."""
    first = await world.start()
    await world.act(first.id, Action.ABORT)
    world.manual.advance(1)
    second = await world.start()

    listed = await world.ramps.all(PROJECT, ENVIRONMENT)

    assert [view.id for view in listed.ramps] == [second.id, first.id]
    assert (await world.ramps.all(PROJECT, ENVIRONMENT, flag="other")).ramps == ()


async def test_a_ramp_document_may_leave_the_environment_to_the_address(world: RampWorld) -> None:
    """The environment of the request is the document's when it names none."""
    document = ramp_document()
    assert "environment" not in document

    view = await world.ramps.start(PROJECT, ENVIRONMENT, document, actor="ana")

    assert view.environment == ENVIRONMENT


async def test_of_many_starts_at_once_one_wins(world: RampWorld) -> None:
    """Concurrent starts on one rollout leave one live ramp; the others are told of it."""
    answers = await asyncio.gather(*(world.start() for _ in range(6)), return_exceptions=True)

    lost = [answer for answer in answers if isinstance(answer, Conflict)]
    assert len(lost) == 5
    assert len((await world.ramps.all(PROJECT, ENVIRONMENT)).ramps) == 1


async def test_people_and_batches_do_not_deadlock(world: RampWorld) -> None:
    """Actions, kills, flag writes, batches and ticks at once all end, each either done or refused in words."""
    ramp = (await world.start()).id
    application = Application(world, users=200)

    answers = await asyncio.gather(
        *(application.serve(50) for _ in range(5)),
        *(world.act(ramp, action) for action in (Action.PAUSE, Action.RESUME, Action.ADVANCE, Action.ABORT)),
        *(world.tick() for _ in range(5)),
        world.kill(),
        world.put(flag_document(20)),
        return_exceptions=True,
    )

    assert {type(answer) for answer in answers if isinstance(answer, BaseException)} <= {Conflict}
    assert (await world.view(ramp)).status in {"killed", "aborted"}
    assert len((await world.served())[1]) == 1


async def test_the_controller_runs_by_itself(world: RampWorld) -> None:
    """Started as a component it takes the lease and moves ramps; stopped, it leaves the lease to another."""
    await world.controller.lease.give_up()
    ramp = (await world.start()).id
    running = world.another_controller("two")

    await running.start()
    for _ in range(100):
        await asyncio.sleep(0.05)
        if (await world.row(ramp)).state.observations:
            break
    await running.stop()

    assert (await world.row(ramp)).state.observations > 0
    assert running.lease.token is None
    await world.controller.lease.step()
    assert world.controller.lease.token is not None
