"""Flagger's block on a real database and a real Prometheus: by the guard, and by ``rule: threshold``."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from rheostat_server.adapters.evidence.prometheus.access import Access
from rheostat_server.adapters.evidence.prometheus.checks import PrometheusChecks
from rheostat_server.adapters.evidence.prometheus.client import PrometheusClient
from rheostat_server.adapters.evidence.reported_checks import ReportedChecks
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.outcomes.model import Increment
from rheostat_server.ports.evidence import CheckQuestion
from rheostat_server.ports.storage import Transaction
from rheostat_server.ramps.checks import Check
from rheostat_server.ramps.evidence import ArmTotals
from rheostat_server.ramps.model import Family, State
from rheostat_server.ramps.replay import replay
from rheostat_server.ramps.wire import RampView
from tests.integration.prometheus_server import PrometheusServer, prometheus
from tests.integration.ramp_world import ENVIRONMENT, FLAG, PROJECT, Application, RampWorld, ramp_world, without_cursors

BLOCK = {
    "interval": "60s",
    "threshold": 5,
    "maxWeight": 50,
    "stepWeight": 10,
    "metrics": [
        {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"},
        {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "1m"},
    ],
}
"""The block of the documentation."""
__all__ = ["prometheus"]
RATE = BLOCK["metrics"][:1]  # type: ignore[index]
LONG = {**BLOCK, "metrics": [{**metric, "interval": "30m"} for metric in BLOCK["metrics"]]}  # type: ignore[attr-defined]
"""The same, looking back over so long that no slow machine makes what was scraped too old."""
LABELS = ("project", "environment", "flag", "variant", "arm")


async def started(world: RampWorld, **fields: Any) -> RampView:
    """Start a ramp of the flag."""
    document = {"kind": "ramp", "flag": FLAG, "environment": ENVIRONMENT, **fields}
    return await world.ramps.start(PROJECT, ENVIRONMENT, document, actor="ana")


async def minutes(world: RampWorld, ramp: str, count: int, application: Application | None = None) -> list[RampView]:
    """Let so many minutes pass; return how the ramp looked at the end of each."""
    seen = []
    for _ in range(count):
        for _ in range(3):
            if application is not None:
                await application.serve(400)
            world.manual.advance(19)
            await world.tick()
        seen.append(await world.view(ramp))
    return seen


async def assert_replays(world: RampWorld, ramp: str) -> None:
    """Every stored decision follows again from the log, and so does the state."""
    async with world.storage.transaction() as tx:
        rows = await tx.ramps.decisions(ramp, limit=10_000)
    state = State()
    for step in replay(rows):
        assert step.differences == ()
        state = step.state
    assert without_cursors(state) == without_cursors((await world.row(ramp)).state)


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world without a Prometheus, in which the flag is written."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


async def test_the_documented_block_by_the_guard(world: RampWorld) -> None:
    """It starts as it is, says what changes, and a harmful change is taken back on evidence at its first step."""
    ramp = await started(world, analysis=BLOCK, preflight="10s", soak="5s")

    assert ramp.steps == (10, 20, 30, 40, 50, 100)
    assert (ramp.rule, ramp.proof, ramp.counting) == ("guard", "randomised", None)
    assert ramp.notes[0].startswith("analysis.stepWeight, analysis.maxWeight: steps 10, 20, 30, 40, 50 %")
    assert [guardrail.name for guardrail in ramp.guardrails] == ["errors", "request-duration"]
    seen = await world.ride(ramp.id, Application(world, harm=0.3), until=["killed", "promoted", "aborted"])
    assert (seen[-1].status, max(view.exposure for view in seen)) == ("killed", 10)


async def test_a_harmless_change_by_the_guard_goes_through_the_blocks_steps(world: RampWorld) -> None:
    """Each of the block's weights, proved, and then everybody."""
    ramp = (await started(world, analysis={**BLOCK, "interval": "10s"}, preflight="10s", soak="5s", interval="5s")).id
    application = Application(world)

    exposures: list[float] = []
    for _ in range(120):
        await application.serve(800)
        world.manual.advance(4)
        await world.tick()
        view = await world.view(ramp)
        if exposures[-1:] != [view.exposure]:
            exposures.append(view.exposure)
        if view.status == "promoted":
            break

    assert (view.status, exposures) == ("promoted", [0, 10, 20, 30, 40, 50, 100])


async def test_by_reports_it_climbs_and_promotes(world: RampWorld) -> None:
    """Without a Prometheus the success rate is what SDKs reported of the exposed, over the last minute."""
    ramp = await started(world, rule="threshold", analysis={**BLOCK, "metrics": RATE, "maxWeight": 20})

    assert (ramp.rule, ramp.proof, ramp.guarded, ramp.status) == ("threshold", "none", False, "running")
    assert "no stated error" in ramp.notes[0]
    seen = await minutes(world, ramp.id, 3, Application(world, harm=0.0))
    assert [view.exposure for view in seen] == [10, 20, 100]
    await world.tick()
    assert (await world.view(ramp.id)).status == "promoted"
    assert seen[1].counting is not None
    [check] = seen[1].counting.checks
    assert (check.name, check.said, check.query) == ("request-success-rate", "is 100", None)
    await assert_replays(world, ramp.id)


async def test_by_reports_it_is_taken_back_a_minute_after_the_last_failed_check(world: RampWorld) -> None:
    """Two failed checks are the limit: the round after the second kills, latched, with that reason."""
    ramp = await started(world, rule="threshold", analysis={**BLOCK, "metrics": RATE, "threshold": 2})
    application = Application(world, harm=0.5)

    assert [view.exposure for view in await minutes(world, ramp.id, 3, application)] == [10, 10, 10]
    # What was served before it looks back is of no account, and is cleared away.
    await world.controller.prune()
    [killed] = await minutes(world, ramp.id, 1, application)

    assert (killed.status, killed.exposure) == ("killed", 0)
    assert killed.why.startswith("2 failed checks, the limit (the last: failed check 2 of 2: request-success-rate is ")
    _, [kill] = await world.served()
    assert (kill.ramp, kill.source) == (ramp.id, "controller")
    await assert_replays(world, ramp.id)


async def test_without_traffic_every_check_fails(world: RampWorld) -> None:
    """As Flagger's do: a value that is not there is no good one."""
    ramp = await started(world, rule="threshold", analysis={**BLOCK, "metrics": RATE, "threshold": 1})

    assert [view.status for view in await minutes(world, ramp.id, 3)] == ["running", "running", "killed"]
    assert "request-success-rate has no value" in (await world.view(ramp.id)).why


async def test_a_freeze_keeps_the_weight(world: RampWorld) -> None:
    """By reports: checks go on, and the first good round after the freeze goes up."""
    now = datetime.fromtimestamp(world.manual.wall_ms() / 1000, UTC)
    begins, ends = (f"{now + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}" for second in (70, 200))
    freeze = {"from": begins, "until": ends, "reason": "holidays"}
    ramp = await started(world, rule="threshold", analysis={**BLOCK, "metrics": RATE}, freezes=[freeze])

    assert any("holidays" in note for note in ramp.notes)
    seen = await minutes(world, ramp.id, 5, Application(world, harm=0.0))

    assert [view.exposure for view in seen] == [10, 10, 10, 20, 30]
    assert seen[1].standing.shut is not None
    assert "holidays" in seen[1].standing.line
    await assert_replays(world, ramp.id)


async def test_what_was_reported_is_added_up_within_the_window(world: RampWorld) -> None:
    """Where one counts; what came too late, what the window has left behind, and the other arms, are left out."""
    ramp = await started(world, rule="threshold", analysis={**BLOCK, "metrics": RATE})
    now_ms = world.manual.wall_ms()
    rows = [
        Increment(epoch=1, exposure_ppm=0, from_ms=now_ms - ago_ms - 5, until_ms=now_ms - ago_ms, late=late,
                  treatment=ArmTotals(ended=ended, bad=bad), control=ArmTotals(ended=7, bad=7))
        for ago_ms, ended, bad, late in [(90_000, 1_000, 9, False), (60_000, 100, 50, False), (59_999, 10, 1, False),
                                         (0, 20, 2, False), (0, 0, 0, False), (0, 5_000, 5_000, True)]
    ]  # fmt: skip

    async def add(tx: Transaction) -> None:
        await tx.ramps.lock(ramp.id)
        await tx.outcomes.append(ramp.id, rows[:1], now_ms - 90_000)
        await tx.outcomes.append(ramp.id, rows[1:], now_ms)

    await world.storage.run(add)
    checks = tuple(Check(name=f"last {seconds:g} s", window_s=seconds) for seconds in (60.0, 120.0, 0.001))
    reports = ReportedChecks(world.storage)
    values = await reports.find(CheckQuestion(ramp=ramp.id, checks=checks[:2], asked_ms=now_ms))
    assert [value.found for value in values] == [("90.0",), (repr(100 * (1_130 - 62) / 1_130),)]
    [none] = await reports.find(CheckQuestion(ramp=ramp.id, checks=checks[:1], asked_ms=now_ms + 60_000))
    assert none.found == ()

    await reports.forget(ramp.id, [Check(name="a", window_s=45.0)], now_ms)
    async with world.storage.transaction() as tx:
        assert len(await tx.outcomes.inbox_after(ramp.id, 0)) == len(rows)
    await reports.forget(ramp.id, [Check(name="a", window_s=44.0), Check(name="b", query="up", window_s=900)], now_ms)
    async with world.storage.transaction() as tx:
        assert len(await tx.outcomes.inbox_after(ramp.id, 0)) == len(rows) - 1


async def test_what_no_check_looks_back_to_is_cleared_away(world: RampWorld) -> None:
    """Two windows of the inbox stay, and what was reported since."""
    ramp = await started(world, rule="threshold", analysis={**BLOCK, "metrics": RATE})
    await minutes(world, ramp.id, 5, Application(world, harm=0.0))
    await world.controller.prune()

    async with world.storage.transaction() as tx:
        rows = await tx.outcomes.inbox_after(ramp.id, 0)
    ages = [(world.manual.wall_ms() - row.increment.until_ms) / 1000 for row in rows]
    assert ages
    assert max(ages) <= 120


class Exposed:
    """What an application exports of the exposed requests, as the SDK's middleware does."""

    def __init__(self, prometheus: PrometheusServer) -> None:
        self.prometheus = prometheus
        registry = CollectorRegistry()
        self._requests = Counter("feature_flag_requests", "Requests.", (*LABELS, "outcome"), registry=registry)
        self._durations = Histogram(
            "feature_flag_request_duration_seconds", "Durations.", LABELS, registry=registry, buckets=(0.1, 0.4, 0.6, 5)
        )
        prometheus.exporters[0].render = lambda: generate_latest(registry)

    async def serve(self, good: int, bad: int = 0, *, seconds: float = 0.05) -> None:
        """Count these requests, and have them scraped. The others all fail, which is nobody's concern."""
        for arm, wrong in (("treatment", bad), ("control", good)):
            place = (PROJECT, ENVIRONMENT, FLAG, "on", arm)
            self._requests.labels(*place, "ok").inc(good)
            self._requests.labels(*place, "error").inc(wrong)
            durations = self._durations.labels(*place)
            for _ in range(good):
                durations.observe(seconds if arm == "treatment" else 9)
        await self.prometheus.scraped()


@pytest.fixture
async def measured(database: Database, prometheus: PrometheusServer) -> AsyncIterator[RampWorld]:
    """A world that reads this Prometheus."""
    client = PrometheusClient(Access(url=prometheus.url))
    checks = {Family.QUERIES: PrometheusChecks(client)}
    async with ramp_world(database, checks=checks, scrape_s=1.0) as made:  # type: ignore[arg-type]
        await made.put()
        yield made
    await client.close()


async def test_by_prometheus_both_built_in_metrics_are_asked(measured: RampWorld, prometheus: PrometheusServer) -> None:
    """The documented block: good values climb, one failing request of twenty is a failed check, and says what it is."""
    exposed = Exposed(prometheus)
    await exposed.serve(0)
    await exposed.serve(100)
    ramp = await started(measured, rule="threshold", analysis=LONG)

    seen = await minutes(measured, ramp.id, 2)
    assert [view.exposure for view in seen] == [10, 20], seen[-1].counting
    await exposed.serve(0, 200)
    [failed] = await minutes(measured, ramp.id, 1)

    assert (failed.exposure, failed.status) == (20, "running")
    assert failed.counting is not None
    assert (failed.counting.failed_checks, failed.counting.verdict) == (1, "failed")
    rate, duration = failed.counting.checks
    assert 0 < float(rate.said.removeprefix("is ")) < 99
    assert 0 < float(duration.said.removeprefix("is ")) <= 100
    await assert_replays(measured, ramp.id)


async def test_checks_are_tried_without_a_ramp(measured: RampWorld) -> None:
    """Each is asked once, and shown against what is wanted; what SDKs report is there once a ramp runs."""
    metrics = [
        {"name": "one", "query": "vector(1)", "thresholdRange": {"min": 2}},
        {"name": "two", "query": "vector(2)", "thresholdRange": {"min": 2}},
        {"name": "none", "query": "nothing_like_it", "thresholdRange": {"min": 2}},
        {"name": "wrong", "query": 'label_replace(vector(1), "a", "b", "c", "(")', "thresholdRange": {"min": 2}},
    ]
    document = {"flag": FLAG, "rule": "threshold", "analysis": {**BLOCK, "metrics": metrics}}

    tried = await measured.ramps.try_guardrails(PROJECT, ENVIRONMENT, document)

    assert tried.guardrails == ()
    assert [(one.name, one.said, one.good) for one in tried.checks[:3]] == [
        ("one", "is 1", False), ("two", "is 2", True), ("none", "has no value", False)
    ]  # fmt: skip
    assert (tried.checks[3].good, bool(tried.checks[3].problem)) == (None, True)


async def test_by_prometheus_slow_requests_are_taken_back(measured: RampWorld, prometheus: PrometheusServer) -> None:
    """The 99th percentile, in milliseconds, of the exposed alone."""
    exposed = Exposed(prometheus)
    await exposed.serve(0)
    await exposed.serve(100, seconds=0.5)
    ramp = await started(measured, rule="threshold", analysis={**LONG, "threshold": 1})

    seen = await minutes(measured, ramp.id, 3)

    assert [view.status for view in seen] == ["running", "running", "killed"]
    assert "request-duration is 59" in seen[-1].why
    assert "request-success-rate" not in seen[-1].why


async def test_argo_rollouts_steps_and_template_on_prometheus(
    measured: RampWorld, prometheus: PrometheusServer
) -> None:
    """Weights by time, a measurement each minute, and the one failure that is too many takes it back at once."""
    exposed = Exposed(prometheus)
    await exposed.serve(0)
    await exposed.serve(100)
    series = 'feature_flag_requests_total{flag="{{args.flag-key}}",arm="treatment"'
    metric = {
        "name": "errors",
        "interval": "1m",
        "successCondition": "result[0] < {{args.most}}",
        "provider": {
            "prometheus": {
                "query": f'(sum(rate({series},outcome="error"}}[30m])) or vector(0)) / sum(rate({series}}}[30m]))'
            }
        },
    }
    arguments = [{"name": "flag-key", "value": FLAG}]
    argo = {
        "steps": [{"setWeight": 20}, {"pause": {"duration": "2m"}}, {"setWeight": 60}, {"pause": {}}],
        "analysis": {"templates": [{"templateName": "errors"}], "args": arguments},
        "analysisTemplates": [
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "AnalysisTemplate",
                "metadata": {"name": "errors"},
                "spec": {"args": [{"name": "flag-key"}, {"name": "most", "value": "0.05"}], "metrics": [metric]},
            }
        ],
    }
    ramp = await started(measured, rule="threshold", argo=argo)

    seen = await minutes(measured, ramp.id, 4)
    assert [view.exposure for view in seen] == [20, 20, 60, 60]
    assert seen[-1].status == "awaiting-approval"
    assert seen[-1].counting is not None
    assert [one.said for one in seen[-1].counting.checks] == ["is 0"]
    await exposed.serve(0, 200)
    [killed] = await minutes(measured, ramp.id, 1)

    assert (killed.status, killed.exposure) == ("killed", 0)
    assert killed.why.startswith("errors: 1 failed, 0 are allowed (the last is 0.")
    await assert_replays(measured, ramp.id)


async def test_queries_are_answered_as_prometheus_answers(prometheus: PrometheusServer) -> None:
    """Lists, numbers, nothing, what is no number, what is no instant's value, and what is no query."""
    client = PrometheusClient(Access(url=prometheus.url))
    queries = [
        "label_replace(vector(1), 'a', 'b', '', '') or vector(2)",
        "1 / 0",
        "vector(0) / 0",
        "absent(up)",
        "up[1m]",
        "sum(",
    ]

    found = await PrometheusChecks(client).find(
        CheckQuestion(ramp="r", checks=tuple(Check(name=query, query=query) for query in queries), asked_ms=0)
    )

    assert [one.found for one in found[:4]] == [("1", "2"), ("+Inf",), ("NaN",), ()]
    assert [one.scalar for one in found[:4]] == [False, True, False, False]
    assert [one.problem.partition(":")[0] for one in found] == ["", "", "", "", "query failed", "query failed"]
    assert "no number but a matrix" in found[4].problem
    await client.close()
