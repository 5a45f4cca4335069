"""This node's metrics, as Prometheus reads them."""

import platform
import secrets
from collections.abc import Collection, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from rheostat.clock import Clock
from rheostat.model.evaluation import Arm
from rheostat.model.outcome import Outcome
from rheostat_server.outcomes.model import ArmCount
from rheostat_server.ports.metrics import RampLabels
from rheostat_server.ramps.evidence import Sight

_RAMP = ("project", "environment", "flag", "ramp", "arm", "exposure_ppm", "node")
_SIGHT = ("project", "environment", "flag", "ramp", "guardrail")
_REPORTED = (Outcome.OK, Outcome.ERROR, Outcome.TIMEOUT)


class PrometheusMetrics:
    """Fulfils ``Metrics`` over a registry of its own. The counters start at zero with the node.

    What is counted of ramps bears the label ``node``, drawn anew at each start: so no series of it ever falls, and
    whoever scrapes the node twice can tell that it is one. Series of ended ramps stay until the node ends.
    """

    def __init__(self, clock: Clock, *, version: str, node: str | None = None) -> None:
        self.node = node or secrets.token_hex(8)
        # Nobody reads when a counter was made, and each would double its series.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=True)
        registry = self.registry
        self._touched: set[RampLabels] = set()
        self._failing = Counter(
            "rheostat_failing_units",
            "Units that failed for the first time in the ramp, as reported to this node. Late rows are left out.",
            _RAMP,
            registry=registry,
        )
        self._requests = Counter(
            "rheostat_reported_requests",
            "Requests that SDKs reported to this node. Late rows are left out.",
            (*_RAMP, "outcome"),
            registry=registry,
        )
        self._units = Counter(
            "rheostat_sampled_units",
            "Units sampled for the first time in the ramp's epoch, by how their first sampled request ended.",
            (*_RAMP, "bad"),
            registry=registry,
        )
        self._batches = Counter(
            "rheostat_outcome_batches", "Outcome batches by what became of them.", ("result",), registry=registry
        )
        self._late = Counter(
            "rheostat_late_rows", "Reported rows older than 2 min on arrival: no evidence.", registry=registry
        )
        self._asked = Counter("rheostat_requests", "Data plane requests.", ("route", "status"), registry=registry)
        self._streams = Gauge("rheostat_streams", "Open streams.", ("project", "environment"), registry=registry)
        self._revision = Gauge(
            "rheostat_snapshot_revision", "The revision served.", ("project", "environment"), registry=registry
        )
        self._sights = Gauge(
            "rheostat_ramp_guardrail_sight",
            "1 for what a guardrail of a live ramp sees, 0 for what it does not. Shown by the node that moves ramps.",
            (*_SIGHT, "sight"),
            registry=registry,
        )
        self._seen: dict[str, set[tuple[str, ...]]] = {}
        build = Gauge("rheostat_build_info", "Which build this is.", ("version", "python"), registry=registry)
        build.labels(version, platform.python_version()).set(1)
        for result in ("counted", "duplicate", "failed"):
            self._batches.labels(result)
        self._notifications = Counter(
            "rheostat_notifications",
            "Tries to deliver a notification, by the channel's kind and what became of it.",
            ("channel", "outcome"),
            registry=registry,
        )
        self._ages = _Ages(clock)
        registry.register(self._ages)

    def touch(self, labels: RampLabels) -> None:
        """Make sure that all series of a ramp at this exposure exist."""
        if labels in self._touched:
            return
        self._touched.add(labels)
        for arm in Arm:
            self._failing.labels(*self._values(labels, arm))
            for outcome in _REPORTED:
                self._requests.labels(*self._values(labels, arm), outcome.value)
            for bad in ("false", "true"):
                self._units.labels(*self._values(labels, arm), bad)

    def reported(self, labels: RampLabels, arm: str, count: ArmCount) -> None:
        """Count what this node committed of SDKs' reports."""
        self.touch(labels)
        values = self._values(labels, arm)
        self._failing.labels(*values).inc(count.failing)
        for outcome, requests in zip(_REPORTED, (count.ok, count.error, count.timeout), strict=True):
            self._requests.labels(*values, outcome.value).inc(requests)
        self._units.labels(*values, "false").inc(count.units_good)
        self._units.labels(*values, "true").inc(count.units_bad)

    def sights(self, project: str, environment: str, flag: str, ramp: str, sights: Mapping[str, str]) -> None:
        """Note what each guardrail of a live ramp sees."""
        here: set[tuple[str, ...]] = {(project, environment, flag, ramp, guardrail) for guardrail in sights}
        for gone in self._seen.get(ramp, set()) - here:
            self._forget_sights(gone)
        self._seen[ramp] = here
        for guardrail, now in sights.items():
            for sight in Sight:
                labels = (project, environment, flag, ramp, guardrail, sight.value)
                self._sights.labels(*labels).set(sight.value == now)

    def forget_ramps(self, but: Collection[str]) -> None:
        """Drop the sights of all ramps but these."""
        for ramp in self._seen.keys() - set(but):
            for gone in self._seen.pop(ramp):
                self._forget_sights(gone)

    def batches(self, *, counted: int = 0, duplicate: int = 0, failed: int = 0, late_rows: int = 0) -> None:
        """Count outcome batches by what became of them."""
        self._batches.labels("counted").inc(counted)
        self._batches.labels("duplicate").inc(duplicate)
        self._batches.labels("failed").inc(failed)
        self._late.inc(late_rows)

    def request(self, route: str, status: int) -> None:
        """Count a data plane request."""
        self._asked.labels(route, status).inc()

    def streams(self, project: str, environment: str, open_streams: int) -> None:
        """Note how many streams are open."""
        self._streams.labels(project, environment).set(open_streams)

    def confirmed(self, project: str, environment: str, revision: int, at_monotonic: float) -> None:
        """Note the revision served, and when PostgreSQL last confirmed it."""
        self._revision.labels(project, environment).set(revision)
        self._ages.confirmed[project, environment] = at_monotonic

    def forget_environment(self, project: str, environment: str) -> None:
        """Drop the gauges of an environment that is gone."""
        self._ages.confirmed.pop((project, environment), None)
        for gauge in (self._streams, self._revision):
            # Fails where the environment had no such series.
            if (project, environment) in gauge._metrics:
                gauge.remove(project, environment)

    def notification(self, channel: str, outcome: str) -> None:
        """Count a try to deliver a notification."""
        self._notifications.labels(channel, outcome).inc()

    def undelivered(self, since_ms: int | None) -> None:
        """Note since when the oldest notification waits."""
        self._ages.undelivered_ms = since_ms

    def _forget_sights(self, labels: tuple[str, ...]) -> None:
        for sight in Sight:
            self._sights.remove(*labels, sight.value)

    def _values(self, labels: RampLabels, arm: str) -> tuple[str, ...]:
        ramp = (labels.project, labels.environment, labels.flag, labels.ramp)
        return (*ramp, str(arm), str(labels.exposure_ppm), self.node)

    def render(self) -> tuple[bytes, str]:
        """Return the exposition text and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


class _Ages(Collector):
    """What grows by itself, worked out when asked: how long ago PostgreSQL confirmed what is served, and how long a
    notification has waited."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.confirmed: dict[tuple[str, str], float] = {}
        self.undelivered_ms: int | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the families."""
        family = GaugeMetricFamily(
            "rheostat_snapshot_age_seconds",
            "Since PostgreSQL last confirmed what is served.",
            labels=("project", "environment"),
        )
        now = self._clock.monotonic()
        for labels, at in self.confirmed.items():
            family.add_metric(labels, max(0.0, now - at))
        yield family
        waiting = GaugeMetricFamily(
            "rheostat_notification_oldest_seconds",
            "Since the oldest notification that waits was first to be delivered. Shown by the node that sends them.",
        )
        if self.undelivered_ms is not None:
            waiting.add_metric((), max(0.0, (self._clock.wall_ms() - self.undelivered_ms) / 1000))
        yield waiting
