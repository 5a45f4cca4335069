"""What reports say of a ramp: what was slow, the crowd, who is covered, who vanished, and a memory with holes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rheostat.clock import ManualClock
from rheostat.model.outcome import HELD, NEVER, Batch, Orphans
from rheostat_server.adapters.evidence.reported import WARMING_MS, ReportedEvidence
from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.evaluation.counter import EvaluationCounter
from rheostat_server.outcomes.grouping import WINDOW_MS
from rheostat_server.outcomes.service import OutcomeService
from rheostat_server.outcomes.silence import RECOVERY_MS, SILENT_MS
from rheostat_server.ports.evidence import Crowd, CrowdQuestion, Question
from rheostat_server.ports.ramps import EpochMark
from rheostat_server.ramps.evidence import ArmTotals, Reading, Sight
from rheostat_server.ramps.model import Family, Guardrail, Measure, Plan
from tests.data_plane import World, a_batch, a_row, failing, sampled

PLAN = Plan(
    project="default",
    environment="production",
    flag="checkout",
    rollout="default",
    start_ppm=0,
    steps=(),
    guardrails=(),
    interval_s=1.0,
)
ERRORS = Guardrail(name="errors", family=Family.REPORTED, grade=1)


class Watched:
    """A ramp that applications report to, and a source that watches it."""

    def __init__(self, world: World, environment: int, ramp: str) -> None:
        self.world = world
        self.environment = environment
        self.ramp = ramp
        self.clock = ManualClock()
        self.source = ReportedEvidence(world.storage)
        metrics = PrometheusMetrics(self.clock, version="test")
        self.outcomes = OutcomeService(world.storage, metrics, self.clock, group_seconds=0)
        self.counter = EvaluationCounter(world.storage, self.clock)
        self.sequences: dict[str, int] = {}
        self.cursor = ""

    @property
    def window(self) -> int:
        """The present window."""
        return self.clock.wall_ms() // WINDOW_MS

    async def say(self, name: str = "a", **parts: Any) -> None:
        """Send a batch of the instance with this name."""
        self.sequences[name] = self.sequences.get(name, 0) + 1
        batch: Batch = a_batch(self.sequences[name], instance=name * 32, **parts)
        await self.outcomes.ingest(self.environment, batch)

    async def read(self, guardrail: Guardrail = ERRORS, cursor: str = "") -> Reading:
        """Ask for what a guardrail has to know."""
        question = Question(
            ramp=self.ramp,
            environment_id=self.environment,
            plan=PLAN,
            guardrail=guardrail,
            marks=(EpochMark(1, 100_000, 0),),
            asked_ms=self.clock.wall_ms(),
            cursor=cursor,
        )
        return await self.source.read(question)

    async def crowd(self, source: ReportedEvidence | None = None) -> Crowd:
        """Ask for the crowd, from where the last answer ended; without ``source`` as a node that never asked before."""
        crowd = await (source or ReportedEvidence(self.world.storage)).crowd(
            CrowdQuestion(
                ramp=self.ramp,
                environment_id=self.environment,
                flag="checkout",
                asked_ms=self.clock.wall_ms(),
                cursor=self.cursor,
            )
        )
        self.cursor = crowd.cursor
        return crowd

    async def pass_time(self, seconds: int, *names: str) -> None:
        """Let time pass, in which these instances are heard each second."""
        for _ in range(seconds):
            self.clock.advance(1)
            for name in names:
                await self.say(name)


@pytest.fixture
async def watched(database: Database) -> AsyncIterator[Watched]:
    """A ramp that arms, with two bounds of latency."""
    world = World(database)
    environment = await world.environment()
    ramp = await world.ramp(environment, arming_ppm=100_000, slow_bounds_ms=(100, 500))
    made = Watched(world, environment, ramp)
    await made.outcomes.start()
    yield made
    await made.outcomes.stop()


async def test_a_latency_guardrail_counts_what_was_slower_than_its_bound(watched: Watched) -> None:
    """To it bad is slow, in requests, units and samples; no unit is failing, and what is not judged stays as it is."""
    even = watched.window // 2 * 2
    treated = a_row(watched.ramp, bad=3, slow={"100": 7, "500": 2})
    held = a_row(watched.ramp, arm="holdback", slow={"500": 1})
    await watched.say(
        rows=(treated, held),
        failing=failing(watched.ramp, (1, 1)),
        sampled=sampled(watched.ramp, (1, 1), window=even, slow=3),
    )
    await watched.say(sampled=sampled(watched.ramp, (2, 1), window=even, slow=1, bad=True))

    def guardrail(bound_ms: int) -> Guardrail:
        return Guardrail(name="slow", family=Family.REPORTED, grade=2, measure=Measure.LATENCY, bound_ms=bound_ms)

    [slow] = (await watched.read(guardrail(500))).blocks
    [slower] = (await watched.read(guardrail(100))).blocks
    [unknown] = (await watched.read(guardrail(900))).blocks

    shared = {"ended": 10, "units": 2, "seen": 2, "sampled": 2, "arrivals": 2, "active": 2}
    assert slow.treatment == ArmTotals(**shared, bad=2, units_bad=1, sampled_bad=1)
    assert slow.control == ArmTotals(ended=10, bad=1)
    assert slower.treatment == ArmTotals(**shared, bad=7, units_bad=2, sampled_bad=2)
    assert unknown.treatment == ArmTotals(**shared)


async def test_the_crowd_is_told_once_whatever_was_read(watched: Watched) -> None:
    """Blocks since the crowd's own cursor hold every total; late rows are in none of them."""
    await watched.say(
        rows=(a_row(watched.ramp, bad=1), a_row(watched.ramp, ages=(200_000, 0))), failing=failing(watched.ramp, (1, 1))
    )
    await watched.read()

    [block] = (await watched.crowd()).blocks
    assert block.treatment == ArmTotals(ended=10, bad=1, failing=1, recounted=1, recounted_squares=1)
    assert (await watched.crowd()).blocks == ()
    await watched.say(rows=(a_row(watched.ramp, arm="holdback"),))
    [block] = (await watched.crowd()).blocks
    assert (block.treatment, block.control) == (ArmTotals(), ArmTotals(ended=10))


async def test_arrivals_of_arming_are_told_by_level_from_then_on(watched: Watched) -> None:
    """Units that arrived while arming stand under the level that exposes them first, added up over windows."""
    entries = [(1, 1), (2, 2), (3, 2), (4, NEVER), (5, HELD)]
    await watched.say(sampled=sampled(watched.ramp, *entries, window=watched.window))
    await watched.say(sampled=sampled(watched.ramp, *entries, window=watched.window))
    watched.clock.advance(2 * WINDOW_MS / 1000)
    await watched.say(sampled=sampled(watched.ramp, (1, 1), window=watched.window))

    assert (await watched.crowd()).arrivals_by_level == ((-1, 2), (100_000, 2), (500_000, 2))


async def test_coverage_is_the_share_of_evaluations_of_services_that_report(watched: Watched) -> None:
    """Services count by their name, over OFREP as over batches; one reports that sent a row within five minutes."""
    assert (await watched.crowd()).coverage is None
    await watched.say("a", service="shop", rows=(a_row(watched.ramp),), evaluations={"checkout": {"on": 60, "off": 10}})
    await watched.say("b", service="mail", evaluations={"checkout": {"on": 20}, "another": {"on": 1_000}})
    for _ in range(10):
        watched.counter.count(watched.environment, "checkout", "on", "web")
    await watched.counter.flush()

    assert (await watched.crowd()).coverage == 0.7
    watched.clock.advance(200)
    await watched.say("b", service="mail", rows=(a_row(watched.ramp),))
    assert (await watched.crowd()).coverage == 0.9
    watched.clock.advance(90)
    await watched.say("c", service="mail", evaluations={"checkout": {"on": 30}})
    watched.clock.advance(90)
    # What shop evaluated and reported is forgotten; mail reported three minutes ago.
    assert (await watched.crowd()).coverage == 1.0
    watched.clock.advance(130)
    assert (await watched.crowd()).coverage == 0.0
    watched.clock.advance(600)
    assert (await watched.crowd()).coverage is None


async def test_evaluations_before_a_ramp_cover_nothing(database: Database) -> None:
    """Only what is evaluated while a ramp of the flag is live is kept by the minute."""
    world = World(database)
    environment = await world.environment()
    watched = Watched(world, environment, await world.ramp(environment, live=False))
    await watched.outcomes.start()

    await watched.say(evaluations={"checkout": {"on": 60}})

    await watched.outcomes.stop()
    assert (await watched.crowd()).coverage is None
    assert await world.fetch("SELECT 1 FROM recent_evaluations") == []


async def test_an_instance_that_falls_silent_has_vanished_once(watched: Watched) -> None:
    """It is counted once thirty seconds went by in which others were heard, whoever asks and however often."""
    for name in "ab":
        await watched.say(name, rows=(a_row(watched.ramp),))
    await watched.pass_time(29, "b")
    assert (await watched.crowd()).vanished == 0
    await watched.pass_time(1, "b")
    before = watched.cursor

    assert (await watched.crowd()).vanished == 1
    assert (await watched.crowd()).vanished == 0
    watched.cursor = before  # the answer was lost: another node asks again
    assert (await watched.crowd()).vanished == 1
    await watched.say("a")
    await watched.pass_time(40, "b")
    assert (await watched.crowd()).vanished == 0
    async with watched.world.storage.transaction() as tx:
        assert await tx.outcomes.vanished(watched.ramp) == ["shop"]


async def test_who_says_goodbye_is_replaced_or_never_reported_does_not_vanish(watched: Watched) -> None:
    """A goodbye, a successor that says so, and an instance that had nothing to do with the flag are no alarm."""
    for name in "abcd":
        await watched.say(name, rows=(a_row(watched.ramp),) if name != "d" else ())
    await watched.say("a", goodbye=True)
    await watched.say("c", orphans=(Orphans(instance="b" * 32, replaced=True),))
    await watched.pass_time(60, "c")

    assert (await watched.crowd()).vanished == 0


async def test_when_nobody_is_heard_nobody_has_vanished(watched: Watched) -> None:
    """After an outage of ours instances have time to come back; who does not has vanished then."""
    for name in "abc":
        await watched.say(name, rows=(a_row(watched.ramp),))
    await watched.pass_time(120)
    assert (await watched.crowd()).vanished == 0
    await watched.pass_time(1, "a")
    assert (await watched.crowd()).vanished == 0
    await watched.pass_time(20, "a", "b")
    grace_s = (RECOVERY_MS + SILENT_MS) // 1000
    await watched.pass_time(grace_s - 21, "a", "b")
    assert (await watched.crowd()).vanished == 0

    await watched.pass_time(1, "a", "b")

    assert (await watched.crowd()).vanished == 1


async def test_a_memory_that_may_have_holes_is_no_evidence(watched: Watched) -> None:
    """After a restore or a failover units are remembered, and nothing is judged, until what was lost cannot come."""
    await watched.say(rows=(a_row(watched.ramp),))
    first = await watched.read()
    assert first.sight is Sight.SEEN
    await watched.world.raise_generation(7)
    await watched.say(rows=(a_row(watched.ramp, bad=1),), failing=failing(watched.ramp, (1, 1)))

    warming = await watched.read(cursor=first.cursor)
    watched.clock.advance(WARMING_MS / 1000 - 1)
    still = await watched.read(cursor=warming.cursor)
    watched.clock.advance(1)
    await watched.say(rows=(a_row(watched.ramp, bad=2),), failing=failing(watched.ramp, (1, 1), (2, 1)))
    after = await watched.read(cursor=still.cursor)

    assert [(each.sight, each.blocks) for each in (warming, still)] == [(Sight.WARMING, ())] * 2
    assert "restored" in warming.detail
    assert after.sight is Sight.SEEN
    assert [(block.treatment.bad, block.treatment.failing) for block in after.blocks] == [(2, 1)]


async def test_a_database_that_is_away_leaves_the_crowd_where_it_was(watched: Watched) -> None:
    """Nothing is told, nothing is lost."""
    await watched.say(rows=(a_row(watched.ramp),))
    await watched.crowd()
    before = watched.cursor
    await watched.outcomes.stop()
    await watched.world.database.close()

    assert await watched.crowd() == Crowd(cursor=before)


async def test_who_covers_is_looked_at_every_five_seconds(watched: Watched) -> None:
    """Blocks are new each time; the rest is what it was for a moment, and no vanished instance counts twice for it."""
    for name in "ab":
        await watched.say(name, rows=(a_row(watched.ramp),), evaluations={"checkout": {"on": 1}})
    assert (await watched.crowd(watched.source)).coverage == 1.0
    await watched.pass_time(30, "b")
    assert (await watched.crowd(watched.source)).vanished == 1
    await watched.pass_time(1, "b")
    await watched.say("b", service="mail", rows=(a_row(watched.ramp, arm="control"),))
    await watched.say("c", service="web", evaluations={"checkout": {"on": 2}})

    soon = await watched.crowd(watched.source)
    await watched.pass_time(4, "b")
    later = await watched.crowd(watched.source)

    assert (soon.coverage, soon.vanished, len(soon.blocks)) == (1.0, 0, 1)
    assert (later.coverage, later.vanished, later.blocks) == (0.5, 0, ())
