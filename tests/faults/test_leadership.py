"""One node leads, whatever is frozen or killed: real processes on one PostgreSQL."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.storage import PostgresStorage
from rheostat_server.ports.ramps import DecisionRow, RampRow
from rheostat_server.ramps.replay import replay
from tests.e2e.waiting import until
from tests.faults.known_reports import KnownReports, counted
from tests.faults.two_nodes import FLAGS, RAMPS, Cluster, FaultyNode, cluster, flag_document

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

WRITERS = """
CREATE TABLE written (id bigserial PRIMARY KEY, token bigint, who text, what text);
CREATE FUNCTION note_writer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO written (token, who, what)
    SELECT token, current_setting('application_name'), TG_TABLE_NAME FROM lease;
    RETURN NULL;
END $$;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'written' LOOP
        EXECUTE format('CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION '
            'note_writer()', name);
    END LOOP;
END $$;
"""
"""Notes of each row that is written by which node it was, and under which token."""


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory for the nodes' data."""
    with tempfile.TemporaryDirectory(prefix="rheostat-faults-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
async def nodes(directory: Path, database_url: str) -> AsyncIterator[Cluster]:
    """Two nodes, `one` and `two`, of which `one` leads."""
    async with cluster(directory, database_url, "one", "two") as made:
        await made.database.execute(WRITERS)
        yield made


async def a_ramp(nodes: Cluster, key: str = "checkout") -> str:
    """Start a ramp that stays in its pre-flight."""
    node = nodes.nodes[-1]
    await nodes.call(node, "PUT", f"{FLAGS}/{key}", flag_document(key))
    document = {"kind": "ramp", "flag": key, "steps": [10, 50, 100], "preflight": "1h", "users": 100_000}
    started: dict[str, Any] = await nodes.call(node, "POST", RAMPS, document)
    return str(started["id"])


class Sender:
    """Sends a batch every 100 ms to the nodes that are awake, each until it is acknowledged and some once more."""

    def __init__(self, nodes: Cluster, ramp: str) -> None:
        self.reports = KnownReports(ramp)
        self.awake = list(nodes.nodes)
        self._nodes = nodes
        self._number = 0

    async def run(self) -> None:
        """Go on until cancelled; a batch that was begun is then still brought to its end."""
        while True:
            await asyncio.shield(asyncio.ensure_future(self._send()))
            await asyncio.sleep(0.1)

    async def _send(self) -> None:
        self._number += 1
        body = self.reports.batch()
        while not await self._nodes.report(self.awake[self._number % len(self.awake)], body):
            self._number += 1
            await asyncio.sleep(0.05)
        if self._number % 3 == 0:
            await self._nodes.report(self.awake[0], body)


@contextlib.asynccontextmanager
async def sending(nodes: Cluster, ramp: str) -> AsyncIterator[Sender]:
    """Send while inside."""
    sender = Sender(nodes, ramp)
    task = asyncio.create_task(sender.run())
    try:
        yield sender
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        # The batch that was under way.
        await asyncio.sleep(1)


async def stored(nodes: Cluster, ramp: str) -> tuple[RampRow, list[DecisionRow]]:
    """Return a ramp and its whole log."""
    storage = PostgresStorage(Database(nodes.database, ""))
    async with storage.transaction(snapshot=True) as tx:
        return await tx.ramps.get(ramp), await tx.ramps.decisions(ramp, limit=100_000)


async def observations(nodes: Cluster, ramp: str) -> int:
    """Return how many observations of a ramp were saved."""
    return (await stored(nodes, ramp))[0].state.observations


async def writers(nodes: Cluster, token: int) -> set[tuple[str, str]]:
    """Return who wrote into which table under this token or a later one."""
    rows = await nodes.database.fetch("SELECT DISTINCT who, what FROM written WHERE token >= $1", token)
    return {(row["who"], row["what"]) for row in rows}


async def taken_over(nodes: Cluster, token: int, by: FaultyNode) -> int:
    """Wait for the next takeover; return the new token."""
    after = await until(nodes.token, lambda found: found > token, within=30)
    await until(nodes.leader, lambda leader: leader is by, within=10)
    return after


async def test_a_leader_that_was_frozen_writes_nothing_and_nothing_is_lost(nodes: Cluster) -> None:
    """Over a SIGSTOP, a SIGCONT and two kill -9 each report counts once, and the old leader writes nothing any more."""
    ramp = await a_ramp(nodes)
    one, two = await nodes.roles()
    async with sending(nodes, ramp) as sender:
        await until(lambda: observations(nodes, ramp), lambda seen: seen > 3, within=30)
        token = await nodes.token()
        sender.awake = [two]
        await asyncio.sleep(0.5)
        one.freeze()
        token = await taken_over(nodes, token, two)
        one.thaw()
        before = await observations(nodes, ramp)
        await until(lambda: observations(nodes, ramp), lambda seen: seen > before + 3, within=30)
        wrote = await writers(nodes, token)
        assert "one" not in {who for who, _ in wrote}, wrote
        assert {("two", "ramps"), ("two", "decisions"), ("two", "batches")} <= wrote

        for leader, other in ((two, one), (one, two)):
            sender.awake = [other]
            leader.kill()
            token = await taken_over(nodes, token, other)
            await leader.start()
            sender.awake = [one, two]
            before = await observations(nodes, ramp)
            await until(lambda: observations(nodes, ramp), lambda seen: seen > before + 1, within=30)  # noqa: B023

    expected = sender.reports.told()

    async def totals() -> tuple[tuple[int, ...], ...]:
        return counted((await stored(nodes, ramp))[0].state.guardrails["errors"])

    await until(totals, lambda found: found == expected, within=20)
    row, log = await stored(nodes, ramp)
    assert [one.seq for one in log] == list(range(1, row.version + 1))
    assert [again.seq for again in replay(log) if again.differences] == []
    *_, last = replay(log)
    assert msgspec.structs.replace(last.state, guardrails={}) == msgspec.structs.replace(row.state, guardrails={})


@pytest.mark.alone
async def test_a_leader_frozen_inside_a_transaction_loses_its_locks_first(nodes: Cluster) -> None:
    """Its locks fall by the server's limits before anybody takes over; and a person can kill with nobody leading."""
    ramp = await a_ramp(nodes)
    one, two = await nodes.roles()
    token = await nodes.token()
    async with sending(nodes, ramp) as sender:
        sender.awake = [two]
        await until(lambda: observations(nodes, ramp), lambda seen: seen > 2, within=30)
        async with nodes.database.acquire() as mine, mine.transaction():
            # The leader's next transaction holds the lease, and waits for the ramp.
            await mine.execute("SELECT FROM ramps FOR UPDATE")
            await until(lambda: waits(nodes, "one"), bool, within=10, every=0.02)
            one.freeze()
        await until(lambda: holding(nodes, "one"), lambda seen: seen[0] > 0, within=5, every=0.02)
        seen = await until(
            lambda: holding(nodes, "one"), lambda seen: seen[0] == 0 or seen[1] != token, within=15, every=0.02
        )
        # A beat that was on its way may hold the last lock, and then the takeover comes in the moment of its fall.
        assert seen[0] == 0, "the locks were still held at the takeover"
    answer = await nodes.call(
        two, "POST", "/api/v1/projects/default/environments/production/flags/checkout/kill", {"reason": "it burns"}
    )
    assert [kill["ramp"] for kill in answer["kills"]] == [ramp]

    token = await taken_over(nodes, token, two)
    one.thaw()
    other = await a_ramp(nodes, "search")
    async with sending(nodes, other) as sender:
        sender.awake = [two]
        await until(lambda: observations(nodes, other), lambda seen: seen > 3, within=30)

    assert "one" not in {who for who, _ in await writers(nodes, token)}
    row, log = await stored(nodes, ramp)
    assert (row.state.status, log[-1].kind) == ("killed", "kill")
    assert [again.seq for again in replay(log) if again.differences] == []


async def waits(nodes: Cluster, name: str) -> bool:
    """Whether a node's transaction waits for a lock."""
    return bool(
        await nodes.database.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'", name
        )
    )


async def holding(nodes: Cluster, name: str) -> tuple[int, int]:
    """How many transactions a node has open and idle, and the lease's token in the same moment."""
    row = await nodes.database.fetchrow(
        """
        SELECT count(*), (SELECT token FROM lease) FROM pg_stat_activity
        WHERE application_name = $1 AND state LIKE 'idle in transaction%'
        """,
        name,
    )
    assert row is not None
    return int(row[0]), int(row[1])
