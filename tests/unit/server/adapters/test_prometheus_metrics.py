"""This node's metrics, as Prometheus reads them."""

import pytest

from rheostat.clock import ManualClock
from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.outcomes.model import ArmCount
from rheostat_server.ports.metrics import RampLabels

RAMP = RampLabels(project="default", environment="production", flag="checkout", ramp="r", exposure_ppm=50_000)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def metrics(clock: ManualClock) -> PrometheusMetrics:
    return PrometheusMetrics(clock, version="1.2.3")


def series(metrics: PrometheusMetrics, family: str) -> list[str]:
    text, _ = metrics.render()
    return [line for line in text.decode().splitlines() if line.startswith(family)]


def test_a_ramps_series_are_there_before_its_first_outcome(metrics: PrometheusMetrics) -> None:
    """Touching a ramp shows every arm, outcome and sample of it at zero, once."""
    metrics.touch(RAMP)
    metrics.touch(RAMP)

    assert "_created" not in metrics.render()[0].decode()
    for family, count in (("failing_units_total", 3), ("reported_requests_total", 9), ("sampled_units_total", 6)):
        lines = series(metrics, f"rheostat_{family}")
        assert len(lines) == count
        assert all(line.endswith(" 0.0") for line in lines)
        assert all('exposure_ppm="50000"' in line and 'project="default"' in line for line in lines)


def test_touching_again_takes_nothing_away(clock: ManualClock) -> None:
    """A counter never falls, whatever is touched after it counted."""
    metrics = PrometheusMetrics(clock, version="1.2.3", node="n1")
    metrics.reported(RAMP, "treatment", ArmCount(ok=5, error=2, timeout=1, failing=2, units_good=3, units_bad=1))
    metrics.touch(RAMP)
    metrics.reported(RAMP, "treatment", ArmCount(ok=1))

    labels = 'arm="treatment",environment="production",exposure_ppm="50000",flag="checkout",node="n1"'
    text = metrics.render()[0].decode()
    assert f'rheostat_failing_units_total{{{labels},project="default",ramp="r"}} 2.0' in text
    assert f'rheostat_reported_requests_total{{{labels},outcome="ok",project="default",ramp="r"}} 6.0' in text
    assert f'rheostat_reported_requests_total{{{labels},outcome="timeout",project="default",ramp="r"}} 1.0' in text


def test_the_age_of_what_is_served_grows_by_itself(metrics: PrometheusMetrics, clock: ManualClock) -> None:
    """The age is worked out when it is read, and gone with its environment."""
    metrics.confirmed("default", "production", 7, clock.monotonic())
    clock.advance(12)

    assert series(metrics, "rheostat_snapshot_age_seconds") == [
        'rheostat_snapshot_age_seconds{environment="production",project="default"} 12.0'
    ]
    assert series(metrics, "rheostat_snapshot_revision")[0].endswith(" 7.0")
    metrics.streams("default", "production", 2)
    metrics.forget_environment("default", "production")
    metrics.forget_environment("default", "never-seen")
    for family in ("rheostat_snapshot_age_seconds", "rheostat_snapshot_revision", "rheostat_streams"):
        assert series(metrics, family) == []


def test_two_nodes_in_one_process_count_apart(metrics: PrometheusMetrics, clock: ManualClock) -> None:
    """Each node has a registry of its own, and a name of its own on what it counts of ramps."""
    other = PrometheusMetrics(clock, version="1.2.3")
    other.batches(counted=3)
    metrics.touch(RAMP)
    other.touch(RAMP)

    assert 'rheostat_outcome_batches_total{result="counted"} 0.0' in series(metrics, "rheostat_outcome_batches_total")
    assert set(series(metrics, "rheostat_failing_units")).isdisjoint(series(other, "rheostat_failing_units"))
    assert "rheostat_build_info{" in series(metrics, "rheostat_build_info")[0]


def test_notifications_are_counted_and_the_oldest_grows(metrics: PrometheusMetrics, clock: ManualClock) -> None:
    """Tries by kind and outcome; the age of what waits is worked out when it is read, and shown by one node alone."""
    assert series(metrics, "rheostat_notification_oldest_seconds") == []
    metrics.notification("slack", "retried")
    metrics.notification("slack", "retried")
    metrics.undelivered(clock.wall_ms())
    clock.advance(30)

    assert series(metrics, "rheostat_notifications_total") == [
        'rheostat_notifications_total{channel="slack",outcome="retried"} 2.0'
    ]
    assert series(metrics, "rheostat_notification_oldest_seconds") == ["rheostat_notification_oldest_seconds 30.0"]
    metrics.undelivered(None)
    assert series(metrics, "rheostat_notification_oldest_seconds") == []
