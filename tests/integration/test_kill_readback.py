"""Who applied a kill, as the database has it: across nodes, with the servers' clock."""

from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from rheostat.model.evaluation import Arm
from rheostat.model.kill import KillScope
from rheostat.model.outcome import Applied, Batch, Row
from rheostat_server.adapters.metrics.watches import PrometheusWatches
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.readback import PostgresReadback
from rheostat_server.errors import NotFound
from rheostat_server.flags.service import ANY
from rheostat_server.outcomes.pruning import READBACK_MEMORY_MS, forget_readback
from rheostat_server.outcomes.service import OutcomeService
from rheostat_server.ports.ramps import KillRow
from rheostat_server.ramps.kill_service import KillService
from rheostat_server.ramps.kill_watch import KillWatch
from rheostat_server.ramps.kill_wire import ReadbackView
from rheostat_server.ramps.model import Action
from rheostat_server.ramps.readback import Heard
from tests.integration.ramp_world import ADMIN, ENVIRONMENT, FLAG, PROJECT, RampWorld, flag_document, ramp_world
from tests.integration.watching import HeardAlarms, gauge


class Instance:
    """An application's process that reports by hand. ``kills`` are those that it holds, with when it applied them."""

    def __init__(self, world: RampWorld, number: int, service: str = "shop") -> None:
        self.world = world
        self.name = f"{number:032x}"
        self.service = service
        self.sequence = 0
        self.kills: dict[str, int] = {}

    def applies(self, kill: str) -> None:
        """Apply a kill now."""
        self.kills[kill] = self.world.clock.wall_ms()

    async def report(
        self,
        *rows: Row,
        age_ms: int = 0,
        goodbye: bool = False,
        acknowledges: bool = True,
        node: OutcomeService | None = None,
    ) -> None:
        """Send a batch that was made ``age_ms`` ago, to a node."""
        self.sequence += 1
        now_ms = self.world.clock.wall_ms()
        ages = tuple(max(0, now_ms - age_ms - at_ms) for at_ms in self.kills.values())
        applied = Applied(1, self.sequence, tuple(self.kills), ages) if acknowledges else Applied()
        batch = Batch(
            instance=self.name,
            sequence=self.sequence,
            service=self.service,
            goodbye=goodbye,
            rows=rows,
            applied=applied,
        )
        await (node or self.world.outcomes).ingest(self.world.environment.id, batch, age_ms=age_ms)


class Watcher:
    """One node's watch over kills."""

    def __init__(self, world: RampWorld, alarms: HeardAlarms) -> None:
        self.registry = CollectorRegistry()
        self._watch = KillWatch(world.storage, world.clock, PrometheusWatches(self.registry), alarms, bound_ms=10_000)

    async def look(self) -> dict[str, float]:
        """Look; return by kill how many instances still expose users."""
        await self._watch.look()
        return gauge(self.registry, "rheostat_kill_unconfirmed")


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


def treated(ramp: str, *, oldest_ms: int) -> Row:
    """Return a row of a request that began in the treatment at most so long ago."""
    return Row(
        ramp=ramp,
        epoch=2,
        exposure_ppm=100_000,
        arm=Arm.TREATMENT,
        variant="on",
        ages=(oldest_ms, 0),
        started=1,
        ended=1,
    )


async def read_back(world: RampWorld, kill: str) -> ReadbackView:
    return await KillService(world.storage, world.clock).readback(PROJECT, ENVIRONMENT, kill)


async def killed(world: RampWorld) -> tuple[str, str]:
    """Start a ramp, expose users, and kill it; return the ramp and the kill."""
    ramp = (await world.start()).id
    await world.act(ramp, Action.ADVANCE)
    return ramp, (await world.kill()).kills[-1].kill_id


async def test_who_applied_it_and_how_long_it_took(world: RampWorld) -> None:
    """The age in the batch and the batch's own age make the delay exact; whichever node it came to."""
    three = [Instance(world, number) for number in range(3)]
    for one in three:
        await one.report()
    world.manual.advance(1)
    _, kill = await killed(world)
    other_node = OutcomeService(world.storage, world.metrics, world.clock, group_seconds=0)
    await other_node.start()

    for one, (after_s, late_s) in zip(three, [(0.04, 0.4), (0.05, 0.1), (0.12, 2.0)], strict=True):
        world.manual.advance(after_s)
        one.applies(kill)
        world.manual.advance(late_s)
        await one.report(age_ms=round(late_s * 500), node=other_node if one is three[1] else None)
    await other_node.stop()

    seen = await read_back(world, kill)
    first, second, third = 40, 40 + 400 + 50, 40 + 400 + 50 + 100 + 120
    assert (seen.known, seen.applied, seen.complete, seen.stragglers) == (3, 3, True, ())
    assert (seen.p50_ms, seen.p99_ms) == (second, third)
    assert first < second
    assert seen.line == f"3 of 3 instances applied it: p50 {second} ms, p99 {third} ms"


async def test_what_is_told_again_does_not_move_the_delay(world: RampWorld) -> None:
    """The first application counts; a kill of another environment's or of nobody's is nothing."""
    one = Instance(world, 1)
    await one.report()
    world.manual.advance(1)
    _, kill = await killed(world)
    one.applies(kill)
    one.kills["01a227d8-b71c-7229-8ca7-006428179e5d"] = 0
    await one.report()
    world.manual.advance(30)
    one.applies(kill)
    await one.report()

    assert (await read_back(world, kill)).p99_ms == 0
    async with world.storage.transaction() as tx:
        project = await tx.projects.add("other", "other", 1)
        await tx.projects.add_environment(project.id, "production", "production", 1)
    with pytest.raises(NotFound):
        await KillService(world.storage, world.clock).readback("other", "production", kill)
    with pytest.raises(NotFound):
        await read_back(world, "no-kill")


async def test_who_joins_later_counts_without_a_delay_and_after_ten_minutes_not_at_all(world: RampWorld) -> None:
    """A process that starts with the kill has it from its first snapshot."""
    _, kill = await killed(world)
    world.manual.advance(30)
    early, late = Instance(world, 1), Instance(world, 2)
    early.applies(kill)
    await early.report()
    world.manual.advance(1_200)
    late.applies(kill)
    await late.report()

    seen = await read_back(world, kill)
    assert (seen.known, seen.applied, seen.p50_ms) == (1, 1, None)
    assert seen.line == "1 of 1 instances applied it"


async def test_stragglers_are_named_and_who_ended_is_gone(world: RampWorld) -> None:
    """One is silent, one reports without it, one never says; one said goodbye, one was silent long before."""
    silent, deaf, mute, ended, former = (Instance(world, number, f"s{number}") for number in range(5))
    await former.report()
    world.manual.advance(61)
    for one in (silent, deaf, ended):
        await one.report()
    await mute.report(acknowledges=False)
    world.manual.advance(1)
    _, kill = await killed(world)
    world.manual.advance(20)
    await deaf.report()
    await mute.report(acknowledges=False)
    await ended.report(goodbye=True)

    seen = await read_back(world, kill)
    assert [(one.service, one.state) for one in seen.stragglers] == [
        ("s0", "silent"),
        ("s1", "reports"),
        ("s2", "mute"),
    ]
    assert seen.stragglers[0].silent_ms == 21_000
    assert seen.stragglers[0].line.startswith("s0 00000000 has been silent for 0:21")
    assert (seen.known, seen.applied, seen.gone, seen.complete) == (3, 0, 1, False)


async def test_without_sdks_it_says_so(world: RampWorld) -> None:
    """OFREP clients have no instance, so of them nothing is known."""
    _, kill = await killed(world)

    seen = await read_back(world, kill)
    assert (seen.known, seen.complete, seen.line) == (0, False, "no SDK has been heard from in the last minute")


@pytest.mark.parametrize("scope", list(KillScope))
async def test_exposure_that_does_not_fall_is_told_once(world: RampWorld, scope: KillScope) -> None:
    """An instance puts users into the treatment after the bound: told by one node, shown until it applies the kill."""
    one = Instance(world, 1)
    await one.report()
    ramp = (await world.start()).id
    await world.act(ramp, Action.ADVANCE)
    kill = (await world.kill(scope=scope)).kills[-1].kill_id
    alarms = HeardAlarms()
    nodes = [Watcher(world, alarms), Watcher(world, alarms)]

    world.manual.advance(9)
    await one.report(treated(ramp, oldest_ms=500), acknowledges=False)
    assert [await node.look() for node in nodes] == [{kill: 0.0}] * 2
    world.manual.advance(3)
    # A row that may be of a request before the bound says nothing; one that is surely of after it does.
    await one.report(treated(ramp, oldest_ms=2_500), acknowledges=False)
    assert [await node.look() for node in nodes] == [{kill: 0.0}] * 2
    world.manual.advance(1)
    await one.report(treated(ramp, oldest_ms=900), acknowledges=False)
    assert [await node.look() for node in nodes] == [{kill: 1.0}] * 2

    [event] = alarms.events
    assert (event.kind, event.flag, event.kill_id, event.ramp) == ("kill-unconfirmed", FLAG, kill, ramp)
    assert event.summary == (
        "checkout was killed in production, but 1 instance still exposes users, or has not applied it"
    )
    assert event.lines[0] == "0 of 1 instances applied it"
    seen = await read_back(world, kill)
    assert (seen.unconfirmed, seen.escalated_at is not None) == ((one.name,), True)

    world.manual.advance(1)
    one.applies(kill)
    await one.report()
    assert [await node.look() for node in nodes] == [{kill: 0.0}] * 2
    assert len(alarms.events) == 1


async def test_an_instance_that_reports_without_the_kill_is_told(world: RampWorld) -> None:
    """Also where nothing ramps; a batch that was made before the bound says nothing, however late it comes."""
    one = Instance(world, 1)
    await one.report()
    kill = (await world.kill()).kills[-1].kill_id
    alarms = HeardAlarms()
    node = Watcher(world, alarms)
    world.manual.advance(60)
    await one.report(age_ms=55_000)
    assert await node.look() == {kill: 0.0}

    await one.report()

    assert await node.look() == {kill: 1.0}
    assert [event.kind for event in alarms.events] == ["kill-unconfirmed"]
    await world.revive()
    assert await node.look() == {}


async def test_a_silent_instance_is_shown_and_not_told(world: RampWorld) -> None:
    """Nobody can say whether it still serves anybody: it may be dead."""
    one = Instance(world, 1)
    await one.report()
    kill = (await world.kill()).kills[-1].kill_id
    alarms = HeardAlarms()
    world.manual.advance(60)

    assert await Watcher(world, alarms).look() == {kill: 0.0}
    assert alarms.events == []
    assert [each.state for each in (await read_back(world, kill)).stragglers] == ["silent"]


async def test_rows_of_another_environment_or_of_no_ramp_say_nothing(world: RampWorld) -> None:
    """A key of one environment cannot raise an alarm in another."""
    ramp, kill = await killed(world)
    async with world.storage.transaction() as tx:
        project = await tx.projects.add("other", "other", 1)
        other_id = await tx.projects.add_environment(project.id, "production", "production", 1)
    world.manual.advance(20)
    rows = (treated(ramp, oldest_ms=10), treated("01a227d8-b71c-7229-8ca7-006428179e5d", oldest_ms=10))
    applied = Applied(1, 1, (kill,), (0,))
    await world.outcomes.ingest(other_id, Batch(instance="f" * 32, sequence=1, rows=rows, applied=applied))

    seen = await read_back(world, kill)
    assert (seen.known, seen.applied, seen.unconfirmed) == (0, 0, ())


async def test_a_killed_ramp_shows_its_kills_readback(world: RampWorld) -> None:
    """In its own view; lists leave it out."""
    one = Instance(world, 1)
    await one.report()
    ramp, kill = await killed(world)
    one.applies(kill)
    await one.report()

    view = await world.view(ramp)
    assert view.kill is not None
    assert (view.kill.kill.kill_id, view.kill.applied, view.kill.known) == (kill, 1, 1)
    [listed] = (await world.ramps.all(PROJECT, ENVIRONMENT)).ramps
    assert listed.kill is None


async def test_a_kill_of_the_flag_is_shown_at_each_ramp_that_it_ended(world: RampWorld) -> None:
    """Two rollouts ramp; the kill names one of the ramps and is that of both."""
    rollout = {"exposure": 0, "split": {"on": 1}, "fallback": "off"}
    when = {"attribute": "country", "operator": "in", "values": ["ES"]}
    await world.put(flag_document(environment={"rules": [{"name": "sale", "when": when, "rollout": rollout}]}))
    ramps = [(await world.start()).id, (await world.start_beside(rollout="sale")).id]
    [kill] = (await world.kill(scope=KillScope.FLAG)).kills

    shown = [(await world.view(ramp)).kill for ramp in ramps]
    assert [one is not None and one.kill.kill_id for one in shown] == [kill.kill_id] * 2


async def test_the_readback_is_forgotten_after_a_month(world: RampWorld) -> None:
    """The kill itself stays."""
    one = Instance(world, 1)
    await one.report()
    _, kill = await killed(world)
    one.applies(kill)
    await one.report()

    await forget_readback(world.storage, world.clock.wall_ms() + READBACK_MEMORY_MS)
    assert (await read_back(world, kill)).applied == 1
    await forget_readback(world.storage, world.clock.wall_ms() + READBACK_MEMORY_MS + 1)
    assert (await read_back(world, kill)).applied == 0


async def test_kills_are_listed_newest_first_with_their_revival(world: RampWorld) -> None:
    """Of one flag, or of all; those that were revived say by whom."""
    first = (await world.kill()).kills[0].kill_id
    await world.revive()
    world.manual.advance(1)
    second = (await world.kill()).kills[0].kill_id
    service = KillService(world.storage, world.clock)

    listed = (await service.all(PROJECT, ENVIRONMENT)).kills
    assert [(kill.kill_id, kill.revived_by) for kill in listed] == [(second, None), (first, "ana")]
    assert [kill.kill_id for kill in (await service.all(PROJECT, ENVIRONMENT, limit=1)).kills] == [second]
    assert (await service.all(PROJECT, ENVIRONMENT, flag="other")).kills == ()


async def test_what_everybody_applied_is_asked_of_seldom(world: RampWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its bound once a minute, and shown all the time; who comes without it then is told all the same."""
    one, two = Instance(world, 1), Instance(world, 2)
    await one.report()
    kill = (await world.kill()).kills[0].kill_id
    one.applies(kill)
    await one.report()
    alarms = HeardAlarms()
    watcher = Watcher(world, alarms)
    asked = counted_asks(monkeypatch)

    assert await watcher.look() == {kill: 0}
    assert await watcher.look() == {kill: 0}
    assert len(asked) == 2
    world.manual.advance(11)
    for _ in range(3):
        assert await watcher.look() == {kill: 0}
    assert len(asked) == 3
    world.manual.advance(61)
    await two.report()
    assert await watcher.look() == {kill: 1}
    assert len(asked) == 4
    assert [event.kill_id for event in alarms.events] == [kill]


async def test_of_many_kills_a_round_asks_of_some_in_turn(world: RampWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest first, and each once before any a second time; what was seen of the others stays shown."""
    monkeypatch.setattr("rheostat_server.ramps.kill_watch.MOST_ASKED", 2)
    kills = []
    for number in range(5):
        key = f"flag-{number}"
        await world.flags.put(PROJECT, key, {**flag_document(), "key": key}, ADMIN, condition=ANY, restart_ramp=False)
        kills.append((await world.kill(flag=key)).kills[0].kill_id)
        world.manual.advance(1)
    watcher = Watcher(world, HeardAlarms())
    asked = counted_asks(monkeypatch)

    seen = [await watcher.look() for _ in range(4)]

    newest_first = kills[::-1]
    assert asked == [*newest_first, *newest_first[:3]]
    assert [len(shown) for shown in seen] == [2, 4, 5, 5]


def counted_asks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return where each kill is noted, as it is asked of."""
    asked: list[str] = []
    heard = PostgresReadback.heard

    async def noted(self: PostgresReadback, kill: KillRow) -> list[Heard]:
        asked.append(kill.kill_id)
        return await heard(self, kill)

    monkeypatch.setattr(PostgresReadback, "heard", noted)
    return asked
