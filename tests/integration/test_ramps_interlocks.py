"""One ramp a flag, and one at a time on a salt and unit."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from rheostat_server.adapters.storage.postgres.migrate import migrate, migrations_dir
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import Conflict, Fault, Invalid, RheostatServerError
from rheostat_server.flags.service import ANY, FlagService
from rheostat_server.ports.ramps import RampEffects
from rheostat_server.ports.storage import Transaction
from rheostat_server.ramps.model import Action
from rheostat_server.ramps.overlay_rules import OverlayRules
from rheostat_server.ramps.wire import RampView
from rheostat_server.shared.service import SharedService
from tests.integration.ramp_world import (
    ADMIN,
    ENVIRONMENT,
    FLAG,
    PROJECT,
    RampWorld,
    flag_document,
    ramp_world,
)
from tests.postgres_fixture import TestServer

WHEN = {"attribute": "country", "operator": "in", "values": ["ES"]}


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written, at 0 %."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


def a_rule(exposure: float, name: str = "sale", **rollout: Any) -> dict[str, Any]:
    """A rule that rolls out."""
    return {
        "name": name,
        "when": WHEN,
        "rollout": {"exposure": exposure, "split": {"on": 1}, "fallback": "off", **rollout},
    }


async def put(world: RampWorld, key: str, exposure: float = 0, **changes: Any) -> None:
    """Write another flag like the world's own."""
    document = {**flag_document(exposure, **changes), "key": key}
    await world.flags.put(PROJECT, key, document, ADMIN, condition=ANY, restart_ramp=False)


async def faults(world: RampWorld, **changes: Any) -> Sequence[Fault]:
    """What keeps the ramp from starting; nothing is written."""
    before = await world.revision()
    with pytest.raises(Invalid) as caught:
        await world.start(**changes)
    assert await world.revision() == before
    return caught.value.faults


async def test_a_flag_has_one_live_ramp(world: RampWorld) -> None:
    """A second one, of another rollout too, is a conflict that names the first; over it makes room."""
    await world.put(flag_document(environment={"rules": [a_rule(0, salt="apart")]}))
    first = await world.start()

    for rollout in ("default", "sale"):
        with pytest.raises(Conflict, match=rf"ramp {first.id} of checkout \(default\) is arming.*one ramp at a time"):
            await world.start(rollout=rollout)

    await world.act(first.id, Action.ABORT)
    assert (await world.start(rollout="sale")).status == "arming"


async def test_of_two_starts_at_once_one_is_refused(world: RampWorld) -> None:
    """On one flag, and on two flags that share a salt: whoever is second sees the first."""
    await world.put(flag_document(environment={"rules": [a_rule(0, salt="apart")]}))
    await put(world, "payments", rollout={"salt": FLAG})

    for both in (({"rollout": "default"}, {"rollout": "sale"}), ({}, {"flag": "payments"})):
        ends = await asyncio.gather(*(world.start(**one) for one in both), return_exceptions=True)
        begun = [end for end in ends if isinstance(end, RampView)]
        assert len(begun) == 1
        assert len([end for end in ends if isinstance(end, Conflict)]) == 1
        await world.act(begun[0].id, Action.ABORT)


async def test_an_earlier_rule_on_the_same_line_is_refused_by_name(world: RampWorld) -> None:
    """With a salt of its own, at 0 %, at 100 % or below the rollout it hinders nothing."""
    await world.put(flag_document(environment={"rules": [a_rule(25)]}))

    [fault] = await faults(world)

    assert fault.path == "rollout"
    assert "the rule sale before it rolls out to 25 % on the same salt (checkout) and unit (targetingKey)" in str(fault)
    assert "a salt of its own" in str(fault)
    for rule in (a_rule(25, salt="apart"), a_rule(0), a_rule(100), a_rule(25, bucket_by="company")):
        await world.put(flag_document(environment={"rules": [rule]}))
        view = await world.start()
        await world.act(view.id, Action.ABORT)
    await world.put(flag_document(50, environment={"rules": [a_rule(0)]}))
    assert (await world.start(rollout="sale")).status == "arming"


async def test_other_faults_are_told_with_it(world: RampWorld) -> None:
    """All that is wrong with a plan comes at once."""
    await world.put(flag_document(20, environment={"rules": [a_rule(25)]}))

    assert [fault.path for fault in await faults(world, steps=[10], holdback=0)] == ["steps", "rollout"]


async def test_an_earlier_rules_ramp_that_was_promoted_counts_as_it_is_in_force(world: RampWorld) -> None:
    """Declared 25 %, in force 100 % by a promoted ramp: everybody who meets it gets the same."""
    await world.put(flag_document(environment={"rules": [a_rule(25)]}))
    plan = {"steps": [50, 100], "holdback": 0, "soak": "0s", "unguarded": True, "min_dwell": "0s"}
    sale = (await world.start(rollout="sale", **plan)).id
    await world.ride(sale, None, until=["promoted"], seconds=30)

    assert (await world.start()).status == "arming"


async def test_prerequisites_on_the_same_line_are_refused_by_name(world: RampWorld) -> None:
    """Directly or through others; one that serves everybody the same, or is disabled, hinders nothing."""
    await put(world, "base", 10, rollout={"salt": FLAG})
    await put(world, "payments", 50, environment={"prerequisites": [{"flag": "base", "variants": ["on"]}]})
    needs = {"prerequisites": [{"flag": "payments", "variants": ["on"]}]}
    await world.put(flag_document(environment=needs))

    [fault] = await faults(world)

    assert "the prerequisite base (rollout default) rolls out to 10 % on the same salt (checkout)" in str(fault)
    await put(world, "base", 100, rollout={"salt": FLAG})
    assert (await world.start()).status == "arming"


async def test_a_second_live_ramp_on_the_same_line_is_refused_by_name(world: RampWorld) -> None:
    """Of another flag in the environment; when the first is over there is room."""
    await put(world, "payments", rollout={"salt": FLAG})
    await put(world, "search")
    first = await world.start(flag="payments")

    with pytest.raises(
        Conflict, match=rf"ramp {first.id} of payments \(default\) is arming on the same salt"
    ) as caught:
        await world.start()
    assert "a salt of its own" in str(caught.value)
    assert (await world.start(flag="search")).status == "arming"
    await world.act(first.id, Action.ABORT)
    assert (await world.start()).status == "arming"


async def test_parts_of_a_layer_ramp_beside_each_other(world: RampWorld) -> None:
    """Two flags in one layer have ranges that do not meet, and so no user in common."""
    layers = SharedService("layer", world.storage, world.clock, OverlayRules(), world.announced.extend)
    await layers.put(PROJECT, "area", {"kind": "layer", "key": "area"}, ADMIN, condition=ANY, restart_ramp=False)
    for key, part in ((FLAG, [0, 50]), ("payments", [50, 100])):
        await put(world, key, rollout={"layer": "area", "range": part})

    views = [await world.start(flag=key) for key in (FLAG, "payments")]

    assert [view.status for view in views] == ["arming", "arming"]


async def test_a_restart_is_checked_as_a_start_is(world: RampWorld) -> None:
    """An edit that puts a rule before it which rolls out on its line cannot start the ramp afresh."""
    ramp = (await world.start()).id
    edited = flag_document(environment={"rules": [a_rule(25)]})

    with pytest.raises(Conflict, match=r"cannot start afresh: rollout: the rule sale before it rolls out to 25 %"):
        await world.put(edited, restart=True)
    assert (await world.view(ramp)).status == "arming"

    await put(world, "payments")
    beside = await world.start(flag="payments")
    with pytest.raises(Conflict, match=rf"ramp {beside.id} of payments \(default\) is arming on the same salt"):
        await world.put(flag_document(rollout={"salt": "payments"}), restart=True)
    await world.act(beside.id, Action.ABORT)

    await world.put(flag_document(environment={"rules": [a_rule(25, salt="apart")]}), restart=True)
    assert (await world.view(ramp)).status == "aborted"
    [now] = [view for view in (await world.ramps.all(PROJECT, ENVIRONMENT)).ramps if view.status == "arming"]
    assert now.flag == FLAG


async def test_the_index_itself_holds_one_live_ramp_a_flag(world: RampWorld) -> None:
    """Whoever writes past the checks is stopped by the database."""
    await world.put(flag_document(environment={"rules": [a_rule(0, salt="apart")]}))
    first = await world.row((await world.start()).id)
    second = await world.row((await world.start(start_at="2027-01-01T00:00:00Z", rollout="sale")).id)

    async with world.storage.transaction() as tx:
        with pytest.raises(RheostatServerError, match="another ramp of flag 'checkout' is live"):
            await tx.ramps.save(replace(second, version=second.version + 1, live=True, state=first.state))


async def test_ramps_that_were_live_on_one_flag_before_go_on(postgres_server: TestServer, tmp_path: Path) -> None:
    """The migration ends none of them, and lets them be saved; elsewhere there is one a flag from then on."""
    url = postgres_server.empty_database()
    for file in sorted(migrations_dir().glob("*.sql"))[:4]:
        (tmp_path / file.name).write_text(file.read_text())
    await migrate(url, now_ms=1, directory=tmp_path)
    conn = await asyncpg.connect(url)
    insert = """
        INSERT INTO ramps (id, environment_id, flag, rollout, status, live, overlaid, version, plan, state, unit_key,
            declared_ppm, start_ppm, started_by, started_at_ms)
        VALUES (gen_random_uuid(), 1, $1, $2, 'running', true, true, 1, '{}', '{}', '', 0, 0, 'ana', 1)
    """
    try:
        await conn.execute("INSERT INTO projects (key, name, created_at_ms) VALUES ('shop', 'shop', 1)")
        await conn.execute(
            "INSERT INTO environments (id, project_id, key, name, created_at_ms) OVERRIDING SYSTEM VALUE"
            " VALUES (1, 1, 'production', 'production', 1)"
        )
        for flag, rollout in (("two", "default"), ("two", "sale"), ("one", "default")):
            await conn.execute(insert, flag, rollout)

        await migrate(url, now_ms=2)

        assert await conn.fetchval("SELECT count(*) FROM ramps WHERE live") == 3
        await conn.execute("UPDATE ramps SET version = version + 1")
        with pytest.raises(asyncpg.UniqueViolationError):
            await conn.execute(insert, "one", "sale")
    finally:
        await conn.close()


async def test_a_restart_sees_a_ramp_that_was_started_beside_it(world: RampWorld) -> None:
    """Two connections: between the write's look at the ramps and its end another flag's ramp begins on the new line."""
    await put(world, "payments")
    mine = (await world.start()).id

    class Meanwhile(OverlayRules):
        """A start on another connection, when the write has all its ramps and no environment yet."""

        async def flag_written(self, tx: Transaction, **said: Any) -> RampEffects:
            effects = await super().flag_written(tx, **said)
            await world.start(flag="payments")
            return effects

    flags = FlagService(world.storage, world.clock, Meanwhile(), world.announced.extend)
    edited = flag_document(rollout={"salt": "payments"})

    with pytest.raises(Conflict, match=r"of payments \(default\) is arming on the same salt \(payments\)"):
        await flags.put(PROJECT, FLAG, edited, ADMIN, condition=ANY, restart_ramp=True)

    live = [view for view in (await world.ramps.all(PROJECT, ENVIRONMENT)).ramps if view.status == "arming"]
    assert {view.flag: view.id for view in live}[FLAG] == mine
