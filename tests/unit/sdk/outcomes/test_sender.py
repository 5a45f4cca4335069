"""How batches reach the server: real HTTP, and a clock that the tests move."""

import logging
from collections.abc import Iterator

import pytest
import urllib3

from rheostat.clock import ManualClock
from rheostat.model.evaluation import Arm
from rheostat.model.outcome import Applied, Batch, BatchReceipt, Row
from rheostat.outcomes.delivery import AGE_HEADER, Courier
from rheostat.outcomes.pending import GZIP_ABOVE, PendingBatches, encode
from rheostat.outcomes.sender import LIVE_INTERVAL_S, QUIET_INTERVAL_S, Sender
from tests.unit.sdk.outcomes.collector import Collector, a_collector


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A server that takes batches."""
    with a_collector() as collector:
        yield collector


class Driver:
    """A sender without its thread: time passes and steps are made by the test."""

    def __init__(self, url: str) -> None:
        self.clock = ManualClock()
        self.live = False
        self.variants = 0
        self.heard: list[int] = []
        self.settled: list[int] = []
        self.sender = Sender(
            self._make,
            lambda: self.live,
            self._settled,
            Courier(url, "sdk-key", lambda: urllib3.PoolManager(retries=False)),
            self.clock,
        )

    def _settled(self, sequence: int, receipt: BatchReceipt | None) -> None:
        self.settled.append(sequence)
        if receipt is not None and receipt.at_ms:
            self.heard.append(receipt.at_ms)

    def _make(self, sequence: int, goodbye: bool) -> Batch:
        rows = tuple(
            Row(ramp="r", epoch=1, exposure_ppm=1, arm=Arm.CONTROL, variant=f"variant-{n}", started=sequence)
            for n in range(self.variants)
        )
        return Batch(instance="0" * 32, sequence=sequence, goodbye=goodbye, rows=rows, applied=Applied(1, sequence))

    def after(self, seconds: float) -> float:
        """Let time pass, do what is due, and return the wait until the next step."""
        self.clock.advance(seconds)
        return self.sender.step()


def sequences(collector: Collector) -> list[int]:
    """Return the sequences in the order they came."""
    return [received.batch.sequence for received in collector.received]


def test_a_batch_goes_out_every_ten_seconds_and_every_second_while_a_flag_ramps(collector: Collector) -> None:
    """Quiet processes report every 10 s, also when there is nothing to tell; with a live ramp every second."""
    driver = Driver(collector.url)
    assert driver.after(0) == QUIET_INTERVAL_S
    assert driver.after(9.5) == pytest.approx(0.5)
    assert sequences(collector) == []
    driver.after(0.5)
    assert sequences(collector) == [1]

    driver.live = True
    assert driver.after(0) == LIVE_INTERVAL_S
    driver.after(1.0)
    assert sequences(collector) == [1, 2]


def test_a_batch_says_whose_it_is(collector: Collector) -> None:
    """A batch is JSON to the outcomes path with the SDK key, uncompressed while it is small."""
    driver = Driver(collector.url + "/")
    driver.after(QUIET_INTERVAL_S)

    (received,) = collector.received
    assert received.headers["path"] == "/sdk/v1/outcomes"
    assert received.headers["Authorization"] == "Bearer sdk-key"
    assert received.headers["Content-Type"] == "application/json"
    assert "Content-Encoding" not in received.headers
    assert received.headers[AGE_HEADER] == "0"


def test_a_large_batch_is_compressed(collector: Collector) -> None:
    """Above 4 KiB the body is gzip, and the same batch always gives the same bytes."""
    driver = Driver(collector.url)
    driver.variants = 100
    driver.after(QUIET_INTERVAL_S)

    (received,) = collector.received
    assert received.headers["Content-Encoding"] == "gzip"
    assert len(received.batch.rows) == 100
    assert len(received.body) < GZIP_ABOVE
    assert received.body == encode(received.batch, 99.0).body


def test_a_lost_answer_is_followed_by_the_same_bytes(collector: Collector) -> None:
    """A batch whose answer got lost is sent again: same sequence, same bytes, and the age that it has by then."""
    collector.answers = ["lose", 503, 200]
    driver = Driver(collector.url)
    driver.variants = 1
    driver.after(QUIET_INTERVAL_S)
    driver.after(1.0)
    driver.after(1.5)

    assert sequences(collector) == [1, 1, 1]
    assert len({received.body for received in collector.received}) == 1
    ages = [int(received.headers[AGE_HEADER]) for received in collector.received]
    assert ages == [0, 1000, 2500]


def test_batches_go_in_order_however_often_one_fails(collector: Collector) -> None:
    """No batch overtakes an older one, and none is skipped or numbered twice."""
    collector.answers = [500, "lose", 200, 429, 200]
    driver = Driver(collector.url)
    driver.live, driver.variants = True, 1
    for _ in range(60):
        driver.after(1.0)

    came = sequences(collector)
    assert came[:6] == [1, 1, 1, 2, 2, 3]
    assert came == sorted(came)
    assert set(came) == set(range(1, max(came) + 1))


def test_a_retry_waits_a_random_time_that_grows(collector: Collector) -> None:
    """After a failure nothing is sent before the backoff, which is at most 0.5 s · 2^failures and 30 s."""
    collector.answers = [500] * 12
    driver = Driver(collector.url)
    driver.after(QUIET_INTERVAL_S)
    for failures in range(10):
        wait = driver.sender._retry_at - driver.clock.monotonic()
        assert 0 <= wait <= min(30.0, 0.5 * 2**failures)
        before = len(collector.received)
        driver.after(max(wait - 0.001, 0) if wait > 0.002 else 0)
        if wait > 0.002:
            assert len(collector.received) == before
        driver.after(0.002)
        assert len(collector.received) == before + 1


def test_the_servers_retry_after_is_kept(collector: Collector) -> None:
    """A server that asks for time gets it, up to a minute."""
    collector.answers = [(503, {"Retry-After": "20"}), (503, {"Retry-After": "86400"}), (503, {"Retry-After": "soon"})]
    driver = Driver(collector.url)
    driver.after(QUIET_INTERVAL_S)
    driver.after(19.9)
    assert len(collector.received) == 1
    driver.after(0.1)
    assert len(collector.received) == 2
    driver.after(59.9)
    assert len(collector.received) == 2
    driver.after(0.1)
    assert len(collector.received) == 3


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_refused_batch_is_dropped_with_a_line_in_the_log(
    collector: Collector, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What the server will never take does not stand in the way of the next batch."""
    collector.answers = [status]
    driver = Driver(collector.url)
    with caplog.at_level(logging.WARNING, logger="rheostat.outcomes"):
        driver.after(QUIET_INTERVAL_S)
        driver.after(QUIET_INTERVAL_S)

    assert sequences(collector) == [1, 2]
    (record,) = caplog.records
    assert f"HTTP {status}" in record.getMessage()


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_a_denied_key_keeps_the_batch_and_slows_down(
    collector: Collector, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """With a wrong key or address nothing is lost, tries come twice a minute at most, and it is said once."""
    collector.answers = [status, status]
    driver = Driver(collector.url)
    with caplog.at_level(logging.WARNING, logger="rheostat.outcomes"):
        driver.after(QUIET_INTERVAL_S)
        driver.after(29.9)
        assert sequences(collector) == [1]
        driver.after(30.1)
        driver.after(60.0)

    assert sequences(collector)[:3] == [1, 1, 1]
    assert len(caplog.records) == 1


def test_while_the_server_is_away_batches_are_few(collector: Collector) -> None:
    """During an outage batches are made every 10 s, and none when there is nothing to tell."""
    driver = Driver("http://127.0.0.1:9")
    driver.live = True
    for _ in range(40):
        driver.after(1.0)
    assert len(driver.sender._pending) == 1

    driver.variants = 1
    for _ in range(40):
        driver.after(1.0)
    assert 3 <= len(driver.sender._pending) <= 6


def test_the_server_hears_of_an_applied_change_at_once(collector: Collector) -> None:
    """A changed ramp or kill is acknowledged within a second by a batch, empty if need be."""
    driver = Driver(collector.url)
    driver.sender.acknowledge_soon()
    assert driver.after(0) <= 0.5
    driver.after(0.5)

    (received,) = collector.received
    assert received.batch.applied == Applied(1, 1)
    assert driver.after(0) == QUIET_INTERVAL_S


def test_closing_says_goodbye_after_what_is_pending(collector: Collector) -> None:
    """At the close what is pending goes out at once, whatever the backoff, and a goodbye last."""
    collector.answers = [401]
    driver = Driver(collector.url)
    driver.after(QUIET_INTERVAL_S)
    driver.sender.close(1.0)

    assert sequences(collector) == [1, 1, 2]
    assert [received.batch.goodbye for received in collector.received] == [False, False, True]


def test_what_need_not_be_sent_again_is_settled(collector: Collector) -> None:
    """A batch that was acknowledged, or that the server will never take, is settled; one that waits is not."""
    collector.answers = [200, 503, 422, 200]
    driver = Driver(collector.url)
    driver.after(QUIET_INTERVAL_S)
    driver.after(QUIET_INTERVAL_S)
    assert driver.settled == [1]
    driver.after(QUIET_INTERVAL_S)

    assert driver.settled == [1, 2]


def test_the_receipts_time_is_heard(collector: Collector) -> None:
    """The server's wall time in a receipt reaches the counter of windows."""
    collector.at_ms = 1_800_000_000_000
    driver = Driver(collector.url)
    driver.after(QUIET_INTERVAL_S)

    assert driver.heard == [1_800_000_000_000]


def test_the_queue_is_bounded_and_drops_the_oldest() -> None:
    """Beyond a number or a size the oldest batches go, and how many is told; the newest always stays."""
    few = PendingBatches(most=3)
    assert [few.add(encode(Batch(instance="0", sequence=n), 0.0)) for n in range(1, 6)] == [0, 0, 0, 1, 1]
    assert few.oldest is not None
    assert few.oldest.sequence == 3

    small = PendingBatches(most_bytes=10)
    small.add(encode(Batch(instance="0", sequence=1), 0.0))
    assert small.add(encode(Batch(instance="0", sequence=2), 0.0)) == 1
    assert small.oldest is not None
    assert small.oldest.sequence == 2
    assert len(small) == 1


def test_dropped_batches_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """An outage beyond the queue's bound is one line in the log, not one a batch."""
    driver = Driver("http://127.0.0.1:9")
    driver.sender._pending = PendingBatches(most=2)
    driver.variants = 1
    with caplog.at_level(logging.WARNING, logger="rheostat.outcomes"):
        for _ in range(6):
            driver.after(QUIET_INTERVAL_S)

    assert len([record for record in caplog.records if "outcomes_dropped" in record.getMessage()]) == 1
    assert len([record for record in caplog.records if "outcomes_undelivered" in record.getMessage()]) == 1
