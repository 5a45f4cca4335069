"""One path for every kill: whoever gives the order, the same is written and served."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from rheostat.model.kill import KillScope
from rheostat_server.adapters.metrics.watches import PrometheusWatches
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.hooks.alertmanager import read_notification
from rheostat_server.hooks.service import HookService
from rheostat_server.ports.hooks import HookRow
from rheostat_server.ramps.model import Action
from rheostat_server.ramps.replay import replay
from tests.integration.ramp_world import ENVIRONMENT, FLAG, PROJECT, Application, RampWorld, flag_document, ramp_world

Kills = Callable[[RampWorld, str], Awaitable[None]]


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written, with a rollout of a rule beside the default's."""
    async with ramp_world(database) as made:
        rollout = {"exposure": 0, "split": {"on": 1}, "fallback": "off"}
        when = {"attribute": "country", "operator": "in", "values": ["ES"]}
        await made.put(flag_document(environment={"rules": [{"name": "sale", "when": when, "rollout": rollout}]}))
        yield made


async def by_person(world: RampWorld, ramp: str) -> None:
    """As the API and the command do."""
    await world.kill()


async def by_controller(world: RampWorld, ramp: str) -> None:
    """By the guard, on evidence."""
    await world.ride(ramp, Application(world, harm=0.4), until=["killed"])


async def by_alertmanager(world: RampWorld, ramp: str) -> None:
    """By a firing alert."""
    watches = PrometheusWatches(world.metrics.registry)
    hooks = HookService(world.storage, world.clock, world.announced.extend, watches)
    labels = {"rheostat_project": PROJECT, "rheostat_environment": ENVIRONMENT, "rheostat_flag": FLAG}
    row = HookRow(id="h", project=PROJECT, environments=(), flags=(), hash=b"", hint="", label="am", created_at_ms=0)
    body = {"version": "4", "alerts": [{"labels": {"alertname": "Burns", **labels}}]}
    [done] = await hooks.receive(row, read_notification(json.dumps(body).encode()))
    assert done.result == "killed"


SOURCES = {"person": by_person, "controller": by_controller, "alertmanager": by_alertmanager}


async def written(world: RampWorld, ramp: str) -> dict[str, Any]:
    """Return what a kill left: the rows as stored, what is served, the audit, the decision's kind."""
    overlays, served = await world.served()
    async with world.storage.transaction() as tx:
        [kill] = await tx.kills.in_force(world.environment.id, FLAG)
        [decision] = await tx.ramps.last_decisions(ramp, 1)
        entries = list(reversed(await tx.audit.read(limit=2)))
        row = await tx.ramps.get(ramp)
    details = [msgspec.json.decode(entry.detail) for entry in entries]
    assert [one.kill_id for one in served] == [kill.kill_id] == [each["kill_id"] for each in details[1]["kills"]]
    assert [(one.source, one.ramp) for one in served] == [(kill.source, ramp)]
    assert [detail["source"] for detail in details] == [kill.source] * 2
    assert [entry.actor for entry in entries] == [kill.actor] * 2
    assert decision.seq == row.version
    assert kill.reason in entries[1].summary
    return {
        "overlays": overlays,
        "scope": kill.scope,
        "rollout": kill.rollout,
        "ramp": kill.ramp_id,
        "served": [(one.scope, one.rollout, one.flag, one.revived) for one in served],
        "audited": [(entry.action, entry.subject, entry.project, entry.environment) for entry in entries],
        "details": [sorted(detail) for detail in details],
        "decision": decision.kind,
        "state": (row.state.status, row.state.exposure_ppm, row.live, row.overlaid, row.ended_at_ms is not None),
        "announced": world.announced[-1],
    }


@pytest.mark.parametrize("source", SOURCES)
async def test_each_source_writes_the_same(world: RampWorld, source: str) -> None:
    """The same rows, the same served, the same in the audit, the same kind of decision; ``source`` tells who it was."""
    ramp = (await world.start()).id
    await world.act(ramp, Action.ADVANCE)
    await SOURCES[source](world, ramp)

    seen = await written(world, ramp)

    seen["details"][0] = [name for name in seen["details"][0] if name != "reason"]
    assert seen == {
        "overlays": [],
        "scope": KillScope.ROLLOUT,
        "rollout": "default",
        "ramp": ramp,
        "served": [(KillScope.ROLLOUT, "default", FLAG, False)],
        "audited": [("ramp.kill", FLAG, PROJECT, ENVIRONMENT), ("flag.kill", FLAG, PROJECT, ENVIRONMENT)],
        "details": [["exposure_ppm", "ramp", "rollout", "source", "status"], ["kills", "notes", "source"]],
        "decision": "kill",
        "state": ("killed", 0, False, False, True),
        "announced": world.environment.id,
    }
    async with world.storage.transaction() as tx:
        assert [kill.source for kill in await tx.kills.in_force(world.environment.id, FLAG)] == [source]
        rows = await tx.ramps.decisions(ramp, limit=1000)
    replayed = list(replay(rows))
    assert [each.differences for each in replayed] == [()] * len(replayed)
    said = {
        "person": "killed by a person: ",
        "controller": "errors: ",
        "alertmanager": "killed by alertmanager: alert ",
    }
    assert (await world.view(ramp)).why.startswith(said[source])


async def test_a_controllers_kill_of_a_flag_ends_its_other_ramps(world: RampWorld) -> None:
    """``kill: flag`` in one ramp's plan leaves no live ramp on the flag, as a person's kill of the flag does not."""
    other = (await world.start(rollout="sale")).id
    ramp = (await world.start_beside(kill="flag")).id
    await world.act(ramp, Action.ADVANCE)

    await by_controller(world, ramp)

    assert (await world.view(other)).status == "killed"
    _, [kill] = await world.served()
    assert (kill.scope, kill.source) == (KillScope.FLAG, "controller")
    async with world.storage.transaction() as tx:
        assert [row for row in await tx.ramps.of_flag(world.environment.id, FLAG) if row.live] == []


async def test_a_controllers_kill_of_a_rollout_leaves_the_other_ramp(world: RampWorld) -> None:
    """A rollout kill takes its own rollout and no other."""
    other = (await world.start(rollout="sale")).id
    ramp = (await world.start_beside()).id
    await world.act(ramp, Action.ADVANCE)

    await by_controller(world, ramp)

    assert (await world.view(other)).status in ("arming", "running")
    _, [kill] = await world.served()
    assert (kill.scope, kill.rollout) == (KillScope.ROLLOUT, "default")


@pytest.mark.parametrize("source", ["person", "controller"])
async def test_a_second_kill_without_a_scope_changes_nothing(world: RampWorld, source: str) -> None:
    """What stands is what was meant: a rollout kill is not widened to the flag but by whoever says so."""
    ramp = (await world.start()).id
    await world.act(ramp, Action.ADVANCE)
    await SOURCES[source](world, ramp)
    before = await world.revision()
    _, [first] = await world.served()

    answer = await world.kill(reason="again")

    assert [kill.kill_id for kill in answer.kills] == [first.kill_id]
    assert await world.revision() == before
    assert "killed in production already" in answer.notes[0]
    scoped = await world.kill(reason="the flag then", scope=KillScope.FLAG)
    assert sorted(kill.scope for kill in scoped.kills) == ["flag", "rollout"]


async def test_a_kill_beside_a_killed_rollout_takes_what_ramps(world: RampWorld) -> None:
    """Where one rollout is killed and another ramps, a kill without a scope means the one that ramps."""
    ramp = (await world.start()).id
    other = (await world.start_beside(rollout="sale")).id
    await world.act(ramp, Action.ADVANCE)
    await by_controller(world, ramp)

    answer = await world.kill(reason="that one too")

    assert sorted(str(kill.rollout) for kill in answer.kills) == ["default", "sale"]
    assert (await world.view(other)).status == "killed"
