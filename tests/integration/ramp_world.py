"""A server's ramps on a real database, by a clock that tests move, and an application that reports to it."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
from prometheus_client import CollectorRegistry, Counter

from rheostat.clock import Clock, ManualClock
from rheostat.engine.hashing import arm_of, is_exposed, is_held_back, level_entry, place, unit_hash
from rheostat.model.evaluation import Arm
from rheostat.model.flag import Rollout
from rheostat.model.kill import Kill
from rheostat.model.outcome import Batch, FailingUnit, FailingUnits, Row, SampledUnit, SampledUnits
from rheostat.model.ramp import RampOverlay
from rheostat_server.access.model import Principal, Scope, TokenKind
from rheostat_server.adapters.evidence.reported import ReportedEvidence
from rheostat_server.adapters.evidence.reported_checks import ReportedChecks
from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.storage import PostgresStorage
from rheostat_server.flags.service import ANY, FlagService
from rheostat_server.flags.wire import FlagView
from rheostat_server.outcomes.service import OutcomeService
from rheostat_server.ports.evidence import CheckSource, EvidenceSource
from rheostat_server.ports.ramps import RampRow
from rheostat_server.ports.storage import EnvironmentRow
from rheostat_server.ramps.controller import RampController
from rheostat_server.ramps.draft_runner import DraftRunner
from rheostat_server.ramps.kills import KillOrder
from rheostat_server.ramps.model import Action, Family, State
from rheostat_server.ramps.overlay_rules import OverlayRules
from rheostat_server.ramps.service import RampService
from rheostat_server.ramps.starting import Sources
from rheostat_server.ramps.watching import Watching
from rheostat_server.ramps.wire import KillAnswer, RampView

PROJECT = "shop"
ENVIRONMENT = "production"
FLAG = "checkout"
ROLLOUT = Rollout(exposure_ppm=0, split={"on": 1.0}, salt=FLAG, fallback="off")
ADMIN = Principal(kind=TokenKind.API, scope=Scope.ADMIN, token_id="t", label="ana")
WINDOW_MS = 300_000


def flag_document(exposure: float = 0, *, enabled: bool = True, **changes: Any) -> dict[str, Any]:
    """Return the flag's document: a rollout of ``on`` over ``off`` in production."""
    rollout = {"exposure": exposure, "split": {"on": 1}, "fallback": "off", **changes.pop("rollout", {})}
    return {
        "kind": "flag",
        "key": FLAG,
        "type": "boolean",
        "variants": {"on": True, "off": False},
        "off_variant": "off",
        "environments": {
            ENVIRONMENT: {"enabled": enabled, "default": {"rollout": rollout}, **changes.pop("environment", {})}
        },
        **changes,
    }


def ramp_document(**changes: Any) -> dict[str, Any]:
    """Return a ramp with short settings."""
    return {
        "kind": "ramp",
        "flag": FLAG,
        "steps": [10, 50, 100],
        "preflight": "10s",
        "min_dwell": "3s",
        "soak": "5s",
        "holdback": 5,
        **changes,
    }


def without_cursors(state: State) -> State:
    """Return the state without what is no input of the rule."""
    guardrails = {name: msgspec.structs.replace(seen, cursor="") for name, seen in state.guardrails.items()}
    return msgspec.structs.replace(state, guardrails=guardrails)


def region_of(user: str) -> str | None:
    """Return where a user is; of every third it is not known."""
    return ("eu", "us", None)[int(user.removeprefix("user-")) % 3]


def _exposure_of(overlay: RampOverlay, user: str) -> int | None:
    """Return the exposure of a user, in ppm; ``None`` where a rolling ramp is at others."""
    cells = overlay.cells
    if cells is None:
        return overlay.exposure_ppm
    region = region_of(user)
    if region in cells.done or not (cells.rest or region in cells.now):
        return None
    return cells.exposure_ppm


class Application:
    """An application of ``users`` users whose exposed requests fail at ``harm``, all others at ``usual``.

    ``registry`` shows its own request counters, as the SDK's middleware would export them. Users whose place is
    below ``unlucky_below`` fail often without being exposed.
    """

    def __init__(self, world: "RampWorld", users: int = 3_000, usual: float = 0.005, harm: float = 0.005) -> None:
        self.world = world
        self.users = users
        self.usual = usual
        self.harm = harm
        self.instance = f"{random.Random(users).getrandbits(128):032x}"
        self.sequence = 0
        self.random = random.Random(7)
        self.places = {f"user-{number}": place(FLAG, f"user-{number}") for number in range(users)}
        self._sampled: set[tuple[str, int]] = set()
        self.served = 0
        self.unlucky_below = 0
        self.registry = CollectorRegistry()
        names = ("project", "environment", "flag", "variant", "arm", "outcome")
        self._counter = Counter("feature_flag_requests", "Requests.", names, registry=self.registry)

    async def serve(self, requests: int = 500, *, age_ms: int = 0) -> None:
        """Serve this many requests of random users by what is served now, and report them in one batch of this age."""
        overlays, kills = await self.world.served()
        self.sequence += 1
        live = [overlay for overlay in overlays if overlay.live and not kills]
        rows: dict[Arm, list[int]] = {}
        failing: dict[str, FailingUnit] = {}
        sampled: list[SampledUnit] = []
        for overlay in live[:1]:
            window = (self.world.clock.wall_ms() - age_ms) // WINDOW_MS
            key = bytes.fromhex(overlay.unit_key or "")
            for unit in self.random.choices(list(self.places), k=requests):
                at = self.places[unit]
                if (exposure_ppm := _exposure_of(overlay, unit)) is None:
                    continue
                arm = arm_of(overlay, ROLLOUT, at)
                assert arm is not None
                exposed = not is_held_back(at, overlay.holdback_ppm) and is_exposed(at, exposure_ppm)
                rate = self.harm if exposed else 0.3 if at < self.unlucky_below else self.usual
                bad = self.random.random() < rate
                self.served += 1
                outcome = "error" if bad else "ok"
                self._counter.labels(PROJECT, ENVIRONMENT, FLAG, "on" if exposed else "off", arm, outcome).inc()
                row = rows.setdefault(arm, [0, 0])
                row[0] += 1
                row[1] += bad
                entry = level_entry(overlay, ROLLOUT, at)
                hashed = unit_hash(key, unit)
                if bad:
                    failing[hashed] = FailingUnit(hashed, entry, overlay.epoch)
                if (hashed, overlay.epoch) not in self._sampled:
                    self._sampled.add((hashed, overlay.epoch))
                    sampled.append(SampledUnit(hashed, entry, overlay.epoch, window, bad))
        ramp = live[0] if live else None
        await self.world.report(
            Batch(
                instance=self.instance,
                sequence=self.sequence,
                service="shop",
                rows=tuple(
                    Row(
                        ramp=ramp.ramp,
                        epoch=ramp.epoch,
                        exposure_ppm=ramp.arm_ppm,
                        arm=arm,
                        variant="on",
                        ages=(900, 0),
                        started=ended,
                        ended=ended,
                        bad=bad,
                    )
                    for arm, (ended, bad) in rows.items()
                    if ramp is not None
                ),
                failing={} if ramp is None else {ramp.ramp: FailingUnits(1.0, tuple(failing.values()))},
                sampled={} if ramp is None else {ramp.ramp: SampledUnits(1.0, tuple(sampled))},
            ),
            age_ms=age_ms,
        )


class RampWorld:
    """Services over one database."""

    def __init__(
        self,
        database: Database,
        sources: dict[Family, EvidenceSource] | None,
        best: Sources,
        clock: Clock | None,
        watching: Watching | None = None,
        checks: dict[Family, CheckSource] | None = None,
    ) -> None:
        self.manual = ManualClock()
        self.clock: Clock = clock or self.manual
        self.storage = PostgresStorage(database)
        self.metrics = PrometheusMetrics(self.clock, version="test")
        self.announced: list[int] = []
        self.sources = sources or {Family.REPORTED: ReportedEvidence(self.storage)}
        self.checks: dict[Family, CheckSource] = {Family.REPORTED: ReportedChecks(self.storage), **(checks or {})}
        self.ramps = RampService(
            self.storage,
            self.clock,
            self.metrics,
            self.announced.extend,
            sources=best,
            watching=watching,
            checks=self.checks,
        )
        self.flags = FlagService(self.storage, self.clock, OverlayRules(), self.announced.extend)
        self.outcomes = OutcomeService(self.storage, self.metrics, self.clock, group_seconds=0)
        self.controller = self.another_controller("one")
        self.drafts = DraftRunner(self.storage, self.clock, self.ramps.start_due, self.controller.lease)
        self.environment: EnvironmentRow

    def another_controller(self, node: str) -> RampController:
        """Return a controller of another node."""
        return RampController(
            self.storage,
            self.sources,
            self.clock,
            self.metrics,
            self.announced.extend,
            node=node,
            crowd=ReportedEvidence(self.storage),
            checks=self.checks,
        )

    async def lay_out(self) -> None:
        """Make a project with one environment, and lead."""
        async with self.storage.transaction() as tx:
            project = await tx.projects.add(PROJECT, PROJECT, self.clock.wall_ms())
            await tx.projects.add_environment(project.id, ENVIRONMENT, ENVIRONMENT, self.clock.wall_ms())
        async with self.storage.transaction() as tx:
            self.environment = await tx.environments.get(PROJECT, ENVIRONMENT)
        await self.controller.lease.step()

    async def put(self, document: dict[str, Any] | None = None, *, restart: bool = False) -> FlagView:
        """Write the flag."""
        document = document or flag_document()
        return await self.flags.put(PROJECT, FLAG, document, ADMIN, condition=ANY, restart_ramp=restart)

    async def start(self, **changes: Any) -> RampView:
        """Start a ramp with short settings."""
        return await self.ramps.start(PROJECT, ENVIRONMENT, ramp_document(**changes), actor="ana")

    async def start_beside(self, **changes: Any) -> RampView:
        """Start a ramp beside the live one: such pairs are from before a flag had one ramp at a time."""
        async with self.storage.transaction() as tx:
            [there] = await tx.ramps.live()
        await self._mark(there.id, "live = false, alone = false")
        view = await self.start(**changes)
        await self._mark(there.id, "live = true")
        return view

    async def _mark(self, ramp: str, what: str) -> None:
        """Write columns of a ramp past all checks."""
        async with self.storage.transaction() as tx:
            await cast(Any, tx)._connection.execute(f"UPDATE ramps SET {what} WHERE id = $1", ramp)

    async def act(self, ramp: str, action: Action, reason: str = "because") -> RampView:
        """Do something to a ramp."""
        return await self.ramps.act(PROJECT, ENVIRONMENT, ramp, action, reason=reason, actor="ana")

    async def kill(self, **changes: Any) -> KillAnswer:
        """Kill the flag."""
        order = KillOrder(**{"flag": FLAG, "reason": "it burns", "actor": "ana", **changes})
        return await self.ramps.kill(PROJECT, ENVIRONMENT, order)

    async def revive(self) -> KillAnswer:
        """Revive the flag."""
        return await self.ramps.revive(PROJECT, ENVIRONMENT, FLAG, reason="fixed", actor="ana")

    async def view(self, ramp: str) -> RampView:
        """Return a ramp as people see it."""
        return await self.ramps.get(PROJECT, ENVIRONMENT, ramp)

    async def row(self, ramp: str) -> RampRow:
        """Return a ramp as stored."""
        async with self.storage.transaction() as tx:
            return await tx.ramps.get(ramp)

    async def served(self) -> tuple[list[RampOverlay], list[Kill]]:
        """Return the overlays that are served, and the kills in force."""
        async with self.storage.transaction() as tx:
            rows = await tx.served.since(self.environment.id, 0)
        overlays = [msgspec.json.decode(row.body or b"", type=RampOverlay) for row in rows if row.kind == "ramp"]
        kills = [msgspec.json.decode(row.body or b"", type=Kill) for row in rows if row.kind == "kill"]
        return overlays, [kill for kill in kills if not kill.revived]

    async def exposure(self) -> int | None:
        """Return the exposure that a ramp puts in force, in ppm; ``None`` where none does."""
        overlays, _ = await self.served()
        assert len(overlays) <= 1, "a rollout has one overlay"
        return overlays[0].exposure_ppm if overlays else None

    async def revision(self) -> int:
        """Return the environment's revision."""
        async with self.storage.transaction() as tx:
            return (await tx.environments.get(PROJECT, ENVIRONMENT)).revision

    async def report(self, batch: Batch, *, age_ms: int = 0) -> None:
        """Hand in a batch."""
        await self.outcomes.ingest(self.environment.id, batch, age_ms=age_ms)

    async def audited(self) -> list[str]:
        """Return the audit's actions, oldest first."""
        async with self.storage.transaction() as tx:
            return [entry.action for entry in reversed(await tx.audit.read(limit=1000))]

    async def tick(self, controller: RampController | None = None) -> None:
        """Let a second pass, and the controller tick."""
        if self.clock is self.manual:
            self.manual.advance(1)
        else:
            await asyncio.sleep(1)
        await asyncio.gather(*await (controller or self.controller).tick())

    async def ride(
        self, ramp: str, application: Application | None, *, until: Sequence[str], seconds: int = 300
    ) -> list[RampView]:
        """Serve and tick each second until the ramp is in one of these states; return how it looked each time."""
        seen = []
        for _ in range(seconds):
            if application is not None:
                await application.serve()
            await self.tick()
            seen.append(await self.view(ramp))
            if seen[-1].status in until:
                return seen
        raise AssertionError(f"after {seconds} s: {seen[-1].standing.line}")


@asynccontextmanager
async def ramp_world(
    database: Database,
    sources: dict[Family, EvidenceSource] | None = None,
    *,
    family: Family = Family.REPORTED,
    interval_s: float = 1.0,
    clock: Clock | None = None,
    watching: Watching | None = None,
    checks: dict[Family, CheckSource] | None = None,
    scrape_s: float | None = None,
) -> AsyncIterator[RampWorld]:
    """Give a world with one environment, in which this node leads. Without ``clock`` time is moved by hand."""
    best = Sources(family=family, interval_s=interval_s, scrape_s=scrape_s)
    world = RampWorld(database, sources, best, clock, watching, checks)
    await world.outcomes.start()
    try:
        await world.lay_out()
        yield world
    finally:
        await world.outcomes.stop()
