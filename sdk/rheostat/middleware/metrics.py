"""The application's own Prometheus families: requests of ramping flags, by arm and outcome."""

import logging
import threading
import weakref
from typing import TYPE_CHECKING, Final

from rheostat.model.evaluation import Arm
from rheostat.model.outcome import Outcome
from rheostat.outcomes.outcomes import Outcomes
from rheostat.outcomes.standing import LiveRamp
from rheostat.outcomes.touch import Touch

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

REQUESTS: Final = "feature_flag_requests"
DURATION: Final = "feature_flag_request_duration_seconds"
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the histogram, in seconds; the last finite one is the deadline."""

log = logging.getLogger("rheostat.middleware")


class RequestFamilies:
    """An observer that counts ended requests in two families of one registry.

    ``feature_flag_requests_total{project, environment, flag, variant, arm, outcome}`` has all its series at
    0 as soon as a ramp is live: a scraper takes a series that it first sees at 1 for one without history,
    and would miss the first error.
    """

    def __init__(self, registry: "CollectorRegistry") -> None:
        from prometheus_client import Counter, Histogram

        labels = ("project", "environment", "flag", "variant", "arm")
        self._requests = Counter(
            REQUESTS,
            "Requests that read a ramping feature flag, by arm and outcome.",
            (*labels, "outcome"),
            registry=registry,
        )
        try:
            self._duration = Histogram(
                DURATION,
                "Duration of requests that read a ramping feature flag, by arm.",
                labels,
                registry=registry,
                buckets=BUCKETS,
            )
        except ValueError:
            registry.unregister(self._requests)
            raise

    def ramp_live(self, project: str, environment: str, ramp: LiveRamp) -> None:
        """Make the ramp's series, at 0."""
        for variant in ramp.variants:
            for arm in Arm:
                for outcome in Outcome:
                    self._requests.labels(project, environment, ramp.overlay.flag, variant, arm.value, outcome.value)

    def request_ended(self, project: str, environment: str, touch: Touch, outcome: Outcome, duration_s: float) -> None:
        """Count the request."""
        labels = (project, environment, touch.flag, touch.variant, touch.arm.value)
        self._requests.labels(*labels, outcome.value).inc()
        self._duration.labels(*labels).observe(duration_s)


_lock = threading.Lock()
_families: "weakref.WeakKeyDictionary[CollectorRegistry, RequestFamilies]" = weakref.WeakKeyDictionary()


def count_requests(outcomes: Outcomes | None, registry: object | None = None) -> RequestFamilies | None:
    """Have these outcomes counted in the registry, the default one if none is given.

    One pair of families serves a registry, also for two clients or two middlewares. Without
    outcomes or prometheus_client, or where its names are taken already, nothing is counted; the latter is logged.
    """
    if outcomes is None:
        return None
    try:
        from prometheus_client import REGISTRY, CollectorRegistry
    except ImportError:
        return None
    where = REGISTRY if registry is None else registry
    if not isinstance(where, CollectorRegistry):
        raise TypeError(f"registry is a prometheus_client CollectorRegistry, not {type(where).__name__}")
    with _lock:
        families = _families.get(where)
        if families is None:
            try:
                families = _families[where] = RequestFamilies(where)
            except ValueError as error:
                log.warning("metrics_unavailable: %s; requests of ramping flags are not exported here", error)
                return None
    outcomes.observe(families)
    return families
