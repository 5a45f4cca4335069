"""The processor time of a whole node that moves many ramps on the evidence of a real Prometheus.

200 ramps at an interval of 15 s, each with three guardrails: failing users by the server's own metrics, the
application's errors, and its latency. Beside it, in the same run and process: the node with nothing to do, and one
plain HTTP query for each ramp and interval, decoded by the standard library. PostgreSQL and Prometheus run in processes
of their own, and are not counted. Run it from the root of the repository, as somebody who may run PostgreSQL:

    PYTHONPATH=. .venv/bin/python loadtests/scenarios/prometheus_ramps.py [--ramps 200] [--seconds 45]
"""

import argparse
import asyncio
import json
import multiprocessing
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import urllib3
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from rheostat.clock import SystemClock
from rheostat.middleware.metrics import BUCKETS
from rheostat_server.access.seed import seed
from rheostat_server.bootstrap.node import Node
from rheostat_server.database import OpenDatabase
from rheostat_server.http_server import HttpServer
from rheostat_server.listening import listen, url_of
from rheostat_server.logs import set_up_logs
from rheostat_server.outcomes.model import ArmCount
from rheostat_server.ports.metrics import RampLabels
from rheostat_server.settings import Settings

INTERVAL_S = 15.0
PATH = "/api/v1/projects/default/environments/production"


def application(ramps: int, port: int) -> None:
    """Show an application's counters of every flag, which grow with each scrape."""
    registry = CollectorRegistry()
    labels = ("project", "environment", "flag", "variant", "arm")
    requests = Counter("feature_flag_requests", "Requests.", (*labels, "outcome"), registry=registry)
    duration = Histogram(
        "feature_flag_request_duration_seconds", "Durations.", labels, buckets=BUCKETS, registry=registry
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            for number in range(ramps):
                for arm, count in (("treatment", 40), ("control", 360)):
                    here = ("default", "production", f"flag-{number}", "on", arm)
                    requests.labels(*here, "ok").inc(count)
                    requests.labels(*here, "error").inc(1)
                    duration.labels(*here).observe(0.05)
            body = generate_latest(registry)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


class Call:
    """Calls the node's API from a thread."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._pool = url, urllib3.PoolManager(maxsize=4)
        self._headers = {"authorization": f"Bearer {token}"}

    async def __call__(self, method: str, path: str, body: Any) -> Any:
        """Return the answer."""
        answer = await asyncio.to_thread(
            self._pool.request, method, self._url + path, json=body, headers=self._headers, timeout=60
        )
        assert answer.status < 300, answer.data
        return answer.json()


async def share(seconds: float) -> float:
    """Return the share of one core that this process takes meanwhile."""
    wall, processor = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - processor) / (time.perf_counter() - wall)


def plain_queries(url: str, ramps: int, stop: threading.Event) -> None:
    """Ask one plain query for each ramp and interval, evenly spread."""
    pool = urllib3.PoolManager()
    number = 0
    while not stop.wait(INTERVAL_S / ramps):
        text = f'{{__name__=~"feature_flag_requests_total",flag="flag-{number % ramps}"}}[60s]'
        answer = pool.request("POST", f"{url}/api/v1/query", fields={"query": text}, encode_multipart=False)
        json.loads(answer.data)
        number += 1


async def measure(ramps: int, seconds: float, folder: Path) -> None:
    """Print the figures."""
    ports = [free_port() for _ in range(2)]
    prometheus_url = f"http://127.0.0.1:{ports[0]}"
    settings = Settings(
        data_dir=str(folder / "data"), prometheus_url=prometheus_url, prometheus_interval=INTERVAL_S, log_level="error"
    )
    set_up_logs("error")
    clock = SystemClock()
    database = await OpenDatabase.open(settings, clock)
    node = Node(settings, database.pool, clock)
    seeded = await node.storage.run(lambda tx: seed(tx, now_ms=clock.wall_ms(), admin_token=None, sdk_key=None))
    await node.start()
    sock = listen("127.0.0.1", 0)
    url = url_of(sock)
    server = HttpServer(node.app)
    serving = asyncio.create_task(server.run_on(sock))
    shop = multiprocessing.get_context("spawn").Process(target=application, args=(ramps, ports[1]), daemon=True)
    shop.start()
    config = {
        "global": {"scrape_interval": f"{INTERVAL_S:g}s"},
        "scrape_configs": [
            {"job_name": "rheostat", "static_configs": [{"targets": [url.removeprefix("http://")]}]},
            {"job_name": "shop", "static_configs": [{"targets": [f"127.0.0.1:{ports[1]}"]}]},
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    program = shutil.which("prometheus")
    assert program is not None, "Prometheus is not installed"
    prometheus = subprocess.Popen(  # noqa: ASYNC220 - once, before anything is measured
        [
            program,
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/prometheus",
            f"--web.listen-address=127.0.0.1:{ports[0]}",
            "--log.level=error",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        await asyncio.sleep(2 * INTERVAL_S)
        idle = await share(seconds)
        stop = threading.Event()
        asking = threading.Thread(target=plain_queries, args=(prometheus_url, ramps, stop))
        asking.start()
        plain = await share(seconds) - idle
        stop.set()
        await asyncio.to_thread(asking.join)
        live = await start_ramps(Call(url, seeded.admin_token or ""), ramps)
        reporting = asyncio.create_task(report(node, live))
        await asyncio.sleep(2 * INTERVAL_S)
        moving = await share(seconds) - idle
        reporting.cancel()
        seen = await Call(url, seeded.admin_token or "")("GET", f"{PATH}/ramps?limit=500", None)
        sights = [one["sight"] for view in seen["ramps"] for one in view["guardrails"]]
        print(f"{ramps} ramps, 3 guardrails each, every {INTERVAL_S:g} s; {sights.count('seen')} of {len(sights)} see")
        print(f"{'the node alone':<44}{idle:7.1%} of one core")
        print(f"{'one plain query a ramp and interval':<44}{plain:7.1%} more")
        print(f"{'the ramps, whole: evidence, rule, database':<44}{moving:7.1%} more")
        print(f"{'against the plain query':<44}{moving / plain:7.1f} ×")
        print(f"{'a ramp and interval':<44}{moving * INTERVAL_S / ramps * 1000:7.1f} ms")
    finally:
        prometheus.kill()
        prometheus.wait()
        shop.kill()
        node.hub.close_streams()
        server.finish()
        await serving
        await node.stop()
        await database.close()


async def start_ramps(call: Call, ramps: int) -> dict[str, str]:
    """Write the flags and start their ramps; return the ramps' ids by flag."""
    rollout = {"exposure": 10, "split": {"on": 1}, "fallback": "off"}
    live = {}
    for number in range(ramps):
        key = f"flag-{number}"
        await call(
            "PUT",
            f"/api/v1/projects/default/flags/{key}",
            {
                "kind": "flag", "key": key, "type": "boolean", "variants": {"on": True, "off": False},
                "off_variant": "off",
                "environments": {"production": {"enabled": True, "default": {"rollout": rollout}}},
            },
        )  # fmt: skip
        guardrails = [
            {"metric": "request-success-rate", "source": "application", "threshold": 99},
            {"metric": "request-duration", "source": "application", "threshold": 500},
        ]
        ramp = await call("POST", f"{PATH}/ramps", {"kind": "ramp", "flag": key, "guardrails": guardrails})
        live[key] = ramp["id"]
    return live


async def report(node: Node, live: dict[str, str]) -> None:
    """Count some users of every ramp, as reports of SDKs would."""
    metrics = node.controller._metrics
    while True:
        for flag, ramp in live.items():
            labels = RampLabels(project="default", environment="production", flag=flag, ramp=ramp, exposure_ppm=50_000)
            metrics.reported(labels, "treatment", ArmCount(ok=40, error=0, failing=0))
            metrics.reported(labels, "control", ArmCount(ok=360, error=1, failing=1))
        await asyncio.sleep(INTERVAL_S)


def free_port() -> int:
    """Return a port that nobody uses just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ramps", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=45.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rheostat-load-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        asyncio.run(measure(given.ramps, given.seconds, Path(name)))


if __name__ == "__main__":
    main()
