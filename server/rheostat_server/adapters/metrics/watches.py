"""What this node sees of ramps that nobody moves, of kills and of hooks, as Prometheus reads it."""

from collections.abc import Mapping

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge

from rheostat_server.ports.metrics import KillName, RampName

ALERT_RESULTS = ("killed", "already", "idle", "unmatched", "refused", "resolved")


class PrometheusWatches:
    """Fulfils ``Watches`` over a node's registry. What is over has no series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._unattended = Gauge(
            "rheostat_ramp_unattended",
            "1 for a live ramp at which no controller has looked for three of its intervals, else 0.",
            ("project", "environment", "flag", "ramp"),
            registry=registry,
        )
        self._unattended_count = Gauge(
            "rheostat_ramps_unattended", "How many live ramps are unattended.", registry=registry
        )
        self._unconfirmed = Gauge(
            "rheostat_kill_unconfirmed",
            "Of each kill of the last hour, how many instances still expose users after the time in which none should.",
            ("project", "environment", "flag", "kill_id"),
            registry=registry,
        )
        self._alerts = Counter(
            "rheostat_hook_alerts", "Alerts of Alertmanager by what was done.", ("result",), registry=registry
        )
        for result in ALERT_RESULTS:
            self._alerts.labels(result)

    def unattended(self, ramps: Mapping[RampName, bool]) -> None:
        """Note of every live ramp whether it is unattended."""
        _replace(self._unattended, {msgspec.structs.astuple(name): float(is_so) for name, is_so in ramps.items()})
        self._unattended_count.set(sum(ramps.values()))

    def unconfirmed(self, kills: Mapping[KillName, int]) -> None:
        """Note of every young kill how many instances still expose users."""
        _replace(self._unconfirmed, {msgspec.structs.astuple(name): float(count) for name, count in kills.items()})

    def alert(self, result: str) -> None:
        """Count an alert by what was done."""
        self._alerts.labels(result).inc()


def _replace(gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
    for gone in gauge._metrics.keys() - values.keys():
        gauge.remove(*gone)
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
