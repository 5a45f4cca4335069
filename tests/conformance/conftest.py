"""A server that holds the flags that published clients are tried on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from tests.admin_server import RunningNode, a_running_node
from tests.conformance.flags import documents

ORIGIN = "https://shop.example.com"


class Served(NamedTuple):
    """A node, its flags written, with a key for servers and one for browsers."""

    running: RunningNode
    url: str
    server_key: str
    client_key: str

    @property
    def bearer(self) -> dict[str, str]:
        """The server's key, as most clients send it."""
        return {"authorization": f"Bearer {self.server_key}"}

    @property
    def api_key(self) -> dict[str, str]:
        """The browser's key, in the other header."""
        return {"x-api-key": self.client_key}

    async def toggle(self, variant: str) -> None:
        """Serve another variant of ``conf-toggle``."""
        change = {"environments": {"production": {"default": {"serve": variant}}}}
        answer = await self.running.admin.patch("/projects/default/flags/conf-toggle", json=change)
        assert answer.is_success, answer.text


@pytest.fixture
async def served(database: Database, tmp_path: Path) -> AsyncIterator[Served]:
    """A running server with the flags of ``flags.py`` in production."""
    async with a_running_node(database, tmp_path, cors_origins=ORIGIN) as running:
        applied = await running.admin.post("/projects/default/apply", json={"documents": documents()})
        assert applied.is_success, applied.text
        key = await running.admin.post(
            "/projects/default/environments/production/keys", json={"label": "browsers", "scope": "client"}
        )
        yield Served(running, running.url, running.sdk_key, key.json()["secret"])


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    """A plain HTTP client of that server, without any key."""
    async with httpx.AsyncClient(base_url=served.url, timeout=30) as client:
        yield client
