"""The other processes of the demo and of the end-to-end tests: the shop, and Prometheus."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

_PROMETHEUS_CONFIG = """\
global:
  scrape_interval: {interval}s
  scrape_timeout: {interval}s
scrape_configs:
{jobs}"""

_PROMETHEUS_JOB = """\
  - job_name: {name}
    static_configs:
      - targets: ["{target}"]
"""


def free_port() -> int:
    """Return a port of the loopback that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Process:
    """A child process with its output in a file."""

    def __init__(self, command: list[str], *, log: Path, environ: Mapping[str, str] | None = None) -> None:
        self._log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environ or {})},
                # Ctrl-C in the terminal is for the parent, which stops its children in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace")

    def stop(self, sign: signal.Signals = signal.SIGTERM, *, within: float = 10.0) -> int:
        """Ask it to end, and insist after ``within`` seconds; return its exit code."""
        if self._child.poll() is None:
            self._child.send_signal(sign)
            try:
                self._child.wait(within)
            except subprocess.TimeoutExpired:
                self._child.kill()
        return self._child.wait()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._child.kill()
        self._child.wait()

    async def answers(self, url: str, *, within: float = 20.0) -> None:
        """Wait until this address answers 200.

        Raises:
            RuntimeError: it ended, or did not answer in time; the message has the end of its output.
        """
        async with httpx.AsyncClient(timeout=2.0) as client:
            for _ in range(int(within / 0.1)):
                if not self.running:
                    break
                try:
                    if (await client.get(url)).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.1)
        raise RuntimeError(f"{url} does not answer; the process says:\n{self.output[-2000:]}")


def start_shop(
    *, port: int, directory: Path, url: str, sdk_key: str, background: float = 0.0, workers: int = 1
) -> Process:
    """Start the shop on ``port``, as a user of the server at ``url``."""
    options = (f"--port={port}", f"--background={background}", f"--workers={workers}")
    return Process(
        [
            sys.executable,
            "-m",
            "rheostat_server.demo.application",
            *options,
            f"--fault-file={directory / 'fault.json'}",
        ],
        log=directory / "shop.log",
        environ={"RHEOSTAT_URL": url, "RHEOSTAT_SDK_KEY": sdk_key, "RHEOSTAT_CACHE_DIR": str(directory / "cache")},
    )


def prometheus_program() -> str | None:
    """Return where Prometheus is installed, if it is."""
    return shutil.which("prometheus")


def start_prometheus(
    program: str, *, port: int, directory: Path, targets: Mapping[str, str], interval: int = 1
) -> Process:
    """Start a Prometheus that scrapes ``targets`` (name → host:port) every ``interval`` seconds."""
    directory.mkdir(parents=True, exist_ok=True)
    jobs = "".join(_PROMETHEUS_JOB.format(name=name, target=target) for name, target in targets.items())
    config = directory / "prometheus.yml"
    config.write_text(_PROMETHEUS_CONFIG.format(interval=interval, jobs=jobs))
    return Process(
        [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ],
        log=directory / "prometheus.log",
    )
