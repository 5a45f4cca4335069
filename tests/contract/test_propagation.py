"""What every propagation adapter must do."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import asyncpg
import pytest

from rheostat_server.adapters.propagation.memory import MemoryBus, MemoryPropagation
from rheostat_server.adapters.propagation.postgres import PostgresPropagation
from rheostat_server.adapters.propagation.redis import RedisPropagation
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.storage import PostgresStorage
from rheostat_server.ports.propagation import Propagation
from tests.redis_fixture import RedisServer

Make = Callable[[], Propagation]


class Ear:
    """Collects what a listener hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, ...]] = []

    def __call__(self, changed: tuple[int, ...]) -> None:
        self.heard.append(changed)

    async def until(self, changed: tuple[int, ...], seconds: float = 15.0) -> bool:
        """Wait for this hint."""
        end = time.monotonic() + seconds
        while changed not in self.heard and time.monotonic() < end:
            await asyncio.sleep(0.01)
        return changed in self.heard


@pytest.fixture(params=["memory", "postgres", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes the propagation of one node; all nodes of a test hear each other."""
    made: Make = request.getfixturevalue(f"make_{request.param}")
    return made


@pytest.fixture
def make_memory() -> Make:
    bus = MemoryBus()
    return lambda: MemoryPropagation(bus)


@pytest.fixture
def make_postgres(database: Database) -> Make:
    return lambda: PostgresPropagation(database.connect)


@pytest.fixture
def make_redis(redis_server: RedisServer) -> Make:
    return lambda: RedisPropagation(redis_server.url)


@pytest.fixture
async def nodes(make: Make) -> AsyncIterator[tuple[Propagation, Propagation]]:
    """Two nodes that are connected."""
    pair = (make(), make())
    for node in pair:
        await node.start()
        await _connected(node)
    yield pair
    for node in pair:
        await node.stop()


async def _connected(node: Propagation) -> None:
    ear = Ear()
    forget = node.listen(ear)
    for _ in range(500):
        await node.announce([999_999])
        if await ear.until((999_999,), 0.05):
            break
    else:
        raise AssertionError("the node never heard itself")
    forget()


async def test_every_node_hears_what_one_announces(nodes: tuple[Propagation, Propagation]) -> None:
    """A hint reaches all nodes, the one that gave it included."""
    speaker, other = nodes
    ears = (Ear(), Ear())
    for node, ear in zip(nodes, ears, strict=True):
        node.listen(ear)

    await speaker.announce([7, 8])

    assert await ears[0].until((7, 8))
    assert await ears[1].until((7, 8))
    assert other is not speaker


async def test_an_empty_hint_says_that_access_changed(nodes: tuple[Propagation, Propagation]) -> None:
    """A hint without environments arrives as one."""
    speaker, other = nodes
    ear = Ear()
    other.listen(ear)

    await speaker.announce([])

    assert await ear.until(())


async def test_who_forgets_hears_no_more(nodes: tuple[Propagation, Propagation]) -> None:
    """After forgetting, a listener hears nothing, while others go on."""
    speaker, other = nodes
    gone, staying = Ear(), Ear()
    forget = other.listen(gone)
    other.listen(staying)
    forget()

    await speaker.announce([3])

    assert await staying.until((3,))
    assert gone.heard == []


async def test_a_listener_that_raises_does_not_silence_the_others(nodes: tuple[Propagation, Propagation]) -> None:
    """One listener's mistake costs the others nothing, now and later."""
    speaker, other = nodes
    ear = Ear()

    def broken(_: tuple[int, ...]) -> None:
        raise RuntimeError("a mistake")

    other.listen(broken)
    other.listen(ear)

    await speaker.announce([1])
    await speaker.announce([2])

    assert await ear.until((1,))
    assert await ear.until((2,))


async def test_announcing_on_a_node_that_stopped_is_no_error(make: Make) -> None:
    """A hint that cannot be given is lost without a sound."""
    node = make()
    await node.start()
    await node.stop()

    await node.announce([1])


async def test_redis_comes_back(redis_server: RedisServer) -> None:
    """While Redis is away hints are lost; afterwards listeners hear that something may have changed, then hints."""
    node = RedisPropagation(redis_server.url)
    await node.start()
    await _connected(node)
    ear = Ear()
    node.listen(ear)
    redis_server.stop()
    await node.announce([1])
    redis_server.start()

    assert await ear.until(())
    await node.announce([2])
    assert await ear.until((2,))
    assert (1,) not in ear.heard
    await node.stop()


async def test_postgres_comes_back(database: Database, database_url: str) -> None:
    """A listener whose connection is cut connects again, and hears that something may have changed."""
    node = PostgresPropagation(database.connect)
    await node.start()
    await _connected(node)
    ear = Ear()
    node.listen(ear)
    admin = await asyncpg.connect(database_url)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query LIKE '%pg_notify%' "
        "AND pid <> pg_backend_pid()"
    )
    with suppress(asyncpg.PostgresError):
        await admin.close()

    assert await ear.until(())
    await _connected(node)
    await node.stop()


async def test_a_transaction_hints_on_commit(database: Database) -> None:
    """With PostgreSQL, what a transaction notifies is heard after its commit, and never if it rolls back."""
    storage = PostgresStorage(database)
    node = PostgresPropagation(database.connect)
    await node.start()
    await _connected(node)
    ear = Ear()
    node.listen(ear)

    with pytest.raises(RuntimeError):
        async with storage.transaction() as transaction:
            await transaction.notify([4])
            raise RuntimeError("rolled back")
    async with storage.transaction() as transaction:
        await transaction.notify([5, 6])

    assert await ear.until((5, 6))
    assert (4,) not in ear.heard
    await node.stop()
