"""A whole node for tests: real PostgreSQL, real HTTP on a free port, and clients with tokens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from rheostat.clock import ManualClock
from rheostat_server.access.seed import Seeded, seed
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.bootstrap.node import Node
from rheostat_server.http_server import HttpServer
from rheostat_server.listening import listen, url_of
from rheostat_server.ports.storage import Transaction
from rheostat_server.settings import Settings


class RunningNode:
    """A node that serves, and the secrets of its first start."""

    def __init__(self, node: Node, url: str, seeded: Seeded, clock: ManualClock) -> None:
        self.node = node
        self.url = url
        self.clock = clock
        self.token = seeded.admin_token or ""
        self.sdk_key = seeded.sdk_key or ""
        self._clients: list[httpx.AsyncClient] = []
        self.admin = self.client(self.token)

    def client(self, secret: str | None) -> httpx.AsyncClient:
        """Return a client of the admin API with this token."""
        headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
        client = httpx.AsyncClient(base_url=f"{self.url}/api/v1", headers=headers, timeout=30)
        self._clients.append(client)
        return client

    async def token_of(self, **body: Any) -> httpx.AsyncClient:
        """Return a client with a new token."""
        made = await self.admin.post("/tokens", json={"label": "test", **body})
        assert made.status_code == 201, made.text
        return self.client(made.json()["secret"])

    async def revisions(self, project: str = "default") -> dict[str, int]:
        """Return each environment's revision."""
        async with self.node.storage.transaction() as tx:
            return {row.key: row.revision for row in await tx.environments.of_project(project)}

    async def served(self, environment: str = "production", since: int = 0) -> dict[tuple[str, str], bytes | None]:
        """Return what an environment of the default project serves, by kind and key."""
        async with self.node.storage.transaction() as tx:
            here = await tx.environments.get("default", environment)
            return {(row.kind, row.key): row.body for row in await tx.served.since(here.id, since)}

    async def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            await client.aclose()


def flag_document(key: str = "checkout", **fields: Any) -> dict[str, Any]:
    """Return a boolean flag's document, without environments unless they are given."""
    base = {"kind": "flag", "key": key, "type": "boolean", "variants": {"on": True, "off": False}, "off_variant": "off"}
    return {**base, **fields}


def rolled_out(exposure: float, **fields: Any) -> dict[str, Any]:
    """Return what an environment has that is enabled with a rollout of ``on``."""
    rollout = {"exposure": exposure, "split": {"on": 1}, "fallback": "off"}
    return {"enabled": True, "default": {"rollout": rollout}, **fields}


@asynccontextmanager
async def a_running_node(database: Database, directory: Path, **settings: Any) -> AsyncIterator[RunningNode]:
    """Run a node on a new database, as after its first start. Its clock moves by hand."""
    clock = ManualClock()
    node = Node(Settings(data_dir=str(directory), poll_seconds=0.2, **settings), database, clock)

    async def work(tx: Transaction) -> Seeded:
        return await seed(tx, now_ms=clock.wall_ms(), admin_token=None, sdk_key=None)

    seeded = await node.storage.run(work)
    await node.start()
    sock = listen("127.0.0.1", 0)
    url = url_of(sock)
    server = HttpServer(node.app)
    serving = asyncio.create_task(server.run_on(sock))
    found = RunningNode(node, url, seeded, clock)
    try:
        yield found
    finally:
        await found.close()
        node.hub.close_streams()
        server.finish()
        await serving
        await node.stop()


@pytest.fixture
async def running(database: Database, tmp_path: Path) -> AsyncIterator[RunningNode]:
    """A node on a new database, after its first start. Its clock moves by hand."""
    async with a_running_node(database, tmp_path) as found:
        yield found
