"""What the application's own Prometheus registry says of ramping flags."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from rheostat.middleware.asgi import RheostatMiddleware
from rheostat.middleware.connection import Receive, Scope, Send
from rheostat.middleware.metrics import count_requests
from rheostat.middleware.wsgi import RheostatWSGIMiddleware
from rheostat.model.evaluation import Arm
from rheostat.model.outcome import Outcome
from rheostat.outcomes import Recorder, current_recorder
from tests.unit.sdk.middleware.shop import Shop, read_flag

REQUESTS = "feature_flag_requests_total"


def value(registry: CollectorRegistry, flag: str = "checkout", outcome: str = "ok", name: str = REQUESTS) -> Any:
    """Return a treatment series' value, ``None`` when there is no such series."""
    labels = {"project": "default", "environment": "production", "flag": flag, "variant": "on", "arm": "treatment"}
    return registry.get_sample_value(name, labels | ({"outcome": outcome} if name == REQUESTS else {}))


def a_request(shop: Shop, outcome: Outcome, seconds: float = 0.2) -> None:
    """Run a request that reads the flag."""
    assert shop.outcomes is not None
    recorder: Recorder = shop.outcomes.recorder()
    token = current_recorder.set(recorder)
    read_flag(shop)
    current_recorder.reset(token)
    recorder.finish(outcome, seconds)


def test_requests_are_counted_by_arm_and_outcome() -> None:
    """Each ended request of a ramping flag is in one series of the counter and in the arm's histogram."""
    shop, registry = Shop(), CollectorRegistry()
    count_requests(shop.outcomes, registry)
    for outcome in (Outcome.OK, Outcome.OK, Outcome.ERROR, Outcome.CANCELLED):
        a_request(shop, outcome)

    assert [value(registry, outcome=o.value) for o in Outcome] == [2, 1, 0, 1]
    assert value(registry, name="feature_flag_request_duration_seconds_count") == 4
    assert value(registry, name="feature_flag_request_duration_seconds_sum") == pytest.approx(0.8)


@pytest.mark.parametrize("ramps_first", [True, False])
def test_a_live_ramp_has_all_its_series_at_zero(ramps_first: bool) -> None:
    """Every variant, arm and outcome of a live ramp is there before the first request, whoever came first."""
    shop, registry = Shop(ramping=ramps_first), CollectorRegistry()
    count_requests(shop.outcomes, registry)
    assert (value(registry) is not None) == ramps_first
    shop.ramp()

    series = {
        (sample.labels["flag"], sample.labels["variant"], sample.labels["arm"], sample.labels["outcome"])
        for family in registry.collect()
        for sample in family.samples
        if sample.name == REQUESTS
    }
    assert series == {
        (flag, variant, arm.value, outcome.value)
        for flag in ("checkout", "search")
        for variant in ("on", "off")
        for arm in Arm
        for outcome in Outcome
    }
    assert value(registry) == 0


def test_two_clients_and_two_middlewares_share_one_pair_of_families() -> None:
    """However often they are asked for, a registry's families are one, and a request counts once."""
    first, second, registry = Shop(), Shop(), CollectorRegistry()

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        """Answer nothing."""

    RheostatMiddleware(asgi, flags=first, registry=registry)
    RheostatMiddleware(asgi, flags=first, registry=registry)
    RheostatWSGIMiddleware(lambda environ, start: [], flags=second, registry=registry)
    assert count_requests(first.outcomes, registry) is count_requests(second.outcomes, registry)
    a_request(first, Outcome.OK)
    a_request(second, Outcome.OK)

    assert value(registry) == 2


def test_names_that_are_taken_leave_the_application_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Where the application has families of these names, nothing is exported, and the log says so."""
    registry = CollectorRegistry()
    Counter("feature_flag_request_duration_seconds", "The application's own.", registry=registry)
    shop = Shop()

    assert count_requests(shop.outcomes, registry) is None
    a_request(shop, Outcome.OK)
    assert value(registry) is None
    assert "metrics_unavailable" in caplog.text


def test_a_registry_of_another_kind_is_refused() -> None:
    """What is not a registry is the application's mistake, said where it is made."""
    with pytest.raises(TypeError, match="CollectorRegistry"):
        count_requests(Shop().outcomes, object())


def test_without_prometheus_client_the_middleware_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application that has no prometheus_client is served, and nothing is exported."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    assert count_requests(Shop().outcomes) is None


def test_multiprocess_mode_is_tolerated(tmp_path: Path) -> None:
    """With prometheus_client's files for many processes, the sum over processes is exported."""
    code = (
        "from prometheus_client import CollectorRegistry, multiprocess\n"
        "from rheostat.middleware.metrics import count_requests\n"
        "from rheostat.model.outcome import Outcome\n"
        "from tests.unit.sdk.middleware.shop import Shop\n"
        "from tests.unit.sdk.middleware.test_request_metrics import a_request, value\n"
        "import os\n"
        "shop = Shop()\n"
        "count_requests(shop.outcomes)\n"
        "if (child := os.fork()) == 0:\n"
        "    a_request(shop, Outcome.OK); os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "a_request(shop, Outcome.OK)\n"
        "registry = CollectorRegistry()\n"
        "multiprocess.MultiProcessCollector(registry)\n"
        "print(value(registry), value(registry, outcome='error'))\n"
    )
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert result.stdout == "2.0 0.0\n", result.stderr
