"""What guardrails see, as Prometheus reads it of this node."""

from rheostat.clock import ManualClock
from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.ramps.evidence import Sight


def sights(metrics: PrometheusMetrics) -> dict[tuple[str, str], list[str]]:
    """Return the sights that are shown as 1, by ramp and guardrail."""
    found: dict[tuple[str, str], list[str]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            if sample.name == "rheostat_ramp_guardrail_sight":
                labels = sample.labels
                now = found.setdefault((labels["ramp"], labels["guardrail"]), [])
                now += [labels["sight"]] * int(sample.value)
    return found


def test_each_guardrail_shows_the_one_thing_that_it_sees() -> None:
    """Of all sights one is 1; it changes with the guardrail, and goes with it and with its ramp."""
    metrics = PrometheusMetrics(ManualClock(), version="1")
    metrics.sights("p", "e", "f", "r1", {"errors": "seen", "slow": "series stale"})
    metrics.sights("p", "e", "f", "r2", {"errors": "no traffic"})

    assert sights(metrics) == {
        ("r1", "errors"): ["seen"], ("r1", "slow"): ["series stale"], ("r2", "errors"): ["no traffic"]
    }  # fmt: skip

    metrics.sights("p", "e", "f", "r1", {"errors": "query failed"})
    metrics.forget_ramps(["r1"])
    assert sights(metrics) == {("r1", "errors"): ["query failed"]}

    metrics.forget_ramps(())
    assert sights(metrics) == {}


def test_all_sights_have_a_series() -> None:
    """An alert can name any of them before it ever occurs."""
    metrics = PrometheusMetrics(ManualClock(), version="1")
    metrics.sights("p", "e", "f", "r", {"errors": "seen"})

    text = metrics.render()[0].decode()
    assert all(f'sight="{sight.value}"' in text for sight in Sight)
