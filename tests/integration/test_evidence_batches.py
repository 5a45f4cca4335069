"""Ramps that ask the same at the same time share a query, and none sees another's samples."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from rheostat_server.adapters.evidence.prometheus import batching
from rheostat_server.adapters.evidence.prometheus.access import Access
from rheostat_server.adapters.evidence.prometheus.batching import Batching
from rheostat_server.adapters.evidence.prometheus.client import PrometheusClient, QueryFailedError, Samples
from tests.integration.prometheus_server import PrometheusServer, running_prometheus


class Counting(PrometheusClient):
    """A client that notes what it asks."""

    def __init__(self, url: str) -> None:
        super().__init__(Access(url=url))
        self.asked: list[str] = []

    async def query(self, text: str, *, at_ms: int | None = None) -> Samples:
        """Note, then ask."""
        self.asked.append(text)
        return await super().query(text, at_ms=at_ms)


@pytest.fixture(scope="module")
def prometheus() -> Iterator[PrometheusServer]:
    """A Prometheus over many flags, one of a hostile name."""
    registry = CollectorRegistry()
    counter = Counter("met", "Requests.", ("flag", "arm"), registry=registry)
    with running_prometheus() as server:
        for number in range(120):
            counter.labels(f"flag.{number}", "treatment").inc(number)
        counter.labels("flag-0", "treatment").inc(5_000)
        server.exporters[0].render = lambda: generate_latest(registry)
        asyncio.run(server.scraped())
        yield server


async def test_many_flags_are_asked_for_in_few_queries(prometheus: PrometheusServer) -> None:
    """Each gets its own series and no other's, also where a name read as an expression would match more."""
    client = Counting(prometheus.url)
    batches = Batching(client)

    found = await asyncio.gather(*(batches.samples(f'met_total{{flag="flag.{number}"}}', 45) for number in range(120)))

    assert [[one.samples[-1][1] for one in samples.series] for samples in found] == [[n] for n in range(120)]
    assert len(client.asked) == -(-120 // batching.MOST_TOGETHER)
    await client.close()


async def test_what_differs_in_more_is_asked_for_by_itself(prometheus: PrometheusServer) -> None:
    """Other conditions, a much longer look back, and selectors without a flag are queries of their own."""
    client = Counting(prometheus.url)
    batches = Batching(client)

    found = await asyncio.gather(
        batches.samples('met_total{flag="flag.1"}', 45),
        batches.samples('met_total{flag="flag.1"}', 50),
        batches.samples('met_total{flag="flag.2",arm="control"}', 45),
        batches.samples('met_total{flag="flag.3"}', 3_000),
        batches.samples('met_total{flag=~"flag.4"}', 45),
        batches.samples("none_total", 45),
    )

    assert [len(samples.series) for samples in found] == [1, 1, 0, 1, 1, 0]
    assert sorted(client.asked) == [
        'met_total{flag="flag.1"}[50s]',
        'met_total{flag="flag.2",arm="control"}[45s]',
        'met_total{flag="flag.3"}[3000s]',
        'met_total{flag=~"flag.4"}[45s]',
        "none_total[45s]",
    ]
    await client.close()


async def test_a_query_that_fails_fails_for_all_that_share_it_and_for_the_moment() -> None:
    """Each is told the reason, one that no longer waits is no obstacle, and the next asks anew."""
    client = Counting("http://127.0.0.1:1")
    batches = Batching(client)
    asked = [asyncio.create_task(batches.samples(f'met_total{{flag="{flag}"}}', 45)) for flag in "abc"]
    await asyncio.sleep(0)
    asked[1].cancel()

    first, cancelled, third = await asyncio.gather(*asked, return_exceptions=True)

    assert isinstance(first, QueryFailedError)
    assert isinstance(third, QueryFailedError)
    assert isinstance(cancelled, asyncio.CancelledError)
    with pytest.raises(QueryFailedError, match="refused"):
        await batches.samples('met_total{flag="a"}', 45)
    assert len(client.asked) == 2
