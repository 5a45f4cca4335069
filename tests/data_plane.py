"""An environment in a real database, and what a test writes to it."""

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from rheostat.model.flag import Flag, Segment
from rheostat.model.kill import Kill
from rheostat.model.outcome import Batch, FailingUnit, FailingUnits, Orphan, Orphans, Row, SampledUnit, SampledUnits
from rheostat.model.ramp import RampOverlay
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.storage import PostgresStorage
from rheostat_server.ports.storage import ServedKind, Transaction

Thing = Flag | Segment | RampOverlay | Kill


def place(thing: Thing) -> tuple[ServedKind, str]:
    """Return the kind and key that a thing is served under."""
    match thing:
        case Flag(key=key):
            return "flag", key
        case Segment(key=key):
            return "segment", key
        case RampOverlay(ramp=key):
            return "ramp", key
        case Kill(kill_id=key):
            return "kill", key


class World:
    """A database with environments, written as the services write."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.storage = PostgresStorage(database)

    async def environment(self, key: str = "production", project: str = "default") -> int:
        """Make an environment (and its project); return its id."""
        async with self.database.connection() as connection:
            await connection.execute(
                "INSERT INTO projects (key, name, created_at_ms) VALUES ($1, $1, 0) ON CONFLICT DO NOTHING", project
            )
            made: int = await connection.fetchval(
                """
                INSERT INTO environments (project_id, key, name, created_at_ms)
                SELECT id, $2, $2, 0 FROM projects WHERE key = $1
                ON CONFLICT (project_id, key) DO UPDATE SET name = excluded.name RETURNING id
                """,
                project,
                key,
            )
        return made

    async def serve(self, environment: int, *things: Thing, gone: Sequence[tuple[ServedKind, str]] = ()) -> int:
        """Serve these from a new revision on, and remove those; return the revision."""

        async def work(transaction: Transaction) -> int:
            revision = (await transaction.environments.bump([environment]))[environment]
            for thing in things:
                body = msgspec.json.encode(thing)
                await transaction.served.put(environment, revision, *place(thing), body)
            for kind, key in gone:
                await transaction.served.put(environment, revision, kind, key, None)
            await transaction.notify([environment])
            return revision

        return await self.storage.run(work)

    async def raise_generation(self, generation: int) -> None:
        """Make every reader load everything anew."""
        async with self.database.connection() as connection:
            await connection.execute("UPDATE meta SET generation = $1", generation)

    async def ramp(
        self,
        environment: int,
        *,
        flag: str = "checkout",
        exposure_ppm: int = 100_000,
        levels: tuple[int, ...] = (0, 100_000, 500_000),
        epochs: dict[int, int] | None = None,
        live: bool = True,
        **changes: Any,
    ) -> str:
        """Make a ramp with its overlay at epoch 1; ``epochs`` are the exposures that its history knows.

        Other arguments go to the overlay.
        """
        ramp = uuid.uuid4()
        async with self.database.connection() as connection:
            await connection.execute(
                """
                INSERT INTO ramps (id, environment_id, flag, rollout, status, live, overlaid, version, plan, state,
                                   unit_key, declared_ppm, start_ppm, started_by, started_at_ms)
                VALUES ($1, $2, $3, 'default', 'running', $4, true, 1, '{}', '{}', $5, 0, 0, 'a test', 0)
                """,
                ramp,
                environment,
                flag,
                live,
                b"k" * 16,
            )
            for epoch, exposure in ({1: exposure_ppm} if epochs is None else epochs).items():
                await connection.execute("INSERT INTO ramp_epochs VALUES ($1, $2, $3, 0)", ramp, epoch, exposure)
        overlay = RampOverlay(
            ramp=str(ramp), flag=flag, exposure_ppm=exposure_ppm, epoch=1, levels=levels, plain_live=live, **changes
        )
        await self.serve(environment, overlay)
        return str(ramp)

    async def fetch(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Return rows."""
        async with self.database.connection() as connection:
            return [dict(row) for row in await connection.fetch(query, *arguments)]


async def shut(control: Database, name: str) -> None:
    """Throw everybody out of the database, and keep them out."""
    async with control.connection() as connection:
        await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)


async def let_in(control: Database, name: str) -> None:
    """Let them in again."""
    async with control.connection() as connection:
        await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def a_batch(sequence: int = 1, instance: str = "0" * 32, **changes: Any) -> Batch:
    """Return a batch of one instance of the service ``shop``."""
    return Batch(instance=instance, sequence=sequence, **{"service": "shop", **changes})


def a_row(ramp: str, **changes: Any) -> Row:
    """Return a row of ten finished treatment requests without a fault."""
    fields: dict[str, Any] = {
        "epoch": 1,
        "exposure_ppm": 100_000,
        "arm": "treatment",
        "variant": "on",
        "ages": (10_000, 0),
        "started": 10,
        "ended": 10,
        **changes,
    }
    return msgspec.convert({"ramp": ramp, **fields}, Row)


def unit_hash(number: int) -> str:
    """Return the hash of a unit, in hex."""
    return f"{number:016x}"


def failing(ramp: str, *units: tuple[int, int], epoch: int = 1, age_ms: int = 0) -> dict[str, FailingUnits]:
    """Return failing units, each (number, entry)."""
    return {
        ramp: FailingUnits(units=tuple(FailingUnit(unit_hash(unit), entry, epoch, age_ms) for unit, entry in units))
    }


def sampled(
    ramp: str, *units: tuple[int, int], epoch: int = 1, window: int = 5_890_752, bad: bool = False, slow: int = 0
) -> dict[str, SampledUnits]:
    """Return sampled units, each (number, entry)."""
    seen = tuple(SampledUnit(unit_hash(unit), entry, epoch, window, bad, slow) for unit, entry in units)
    return {ramp: SampledUnits(units=seen)}


def orphaned(ramp: str, *units: tuple[int, int], instance: str = "d" * 32, age_ms: int = 0) -> tuple[Orphans, ...]:
    """Return what an instance left open, each (number, entry); the notes are numbered from 1."""
    requests = tuple(
        Orphan(ramp, unit_hash(unit), entry, 1, age_ms, note) for note, (unit, entry) in enumerate(units, 1)
    )
    return (Orphans(instance=instance, requests=requests),)
