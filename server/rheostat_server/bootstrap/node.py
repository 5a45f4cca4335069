"""One server over one database: every part of it, and the application that they make."""

import asyncio
import secrets
import socket
from collections.abc import Mapping, Sequence
from importlib.metadata import version as version_of
from typing import Protocol

import structlog
from litestar import Litestar

from rheostat.clock import Clock
from rheostat_server.access.keyring import KeyRing
from rheostat_server.access.routes import access_routes
from rheostat_server.access.service import AccessService
from rheostat_server.adapters.evidence.prometheus.scout import PrometheusScout
from rheostat_server.adapters.evidence.reported import ReportedEvidence
from rheostat_server.adapters.metrics.prometheus import PrometheusMetrics
from rheostat_server.adapters.metrics.watches import PrometheusWatches
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.storage import PostgresStorage
from rheostat_server.audit.routes import audit_routes
from rheostat_server.audit.service import AuditService
from rheostat_server.bootstrap.evidence import (
    best_source,
    check_sources,
    evidence_sources,
    label_map,
    prometheus_client,
    propagation_of,
)
from rheostat_server.bootstrap.notifications import sending_of
from rheostat_server.evaluation.counter import EvaluationCounter
from rheostat_server.evaluation.explain import ExplainService
from rheostat_server.evaluation.explain_routes import explain_routes
from rheostat_server.evaluation.ofrep import Ofrep
from rheostat_server.evaluation.routes import ofrep_routes
from rheostat_server.evaluation.sample import ContextSample
from rheostat_server.flags.adopting import AdoptService
from rheostat_server.flags.adopting_routes import adopt_routes
from rheostat_server.flags.applied_ramps import AppliedRamps
from rheostat_server.flags.apply import ApplyService
from rheostat_server.flags.routes import flag_routes
from rheostat_server.flags.seen import NOTHING_SEEN, SeenContexts
from rheostat_server.flags.service import FlagService
from rheostat_server.flags.usage import UsageService
from rheostat_server.flags.usage_routes import usage_routes
from rheostat_server.hooks.routes import alertmanager_routes, hook_secret_routes
from rheostat_server.hooks.secrets import HookSecrets
from rheostat_server.hooks.service import HookService
from rheostat_server.notifications.alarms import OutboxAlarm
from rheostat_server.notifications.routes import notification_routes
from rheostat_server.notifications.sender import NotificationSender
from rheostat_server.notifications.service import NotificationService
from rheostat_server.outcomes.routes import outcome_routes
from rheostat_server.outcomes.service import OutcomeService
from rheostat_server.ports.alarms import Alarm
from rheostat_server.ports.storage import Storage
from rheostat_server.previews.routes import preview_routes
from rheostat_server.previews.service import PreviewService
from rheostat_server.projects.environments import EnvironmentService
from rheostat_server.projects.routes import project_routes
from rheostat_server.projects.service import ProjectService
from rheostat_server.ramps.controller import RampController
from rheostat_server.ramps.dead_man import DeadMan
from rheostat_server.ramps.draft_runner import DraftRunner
from rheostat_server.ramps.kill_routes import kill_routes
from rheostat_server.ramps.kill_service import KillService
from rheostat_server.ramps.kill_watch import KillWatch
from rheostat_server.ramps.overlay_rules import OverlayRules
from rheostat_server.ramps.routes import ramp_routes
from rheostat_server.ramps.service import RampService
from rheostat_server.ramps.watching import Watching
from rheostat_server.scheduled.routes import scheduled_routes
from rheostat_server.scheduled.runner import ScheduleRunner
from rheostat_server.scheduled.service import ScheduleService
from rheostat_server.settings import Settings
from rheostat_server.shared.routes import shared_routes
from rheostat_server.shared.service import SharedService
from rheostat_server.streaming.hub import Hub
from rheostat_server.streaming.routes import feed_routes
from rheostat_server.web.app import create_app
from rheostat_server.web.health import Part, health_routes

log = structlog.get_logger("rheostat")

STOP_SECONDS = 1.0
"""How long each component may take to stop."""

ARRIVE_SECONDS = 0.5


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

    def __init__(self, settings: Settings, database: Database, clock: Clock, *, url: str | None = None) -> None:
        storage: Storage = PostgresStorage(database)
        version = version_of("rheostat-server")
        name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        metrics = PrometheusMetrics(clock, version=version)
        propagation = propagation_of(settings, database)
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
        checks = check_sources(storage, prometheus)
        self.controller = RampController(
            storage,
            sources,
            clock,
            metrics,
            announce,
            node=name,
            tick_seconds=settings.tick_seconds,
            crowd=ReportedEvidence(storage),
            checks=checks,
        )
        watcher = OverlayRules()
        self.schedule = ScheduleRunner(
            storage, clock, watcher, announce, self.controller.lease, tick_seconds=settings.tick_seconds
        )
        sending = sending_of(settings, url)
        self.notifications = NotificationSender(
            storage, clock, self.controller.lease, sending, metrics, tick_seconds=settings.tick_seconds
        )
        scout = None if prometheus is None else PrometheusScout(prometheus, replica_labels=replicas)
        watching = Watching(scout, label_map(settings))
        watches = PrometheusWatches(metrics.registry)
        alarm: Alarm = OutboxAlarm()
        bound_ms = round(settings.kill_confirm_seconds * 1000)
        self.dead_man = DeadMan(storage, clock, watches, alarm, tick_seconds=settings.tick_seconds)
        kill_watch = KillWatch(storage, clock, watches, alarm, bound_ms=bound_ms)
        kills = KillService(storage, clock, bound_ms=bound_ms)
        hook_secrets = HookSecrets(storage, clock)
        hooks = HookService(storage, clock, announce, watches)
        ramps = RampService(
            storage,
            clock,
            metrics,
            announce,
            sources=best_source(settings),
            watching=watching,
            kills=kills,
            attendance=self.dead_man.attendance,
            checks=checks,
        )
        self.drafts = DraftRunner(
            storage, clock, ramps.start_due, self.controller.lease, tick_seconds=settings.tick_seconds
        )
        flags = FlagService(storage, clock, watcher, announce, arrive=self.arrive)
        sample = ContextSample(settings.preview_sample, serves=self.hub.serves) if settings.preview_sample else None
        ofrep = Ofrep(self.hub, self.keyring, counter, clock, sample=sample)
        seen: SeenContexts = sample or NOTHING_SEEN
        applying = ApplyService(
            storage, clock, watcher, announce, arrive=self.arrive, seen=seen, ramps=AppliedRamps(ramps.starter)
        )
        self.components: Sequence[Component] = (
            propagation,
            self.keyring,
            self.hub,
            outcomes,
            counter,
            self.controller,
            self.schedule,
            self.drafts,
            self.notifications,
            self.dead_man,
            kill_watch,
        )
        self.app: Litestar = create_app(
            admin=[
                project_routes(
                    ProjectService(storage, self.keyring, clock, announce),
                    EnvironmentService(storage, self.keyring, clock, announce, arrive=self.arrive),
                ),
                access_routes(AccessService(storage, self.keyring, clock), clock),
                flag_routes(flags, applying),
                adopt_routes(AdoptService(storage, clock, watcher, announce, arrive=self.arrive)),
                scheduled_routes(ScheduleService(storage, clock, watcher, seen)),
                preview_routes(PreviewService(storage, clock, watcher, seen)),
                shared_routes(SharedService("segment", storage, clock, watcher, announce, arrive=self.arrive)),
                shared_routes(SharedService("layer", storage, clock, watcher, announce, arrive=self.arrive)),
                shared_routes(SharedService("template", storage, clock, watcher, announce, arrive=self.arrive)),
                usage_routes(UsageService(storage, clock)),
                explain_routes(ExplainService(self.hub, clock)),
                ramp_routes(ramps),
                notification_routes(NotificationService(storage, clock, sending)),
                kill_routes(kills),
                hook_secret_routes(hook_secrets, clock),
                audit_routes(AuditService(storage, clock)),
            ],
            others=[
                *ofrep_routes(ofrep, self.keyring, metrics, settings.cors_origins),
                *feed_routes(self.hub, self.keyring, metrics),
                *outcome_routes(outcomes, self.keyring, metrics),
                *alertmanager_routes(hook_secrets, hooks, metrics),
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
