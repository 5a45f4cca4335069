"""How tests make something happen that an evidence source then has to see."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
from prometheus_client import CollectorRegistry, Counter, generate_latest

from rheostat.clock import ManualClock, SystemClock
from rheostat.model.document import GuardrailDocument
from rheostat.model.evaluation import Arm
from rheostat.model.outcome import NEVER, Batch, FailingUnit, FailingUnits, Row
from rheostat_server.adapters.evidence.prometheus.source import prometheus_evidence
from rheostat_server.adapters.evidence.reported import ReportedEvidence
from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.storage import PostgresStorage
from rheostat_server.outcomes.model import ArmCount
from rheostat_server.ports.evidence import EvidenceSource, Question
from rheostat_server.ports.metrics import RampLabels
from rheostat_server.ports.ramps import EpochMark
from rheostat_server.ramps.model import Family, Guardrail, Plan, Step
from rheostat_server.ramps.queries import queries_of
from rheostat_server.ramps.terms import Queries
from tests.integration.prometheus_server import PrometheusServer
from tests.integration.ramp_world import ENVIRONMENT, FLAG, PROJECT, RampWorld, ramp_world

EXPOSURE_PPM = 100_000
_BY_REQUESTS = (Family.APPLICATION, Family.QUERIES)
NOBODY_LISTENS = "http://127.0.0.1:1"
_NUMBERS = itertools.count(1)
PLAN = Plan(
    project=PROJECT,
    environment=ENVIRONMENT,
    flag=FLAG,
    rollout="default",
    start_ppm=0,
    steps=(Step(exposure_ppm=EXPOSURE_PPM),),
    guardrails=(),
    interval_s=1.0,
)


class Feeder(Protocol):
    """Something that a source watches."""

    source: EvidenceSource
    failing_users: bool
    """Whether the source counts users besides requests."""

    def question(self, cursor: str = "") -> Question:
        """Return a question that is asked now."""
        ...

    async def begin(self) -> None:
        """Let the counting begin, at nothing."""
        ...

    async def requests(self, arm: Arm, *, good: int = 0, bad: int = 0) -> None:
        """Let requests of an arm end; the bad ones are of as many users who never failed before."""
        ...

    async def settle(self) -> None:
        """Wait until the source can see it."""
        ...

    async def another(self) -> EvidenceSource:
        """Return a second source on the same thing."""
        ...

    async def break_down(self) -> None:
        """Take away what the source reads from."""
        ...


class ReportedFeeder:
    """Batches to the database."""

    failing_users = True

    def __init__(self, world: RampWorld, database: Database, ramp: str) -> None:
        self.world = world
        self.database = database
        self.ramp = ramp
        self.source: EvidenceSource = ReportedEvidence(world.storage)
        self.sequence = 0
        self.users = 0

    def question(self, cursor: str = "") -> Question:
        """Return a question that is asked now."""
        return _question(Family.REPORTED, self.ramp, self.world.clock.wall_ms(), self.world.environment.id, cursor)

    async def begin(self) -> None:
        """An application that reports, though nothing met the flag."""
        self.sequence += 1
        await self.world.report(Batch(instance="0" * 32, sequence=self.sequence))

    async def requests(self, arm: Arm, *, good: int = 0, bad: int = 0) -> None:
        """Report them in a batch."""
        self.sequence += 1
        entry = {Arm.TREATMENT: 1, Arm.CONTROL: NEVER, Arm.HOLDBACK: -1}[arm]
        units = [FailingUnit(f"{self.users + number:016x}", entry, 1) for number in range(bad)]
        self.users += bad
        row = Row(ramp=self.ramp, epoch=1, exposure_ppm=EXPOSURE_PPM, arm=arm, variant="on", ended=good + bad, bad=bad)
        await self.world.report(
            Batch(
                instance="0" * 32,
                sequence=self.sequence,
                rows=(row,),
                failing={self.ramp: FailingUnits(1.0, tuple(units))},
            )
        )

    async def settle(self) -> None:
        """What is committed is seen."""
        self.world.manual.advance(1)

    async def another(self) -> EvidenceSource:
        """Return a second source."""
        return ReportedEvidence(PostgresStorage(self.database))

    async def break_down(self) -> None:
        """Take the database away."""
        await self.database.close()


class PrometheusFeeder:
    """Counters that a real Prometheus scrapes."""

    def __init__(self, server: PrometheusServer, family: Family) -> None:
        self.server = server
        # The server keeps what it scraped for the test before.
        self.project = f"{PROJECT}-{next(_NUMBERS)}"
        self.family = family
        self.failing_users = family is Family.REPORTED_METRICS
        self.clock = SystemClock()
        self.began_ms = self.clock.wall_ms()
        self.source: EvidenceSource = prometheus_evidence(server.url)
        self.registry = CollectorRegistry()
        names = ("project", "environment", "flag", "variant", "arm", "outcome")
        self.application = Counter("feature_flag_requests", "Requests.", names, registry=self.registry)
        self.shop = Counter("shop_requests", "Requests.", ("app", "side", "code"), registry=self.registry)
        self.metrics = PrometheusMetrics(ManualClock(), version="test")
        self.labels = RampLabels(
            project=self.project, environment=ENVIRONMENT, flag=FLAG, ramp="r", exposure_ppm=EXPOSURE_PPM
        )
        server.exporters[0].render = lambda: self.metrics.render()[0] + generate_latest(self.registry)

    def question(self, cursor: str = "") -> Question:
        """Return a question that is asked now."""
        question = _question(self.family, "r", self.clock.wall_ms(), 1, cursor, self.began_ms)
        replace = msgspec.structs.replace
        if self.family is Family.QUERIES:
            question = replace(question, guardrail=replace(question.guardrail, queries=_queries(self.project)))
        return replace(question, plan=replace(PLAN, project=self.project))

    async def begin(self) -> None:
        """Have all series at zero, and scraped."""
        if self.family is Family.REPORTED_METRICS:
            self.metrics.touch(self.labels)
        elif self.family is Family.QUERIES:
            for arm in Arm:
                for code in ("200", "503"):
                    self.shop.labels(self.project, arm, code)
        else:
            for arm in Arm:
                for outcome in ("ok", "error", "timeout", "cancelled"):
                    self.application.labels(self.project, ENVIRONMENT, FLAG, "on", arm, outcome)
        await self.server.scraped()

    async def requests(self, arm: Arm, *, good: int = 0, bad: int = 0) -> None:
        """Count them."""
        if self.family is Family.REPORTED_METRICS:
            self.metrics.reported(self.labels, arm, ArmCount(ok=good, error=bad, failing=bad))
            return
        if self.family is Family.QUERIES:
            self.shop.labels(self.project, arm, "200").inc(good)
            self.shop.labels(self.project, arm, "503").inc(bad)
            return
        self.application.labels(self.project, ENVIRONMENT, FLAG, "on", arm, "ok").inc(good)
        self.application.labels(self.project, ENVIRONMENT, FLAG, "on", arm, "error").inc(bad)

    async def settle(self) -> None:
        """Wait for a scrape."""
        await self.server.scraped()

    async def another(self) -> EvidenceSource:
        """Return a second source."""
        return prometheus_evidence(self.server.url)

    async def break_down(self) -> None:
        """Ask where nobody listens."""
        await self.source.close()
        self.source = prometheus_evidence(NOBODY_LISTENS)


def _queries(project: str) -> Queries:
    asked = GuardrailDocument(
        name="shop",
        bad='sum(shop_requests_total{app="$project",code=~"5.."})',
        total='sum by (side) (shop_requests_total{app="$project"})',
        arm_label="side",
        arms={"treatment": ("treatment",), "control": ("control", "holdback")},
    )
    return queries_of(asked, {}, {"project": project}, path="guardrails[0]")


def _question(
    family: Family, ramp: str, asked_ms: int, environment_id: int, cursor: str, began_ms: int | None = None
) -> Question:
    return Question(
        ramp=ramp,
        environment_id=environment_id,
        plan=PLAN,
        guardrail=Guardrail(name="errors", family=family, grade=3 if family in _BY_REQUESTS else 1),
        marks=(EpochMark(1, EXPOSURE_PPM, (asked_ms if began_ms is None else began_ms) - 60_000),),
        asked_ms=asked_ms,
        cursor=cursor,
    )


@asynccontextmanager
async def feeding(family: Family, database: Database, prometheus: PrometheusServer) -> AsyncIterator[Feeder]:
    """Give a feeder of this family."""
    if family is Family.REPORTED:
        async with ramp_world(database) as world:
            await world.put()
            view = await world.start(steps=[10, 100])
            yield ReportedFeeder(world, database, view.id)
    else:
        feeder = PrometheusFeeder(prometheus, family)
        yield feeder
        await feeder.source.close()
