"""Nodes of one server over one PostgreSQL, as processes that can be frozen, killed and started again."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from rheostat_server.demo.processes import Process, free_port
from tests.e2e.waiting import until

RAMPS = "/api/v1/projects/default/environments/production/ramps"
FLAGS = "/api/v1/projects/default/flags"


class FaultyNode:
    """One node. PostgreSQL knows it by its name (``application_name``)."""

    def __init__(self, name: str, directory: Path, environ: Mapping[str, str], database_url: str) -> None:
        self.name = name
        self.url = ""
        self._directory = directory / name
        self._directory.mkdir()
        self._environ = {**environ, "RHEOSTAT_DATABASE_URL": f"{database_url}&application_name={name}"}
        self._process: Process | None = None

    async def start(self) -> None:
        """Start it, or start it again; on another port, so that nobody's old connection reaches it."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environ = {
            **self._environ,
            "RHEOSTAT_HOST": "127.0.0.1",
            "RHEOSTAT_PORT": str(port),
            "RHEOSTAT_DATA_DIR": str(self._directory),
        }
        command = [sys.executable, "-m", "rheostat_server", "serve"]
        self._process = Process(command, log=self._directory / "server.log", environ=environ)
        await self._process.answers(f"{self.url}/readyz", within=60)

    @property
    def running(self) -> bool:
        """Whether there is a process, frozen or not."""
        return self._process is not None and self._process.running

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        self._process.kill()

    def freeze(self) -> None:
        """Stop its time."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop it in order."""
        if self._process is not None and self._process.running:
            self.thaw()
            self._process.stop(signal.SIGTERM, within=3)


class Cluster:
    """Some nodes, a client of any of them, and a look into their database."""

    def __init__(self, nodes: Sequence[FaultyNode], database: "asyncpg.Pool[Any]", token: str, sdk_key: str) -> None:
        self.nodes = nodes
        self.database = database
        self._token, self._sdk_key = token, sdk_key
        self.client = httpx.AsyncClient(timeout=5.0, limits=httpx.Limits(max_connections=64))

    async def call(self, node: FaultyNode, method: str, path: str, body: Any = None) -> Any:
        """Ask a node's admin API."""
        headers = {"authorization": f"Bearer {self._token}"}
        answer = await self.client.request(method, node.url + path, json=body, headers=headers)
        assert not answer.is_error, answer.text
        return answer.json()

    async def report(self, node: FaultyNode, body: bytes, *, age_ms: int = 0) -> bool:
        """Send a batch to a node; return whether it was acknowledged."""
        headers = {"authorization": f"Bearer {self._sdk_key}", "rheostat-batch-age-ms": str(age_ms)}
        try:
            answer = await self.client.post(node.url + "/sdk/v1/outcomes", content=body, headers=headers)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    async def leader(self) -> FaultyNode | None:
        """Return the node that says that it leads."""
        for node in self.nodes:
            if node.running:
                try:
                    parts = (await self.client.get(node.url + "/readyz")).json()["parts"]
                except httpx.HTTPError:
                    continue
                if "this node" in parts["ramps"]["detail"]:
                    return node
        return None

    async def roles(self) -> tuple[FaultyNode, FaultyNode]:
        """Return the leader, once there is one, and the other node."""
        leader = await until(self.leader, lambda found: found is not None, within=30)
        assert leader is not None
        [other] = [node for node in self.nodes if node is not leader]
        return leader, other

    async def token(self) -> int:
        """Return the lease's token: one more at each takeover."""
        found: int = await self.database.fetchval("SELECT token FROM lease")
        return found


@asynccontextmanager
async def cluster(
    directory: Path, database_url: str, *names: str, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Cluster]:
    """Start nodes of these names, the first of which leads first; stop them on leaving."""
    token, sdk_key = f"rht_{secrets.token_hex(16)}", f"rhs_{secrets.token_hex(16)}"
    settings = {"RHEOSTAT_ADMIN_TOKEN": token, "RHEOSTAT_SDK_KEY": sdk_key, "RHEOSTAT_LOG_LEVEL": "warning"}
    settings |= {"RHEOSTAT_REDIS_URL": "", "RHEOSTAT_PROMETHEUS_URL": "", **(environ or {})}
    nodes = [FaultyNode(name, directory, settings, database_url) for name in names]
    async with asyncpg.create_pool(database_url, min_size=1, max_size=3) as pool:
        made = Cluster(nodes, pool, token, sdk_key)
        try:
            for node in nodes:
                await node.start()
            yield made
        finally:
            await made.client.aclose()
            await asyncio.gather(*(asyncio.to_thread(node.stop) for node in nodes))


def flag_document(key: str) -> dict[str, Any]:
    """Return a flag that a ramp can turn."""
    rollout = {"exposure": 0, "split": {"on": 1}, "fallback": "off"}
    return {
        "kind": "flag",
        "key": key,
        "type": "boolean",
        "variants": {"on": True, "off": False},
        "off_variant": "off",
        "environments": {"production": {"enabled": True, "default": {"rollout": rollout}}},
    }
