"""The composition: settings become adapters, services, routes, and a running server."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Protocol

import structlog
import uvloop
from litestar import Litestar

from rheostat.clock import Clock, SystemClock
from rheostat_server.access.keyring import KeyRing
from rheostat_server.access.routes import access_routes
from rheostat_server.access.seed import Seeded, reset_admin, seed
from rheostat_server.access.service import AccessService
from rheostat_server.adapters.evidence.prometheus.access import Access
from rheostat_server.adapters.evidence.prometheus.client import PrometheusClient
from rheostat_server.adapters.evidence.prometheus.scout import PrometheusScout
from rheostat_server.adapters.evidence.prometheus.source import PrometheusEvidence
from rheostat_server.adapters.evidence.reported import ReportedEvidence
from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.adapters.propagation.postgres import PostgresPropagation
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.storage import PostgresStorage
from rheostat_server.audit.routes import audit_routes
from rheostat_server.audit.service import AuditService
from rheostat_server.database import OpenDatabase, open_beside
from rheostat_server.evaluation.counter import EvaluationCounter
from rheostat_server.evaluation.explain import ExplainService
from rheostat_server.evaluation.explain_routes import explain_routes
from rheostat_server.evaluation.ofrep import Ofrep
from rheostat_server.evaluation.routes import ofrep_routes
from rheostat_server.evaluation.sample import ContextSample
from rheostat_server.flags.apply import ApplyService
from rheostat_server.flags.routes import flag_routes
from rheostat_server.flags.seen import NOTHING_SEEN, SeenContexts
from rheostat_server.flags.service import FlagService
from rheostat_server.flags.usage import UsageService
from rheostat_server.flags.usage_routes import usage_routes
from rheostat_server.http_server import HttpServer
from rheostat_server.label_map_file import read_label_map
from rheostat_server.listening import listen, url_of
from rheostat_server.logs import set_up_logs
from rheostat_server.outcomes.routes import outcome_routes
from rheostat_server.outcomes.service import OutcomeService
from rheostat_server.ports.evidence import EvidenceSource
from rheostat_server.ports.propagation import Propagation
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.previews.routes import preview_routes
from rheostat_server.previews.service import PreviewService
from rheostat_server.projects.environments import EnvironmentService
from rheostat_server.projects.routes import project_routes
from rheostat_server.projects.service import ProjectService
from rheostat_server.ramps.controller import RampController
from rheostat_server.ramps.label_map import PRESETS, MetricMap
from rheostat_server.ramps.model import Family
from rheostat_server.ramps.overlay_rules import OverlayRules
from rheostat_server.ramps.routes import ramp_routes
from rheostat_server.ramps.service import RampService
from rheostat_server.ramps.starting import Sources
from rheostat_server.ramps.watching import Watching
from rheostat_server.scheduled.routes import scheduled_routes
from rheostat_server.scheduled.runner import ScheduleRunner
from rheostat_server.scheduled.service import ScheduleService
from rheostat_server.server_file import ServerFile, remove_server_file, write_server_file
from rheostat_server.settings import Settings
from rheostat_server.shared.routes import shared_routes
from rheostat_server.shared.service import SharedService
from rheostat_server.streaming.hub import Hub
from rheostat_server.streaming.routes import feed_routes
from rheostat_server.web.app import create_app
from rheostat_server.web.health import Part, health_routes
from rheostat_server.welcome import welcome

log = structlog.get_logger("rheostat")

LAST_SECONDS = 4.5
"""After so long a stop is cut short: nothing that was acknowledged is in memory only."""
STOP_SECONDS = 1.0
"""How long each component may take to stop."""
ARRIVE_SECONDS = 0.5
REPORT_SECONDS = 1.0
"""How often SDKs report a ramping flag: what the reported evidence moves by."""


class Component(Protocol):
    """A part of the node that works by itself."""

    async def start(self) -> None:
        """Begin."""
        ...

    async def stop(self) -> None:
        """End, with nothing lost that was acknowledged."""
        ...


class Node:
    """All parts of one server over one database, and the application that they make."""

    def __init__(self, settings: Settings, database: Database, clock: Clock) -> None:
        storage: Storage = PostgresStorage(database)
        version = version_of("rheostat-server")
        name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        metrics = PrometheusMetrics(clock, version=version)
        propagation = _propagation(settings, database)
        self.storage = storage
        self.keyring = KeyRing(storage, clock, poll_seconds=settings.poll_seconds)
        # An empty hint: access changed, or nobody knows what did.
        propagation.listen(lambda changed: None if changed else self.keyring.nudge())
        self.hub = Hub(storage, propagation, metrics, clock, node=name, poll_seconds=settings.poll_seconds)
        announce = self.hub.nudge
        outcomes = OutcomeService(storage, metrics, clock)
        counter = EvaluationCounter(storage, clock)
        prometheus = prometheus_client(settings)
        replicas = frozenset(map(str.strip, settings.prometheus_replica_labels.split(",")))
        sources = evidence_sources(storage, prometheus, replicas)
        self.controller = RampController(
            storage,
            sources,
            clock,
            metrics,
            announce,
            node=name,
            tick_seconds=settings.tick_seconds,
            crowd=ReportedEvidence(storage),
        )
        watcher = OverlayRules()
        self.schedule = ScheduleRunner(
            storage, clock, watcher, announce, self.controller.lease, tick_seconds=settings.tick_seconds
        )
        scout = None if prometheus is None else PrometheusScout(prometheus, replica_labels=replicas)
        watching = Watching(scout, label_map(settings))
        ramps = RampService(storage, clock, metrics, announce, sources=best_source(settings), watching=watching)
        flags = FlagService(storage, clock, watcher, announce, arrive=self.arrive)
        sample = ContextSample(settings.preview_sample, serves=self.hub.serves) if settings.preview_sample else None
        ofrep = Ofrep(self.hub, self.keyring, counter, clock, sample=sample)
        seen: SeenContexts = sample or NOTHING_SEEN
        self.components: Sequence[Component] = (
            propagation,
            self.keyring,
            self.hub,
            outcomes,
            counter,
            self.controller,
            self.schedule,
        )
        self.app: Litestar = create_app(
            admin=[
                project_routes(
                    ProjectService(storage, self.keyring, clock, announce),
                    EnvironmentService(storage, self.keyring, clock, announce, arrive=self.arrive),
                ),
                access_routes(AccessService(storage, self.keyring, clock), clock),
                flag_routes(flags, ApplyService(storage, clock, watcher, announce, arrive=self.arrive, seen=seen)),
                scheduled_routes(ScheduleService(storage, clock, watcher, seen)),
                preview_routes(PreviewService(storage, clock, watcher, seen)),
                shared_routes(SharedService("segment", storage, clock, watcher, announce, arrive=self.arrive)),
                shared_routes(SharedService("layer", storage, clock, watcher, announce, arrive=self.arrive)),
                usage_routes(UsageService(storage, clock)),
                explain_routes(ExplainService(self.hub, clock)),
                ramp_routes(ramps),
                audit_routes(AuditService(storage, clock)),
            ],
            others=[
                *ofrep_routes(ofrep, self.keyring, metrics, settings.cors_origins),
                *feed_routes(self.hub, self.keyring, metrics),
                *outcome_routes(outcomes, self.keyring, metrics),
                *health_routes(self.parts, metrics),
            ],
            keyring=self.keyring,
            version=version,
        )

    async def arrive(self, revisions: Mapping[int, int]) -> None:
        """Wait, 0.5 s at most, until this node serves these: who writes here then reads here what they wrote."""
        async with asyncio.TaskGroup() as waiting:
            for environment_id, revision in revisions.items():
                waiting.create_task(self.hub.wait_for(environment_id, revision, ARRIVE_SECONDS))

    def parts(self) -> dict[str, Part]:
        """Return how the parts stand, for ``/readyz``."""
        feeds = self.hub.feeds()
        age_ms = max((feed.age_ms() for feed in feeds), default=0)
        leads = self.controller.lease.token is not None
        return {
            "snapshots": Part(
                ready=self.hub.ready and not self.hub.closing,
                detail=f"{len(feeds)} environments" if self.hub.ready else "not read yet",
                age_ms=age_ms,
            ),
            "ramps": Part(ready=True, detail="this node moves them" if leads else "another node moves them, or none"),
        }

    async def start(self) -> None:
        """Start every component, in order."""
        for component in self.components:
            await component.start()

    async def stop(self) -> None:
        """Stop every component, the last first; one that is slow or fails keeps no other from it."""
        for component in reversed(self.components):
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await component.stop()
            except Exception as error:  # noqa: BLE001 - the others are to be stopped all the same
                log.warning("not_stopped_in_order", component=type(component).__name__, why=repr(error))


def _propagation(settings: Settings, database: Database) -> Propagation:
    if settings.redis_url is None:
        return PostgresPropagation(database.connect)
    # Its library takes longest of all to load, and few need it.
    from rheostat_server.adapters.propagation.redis import RedisPropagation

    return RedisPropagation(settings.redis_url)


def prometheus_client(settings: Settings) -> PrometheusClient | None:
    """Return the one client of the Prometheus that the settings name."""
    if settings.prometheus_url is None:
        return None
    return PrometheusClient(
        Access(
            url=settings.prometheus_url,
            username=settings.prometheus_username,
            password=settings.prometheus_password,
            password_file=settings.prometheus_password_file,
            token=settings.prometheus_token,
            token_file=settings.prometheus_token_file,
            ca_file=settings.prometheus_ca_file,
            cert_file=settings.prometheus_cert_file,
            key_file=settings.prometheus_key_file,
            tenant=settings.prometheus_tenant,
            timeout_s=settings.prometheus_timeout,
        )
    )


def label_map(settings: Settings) -> Mapping[str, MetricMap]:
    """Return the names of other people's metrics: the presets, and those of the settings' file.

    Raises:
        StartupRefused: the file cannot be read or has faults.
    """
    return PRESETS if settings.label_map is None else read_label_map(settings.label_map)


def evidence_sources(
    storage: Storage, prometheus: PrometheusClient | None, replica_labels: frozenset[str]
) -> dict[Family, EvidenceSource]:
    """Return what ramps read, by metric family. ``replica_labels`` say who scraped a series."""
    sources: dict[Family, EvidenceSource] = {Family.REPORTED: ReportedEvidence(storage)}
    if prometheus is not None:
        evidence = PrometheusEvidence(prometheus, replica_labels=replica_labels)
        sources |= dict.fromkeys((Family.REPORTED_METRICS, Family.APPLICATION, Family.QUERIES), evidence)
    return sources


def best_source(settings: Settings) -> Sources:
    """Return what a new ramp reads where its document does not say: what SDKs report, which no scrape delays."""
    scrape_s = None if settings.prometheus_url is None else settings.prometheus_interval
    return Sources(family=Family.REPORTED, interval_s=REPORT_SECONDS, scrape_s=scrape_s)


def run(settings: Settings, *, say: Callable[[str], None]) -> None:
    """Run a server until it is told to stop (SIGINT, SIGTERM); a second signal ends it at once.

    ``say`` prints for people.

    Raises:
        StartupRefused: it cannot start; the message is one line and nothing was changed.
    """
    set_up_logs(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, say))


async def reset_admin_token(settings: Settings) -> str:
    """Make a new admin token, revoke the former, and return the new one's secret.

    Raises:
        StartupRefused, StorageUnavailable: the database cannot be opened.
    """
    set_up_logs("warning")
    clock = SystemClock(settings.clock_offset_file)
    pool, exits = await open_beside(settings, clock)
    async with exits:

        async def work(tx: Transaction) -> str:
            return await reset_admin(tx, now_ms=clock.wall_ms())

        return await PostgresStorage(pool).run(work)


async def _serve(settings: Settings, say: Callable[[str], None]) -> None:
    stopping = _Stopping()
    clock = SystemClock(settings.clock_offset_file)
    async with AsyncExitStack() as exits:
        exits.callback(stopping.forget)
        sock = exits.enter_context(listen(settings.host, settings.port))
        url = url_of(sock)
        try:
            database = await OpenDatabase.open(settings, clock)
            exits.push_async_callback(database.close)
            node = Node(settings, database.pool, clock)
            seeded = await _seed(node.storage, settings, clock)
            exits.push_async_callback(node.stop)
            await node.start()
        except asyncio.CancelledError:
            if not stopping.asked:
                raise
            # Told to stop before it was up: what was begun is undone on the way out.
            return
        server = HttpServer(node.app)
        write_server_file(settings.data_path, ServerFile(url, os.getpid()))
        exits.callback(remove_server_file, settings.data_path)
        say(welcome(url=url, where=database.where, seeded=seeded, command=_command()))
        stopping.then(node.hub.close_streams, server.finish)
        await server.run_on(sock)
        say("Stopping …")


async def _seed(storage: Storage, settings: Settings, clock: Clock) -> Seeded:
    async def work(tx: Transaction) -> Seeded:
        return await seed(tx, now_ms=clock.wall_ms(), admin_token=settings.admin_token, sdk_key=settings.sdk_key)

    return await storage.run(work)


class _Stopping:
    """What the first signal does: cancel the start, or what ``then`` says. The second ends the process."""

    def __init__(self) -> None:
        self.asked = False
        self._steps: tuple[Callable[[], Any], ...] = ()
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._on_signal)

    def then(self, *steps: Callable[[], Any]) -> None:
        """Do these at the first signal, from now on."""
        self._steps = steps
        if self.asked:
            self._do()

    def forget(self) -> None:
        """Leave signals to the system again."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        if self.asked:
            # Our own PostgreSQL sees that we are gone and ends by itself.
            os._exit(130)
        self.asked = True
        self._loop.call_later(LAST_SECONDS, self._cut_short)
        self._do()

    @staticmethod
    def _cut_short() -> None:
        log.warning("stop_cut_short", after_seconds=LAST_SECONDS)
        os._exit(1)

    def _do(self) -> None:
        if self._steps:
            for step in self._steps:
                step()
        elif self._main is not None:
            self._main.cancel()


def _command() -> str:
    """Return how people here call ``rheostat``: by its path, where the shell would not find it."""
    beside = Path(sys.executable).with_name("rheostat")
    on_path = {Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part}
    if beside.parent in on_path or not beside.exists():
        return "rheostat"
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)
