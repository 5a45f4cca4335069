"""Move ramps: fetch evidence, ask the rule, carry out the answer."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog

from rheostat.clock import Clock
from rheostat.model.kill import KillScope
from rheostat.model.shares import ppm_to_percent
from rheostat_server.errors import RheostatServerError, Unavailable, VersionConflict
from rheostat_server.outcomes.pruning import forget_evaluations, forget_readback, forget_units
from rheostat_server.ports.evidence import CheckSource, CrowdSource, EvidenceSource
from rheostat_server.ports.metrics import Metrics, RampLabels
from rheostat_server.ports.ramps import RampRow
from rheostat_server.ports.storage import Storage, Transaction
from rheostat_server.ramps.decide import decide
from rheostat_server.ramps.evidence import Evidence
from rheostat_server.ramps.gathering import Gathering
from rheostat_server.ramps.kills import Decided, KillOrder, kill_flag
from rheostat_server.ramps.lease import Lease, LeaseLostError
from rheostat_server.ramps.model import Family, GuardrailState
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.records import decided, worth_keeping
from rheostat_server.ramps.transition import transition
from rheostat_server.ramps.verdicts import Decision, KillRamp
from rheostat_server.ramps.writing import (
    Announce,
    Served,
    audit_entry,
    epoch_mark,
    following,
    write_next,
)

ACTOR = "controller"
AT_ONCE = 4
"""Ramps that use the database at the same time: each needs a connection. Sources are waited for without one."""
PRUNE_SECONDS = 60.0

log = structlog.get_logger()


class RampController:
    """Carries out the rule's decisions on every live ramp while this node holds the lease. A component."""

    def __init__(
        self,
        storage: Storage,
        sources: Mapping[Family, EvidenceSource],
        clock: Clock,
        metrics: Metrics,
        announce: Announce,
        *,
        node: str,
        tick_seconds: float = 1.0,
        crowd: CrowdSource,
        checks: Mapping[Family, CheckSource] | None = None,
    ) -> None:
        self._storage = storage
        self._sources = sources
        self._clock = clock
        self._metrics = metrics
        self._announce = announce
        self._tick_seconds = tick_seconds
        self.lease = Lease(storage, clock, node)
        self._due: dict[str, float] = {}
        self._moving: dict[str, asyncio.Task[None]] = {}
        self._looked_at: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._places = asyncio.Semaphore(AT_ONCE)
        self._checks = checks or {}
        self._gathering = Gathering(storage, sources, clock, crowd, self._places, checks=self._checks)

    async def start(self) -> None:
        """Begin to contend for the lease, and to move ramps while holding it."""
        self._tasks = [
            asyncio.create_task(self._keep_lease(), name="ramp-lease"),
            asyncio.create_task(self._keep_ticking(), name="ramp-controller"),
            asyncio.create_task(self._keep_pruning(), name="ramp-pruning"),
        ]

    async def stop(self) -> None:
        """Stop, and leave the lease to another node."""
        for tasks in (self._tasks, list(self._moving.values())):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = []
        with suppress(Unavailable):
            await self.lease.give_up()
        for source in set(self._sources.values()):
            await source.close()

    async def tick(self) -> Sequence[asyncio.Task[None]]:
        """Begin to observe, and perhaps move, each live ramp whose interval has passed; return the tasks that do so.

        A ramp that is still being moved is left to that: a source that hangs slows no ramp but its own. Nothing
        while another node leads.

        Raises:
            StorageUnavailable: the live ramps cannot be read; all stand still.
        """
        token = self.lease.token
        if token is None:
            self._metrics.forget_ramps(())
            return []
        looked_at, self._looked_at = self._looked_at, set()
        async with self._storage.transaction() as tx:
            # By the dead man a ramp is attended only where the node that looks at it still leads.
            held = not looked_at or await tx.lease.hold(token)
            if held:
                await tx.beats.beat(looked_at)
            rows = await tx.ramps.live()
        if not held:
            self.lease.lost()
            return []
        live = {row.id for row in rows}
        self._metrics.forget_ramps(live)
        self._gathering.keep(live)
        self._due = {ramp_id: due for ramp_id, due in self._due.items() if ramp_id in live}
        now = self._clock.monotonic()
        # Half a tick early rather than a whole one late.
        begun = []
        for row in rows:
            if row.id in self._moving or now + self._tick_seconds / 2 < self._due.get(row.id, now):
                continue
            self._due[row.id] = now + row.plan.interval_s
            task = asyncio.create_task(self._move(row, token), name=row.id)
            self._moving[row.id] = task
            task.add_done_callback(self._moved)
            begun.append(task)
        return begun

    def _moved(self, task: asyncio.Task[None]) -> None:
        self._moving.pop(task.get_name(), None)

    async def _move(self, row: RampRow, token: int) -> None:
        """Move one ramp. Whatever goes wrong with it stops no other."""
        try:
            self._touch(row)
            evidence = await self._gathering.evidence(row)
            await self._carry_out(row, evidence, token)
            self._looked_at.add(row.id)
        except VersionConflict:
            # A person was faster. The next tick sees what they did, and reads the same evidence again.
            log.info("ramp_moved_by_another", ramp=row.id)
        except LeaseLostError:
            # A ramp that hung since an earlier lease says nothing of the present one.
            if self.lease.token == token:
                self.lease.lost()
        except RheostatServerError as error:
            log.warning("ramp_not_moved", ramp=row.id, flag=row.flag, error=str(error))
        except Exception:
            # One ramp's defect must not blind the others.
            log.exception("ramp_not_moved", ramp=row.id, flag=row.flag)

    async def _carry_out(self, row: RampRow, evidence: Evidence, token: int) -> None:
        observed = observe(row.plan, row.state, evidence)
        sights = {name: seen.sight.value for name, seen in observed.guardrails.items()}
        self._metrics.sights(row.plan.project, row.plan.environment, row.flag, row.id, sights)
        decision = decide(row.plan, observed, evidence.at_ms)
        after = following(row, transition(row.plan, observed, decision, evidence.at_ms), evidence.at_ms)
        if not worth_keeping(row.state, after.state, evidence.at_ms):
            return

        async def write(tx: Transaction) -> bool:
            if not await tx.lease.hold(token):
                raise LeaseLostError
            record = decided(after.version, after.state, evidence, decision)
            if isinstance(decision, KillRamp):
                there = await tx.environments.get(row.plan.project, row.plan.environment)
                own = Decided(before=row, after=after, decision=record, observed=observed)
                await kill_flag(tx, there, _order(row, decision), evidence.at_ms, decided=own)
                return True
            served = Served()
            await write_next(tx, row, after, record, served, observed=observed)
            await served.publish(tx, row.environment_id)
            if (action := _action(row, after, decision)) is not None:
                summary = _summary(after)
                await tx.audit.add(audit_entry(after, action, summary, actor=ACTOR, at_ms=evidence.at_ms))
            return bool(served)

        async with self._places:
            changed = await self._storage.run(write)
        if changed:
            self._announce([row.environment_id])
            self._touch(after)
        if after.state.status is not row.state.status or after.state.epoch != row.state.epoch:
            log.info(
                "ramp_moved",
                ramp=row.id,
                flag=row.flag,
                status=after.state.status.value,
                exposure_ppm=after.state.exposure_ppm,
                why=after.state.why,
            )

    def _touch(self, row: RampRow) -> None:
        if row.live:
            self._metrics.touch(labels_of(row))

    async def prune(self) -> None:
        """Clear away what no ramp will ask for again. Nothing while another node leads.

        What is cleared is behind the saved cursors, and stays so whoever leads: only the cursors are read under the
        lease.

        Raises:
            StorageUnavailable: the rest waits for the next time.
        """
        token = self.lease.token
        if token is None:
            return
        async with self._storage.transaction() as tx:
            held = await tx.lease.hold(token)
            rows = await tx.ramps.live() if held else []
            if held:
                await tx.beats.forget()
        if not held:
            self.lease.lost()
            return
        for row in rows:
            if row.plan.threshold is not None:
                for checked in self._checks.values():
                    await checked.forget(row.id, row.plan.threshold.checks, self._clock.wall_ms())
                continue
            for family, source in self._sources.items():
                readers = [guardrail.name for guardrail in row.plan.guardrails if guardrail.family is family]
                cursors = [row.state.guardrails.get(name, GuardrailState()).cursor for name in readers]
                if family is Family.REPORTED and row.plan.guardrails:
                    # The crowd reads the same reports.
                    cursors.append(row.state.crowd_cursor)
                await source.forget(row.id, cursors)
        now_ms = self._clock.wall_ms()
        await forget_units(self._storage, now_ms)
        await forget_evaluations(self._storage, now_ms)
        await forget_readback(self._storage, now_ms)

    async def _keep_pruning(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            try:
                await self.prune()
            except Unavailable as error:
                log.warning("prune_failed", error=str(error))
            except Exception:
                # What is left does no harm until the next time.
                log.exception("prune_failed")

    async def _keep_lease(self) -> None:
        while True:
            try:
                await self.lease.step()
            except Unavailable as error:
                log.warning("lease_unreachable", error=str(error))
            except Exception:
                # Or the node would never lead again.
                log.exception("lease_failed")
            await asyncio.sleep(self.lease.pause_seconds)

    async def _keep_ticking(self) -> None:
        while True:
            began = self._clock.monotonic()
            try:
                await self.tick()
            except Unavailable as error:
                log.warning("ramps_stand_still", error=str(error))
            except Exception:
                # Or no ramp would ever move again.
                log.exception("tick_failed")
            await asyncio.sleep(max(0.01, self._tick_seconds - (self._clock.monotonic() - began)))


def labels_of(row: RampRow) -> RampLabels:
    """Return the labels of the ramp's metrics at the exposure at which its arms are drawn now."""
    return RampLabels(
        project=row.plan.project,
        environment=row.plan.environment,
        flag=row.flag,
        ramp=row.id,
        exposure_ppm=epoch_mark(row, 0).exposure_ppm,
    )


def _order(row: RampRow, decision: KillRamp) -> KillOrder:
    scope = KillScope(row.plan.kill_scope)
    return KillOrder(
        flag=row.flag,
        reason=decision.why,
        actor=ACTOR,
        source=ACTOR,
        scope=scope,
        rollout=row.rollout if scope is KillScope.ROLLOUT else None,
        # What the kill serves was settled at the start; the guard is not to fail for it now.
        to_code_default=True,
    )


def _action(before: RampRow, after: RampRow, decision: Decision) -> str | None:
    """Return the audit's word for what changed; ``None`` where nothing did that a person would look for."""
    if after.state.epoch != before.state.epoch:
        return f"ramp.{type(decision).__struct_config__.tag}"
    if after.state.status is not before.state.status:
        return f"ramp.{after.state.status.value}"
    return None


def _summary(row: RampRow) -> str:
    at = f"{ppm_to_percent(row.state.exposure_ppm):g} %"
    return f"{row.flag} is {row.state.status.value} at {at}: {row.state.why}"
