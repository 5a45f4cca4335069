"""Guardrails on any counters of a real Prometheus: pairs, maps, latency, and what happens to series."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rheostat.clock import SystemClock
from rheostat.model.document import GuardrailDocument, HistoryDocument, RampDocument
from rheostat_server.adapters.evidence.prometheus.access import Access
from rheostat_server.adapters.evidence.prometheus.client import PrometheusClient
from rheostat_server.adapters.evidence.prometheus.scout import PrometheusScout
from rheostat_server.adapters.evidence.prometheus.source import PrometheusEvidence
from rheostat_server.errors import Fault, Invalid
from rheostat_server.ports.evidence import Question
from rheostat_server.ports.ramps import EpochMark
from rheostat_server.ramps.evidence import ArmTotals, Reading, Sight
from rheostat_server.ramps.model import Family, Guardrail, Measure, Plan, Step
from rheostat_server.ramps.queries import queries_of
from rheostat_server.ramps.terms import Queries
from rheostat_server.ramps.watching import Watched, Watching, faults_of
from tests.integration.prometheus_server import PrometheusServer, running_prometheus

PAIR = GuardrailDocument(name="own", bad='shop_total{code="500"}', total="shop_total")
EVERY_S = 0.25
PLACE = {"project": "p", "environment": "e", "flag": "f"}
_NUMBERS = itertools.count(1)


class Shop:
    """An application of one's own: a counter of requests by arm and code, and a histogram."""

    def __init__(self) -> None:
        # The server keeps what it scraped for the test before.
        self.name = f"shop{next(_NUMBERS)}"
        self.restart()

    def meant(self, asked: GuardrailDocument) -> GuardrailDocument:
        """Return the guardrail with this application's names in place of ``shop``."""
        text = msgspec.json.encode(asked).replace(b"shop_", f"{self.name}_".encode())
        return msgspec.json.decode(text, type=GuardrailDocument)

    def restart(self) -> None:
        """Begin to count anew."""
        self.registry = CollectorRegistry()
        self.requests = Counter(self.name, "Requests.", ("arm", "code"), registry=self.registry)
        self.duration = Histogram(
            f"{self.name}_seconds", "Durations.", ("arm",), buckets=(0.1, 0.25, 0.5, 1.0), registry=self.registry
        )

    def serve(self, arm: str, *, good: int = 0, bad: int = 0) -> None:
        """Count requests."""
        if good:
            self.requests.labels(arm, "200").inc(good)
        if bad:
            self.requests.labels(arm, "500").inc(bad)

    def render(self) -> bytes:
        """Show the counters."""
        return generate_latest(self.registry)


class Watch:
    """A guardrail that is read again and again, its cursor saved in between."""

    def __init__(self, server: PrometheusServer, shop: Shop, asked: GuardrailDocument = PAIR) -> None:
        self.client = PrometheusClient(Access(url=server.url))
        self.source = PrometheusEvidence(self.client)
        self.server = server
        self.clock = SystemClock()
        self.queries: Queries = queries_of(shop.meant(asked), {}, PLACE, path="g")
        self.began_ms = self.clock.wall_ms() - 60_000
        self.cursor = ""
        self.treatment = ArmTotals()
        self.control = ArmTotals()

    def question(self) -> Question:
        """Return the question, asked now."""
        guardrail = Guardrail(name="own", family=Family.QUERIES, grade=3, queries=self.queries)
        return Question(
            ramp="0192-r",
            environment_id=1,
            plan=Plan(
                project="p", environment="e", flag="f", rollout="default", start_ppm=0,
                steps=(Step(exposure_ppm=100_000),), guardrails=(guardrail,), interval_s=1.0,
            ),
            guardrail=guardrail,
            marks=(EpochMark(1, 100_000, self.began_ms),),
            asked_ms=self.clock.wall_ms(),
            cursor=self.cursor,
        )  # fmt: skip

    async def read(self, *, scraped: bool = True) -> Reading:
        """Read what a scrape from now on shows, and add it up."""
        if scraped:
            await self.server.scraped()
        reading = await self.source.read(self.question())
        self.cursor = reading.cursor
        for block in reading.blocks:
            self.treatment = _added(self.treatment, block.treatment)
            self.control = _added(self.control, block.control)
        return reading

    def counted(self) -> tuple[int, int, int, int]:
        """Return treated requests and bad ones, then those of control."""
        return self.treatment.ended, self.treatment.bad, self.control.ended, self.control.bad


def _added(a: ArmTotals, b: ArmTotals) -> ArmTotals:
    return ArmTotals(ended=a.ended + b.ended, bad=a.bad + b.bad)


@pytest.fixture(scope="module")
def server() -> Iterator[PrometheusServer]:
    """A Prometheus over one application."""
    with running_prometheus() as running:
        yield running


@pytest.fixture
async def shop(server: PrometheusServer) -> AsyncIterator[Shop]:
    """An application that is scraped. What was shown before is over."""
    made = Shop()
    server.exporters[0].render = lambda: b""
    await server.scraped()
    server.exporters[0].render = made.render
    yield made
    server.exporters[0].render = lambda: b""


async def test_each_request_counts_once_from_the_first_error_on(server: PrometheusServer, shop: Shop) -> None:
    """Requests count in their arm, also the first bad one, whose series is new, and labels of no arm do not."""
    shop.serve("control", good=1_000)
    watch = Watch(server, shop)
    await watch.read()

    shop.serve("control", good=10)
    shop.serve("treatment", good=5, bad=1)
    shop.serve("elsewhere", bad=7)
    first = await watch.read()
    await watch.read(scraped=False)
    shop.serve("holdback", good=3)
    await watch.read()

    assert first.sight is Sight.SEEN
    assert watch.counted() == (6, 1, 13, 0)


async def test_a_restart_of_the_application_loses_and_doubles_nothing(server: PrometheusServer, shop: Shop) -> None:
    """Counters that begin anew have grown by what they show."""
    for arm in ("control", "treatment"):
        shop.serve(arm, good=100, bad=10)
    watch = Watch(server, shop)
    await watch.read()
    shop.serve("treatment", good=20)
    await watch.read()

    shop.restart()
    shop.serve("treatment", good=4, bad=2)
    shop.serve("control", good=8, bad=1)
    await watch.read()

    assert watch.counted() == (26, 2, 9, 1)


async def test_each_arm_by_queries_of_its_own(server: PrometheusServer, shop: Shop) -> None:
    """Two queries a side are read as one guardrail, sums and differences included."""
    asked = GuardrailDocument(
        name="own",
        bad={"treatment": 'sum(shop_total{arm="treatment"}) - sum(shop_total{arm="treatment",code="200"})',
             "control": 'shop_total{arm!="treatment",code="500"}'},
        total={"treatment": 'shop_total{arm="treatment"}', "control": 'shop_total{arm!="treatment"}'},
    )  # fmt: skip
    for arm in ("control", "treatment"):
        shop.serve(arm, good=1, bad=1)
    watch = Watch(server, shop, asked)
    await watch.read()

    shop.serve("treatment", good=5, bad=2)
    shop.serve("control", good=7, bad=3)
    await watch.read()

    assert watch.counted() == (7, 2, 10, 3)


async def test_hostile_label_values_select_what_they_say(server: PrometheusServer, shop: Shop) -> None:
    """Quotes, braces, backslashes and line breaks in a value neither break a query nor reach out of it."""
    hostile = 'a"} or vector(1) # \\ {\n$flag é'
    quoted = hostile.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("$flag", "f")
    asked = GuardrailDocument(
        name="own",
        bad=f'shop_total{{code="{quoted}"}}',
        total="shop_total",
        arms={"treatment": (hostile,), "control": ("c",)},
    )
    code = hostile.replace("$flag", "f")
    shop.requests.labels(hostile, code).inc()
    shop.requests.labels("c", "200").inc()
    watch = Watch(server, shop, asked)
    await watch.read()

    shop.requests.labels(hostile, code).inc(3)
    shop.requests.labels("c", "200").inc(2)
    await watch.read()

    assert watch.counted() == (3, 3, 2, 0)


async def test_what_took_longer_than_the_bound_is_bad(server: PrometheusServer, shop: Shop) -> None:
    """Latency is counted as requests above a bucket, and what is owed between scrapes comes out even."""
    asked = GuardrailDocument(
        name="slow",
        bad='sum(shop_seconds_count) - sum(shop_seconds_bucket{le=~"0.5"})',
        total="sum(shop_seconds_count)",
    )
    for arm in ("control", "treatment"):
        shop.duration.labels(arm).observe(0.7)
    watch = Watch(server, shop, asked)
    await watch.read()

    for seconds in (0.01, 0.4, 0.6, 20.0):
        shop.duration.labels("treatment").observe(seconds)
    shop.duration.labels("control").observe(0.5)
    await watch.read()

    assert watch.counted() == (4, 2, 1, 0)


async def test_values_that_are_no_numbers_are_never_evidence(server: PrometheusServer, shop: Shop) -> None:
    """A counter that is not a number is a failed query, by name, and moves nothing."""
    odd = Gauge("odd_total", "Odd.", ("arm",), registry=shop.registry)
    odd.labels("treatment").set(float("nan"))
    watch = Watch(server, shop, GuardrailDocument(name="own", bad="odd_total", total="shop_total"))
    shop.serve("treatment", good=5)

    reading = await watch.read()

    assert (reading.sight, reading.blocks) == (Sight.QUERY_FAILED, ())
    assert reading.detail == "odd_total has no finite sample"


async def test_no_arm_and_no_series_are_absent_by_name(server: PrometheusServer, shop: Shop) -> None:
    """An empty answer, and series of no arm, say which selector or which values there are."""
    shop.serve("blue", good=5)
    shop.serve("green", good=5)

    empty = await Watch(server, shop, GuardrailDocument(name="own", bad="none", total="none_total")).read()
    strange = await Watch(server, shop).read()

    assert (empty.sight, strange.sight) == (Sight.SERIES_ABSENT, Sight.SERIES_ABSENT)
    assert empty.detail == "Prometheus has no such series: none_total"
    assert strange.detail == "no series is of an arm: its label arm has the values blue, green"


@pytest.fixture
def two() -> Iterator[PrometheusServer]:
    """A Prometheus over two applications."""
    with running_prometheus(exporters=2) as running:
        yield running


async def test_an_arm_whose_series_end_is_stale_though_the_other_goes_on(two: PrometheusServer) -> None:
    """Where the treated instances are gone the ramp is not told of a control alone, but that it sees too little."""
    treated, usual = Shop(), Shop()
    treated.name = usual.name
    treated.restart()
    two.exporters[0].render, two.exporters[1].render = treated.render, usual.render
    treated.serve("treatment", good=1)
    usual.serve("control", good=1)
    watch = Watch(two, usual)
    await watch.read()
    treated.serve("treatment", good=5)
    assert (await watch.read()).sight is Sight.SEEN
    two.exporters[0].render = lambda: None

    reading = await watch.read()
    for _ in range(60):
        usual.serve("control", good=1)
        reading = await watch.read()
        if reading.sight is Sight.SERIES_STALE:
            break

    assert (reading.sight, reading.blocks) == (Sight.SERIES_STALE, ())
    assert reading.detail == "the treatment's series have ended, while others go on"
    two.exporters[0].render = treated.render
    treated.serve("treatment", bad=1)
    assert (await watch.read()).sight is Sight.SEEN
    assert watch.treatment.bad == 1


@pytest.fixture
def replicated() -> Iterator[PrometheusServer]:
    """A Prometheus that shows what a pair of servers scraped, neither merged nor in step."""
    with running_prometheus(replicas=2) as running:
        yield running


async def test_an_application_scraped_by_two_jobs_and_two_servers_counts_once(replicated: PrometheusServer) -> None:
    """Series that differ in who scraped them alone are one counter, and a restart of it one restart."""
    shop = Shop()
    replicated.exporters[0].render = shop.render
    shop.serve("treatment", good=100)
    shop.serve("control", good=100)
    watch = Watch(replicated, shop)
    await watch.read()
    for _ in range(10):
        shop.serve("treatment", good=30, bad=1)
        shop.serve("control", good=60)
        await watch.read(scraped=False)
        await asyncio.sleep(EVERY_S / 3)
    await watch.read()
    await watch.read()
    assert watch.counted() == (310, 10, 600, 0)

    shop.restart()
    shop.serve("treatment", good=2)
    await watch.read()
    await watch.read()

    assert watch.counted() == (312, 10, 600, 0)


def a_ramp(*guardrails: GuardrailDocument) -> RampDocument:
    """Return a ramp with these guardrails."""
    return RampDocument(flag="f", environment="e", guardrails=guardrails)


async def tried(server: PrometheusServer, shop: Shop, *guardrails: GuardrailDocument) -> tuple[Watched, ...]:
    """Return what these guardrails return now."""
    watching = Watching(PrometheusScout(PrometheusClient(Access(url=server.url))))
    return await watching.of(a_ramp(*map(shop.meant, guardrails)), "p", SystemClock().wall_ms())


async def test_a_trial_shows_what_each_arm_returns_now(server: PrometheusServer, shop: Shop) -> None:
    """Before anything starts one sees series, requests and the bad ones of each arm."""
    shop.serve("treatment", good=1)
    shop.serve("control", good=1, bad=1)
    await server.scraped()
    shop.serve("treatment", good=97, bad=3)
    shop.serve("control", good=40, bad=1)
    await server.scraped()

    [one] = await tried(server, shop, PAIR)

    arms = {arm: (seen.requests, seen.bad) for arm, seen in one.look.arms.items()}
    # The first bad treated request made its series, whose beginning a look at one moment cannot see.
    assert arms == {"treatment": (97, 0), "control": (41, 1)}
    assert (one.look.problem, one.look.absent, one.look.hints) == (None, (), ())
    assert (one.guardrail.may_kill, one.guardrail.phi, one.guardrail.history_minutes) == (False, 5.0, 0)
    assert "240 are needed" in (one.unmeasured or "")


@pytest.mark.parametrize(
    ("asked", "hints"),
    [
        (GuardrailDocument(name="own", bad="shop_totals", total="shop_total"),
         ["there is no metric shop_totals; did you mean shop_total?"]),
        (GuardrailDocument(name="own", bad='shop_total{code="503"}', total="shop_total"),
         ['shop_total has no code="503": its code has the values 200, 500']),
        (GuardrailDocument(name="own", bad='shop_total{status="500"}', total="shop_total"),
         ["shop_total has no label status"]),
        (GuardrailDocument(name="own", bad='shop_total{code="500",arm="holdback"}', total="shop_total"),
         ['shop_total has no arm="holdback": its arm has the values control, treatment']),
        (GuardrailDocument(name="own", bad='shop_total{code="500",arm="control"}', total="shop_total"),
         ['shop_total has no series to which all of shop_total{code="500",arm="control"} applies']),
    ],
)  # fmt: skip
async def test_a_trial_names_what_was_nearly_meant(
    server: PrometheusServer, shop: Shop, asked: GuardrailDocument, hints: list[str]
) -> None:
    """A query that finds nothing is told the metric, or the label's values, that are there."""
    shop.serve("treatment", good=1, bad=1)
    shop.serve("control", good=1)
    await server.scraped()

    [one] = await tried(server, shop, asked)

    found = [hint.replace(f"{shop.name}_", "shop_") for hint in one.look.hints]
    # The server remembers the names of other tests, which are near too.
    assert [hint.partition(" or shop")[0].removesuffix("?") for hint in found] == [
        hint.removesuffix("?") for hint in hints
    ]
    assert len(one.look.absent) == 1
    assert faults_of([one]) == []


async def test_a_trial_finds_queries_that_cannot_be_right(server: PrometheusServer, shop: Shop) -> None:
    """Labels of no arm, a bad that is no part of the total, and a gauge are faults before the start."""
    level = Gauge("level_total", "A level.", ("arm",), registry=shop.registry)
    for value in (5, 2, 7, 3, 8, 1, 9, 2):
        level.labels("treatment").set(value)
        shop.serve("treatment", good=1, bad=30)
        shop.serve("control", good=20, bad=1)
        await server.scraped()

    swapped = GuardrailDocument(name="a", bad="shop_total", total='shop_total{code="200"}')
    unarmed = GuardrailDocument(name="b", bad="shop_total", total="shop_total", arm_label="code")
    gauge = GuardrailDocument(name="c", bad="level_total", total="shop_total")
    found = {fault.path: fault for fault in faults_of(await tried(server, shop, swapped, unarmed, gauge))}

    assert found["guardrails[0]"].message == "more requests are bad than there are: bad has to be a part of total"
    assert found["guardrails[1]"].message == "no series is of an arm"
    assert "code has the values 200, 500" in (found["guardrails[1]"].hint or "")
    assert found["guardrails[2]"].message == "level_total falls again and again: it is no counter"


async def test_a_bound_is_one_that_the_histogram_has(server: PrometheusServer, shop: Shop) -> None:
    """A threshold takes the nearest bound within a quarter of it; further off the fault offers the nearest."""
    families = Histogram(
        "feature_flag_request_duration_seconds",
        "Durations.",
        ("project", "environment", "flag", "variant", "arm"),
        buckets=(0.1, 0.5, 1.0),
        registry=shop.registry,
    )
    families.labels("p", "e", "f", "on", "treatment").observe(0.2)
    await server.scraped()
    asked = GuardrailDocument(metric="request-duration", source="application", threshold=450)

    [one] = await tried(server, shop, asked)
    with pytest.raises(Invalid) as refused:
        await tried(server, shop, msgspec.structs.replace(asked, threshold=250))

    assert (one.guardrail.name, one.guardrail.measure) == ("application-duration", Measure.LATENCY)
    assert (one.guardrail.bound_ms, one.guardrail.ceiling) == (500, 0.01)
    assert one.guardrail.queries is not None
    assert refused.value.faults == (
        Fault("guardrails[0].threshold", "its histogram has no bound within 25 % of 250 ms", "give 100 or 500"),
    )


async def test_before_the_first_request_the_middlewares_own_bounds_count(server: PrometheusServer, shop: Shop) -> None:
    """A flag that nobody has met yet can be guarded by latency all the same; a map without series cannot."""
    own = GuardrailDocument(metric="request-duration", source="application", threshold=2_400)

    watching = Watching(PrometheusScout(PrometheusClient(Access(url=server.url))))
    [one] = await watching.of(a_ramp(own), "nobody", SystemClock().wall_ms())
    with pytest.raises(Invalid) as refused:
        await tried(server, shop, GuardrailDocument(metric="request-duration", map="starlette-exporter", threshold=500))

    assert one.guardrail.bound_ms == 2_500
    [fault] = refused.value.faults
    assert "there is no metric starlette_request_duration_seconds_bucket" in fault.message


def history(now_s: float, *, hours: float, burst: int) -> str:
    """Return an OpenMetrics text: 600 requests a minute, 6 of them bad, more in bursts of ten minutes."""
    lines = ["# TYPE past counter"]
    start_s = now_s - hours * 3_600
    for code in ("200", "500"):
        total = 0
        for step in range(int(hours * 120)):
            bad = 3 + (burst if (step // 20) % 6 == 0 else 0)
            total += bad if code == "500" else 300 - bad
            lines.append(f'past_total{{code="{code}",instance="a:1",job="past"}} {total} {start_s + step * 30:.3f}')
    return "\n".join([*lines, "# EOF", ""])


@pytest.mark.parametrize(("hours", "burst"), [(5.5, 0), (5.5, 30), (3.0, 0)])
async def test_phi_is_measured_on_the_hours_before(hours: float, burst: int) -> None:
    """Four hours of history give φ and the right to kill: calm ones a small φ, bursts a large one."""
    past_pair = HistoryDocument(bad='past_total{code="500"}', total="past_total")
    asked = GuardrailDocument(name="own", bad="x_total", total="y_total", history=past_pair)
    with running_prometheus(history=history(SystemClock().wall_ms() / 1000 - 60, hours=hours, burst=burst)) as past:
        [one] = await tried(past, Shop(), asked)

    if hours < 4:
        assert (one.guardrail.phi, one.guardrail.history_minutes) == (5.0, 0)
        assert "min of history, and 240 are needed" in (one.unmeasured or "")
        return
    assert one.guardrail.history_minutes >= 320
    assert one.guardrail.phi == 1.0 if burst == 0 else one.guardrail.phi > 10
    assert one.guardrail.may_kill
