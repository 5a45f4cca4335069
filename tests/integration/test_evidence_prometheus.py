"""Ramps on the evidence of a real Prometheus, and what becomes of awkward answers."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from rheostat.clock import SystemClock
from rheostat.middleware.metrics import RequestFamilies
from rheostat.model.evaluation import Arm
from rheostat.model.outcome import Outcome
from rheostat.model.ramp import RampOverlay
from rheostat.outcomes.touch import Touch
from rheostat_server.adapters.evidence.prometheus.access import Access
from rheostat_server.adapters.evidence.prometheus.client import PrometheusClient, QueryFailedError
from rheostat_server.adapters.evidence.prometheus.cursor import Cursor, write_cursor
from rheostat_server.adapters.evidence.prometheus.scout import PrometheusScout
from rheostat_server.adapters.evidence.prometheus.source import PrometheusEvidence, prometheus_evidence
from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.outcomes.model import ArmCount
from rheostat_server.ports.evidence import EvidenceSource, Question
from rheostat_server.ports.ramps import EpochMark
from rheostat_server.ramps.controller import labels_of
from rheostat_server.ramps.evidence import Sight
from rheostat_server.ramps.model import Action, Family, Guardrail, Measure, Plan, Step
from rheostat_server.ramps.watching import Watching
from tests.integration.prometheus_server import PrometheusServer, prometheus, running_prometheus
from tests.integration.ramp_world import ENVIRONMENT, FLAG, PROJECT, ROLLOUT, Application, RampWorld, ramp_world

__all__ = ["prometheus"]
SHORT = {"preflight": "3s", "min_dwell": "1s", "soak": "2s"}


@pytest.fixture
async def world(database: Database, prometheus: PrometheusServer) -> AsyncIterator[RampWorld]:
    """A world whose ramps read the server's metrics back from Prometheus."""
    source = prometheus_evidence(prometheus.url)
    sources: dict[Family, EvidenceSource] = {
        Family.REPORTED_METRICS: source,
        Family.APPLICATION: source,
        Family.QUERIES: source,
    }
    watching = Watching(PrometheusScout(PrometheusClient(Access(url=prometheus.url))))
    async with ramp_world(
        database, sources, family=Family.REPORTED_METRICS, clock=SystemClock(), watching=watching
    ) as made:
        prometheus.exporters[0].render = lambda: made.metrics.render()[0]
        await made.put()
        yield made
    await source.close()


async def test_a_harmful_change_is_taken_back_by_metrics(world: RampWorld) -> None:
    """Failing users that Prometheus read from the server kill the ramp."""
    ramp = (await world.start(**SHORT)).id

    seen = await world.ride(ramp, Application(world, harm=0.4), until=["killed", "promoted", "aborted"], seconds=60)

    assert seen[-1].status == "killed"
    [guardrail] = seen[-1].guardrails
    assert guardrail.family == "reported-metrics"
    assert guardrail.treatment.failing >= 3


async def test_a_harmless_change_goes_on_until_prometheus_stops(world: RampWorld, prometheus: PrometheusServer) -> None:
    """A ramp goes up on metrics; when Prometheus is gone it is blind: it neither advances nor is killed."""
    ramp = (await world.start(**SHORT, steps=[20, 60, 100])).id
    application = Application(world)
    for _ in range(60):
        await application.serve(1_000)
        await world.tick()
        if (await world.view(ramp)).exposure >= 60:
            break
    before = await world.view(ramp)
    assert before.exposure >= 60
    prometheus.stop()

    application.harm = 0.4  # less than what SDK reports call a crash, which needs no Prometheus
    seen = await world.ride(ramp, application, until=["blind"], seconds=10)
    for _ in range(3):
        await application.serve()
        await world.tick()

    after = await world.view(ramp)
    assert (after.status, after.exposure) == ("blind", seen[-1].exposure)
    assert after.guardrails[0].sight == "query failed"
    assert (await world.served())[1] == []


async def test_an_application_that_is_not_scraped_any_more_is_stale(
    world: RampWorld, prometheus: PrometheusServer
) -> None:
    """Prometheus answers, but has nothing new: that is called stale within a few intervals."""
    ramp = (await world.start(**SHORT)).id
    application = Application(world)
    for _ in range(3):
        await application.serve()
        await world.tick()
    assert (await world.view(ramp)).guardrails[0].sight == "seen"
    prometheus.exporters[0].render = lambda: None

    seen = await world.ride(ramp, application, until=["blind"], seconds=20)

    assert seen[-1].guardrails[0].sight == "series stale"


OVERLAY = RampOverlay(ramp="r", flag=FLAG, exposure_ppm=100_000, epoch=1, levels=(100_000,))
APPLICATION_GUARD = {"metric": "request-success-rate", "source": "application", "kill": True}


async def test_with_both_scraped_each_request_counts_once(world: RampWorld, prometheus: PrometheusServer) -> None:
    """The application's counters and the server's of what it was told are two families: a guardrail reads one."""
    application = Application(world)
    prometheus.exporters[0].render = lambda: world.metrics.render()[0] + generate_latest(application.registry)
    await application.serve(0)
    ramp = (await world.start(**{**SHORT, "preflight": "60s"}, guardrails=[APPLICATION_GUARD])).id

    for _ in range(6):
        await world.tick()
        await application.serve(300)
    for _ in range(3):
        await world.tick()

    reported, counted = (await world.view(ramp)).guardrails
    assert (reported.family, counted.family) == ("reported-metrics", "application")
    assert reported.treatment.requests + reported.control.requests == application.served == 1_800
    # What an application counted before it was first seen is no evidence, so that one lacks the first batch.
    assert 1_200 <= counted.treatment.requests + counted.control.requests <= 1_800


async def test_an_applications_own_counters_can_kill(world: RampWorld, prometheus: PrometheusServer) -> None:
    """A guardrail on the application's request counters takes the variant back where it may."""
    application = Application(world, harm=0.4)
    # The server is not scraped: its own family is blind, and what the application counts has to do.
    prometheus.exporters[0].render = lambda: generate_latest(application.registry)
    ramp = (await world.start(**SHORT, guardrails=[APPLICATION_GUARD])).id
    for _ in range(4):
        await application.serve(500)
        await world.tick()
    await world.act(ramp, Action.ADVANCE)

    seen = await world.ride(ramp, application, until=["killed", "promoted", "aborted"], seconds=30)

    assert seen[-1].status == "killed"
    assert "application-errors" in seen[-1].why


async def test_a_pair_of_queries_can_kill(world: RampWorld, prometheus: PrometheusServer) -> None:
    """A guardrail on counters that somebody names takes the variant back where it may, and says by name what it saw."""
    application = Application(world, harm=0.4)
    prometheus.exporters[0].render = lambda: generate_latest(application.registry)
    pair = {
        "name": "own",
        "bad": 'sum by (arm) (feature_flag_requests_total{flag="$flag",outcome="error"})',
        "total": 'sum by (arm) (feature_flag_requests_total{flag="$flag"})',
        "kill": True,
    }
    ramp = (await world.start(**SHORT, guardrails=[pair])).id
    for _ in range(4):
        await application.serve(500)
        await world.tick()
    shown = world.metrics.render()[0].decode()
    assert f'guardrail="own",project="shop",ramp="{ramp}",sight="seen"}} 1.0' in shown
    assert f'guardrail="errors",project="shop",ramp="{ramp}",sight="series absent"}} 1.0' in shown
    await world.act(ramp, Action.ADVANCE)

    seen = await world.ride(ramp, application, until=["killed", "promoted", "aborted"], seconds=30)

    assert seen[-1].status == "killed"
    assert "own" in seen[-1].why
    await world.tick()
    assert "rheostat_ramp_guardrail_sight{" not in world.metrics.render()[0].decode()


async def test_a_change_that_is_only_slow_is_taken_back(world: RampWorld, prometheus: PrometheusServer) -> None:
    """Where no request fails, but exposed ones take longer than the bound, the application's histogram kills."""
    registry = CollectorRegistry()
    families = RequestFamilies(registry)
    prometheus.exporters[0].render = lambda: generate_latest(registry)
    slow = {"metric": "request-duration", "source": "application", "threshold": 550, "kill": True}

    touches = {
        arm: Touch(flag=FLAG, overlay=OVERLAY, rollout=ROLLOUT, arm=arm, variant="on", unit=None, place=None, at=0)
        for arm in Arm
    }

    def serve(treated_s: float) -> None:
        for arm, seconds, requests in ((Arm.TREATMENT, treated_s, 60), (Arm.CONTROL, 0.05, 500)):
            for number in range(requests):
                taken_s = seconds if number % 4 == 0 else 0.05
                families.request_ended(PROJECT, ENVIRONMENT, touches[arm], Outcome.OK, taken_s)

    serve(0.05)
    await prometheus.scraped()
    ramp = (await world.start(**SHORT, guardrails=[slow])).id
    [_, planned] = (await world.row(ramp)).plan.guardrails
    assert (planned.measure, planned.bound_ms) == (Measure.LATENCY, 500)
    for _ in range(4):
        serve(0.05)
        await world.tick()
    await world.act(ramp, Action.ADVANCE)

    for _ in range(30):
        serve(0.7)
        await world.tick()
        if (view := await world.view(ramp)).status == "killed":
            break

    assert view.status == "killed"
    assert "application-duration" in view.why


@pytest.fixture
def twofold() -> Iterator[PrometheusServer]:
    """A Prometheus with two jobs."""
    with running_prometheus(exporters=2) as server:
        yield server


async def test_a_server_scraped_by_two_jobs_counts_once(database: Database, twofold: PrometheusServer) -> None:
    """Two jobs that scrape the same server make no second one of it, also where the second begins mid-ramp."""
    source = prometheus_evidence(twofold.url)
    async with ramp_world(
        database, {Family.REPORTED_METRICS: source}, family=Family.REPORTED_METRICS, clock=SystemClock()
    ) as world:
        twofold.exporters[0].render = lambda: world.metrics.render()[0]
        await world.put()
        ramp = (await world.start(**{**SHORT, "preflight": "60s"})).id
        application = Application(world, usual=0.1)
        for _ in range(3):
            await application.serve(300)
            await world.tick()
        twofold.exporters[1].render = lambda: world.metrics.render()[0]
        for _ in range(3):
            await application.serve(300)
            await world.tick()
        await world.tick()
        await world.tick()

        [seen] = (await world.view(ramp)).guardrails
        assert seen.treatment.requests + seen.control.requests == application.served == 1_800
        async with database.connection() as connection:
            failed = await connection.fetchval("SELECT count(*) FROM failing_units")
        assert seen.treatment.failing + seen.control.failing == failed
    await source.close()


async def test_a_server_that_restarts_counts_on(database: Database, prometheus: PrometheusServer) -> None:
    """What a server counts after its restart is added to what it counted before."""
    source = prometheus_evidence(prometheus.url)
    async with ramp_world(
        database, {Family.REPORTED_METRICS: source}, family=Family.REPORTED_METRICS, clock=SystemClock()
    ) as world:
        shown = world.metrics
        prometheus.exporters[0].render = lambda: shown.render()[0]
        await world.put()
        ramp = (await world.start(**{**SHORT, "preflight": "60s"})).id
        application = Application(world)
        for _ in range(2):
            await application.serve(300)
            await world.tick()
        await prometheus.scraped()
        await world.tick()
        first = shown
        shown = PrometheusMetrics(world.clock, version="test")
        shown.reported(labels_of(await world.row(ramp)), "control", ArmCount(ok=900))
        await prometheus.scraped()
        await world.tick()
        await world.tick()

        [seen] = (await world.view(ramp)).guardrails
        assert first.node != shown.node
        assert seen.treatment.requests + seen.control.requests == 600 + 900
    await source.close()


class Answering:
    """An HTTP server that gives one answer to whatever it is asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        self.delay = 0.0
        self.asked: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.asked.append(self.rfile.read(int(self.headers["Content-Length"])))
                outer.authorization = self.headers.get("Authorization")
                time.sleep(outer.delay)
                self.send_response(outer.status)
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                pass

        self.authorization: str | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def matrix(self, *values: str, kind: str = "matrix") -> None:
        """Answer with one series of these values."""
        samples = [[1_000 + at, value] for at, value in enumerate(values)]
        result = [{"metric": {"__name__": "x_total", "job": "a", "instance": "b"}, "values": samples}]
        self.body = json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def answering() -> Iterator[Answering]:
    """A server that answers as it is told."""
    server = Answering()
    yield server
    server.close()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>", "not Prometheus's"),
        (502, b"bad gateway", "HTTP 502"),
        (400, b'{"status":"error","errorType":"bad_data","error":"parse error"}', "parse error"),
        (422, b'{"status":"error","error":"too many samples"}', "too many samples"),
        (503, b'{"status":"success","data":{"resultType":"matrix","result":[]}}', "HTTP 503"),
        (200, b'{"status":"error","error":"half an answer"}', "half an answer"),
        (200, b'{"status":"success"}', "no raw samples"),
        (
            200,
            b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,2]]}]}}',
            "not P",
        ),
    ],
)
async def test_what_is_no_answer_is_a_failed_query(answering: Answering, status: int, body: bytes, said: str) -> None:
    """Errors, half answers and what is not JSON are failed queries, with the reason in one line."""
    answering.status, answering.body = status, body

    with pytest.raises(QueryFailedError, match=said) as caught:
        await PrometheusClient(Access(url=answering.url)).query("x[1m]")

    assert "\n" not in str(caught.value)


async def test_numbers_that_are_none_are_left_out(answering: Answering) -> None:
    """NaN and infinities are no samples; a series of nothing else is a failed query."""
    client = PrometheusClient(Access(url=answering.url))
    answering.matrix("1", "NaN", "+Inf", "3")

    [series] = (await client.query("x[1m]")).series

    assert series.samples == ((1_000_000, 1.0), (1_003_000, 3.0))
    answering.matrix("NaN", "-Inf")
    with pytest.raises(QueryFailedError, match="no finite sample"):
        await client.query("x[1m]")
    answering.matrix("many")
    with pytest.raises(QueryFailedError, match="not a number"):
        await client.query("x[1m]")
    answering.matrix("1", kind="vector")
    with pytest.raises(QueryFailedError, match="no raw samples"):
        await client.query("x[1m]")


async def test_a_native_histogram_is_told_by_name(answering: Answering) -> None:
    """Its samples are not read as if they were numbers, and the reason says what to select."""
    metric = {"__name__": "x_seconds", "job": "a"}
    result = [{"metric": metric, "histograms": [[1_000, {"count": "3", "sum": "1", "buckets": []}]]}]
    answering.body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()
    client = PrometheusClient(Access(url=answering.url))

    with pytest.raises(QueryFailedError, match="x_seconds is a native histogram, which is not read"):
        await client.query("x_seconds[1m]")


async def test_a_slow_answer_is_a_failed_query(answering: Answering) -> None:
    """The wait is bounded."""
    answering.delay = 1.0

    with pytest.raises(QueryFailedError):
        await asyncio.wait_for(PrometheusClient(Access(url=answering.url, timeout_s=0.2)).query("x[1m]"), 5)


async def test_a_prometheus_that_hangs_holds_nobody_elses_threads(answering: Answering) -> None:
    """However many queries wait for it, work that others do in threads is done meanwhile."""
    answering.matrix("1")
    answering.delay = 3.0
    client = PrometheusClient(Access(url=answering.url))
    queries = [asyncio.create_task(client.query("x[1m]")) for _ in range(40)]
    await asyncio.sleep(0.2)

    await asyncio.wait_for(asyncio.to_thread(time.time), 2)

    for query in queries:
        query.cancel()
    await asyncio.gather(*queries, return_exceptions=True)
    await client.close()


async def test_credentials_and_path_of_the_url_are_used(answering: Answering) -> None:
    """A Prometheus behind a proxy is reached by its path, with the user of the URL."""
    answering.matrix("1")

    await PrometheusClient(Access(url=f"http://ana:secret@127.0.0.1:{answering.port}/prom/")).query("x[1m]")

    assert answering.authorization == "Basic YW5hOnNlY3JldA=="


def a_question(family: Family, cursor: str = "") -> Question:
    """Return a question of a ramp whose epoch began at 0."""
    plan = Plan(
        project="shop",
        environment="production",
        flag="checkout",
        rollout="default",
        start_ppm=0,
        steps=(Step(exposure_ppm=100_000),),
        guardrails=(),
        interval_s=15.0,
    )
    return Question(
        ramp="r-1",
        environment_id=1,
        plan=plan,
        guardrail=Guardrail(name="errors", family=family, grade=1),
        marks=(EpochMark(1, 100_000, 0),),
        asked_ms=1_000_000_000,
        cursor=cursor,
    )


async def test_one_query_a_reading_that_looks_back_as_far_as_needed(answering: Answering) -> None:
    """The range reaches back over the time since the last new sample, within bounds, and names the ramp."""
    answering.body = b'{"status":"success","data":{"resultType":"matrix","result":[]}}'
    source = PrometheusEvidence(PrometheusClient(Access(url=answering.url)))
    old = write_cursor(Cursor(targets={"t": 1}, advanced_ms=1_000_000_000 - 600_000))

    await source.read(a_question(Family.REPORTED_METRICS))
    gone = await source.read(a_question(Family.REPORTED_METRICS, old))
    await source.read(a_question(Family.APPLICATION))

    assert len(answering.asked) == 3
    assert b"ramp%3D%22r-1%22" in answering.asked[0]
    assert b"%5B45s%5D&timeout=10s" in answering.asked[0]
    assert b"%5B645s%5D&timeout=10s" in answering.asked[1]
    assert b"feature_flag_requests_total" in answering.asked[2]
    assert (gone.sight, gone.cursor) == (Sight.SERIES_STALE, old)
    await source.close()


async def test_a_cursor_that_cannot_be_read_is_a_failed_query(answering: Answering) -> None:
    """A cursor of another source does not take the controller down."""
    source = PrometheusEvidence(PrometheusClient(Access(url=answering.url)))

    assert (await source.read(a_question(Family.APPLICATION, "nonsense"))).sight is Sight.QUERY_FAILED
