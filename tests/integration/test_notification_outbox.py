"""The outbox in PostgreSQL: what ``OutboxStore`` promises."""

from collections.abc import AsyncIterator

import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import Conflict, NotFound
from rheostat_server.notifications.message import Subject
from rheostat_server.notifications.outbox import notify
from rheostat_server.ports.notifications import Channel, ChannelKind, DeliveryStatus, Filters, Target
from rheostat_server.ports.storage import Transaction
from rheostat_server.ramps.news import News
from tests.integration.ramp_world import PROJECT, RampWorld, ramp_world

NOW = 1_767_225_600_000


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world with one environment."""
    async with ramp_world(database) as made:
        yield made


async def tell(world: RampWorld, tx: Transaction, flag: str, news: News = News.ADVANCED, at_ms: int = NOW) -> None:
    here = world.environment
    subject = Subject(environment_id=here.id, project=PROJECT, environment=here.key, flag=flag)
    await notify(tx, news, subject, at_ms=at_ms, why="because")


async def a_channel(tx: Transaction, name: str = "hook") -> Channel:
    home = await tx.projects.get(PROJECT)
    return await tx.channels.add(
        Channel(
            project_id=home.id,
            name=name,
            kind=ChannelKind.WEBHOOK,
            target=Target(url="https://hooks.example.com/", secret="whsec_x"),
            filters=Filters(events=("killed",)),
            created_by="ana",
            created_at_ms=NOW,
            updated_at_ms=NOW,
        )
    )


async def flags(tx: Transaction) -> list[str]:
    return [one.flag for one in await tx.outbox.unsettled(0, 10)]


async def test_nothing_leaves_a_transaction_that_does_not_commit(world: RampWorld) -> None:
    """A notification is there with its transaction, or not at all."""
    with pytest.raises(ZeroDivisionError):
        async with world.storage.transaction() as tx:
            await tell(world, tx, "a")
            raise ZeroDivisionError
    async with world.storage.transaction() as tx:
        await tell(world, tx, "b")
    async with world.storage.transaction() as tx:
        assert await flags(tx) == ["b"]


async def test_one_that_commits_late_is_not_passed_over(world: RampWorld) -> None:
    """What is settled goes by itself, not by a number up to which all is settled."""
    async with world.storage.transaction() as slow:
        await tell(world, slow, "slow")
        async with world.storage.transaction() as tx:
            await tell(world, tx, "quick")
        async with world.storage.transaction() as tx:
            [one] = await tx.outbox.unsettled(0, 10)
            await tx.outbox.settle(one.seq, at_ms=NOW)
            assert await flags(tx) == []
    async with world.storage.transaction() as tx:
        assert await flags(tx) == ["slow"]


async def test_what_was_told_last_and_what_is_newer(world: RampWorld) -> None:
    """By kind and subject: the last that was not left out, how many were since, and whether anything newer is known."""
    async with world.storage.transaction() as tx:
        for at_ms, news in enumerate((News.HELD, News.RESUMED, News.HELD, News.HELD), NOW):
            await tell(world, tx, "a", news, at_ms)
        await tell(world, tx, "b", News.HELD)
        first, resumed, second, third, other = await tx.outbox.unsettled(0, 10)
        assert await tx.outbox.last_told(third) is None
        await tx.outbox.settle(first.seq, at_ms=NOW)
        await tx.outbox.settle(second.seq, at_ms=NOW, muted=True)

        last = await tx.outbox.last_told(third)
        assert last is not None
        assert (last.seq, last.at_ms) == (first.seq, NOW)
        assert await tx.outbox.count_muted(third, last.seq) == 1
        assert await tx.outbox.is_outdated(resumed)
        assert not await tx.outbox.is_outdated(third)
        assert await tx.outbox.last_told(other) is None
        assert await tx.outbox.last_told(resumed) is None


async def test_what_is_due(world: RampWorld) -> None:
    """Each channel by itself, in order; with what is due comes what waits before it of the same subject."""
    async with world.storage.transaction() as tx:
        hook, other = await a_channel(tx), await a_channel(tx, "other")
        for flag in ("a", "b", "a"):
            await tell(world, tx, flag)
        rows = await tx.outbox.unsettled(0, 10)
        for row in rows:
            await tx.outbox.enqueue(row.seq, [hook.id], NOW)
            await tx.outbox.enqueue(row.seq, [hook.id], NOW + 1)
        await tx.outbox.enqueue(rows[0].seq, [other.id], NOW + 5000)
        assert await tx.outbox.due_channels(NOW - 1) == []
        assert await tx.outbox.due_channels(NOW) == [hook.id]
        assert await tx.outbox.due_channels(NOW + 5000) == [hook.id, other.id]
        first, second, third = await tx.outbox.due(hook.id, NOW, 10)
        assert [one.flag for one in (first, second, third)] == ["a", "b", "a"]
        assert [one.id for one in await tx.outbox.due(hook.id, NOW, 2)] == [first.id, second.id]
        assert first.body is not None

        for one in (first, second):
            await tx.outbox.again(one.id, attempts=1, next_at_ms=NOW + 60_000, error="away")
        assert [one.id for one in await tx.outbox.due(hook.id, NOW, 10)] == [first.id, third.id]
        await tx.outbox.delivered(third.id, attempts=1, at_ms=NOW, remark=None)
        assert await tx.outbox.due(hook.id, NOW, 10) == []
        assert await tx.outbox.oldest_pending_ms() == NOW

        await tx.outbox.hold_back(hook.id, NOW + 90_000)
        assert await tx.outbox.due_channels(NOW + 60_000) == [other.id]
        assert {one.next_at_ms for one in await tx.outbox.due(hook.id, NOW + 90_000, 10)} == {NOW + 90_000}


async def test_pages_and_what_belongs_to_whom(world: RampWorld) -> None:
    """Newest first, by channel, status and flag, of one project alone; without bodies."""
    async with world.storage.transaction() as tx:
        hook = await a_channel(tx)
        await tell(world, tx, "a")
        await tell(world, tx, "b")
        for row in await tx.outbox.unsettled(0, 10):
            await tx.outbox.enqueue(row.seq, [hook.id], NOW)
        first, second = await tx.outbox.due(hook.id, NOW, 10)
        await tx.outbox.failed(first.id, attempts=3, at_ms=NOW, error="gone")
        everything = {"channel": None, "status": None, "flag": None, "before": None}
        page = await tx.outbox.page(hook.project_id, **everything, limit=10)
        assert [(one.id, one.body) for one in page] == [(second.id, None), (first.id, None)]
        failed = await tx.outbox.page(
            hook.project_id, channel="hook", status=DeliveryStatus.FAILED, flag="a", before=second.id, limit=10
        )
        assert [(one.id, one.attempts, one.last_error) for one in failed] == [(first.id, 3, "gone")]
        assert await tx.outbox.page(hook.project_id + 1, **everything, limit=10) == []
        with pytest.raises(NotFound):
            await tx.outbox.get(hook.project_id + 1, first.id)
        for wrong in (0, -1, 2**63, 10**30):
            with pytest.raises(NotFound):
                await tx.outbox.get(hook.project_id, wrong)


async def test_channels(world: RampWorld) -> None:
    """A channel is kept with its secrets and filters, found by name and id; a name is there once."""
    async with world.storage.transaction() as tx:
        hook = await a_channel(tx)
        assert await tx.channels.get(hook.project_id, "hook") == await tx.channels.by_id(hook.id) == hook
        assert await tx.channels.of_project(hook.project_id) == [hook]
        await tx.channels.remove(hook.id)
        assert await tx.channels.by_id(hook.id) is None
        with pytest.raises(NotFound):
            await tx.channels.get(hook.project_id, "hook")
        await a_channel(tx)
    with pytest.raises(Conflict):
        async with world.storage.transaction() as tx:
            await a_channel(tx)
