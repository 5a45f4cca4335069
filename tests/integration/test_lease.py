"""One node leads: by a lease in the database, and no wall clock."""

import asyncio

import pytest

from rheostat.clock import ManualClock
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.storage import PostgresStorage
from rheostat_server.ramps.lease import Lease


class Node:
    """A contender with a clock of its own."""

    def __init__(self, database: Database, name: str) -> None:
        self.clock = ManualClock()
        self.lease = Lease(PostgresStorage(database), self.clock, name)

    async def step(self, seconds: float = 2.0) -> bool:
        """Let time pass on this node's clock, and beat or contend; return whether it leads."""
        self.clock.advance(seconds)
        await self.lease.step()
        return self.lease.token is not None


async def test_the_first_node_leads_at_once(database: Database) -> None:
    """A lease that nobody holds is taken without waiting."""
    assert await Node(database, "one").step()


async def test_a_leader_that_beats_is_not_taken_over(database: Database) -> None:
    """A contender that sees the beat move never takes over, however long it looks."""
    one, two = Node(database, "one"), Node(database, "two")
    await one.step()

    for _ in range(10):
        assert not await two.step(seconds=5)
        assert await one.step()


async def test_a_silent_leader_is_taken_over_after_six_seconds(database: Database) -> None:
    """The contender waits 6 s of its own time from the first look on, then leads; the old one finds out."""
    one, two = Node(database, "one"), Node(database, "two")
    await one.step()

    assert not await two.step()
    assert not await two.step(seconds=5.9)
    assert await two.step(seconds=0.2)
    assert not await one.step()


async def test_a_contender_looks_when_it_may_take_over(database: Database) -> None:
    """The leader and who just saw a beat wait 2 s; a contender never sleeps beyond the moment of the takeover."""
    one, two = Node(database, "one"), Node(database, "two")
    await one.step()
    await two.step()

    assert (one.lease.pause_seconds, two.lease.pause_seconds) == (2.0, 2.0)
    two.clock.advance(4.5)
    assert two.lease.pause_seconds == pytest.approx(1.5)
    assert await two.step(seconds=two.lease.pause_seconds)
    assert two.lease.pause_seconds == 2.0


async def test_a_takeover_frees_the_token_of_before(database: Database) -> None:
    """A transaction of the old leader finds no row for its token."""
    one, two = Node(database, "one"), Node(database, "two")
    await one.step()
    old = one.lease.token
    await two.step()
    await two.step(seconds=7)
    assert old is not None
    assert two.lease.token is not None

    async with PostgresStorage(database).transaction() as tx:
        assert not await tx.lease.hold(old)
        assert await tx.lease.hold(two.lease.token)


async def test_of_two_contenders_one_wins(database: Database) -> None:
    """Both saw the leader silent; the condition on what was seen lets one through."""
    gone = Node(database, "gone")
    await gone.step()
    nodes = [Node(database, name) for name in ("one", "two", "three")]
    for node in nodes:
        await node.step()

    led = await asyncio.gather(*(node.step(seconds=7) for node in nodes))

    assert sorted(led) == [False, False, True]


async def test_a_transaction_holds_up_the_takeover(database: Database) -> None:
    """While a transaction of the leader runs, nobody takes over: what it writes is the leader's still."""
    one, two = Node(database, "one"), Node(database, "two")
    await one.step()
    await two.step()
    token = one.lease.token
    assert token is not None
    storage = PostgresStorage(database)

    async with storage.transaction() as tx:
        assert await tx.lease.hold(token)
        takeover = asyncio.create_task(two.step(seconds=7))
        done, _ = await asyncio.wait([takeover], timeout=0.3)
        assert not done

    assert await takeover


async def test_a_lease_given_up_is_taken_at_once(database: Database) -> None:
    """A node that stops in good order costs the others no time."""
    one, two = Node(database, "one"), Node(database, "two")
    await one.step()
    await one.lease.give_up()

    assert await two.step()


async def test_an_outage_is_no_silence(database: Database, database_url: str) -> None:
    """While the database is away nobody can beat: a contender begins to count anew when it is back."""
    one, two = Node(database, "one"), Node(database, "two")
    await one.step()
    away = await Database.open(database_url)
    unlucky = Lease(PostgresStorage(away), two.clock, "two")
    await unlucky.step()
    await away.close()
    two.clock.advance(7)
    with pytest.raises(Exception, match="clos"):
        await unlucky.step()

    unlucky._storage = PostgresStorage(database)
    await unlucky.step()

    assert unlucky.token is None
