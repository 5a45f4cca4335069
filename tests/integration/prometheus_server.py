"""A real Prometheus that scrapes, four times a second, what a test exports."""

import asyncio
import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

STARTS_WITHIN = 30.0
SCRAPED_EVERY = "250ms"


class Exporter:
    """An address that shows whatever text it is given; without a text it fails each scrape."""

    def __init__(self) -> None:
        self.render: Callable[[], bytes | None] = lambda: None
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = exporter.render()
                self.send_response(200 if body is not None else 503)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class PrometheusServer:
    """A running Prometheus with a few exporters."""

    def __init__(
        self,
        url: str,
        exporters: list[Exporter],
        process: "subprocess.Popen[bytes]",
        ask: Callable[[str], bytes] | None = None,
    ) -> None:
        self._ask = ask or _ask
        self.url = url
        self.exporters = exporters
        self.process = process

    def query(self, text: str) -> list[dict[str, object]]:
        """Return an instant query's result."""
        result: list[dict[str, object]] = json.loads(self._ask(f"{self.url}/api/v1/query?query={text}"))["data"][
            "result"
        ]
        return result

    async def scraped(self) -> None:
        """Wait until every exporter was scraped again, whether or not it answered."""
        began = time.time()
        await self.until(lambda: self._oldest() > began)

    async def until(self, done: Callable[[], bool], seconds: float = STARTS_WITHIN) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not await asyncio.to_thread(done):
            assert time.monotonic() < deadline, "it did not come to pass"
            await asyncio.sleep(0.05)

    def stop(self) -> None:
        """Stop Prometheus at once."""
        self.process.kill()
        self.process.wait()

    def _oldest(self) -> float:
        try:
            times = [float(one["value"][1]) for one in self.query("timestamp(up)")]  # type: ignore[index]
        except OSError:
            return 0.0
        return min(times) if len(times) >= len(self.exporters) else 0.0


@contextmanager
def _free_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener.getsockname()[1]


def _ask(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
        return body


def _replica(number: int, of: int) -> dict[str, str]:
    return {"prometheus_replica": f"prometheus-{number}"} if of > 1 else {}


def _backfill(folder: Path, history: str) -> None:
    text = folder / "history.txt"
    text.write_text(history)
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "data")]
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def running_prometheus(
    exporters: int = 1,
    *,
    every: str = SCRAPED_EVERY,
    replicas: int = 1,
    history: str | None = None,
    web: Mapping[str, object] | None = None,
    ask: Callable[[str], bytes] | None = None,
) -> Iterator[PrometheusServer]:
    """Run Prometheus over so many exporters, each job and instance of its own.

    With ``replicas`` each is scraped as often as that, as pairs of servers do whose series are not merged. ``history``
    is an OpenMetrics text with times, which it has known from the start. ``web`` is its configuration of TLS and
    users; ``ask`` then opens a URL as somebody whom it lets in.
    """
    program = shutil.which("prometheus")
    assert program is not None, "Prometheus is not installed: scripts/need-test-programs"
    targets = [Exporter() for _ in range(exporters)]
    jobs = [
        {
            "job_name": f"job-{number}" if replicas == 1 else f"job-{number}-{replica}",
            "static_configs": [{"targets": [target.address], "labels": _replica(replica, replicas)}],
        }
        for number, target in enumerate(targets)
        for replica in range(replicas)
    ]
    with tempfile.TemporaryDirectory(prefix="rheostat-prometheus-", ignore_cleanup_errors=True) as name:
        config = Path(name) / "prometheus.yml"
        # JSON is YAML.
        config.write_text(
            json.dumps({"global": {"scrape_interval": every, "scrape_timeout": every}, "scrape_configs": jobs})
        )
        if history is not None:
            _backfill(Path(name), history)
        web_config = []
        if web is not None:
            (Path(name) / "web.yml").write_text(json.dumps(web))
            web_config = [f"--web.config.file={name}/web.yml"]
        with _free_port() as port:
            pass
        process = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={name}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                *web_config,
                "--log.level=error",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        scheme = "https" if web and "tls_server_config" in web else "http"
        server = PrometheusServer(f"{scheme}://127.0.0.1:{port}", targets, process, ask)
        try:
            deadline = time.monotonic() + STARTS_WITHIN
            while server._oldest() == 0:
                assert time.monotonic() < deadline, "Prometheus does not scrape"
                time.sleep(0.05)
            yield server
        finally:
            server.stop()
            for target in targets:
                target.close()


@pytest.fixture
def prometheus() -> Iterator[PrometheusServer]:
    """A Prometheus over one exporter."""
    with running_prometheus() as server:
        yield server
