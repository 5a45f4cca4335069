"""What 200 live ramps cost a second, this process and PostgreSQL, beside a million decisions and 5 000 ended ramps.

Every ramp has new evidence in every second, which is the most there can be. The baseline is as many empty transactions.
Also which tables were read from end to end meanwhile: none that grows may be among them.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg

from rheostat.model.evaluation import Arm
from rheostat.model.outcome import NEVER, Batch, FailingUnit, FailingUnits, Row, SampledUnit, SampledUnits
from rheostat_server.adapters.storage.postgres.embedded.launcher import start_embedded_now
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.flags.service import ANY
from tests.integration.ramp_world import ADMIN, PROJECT, RampWorld, flag_document, ramp_document, ramp_world
from tests.postgres_fixture import TestServer

RAMPS, DECISIONS, ENDED, SECONDS = 200, 1_000_000, 5_000, 10
TICKS_A_SECOND = 100  # of the kernel's CPU accounting
GROWING = (
    "decisions",
    "ramps",
    "ramp_inbox",
    "ramp_epochs",
    "failing_units",
    "sampled_units",
    "badly_sampled_units",
    "batches",
    "audit",
)


def cpu_of_children(parent: int) -> float:
    """Return the CPU seconds that the server processes of a postmaster have used."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent or stat.parent.name == str(parent):
            total += int(fields[11]) + int(fields[12])
    return total / TICKS_A_SECOND


async def fill(world: RampWorld, database: Database, url: str) -> list[str]:
    """Start the ramps, and put what has gathered over time beside them; return their ids."""
    ids = []
    for number in range(RAMPS):
        key = f"flag-{number:03}"
        await world.flags.put(PROJECT, key, {**flag_document(), "key": key}, ADMIN, condition=ANY, restart_ramp=False)
        document = ramp_document(flag=key, users=100_000, preflight="1h")
        ids.append((await world.ramps.start(PROJECT, "production", document, actor="ana")).id)
    conn = await asyncpg.connect(url)
    await conn.execute("UPDATE ramps SET version = $1", DECISIONS // RAMPS + 1)
    await conn.execute(
        "INSERT INTO decisions SELECT r.id, 1 + n, 0, CASE n % 500 WHEN 0 THEN 'advance' ELSE 'hold' END, "
        "repeat('x', 600) "
        "FROM ramps r, generate_series(1, $1) n",
        DECISIONS // RAMPS,
    )
    await conn.execute(
        "INSERT INTO ramps SELECT gen_random_uuid(), environment_id, 'old-' || n, rollout, 'promoted', false, false, "
        "1, plan, state, unit_key, 0, 0, NULL, started_by, started_at_ms, started_at_ms "
        "FROM (SELECT * FROM ramps LIMIT 1) r, generate_series(1, $1) n",
        ENDED,
    )
    await conn.execute(
        "INSERT INTO ramp_epochs SELECT id, n, 100000, 0 FROM ramps, generate_series(1, 8) n WHERE NOT live"
    )
    await conn.execute("VACUUM ANALYZE")
    await conn.close()
    return ids


def a_batch(ids: list[str], sequence: int) -> list[Batch]:
    """Return what one application reports of every ramp in a second: 20 requests of each."""
    batches = []
    for number, ramp in enumerate(ids):
        units = [f"{sequence * 100 + unit:08x}{number:08x}" for unit in range(20)]
        batches.append(
            Batch(
                instance=f"{number:032x}",
                sequence=sequence,
                rows=tuple(
                    Row(ramp=ramp, epoch=1, exposure_ppm=100_000, arm=arm, variant="on", ended=ended, bad=bad)
                    for arm, ended, bad in ((Arm.TREATMENT, 2, 0), (Arm.CONTROL, 18, 1))
                ),
                failing={ramp: FailingUnits(1.0, (FailingUnit(units[2], NEVER, 1),))},
                sampled={
                    ramp: SampledUnits(
                        1.0, tuple(SampledUnit(u, 1 if n < 2 else NEVER, 1, 0, n == 2) for n, u in enumerate(units))
                    )
                },
            )
        )
    return batches


async def measured(postmaster: int, work: Callable[[int], Awaitable[Any]]) -> tuple[float, float, float]:
    """Return the CPU of this process, of PostgreSQL, and the time that one of ``SECONDS`` runs took (ms)."""
    ours = theirs = real = 0.0
    for number in range(SECONDS):
        before = (time.process_time(), cpu_of_children(postmaster), time.monotonic())
        await work(number)
        after = (time.process_time(), cpu_of_children(postmaster), time.monotonic())
        ours, theirs, real = (total + b - a for total, a, b in zip((ours, theirs, real), before, after, strict=True))
    return ours / SECONDS * 1000, theirs / SECONDS * 1000, real / SECONDS * 1000


async def run(url: str, postmaster: int) -> None:
    """Fill a database, measure, print."""
    async with await Database.open(url) as database, ramp_world(database) as world:
        ids = await fill(world, database, url)
        for number in range(3):
            await asyncio.gather(*(world.report(batch) for batch in a_batch(ids, number + 1)))
        await asyncio.gather(*await world.controller.tick())
        async with database.connection() as conn:
            # As PostgreSQL does by itself each minute: it then knows that these tables are not empty.
            await conn.execute("ANALYZE")

        async def scans() -> dict[str, int]:
            async with database.connection() as conn:
                await conn.execute("SELECT pg_stat_force_next_flush()")
                rows = await conn.fetch("SELECT relname, seq_scan FROM pg_stat_user_tables")
            return {row["relname"]: row["seq_scan"] for row in rows}

        async def empty(_: int) -> None:
            async def one() -> None:
                async with database.transaction() as conn:
                    await conn.execute("SELECT 1")

            for _ in range(RAMPS // 4):
                await asyncio.gather(*(one() for _ in range(4)))

        async def report(number: int) -> None:
            await asyncio.gather(*(world.report(batch) for batch in a_batch(ids, number + 10)))

        before = await scans()
        figures = [("200 empty transactions", await measured(postmaster, empty))]
        spent_reporting = await measured(postmaster, report)
        figures.append(("counting 200 batches", spent_reporting))

        async def observe_news(number: int) -> None:
            await report(SECONDS + number + 10)
            world.manual.advance(1)
            await asyncio.gather(*await world.controller.tick())

        together = await measured(postmaster, observe_news)
        figures.append(
            ("observing 200 ramps", tuple(max(0.0, a - b) for a, b in zip(together, spent_reporting, strict=True)))
        )
        after = await scans()
        observed = (await world.row(ids[0])).state
        print(f"{'a second of':<26}{'this process':>14}{'PostgreSQL':>14}{'both':>10}{'elapsed':>12}")
        for words, (ours, theirs, real) in figures:
            print(f"{words:<26}{ours:11.0f} ms{theirs:11.0f} ms{ours + theirs:7.0f} ms{real:9.0f} ms")
        print(f"observations of each ramp: {observed.observations}")
        read = {table: after[table] - before[table] for table in GROWING if after[table] > before[table]}
        print(f"growing tables read from end to end: {read or 'none'}")
        await looks(url, ids[0])


async def looks(url: str, ramp: str) -> None:
    """Print how long people's looks into a long log take, and by which index."""
    conn = await asyncpg.connect(url)
    # One ramp's own log of 100 000 rows: more than a day of observations each second.
    await conn.execute(
        "INSERT INTO decisions SELECT $1::text::uuid, 10000 + n, n, 'hold', repeat('x', 600) "
        "FROM generate_series(1, 100000) n",
        ramp,
    )
    where = f"FROM decisions WHERE ramp_id = '{ramp}' AND seq > 0"
    for words, query in (
        ("page of a log", f"SELECT body {where} ORDER BY seq LIMIT 1000"),
        ("newest 30", f"SELECT body {where} ORDER BY seq DESC LIMIT 30"),
        ("newest 30 of a rare kind", f"SELECT body {where} AND kind = ANY('{{kill}}') ORDER BY seq DESC LIMIT 30"),
        ("since a time", f"SELECT body {where} AND at_ms >= 99990 ORDER BY seq LIMIT 1000"),
    ):
        lines = [row[0] for row in await conn.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {query}")]
        scan = next(line.strip() for line in lines if "Scan" in line)
        print(f"{words:<26}{lines[-1].strip():<28}{scan.split(' (actual')[0]}")
    await conn.close()


def main() -> None:
    """Start PostgreSQL and run."""
    with tempfile.TemporaryDirectory(prefix="rheostat-cost-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        (data := Path(name) / "data").mkdir()
        postgres = start_embedded_now(data, say=print)
        server = TestServer(postgres)
        try:
            asyncio.run(run(server.fresh_database(), postgres.pid))
        finally:
            server.close()


if __name__ == "__main__":
    main()
