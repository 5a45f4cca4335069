"""The running processes of a story: the server, the shop and, where it is installed, Prometheus."""

import asyncio
import contextlib
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx

from rheostat_server.demo.application import FLAG
from rheostat_server.demo.processes import Process, free_port, prometheus_program, start_prometheus, start_shop

RAMPS = "/projects/default/environments/production/ramps"


class Stage:
    """The processes, and the admin API of their server."""

    def __init__(self, directory: Path, *, background: float, with_prometheus: bool, workers: int = 1) -> None:
        self._directory = directory
        self._background = background
        self._workers = workers
        self._program = prometheus_program() if with_prometheus else None
        self.token, self.sdk_key = f"rht_{secrets.token_hex(16)}", f"rhs_{secrets.token_hex(16)}"
        self._port, self._shop_port, self._prometheus_port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.shop_url = f"http://127.0.0.1:{self._shop_port}"
        self.prometheus_url = f"http://127.0.0.1:{self._prometheus_port}"
        self.server: Process | None = None
        self.shop: Process | None = None
        self.prometheus: Process | None = None
        headers = {"authorization": f"Bearer {self.token}"}
        self.api = httpx.AsyncClient(base_url=f"{self.url}/api/v1", headers=headers, timeout=10.0)

    async def start_server(self) -> None:
        """Start the server, or start it again on the same data."""
        environ = {
            "RHEOSTAT_HOST": "127.0.0.1",
            "RHEOSTAT_PORT": str(self._port),
            "RHEOSTAT_DATA_DIR": str(self._directory / "data"),
            "RHEOSTAT_ADMIN_TOKEN": self.token,
            "RHEOSTAT_SDK_KEY": self.sdk_key,
            "RHEOSTAT_DATABASE_URL": "",
            "RHEOSTAT_REDIS_URL": "",
            "RHEOSTAT_PROMETHEUS_URL": self.prometheus_url if self._program else "",
            "RHEOSTAT_PROMETHEUS_INTERVAL": "1",
        }
        command = [sys.executable, "-m", "rheostat_server", "serve"]
        self.server = Process(command, log=self._directory / "server.log", environ=environ)
        await self.server.answers(f"{self.url}/readyz", within=60)

    async def start_prometheus(self) -> None:
        """Start Prometheus, which scrapes the server and the shop every second; nothing where it is not installed."""
        if self._program is None:
            return
        self.prometheus = start_prometheus(
            self._program,
            port=self._prometheus_port,
            directory=self._directory / "prometheus",
            targets={"rheostat": f"127.0.0.1:{self._port}", "shop": f"127.0.0.1:{self._shop_port}"},
        )
        await self.prometheus.answers(f"{self.prometheus_url}/-/ready")

    async def start_shop(self) -> None:
        """Start the shop."""
        self.shop = start_shop(
            port=self._shop_port,
            directory=self._directory,
            url=self.url,
            sdk_key=self.sdk_key,
            background=self._background,
            workers=self._workers,
        )
        await self.shop.answers(f"{self.shop_url}/seen")

    async def put_flag(self, document: dict[str, Any]) -> None:
        """Write the shop's flag."""
        (await self.api.put(f"/projects/default/flags/{FLAG}", json=document)).raise_for_status()

    async def start_ramp(self, document: dict[str, Any]) -> dict[str, Any]:
        """Start a ramp and return the server's view of it. Where Prometheus runs, failing users are read from it.

        Raises:
            RuntimeError: the server refuses; the message is its answer.
        """
        if self._program is not None:
            asked = [{"source": "prometheus", **guardrail} for guardrail in document["guardrails"]]
            document = {**document, "guardrails": asked}
        answer = await self.api.post(RAMPS, json=document)
        if answer.is_error:
            raise RuntimeError(f"the ramp does not start: {answer.text}")
        view: dict[str, Any] = answer.json()
        return view

    async def ramp(self, ramp_id: str) -> dict[str, Any]:
        """Return the server's view of a ramp."""
        view: dict[str, Any] = (await self.api.get(f"{RAMPS}/{ramp_id}")).raise_for_status().json()
        return view

    async def last_decisions(self, ramp_id: str, count: int) -> list[dict[str, Any]]:
        """Return a ramp's last decisions, oldest first."""
        answer = await self.api.get(f"{RAMPS}/{ramp_id}/decisions", params={"last": count})
        decisions: list[dict[str, Any]] = answer.raise_for_status().json()["decisions"]
        return decisions

    async def break_shop(self, rate: float = 0.0, **fault: float) -> None:
        """From now on the new checkout fails for this share of its requests; ``fault``: see ``Fault``."""
        async with httpx.AsyncClient() as client:
            (await client.post(f"{self.shop_url}/fault", params={"rate": rate, **fault})).raise_for_status()

    async def close(self) -> None:
        """Stop everything: the shop before the server, so that its last outcomes find somebody."""
        await self.api.aclose()
        for process in (self.shop, self.server, self.prometheus):
            if process is not None:
                await asyncio.to_thread(process.stop, signal.SIGTERM)


@contextlib.asynccontextmanager
async def set_stage(
    directory: Path,
    *,
    background: float = 0.0,
    with_prometheus: bool = True,
    workers: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> AsyncIterator[Stage]:
    """Start everything in ``directory``, and stop it on leaving.

    Raises:
        RuntimeError: a process does not start; the message has what it printed.
    """
    stage = Stage(directory, background=background, with_prometheus=with_prometheus, workers=workers)
    try:
        say("starting the server …")
        await stage.start_server()
        say("starting the shop …")
        await stage.start_shop()
        await stage.start_prometheus()
        yield stage
    finally:
        await stage.close()
