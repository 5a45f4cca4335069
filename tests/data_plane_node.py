"""A node that serves the data plane over real HTTP, inside the test's own loop."""

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx
import uvicorn

from rheostat.clock import Clock, SystemClock
from rheostat_server.access.keyring import KeyRing
from rheostat_server.access.model import Scope, TokenKind
from rheostat_server.access.secret import hash_secret
from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.adapters.propagation.memory import MemoryPropagation
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.evaluation.counter import EvaluationCounter
from rheostat_server.evaluation.ofrep import Ofrep
from rheostat_server.evaluation.routes import ofrep_routes
from rheostat_server.outcomes.routes import outcome_routes
from rheostat_server.outcomes.service import OutcomeService
from rheostat_server.ports.access import TokenRow
from rheostat_server.ports.propagation import Propagation
from rheostat_server.ports.storage import Transaction
from rheostat_server.streaming.hub import Hub
from rheostat_server.streaming.routes import feed_routes
from rheostat_server.web.app import create_app
from tests.data_plane import World

SERVER_KEY = "rhs_for-a-server-in-a-test"
CLIENT_KEY = "rhc_for-a-browser-in-a-test"
API_TOKEN = "rht_for-a-person-in-a-test"


class Component(Protocol):
    """A part that runs by itself."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Node:
    """One node: its parts, and a client that has its address."""

    def __init__(self, world: World, clock: Clock, propagation: Propagation, **hub_settings: Any) -> None:
        self.world = world
        self.metrics = PrometheusMetrics(clock, version="test")
        self.keyring = KeyRing(world.storage, clock, poll_seconds=0.2)
        settings: dict[str, Any] = {"node": "node-1", "poll_seconds": 0.1, **hub_settings}
        self.hub = Hub(world.storage, propagation, self.metrics, clock, **settings)
        self.counter = EvaluationCounter(world.storage, clock)
        self.outcomes = OutcomeService(world.storage, self.metrics, clock, group_seconds=0.01)
        self.propagation = propagation
        self.client: httpx.AsyncClient
        self.app = create_app(
            admin=[],
            others=[
                *feed_routes(self.hub, self.keyring, self.metrics),
                *ofrep_routes(
                    Ofrep(self.hub, self.keyring, self.counter, clock),
                    self.keyring,
                    self.metrics,
                    "https://shop.example.com",
                ),
                *outcome_routes(self.outcomes, self.keyring, self.metrics),
            ],
            keyring=self.keyring,
            version="test",
        )

    async def settle(self, environment: int, revision: int) -> None:
        """Wait until the node serves this revision."""
        assert await self.hub.wait_for(environment, revision, 10)


async def add_key(world: World, secret: str, environment: int | None, scope: Scope, kind: TokenKind) -> str:
    """Keep a key or token; return its id."""
    row = TokenRow(
        id=str(uuid.uuid4()),
        kind=kind,
        scope=scope,
        hash=hash_secret(secret),
        hint=secret[:8],
        label="a test's",
        project=None,
        environment_id=environment,
        environment=None,
        created_at_ms=0,
    )

    async def work(transaction: Transaction) -> None:
        await transaction.tokens.add(row)
        await transaction.tokens.raise_access_revision()

    await world.storage.run(work)
    return row.id


@asynccontextmanager
async def a_node(
    database: Database,
    *,
    clock: Clock | None = None,
    propagation: Propagation | None = None,
    read: bool = True,
    **hub_settings: Any,
) -> AsyncIterator[Node]:
    """Run a node over this database until the block is left. It has a server key, a client key and an API token.

    ``read=False``: its hub has read nothing yet.
    """
    world = World(database)
    environment = await world.environment()
    if not await world.fetch("SELECT 1 FROM tokens WHERE hash = $1", hash_secret(SERVER_KEY)):
        await add_key(world, SERVER_KEY, environment, Scope.SERVER, TokenKind.SDK)
        await add_key(world, CLIENT_KEY, environment, Scope.CLIENT, TokenKind.SDK)
        await add_key(world, API_TOKEN, None, Scope.ADMIN, TokenKind.API)
    node = Node(world, clock or SystemClock(), propagation or MemoryPropagation(), **hub_settings)
    components: list[Component] = [node.propagation, node.keyring, node.counter, node.outcomes]
    if read:
        components.append(node.hub)
    for component in components:
        await component.start()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(node.app, log_level="error", lifespan="off", timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        async with httpx.AsyncClient(base_url=url, timeout=10) as node.client:
            yield node
            node.hub.close_streams()
    finally:
        server.should_exit = True
        await serving
        for component in reversed(components):
            await component.stop()


class Events:
    """Reads a stream's events."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self, *, beats: bool = False) -> dict[str, str]:
        """Return the next event's fields; beats are left out unless asked for. Empty at the end."""
        event: dict[str, str] = {}
        async with asyncio.timeout(15):
            async for line in self._lines:
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif beats or event.get("event") != "beat":
                    return event
                else:
                    event = {}
        return event

    async def data(self, name: str) -> Any:
        """Return the data of the next event, which must have this name."""
        event = await self.next(beats=name == "beat")
        assert event.get("event") == name, event
        return json.loads(event["data"])

    async def ended(self) -> bool:
        """Read to the end; return whether there is one."""
        try:
            async with asyncio.timeout(15):
                async for _ in self._lines:
                    pass
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def a_stream(node: Node, *, held: str | None = None, key: str = SERVER_KEY) -> AsyncIterator[Events]:
    """Open a stream."""
    headers = {"Authorization": f"Bearer {key}"}
    if held is not None:
        headers["Last-Event-ID"] = held
    async with node.client.stream("GET", "/sdk/v1/stream", headers=headers, timeout=None) as response:
        assert response.status_code == 200
        yield Events(response)
