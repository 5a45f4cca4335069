"""What people are told of ramps and kills as they happen: each once, with the figures that it happened on."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rheostat.model.kill import KillScope
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import Conflict, NotFound
from rheostat_server.notifications import outbox
from rheostat_server.notifications.message import Exposure, Message
from rheostat_server.notifications.outbox import notify_of_ramp
from rheostat_server.ramps.model import Action
from rheostat_server.ramps.news import News
from tests.integration.notice_world import Notices
from tests.integration.ramp_world import FLAG, Application, RampWorld, flag_document, ramp_world
from tests.integration.receivers import Receiver, a_receiver


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """An HTTP receiver."""
    async with a_receiver() as made:
        yield made


@pytest.fixture
async def notices(world: RampWorld, receiver: Receiver) -> AsyncIterator[Notices]:
    """What sends the world's notifications to the receiver."""
    made = Notices(world)
    await made.channel(url=receiver.url)
    yield made
    await made.sender.stop()


async def told(notices: Notices, receiver: Receiver) -> list[Message]:
    """Return what is told by now, in order."""
    await notices.send()
    return [one.message for one in receiver.received]


async def test_a_harmful_ramp(notices: Notices, receiver: Receiver) -> None:
    """Started, advanced to its first step, killed: with both arms, M over its line, and the link."""
    world = notices.world
    ramp = (await world.start()).id
    seen = await world.ride(ramp, Application(world, harm=0.3), until=["killed", "promoted", "aborted"])

    started, advanced, killed = await told(notices, receiver)
    assert (started.event, started.actor, started.status) == ("started", "ana", "arming")
    assert started.exposure == Exposure(before=0, after=0)
    assert (advanced.event, advanced.actor) == ("advanced", "controller")
    assert advanced.exposure == Exposure(before=0, after=10)
    assert killed.event == "killed"
    assert killed.exposure == Exposure(before=10, after=0)
    assert (killed.ramp, killed.rollout, killed.flag) == (ramp, "default", FLAG)
    assert killed.kill is not None
    assert (killed.kill.scope, killed.kill.source) == ("rollout", "controller")
    assert killed.why == seen[-1].why
    [errors] = killed.guardrails
    assert errors.m > errors.kill_line == pytest.approx(200)
    assert errors.treatment.rate is not None
    assert errors.control.rate is not None
    assert errors.treatment.rate > 0.1 > errors.control.rate
    assert errors.treatment.requests == seen[-1].guardrails[0].treatment.requests
    assert killed.link == f"https://flags.example.com/api/v1/projects/shop/environments/production/ramps/{ramp}"
    assert len({message.id for message in (started, advanced, killed)}) == 3


async def test_a_harmless_ramp(notices: Notices, receiver: Receiver) -> None:
    """Each step with the proof that led to it, then the soak and the promotion; observations are no news."""
    world = notices.world
    ramp = (await world.start()).id
    seen = await world.ride(ramp, Application(world), until=["killed", "promoted", "aborted"])

    messages = await told(notices, receiver)
    shown = [(message.event, message.exposure.after) for message in messages if message.exposure is not None]
    limited = [pair for pair in shown if pair[0] not in {"held", "resumed"}]
    assert limited == [
        ("started", 0), ("advanced", 10), ("advanced", 50), ("advanced", 100), ("soaking", 100), ("promoted", 100),
    ]  # fmt: skip
    assert len(messages) < len(seen) / 2
    second = next(message for message in messages if message.exposure == Exposure(before=10, after=50))
    [errors] = second.guardrails
    assert errors.proved
    assert max(errors.e, errors.a) >= errors.advance_line


async def test_what_people_do(notices: Notices, receiver: Receiver) -> None:
    """Pausing, going on and aborting are told with who did it and why; what is refused is not."""
    world = notices.world
    ramp = (await world.start(preflight="0s", unguarded=True)).id
    await world.act(ramp, Action.PAUSE, "lunch")
    with pytest.raises(Conflict):
        await world.act(ramp, Action.PAUSE)
    await world.act(ramp, Action.RESUME, "back")
    await world.act(ramp, Action.ADVANCE, "go")
    await world.act(ramp, Action.ABORT, "enough")

    messages = await told(notices, receiver)
    assert [message.event for message in messages] == ["started", "paused", "resumed", "advanced", "aborted"]
    assert {message.actor for message in messages} == {"ana"}
    assert [message.why.rpartition(": ")[2] for message in messages[1:]] == ["lunch", "back", "go", "enough"]
    assert messages[-1].exposure == Exposure(before=50, after=0)


@pytest.mark.parametrize("scope", [KillScope.FLAG, KillScope.ROLLOUT, None])
async def test_a_kill_by_hand_and_a_revival(notices: Notices, receiver: Receiver, scope: KillScope | None) -> None:
    """A kill that ends a ramp is told once, with the ramp; killed already, nothing more is told."""
    world = notices.world
    ramp = (await world.start(preflight="0s", unguarded=True)).id
    await world.kill(scope=scope)
    if scope is not None:
        await world.kill(scope=scope)
    await world.revive()

    messages = await told(notices, receiver)
    assert [message.event for message in messages] == ["started", "killed", "revived"]
    killed, revived = messages[1:]
    assert (killed.ramp, killed.why, killed.actor) == (ramp, "it burns", "ana")
    assert killed.kill is not None
    assert killed.kill.source == "person"
    assert killed.kill.scope == (scope or KillScope.ROLLOUT).value
    assert (revived.why, revived.actor, revived.ramp) == ("fixed", "ana", None)


async def test_a_kill_without_a_ramp(notices: Notices, receiver: Receiver) -> None:
    """A flag that no ramp turns is killed, and told of as a flag."""
    await notices.world.kill()

    [killed] = await told(notices, receiver)
    assert (killed.event, killed.ramp, killed.exposure, killed.guardrails) == ("killed", None, None, ())
    assert killed.link == f"https://flags.example.com/api/v1/projects/shop/flags/{FLAG}"


async def test_a_write_that_ends_a_ramp(notices: Notices, receiver: Receiver) -> None:
    """A write of the flag's exposure aborts the ramp, and that is told; one that restarts it tells both."""
    world = notices.world
    await world.start(preflight="0s", unguarded=True)
    await world.put(flag_document(rollout={"salt": "other"}), restart=True)
    await world.put(flag_document(5, rollout={"salt": "other"}))

    messages = await told(notices, receiver)
    assert [message.event for message in messages] == ["started", "aborted", "started", "aborted"]
    assert len({message.ramp for message in messages}) == 2
    assert "exposure was changed" in messages[-1].why


async def test_what_is_rolled_back_is_not_told(notices: Notices, receiver: Receiver) -> None:
    """A write that is refused in the end has told nobody anything."""
    world = notices.world
    await world.start(preflight="0s", unguarded=True)
    with pytest.raises(Conflict):
        await world.put(flag_document(rollout={"salt": "other"}))
    with pytest.raises(NotFound):
        await world.kill(flag="nowhere")

    assert [message.event for message in await told(notices, receiver)] == ["started"]


async def test_news_that_no_change_makes(notices: Notices, receiver: Receiver) -> None:
    """A ramp that nobody looks after can be told of too, with its figures as they were last seen."""
    world = notices.world
    ramp = (await world.start()).id
    await world.ride(ramp, Application(world), until=["running"])
    row = await world.row(ramp)
    async with world.storage.transaction() as tx:
        await notify_of_ramp(tx, News.UNATTENDED, row, at_ms=world.clock.wall_ms(), why="silent for 45 s")

    last = (await told(notices, receiver))[-1]
    assert (last.event, last.why, last.ramp) == ("unattended", "silent for 45 s", ramp)
    assert last.exposure == Exposure(before=10, after=10)
    assert [one.name for one in last.guardrails] == ["errors"]


async def test_figures_that_cannot_be_worked_out_keep_no_kill(
    notices: Notices, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect in what a message says leaves the figures out; the ramp is killed, and told of, all the same."""

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(outbox, "figures", broken)
    world = notices.world
    ramp = (await world.start()).id
    await world.ride(ramp, Application(world, harm=0.3), until=["killed", "promoted", "aborted"])

    messages = await told(notices, receiver)
    assert [message.event for message in messages] == ["started", "advanced", "killed"]
    assert messages[-1].guardrails == ()


async def test_a_reason_that_is_no_text(notices: Notices, receiver: Receiver) -> None:
    """Half a character and a NUL in a reason keep nothing from being told."""
    await notices.tell(why="half \ud83d, nul \x00, " + "x" * 5000)

    [one] = await told(notices, receiver)
    assert one.why.startswith("half ?, nul \x00, xxx")
    assert len(one.why) == 2000
