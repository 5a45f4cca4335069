"""What people do with ramps and kills."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from rheostat.clock import Clock
from rheostat_server.errors import Fault, Invalid, NotFound
from rheostat_server.outcomes.cover import COVER_MS
from rheostat_server.ports.evidence import CheckSource
from rheostat_server.ports.metrics import Metrics
from rheostat_server.ports.ramps import RampRow
from rheostat_server.ports.storage import EnvironmentRow, Storage, Transaction
from rheostat_server.ramps.controller import labels_of
from rheostat_server.ramps.dead_man import Attendance
from rheostat_server.ramps.foreign.translation import THRESHOLD
from rheostat_server.ramps.gathering import looked_at
from rheostat_server.ramps.kill_service import KillService
from rheostat_server.ramps.kill_wire import kill_view
from rheostat_server.ramps.kills import KillOrder, kill_flag, revive_flag
from rheostat_server.ramps.model import Action, Family, Status
from rheostat_server.ramps.plan_threshold import counted_of
from rheostat_server.ramps.preparing import changes_of, given_document
from rheostat_server.ramps.records import KINDS, acted
from rheostat_server.ramps.standing_threshold import check_trials
from rheostat_server.ramps.starter import Once, RampStarter, Started
from rheostat_server.ramps.starting import Sources
from rheostat_server.ramps.transition import act
from rheostat_server.ramps.validate import validate_ramp
from rheostat_server.ramps.waiting import against_calendar
from rheostat_server.ramps.watching import Watching
from rheostat_server.ramps.wire import (
    DecisionList,
    KillAnswer,
    RampList,
    RampView,
    TranslationView,
    TrialList,
    decision_view,
    ramp_view,
    reporting_view,
    trial_view,
)
from rheostat_server.ramps.writing import Announce, Served, audit_entry, following, write_next
from rheostat_server.web.times import read_since

MOST_DECISIONS = 1_000
MOST_RAMPS = 500


class RampService:
    """Starts ramps, shows them, and carries out what people ask of them. Each write is one transaction."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        metrics: Metrics,
        announce: Announce,
        *,
        sources: Sources,
        watching: Watching | None = None,
        kills: KillService | None = None,
        attendance: Callable[[str], Attendance | None] = lambda _: None,
        checks: Mapping[Family, CheckSource] | None = None,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._metrics = metrics
        self._announce = announce
        self.starter = RampStarter(storage, clock, metrics, announce, sources=sources, watching=watching or Watching())
        self._kills = kills or KillService(storage, clock)
        self._attendance = attendance
        self._checks = checks or {}

    async def start(self, project: str, environment: str, data: object, *, actor: str) -> RampView:
        """Start the ramp that a document describes, as ``start_once``."""
        return (await self.start_once(project, environment, data, actor=actor))[0]

    async def start_once(
        self, project: str, environment: str, data: object, *, actor: str, once: Once | None = None
    ) -> tuple[RampView, bool]:
        """Start the ramp that a document describes; its ``notes`` say what a person should know. Say whether it is new.

        ``once``: the ramp that was started from this document before, if there is one, is returned in place.

        One with a ``start_at`` to come is kept as a draft until then.

        Raises:
            Invalid: the document has faults, or its plan cannot work; all are listed.
            NotFound: there is no such environment or flag.
            Refused: the flag is disabled there.
            Conflict: the flag is killed there, another ramp of it is live, or one on the same salt and unit.
        """
        return await self._started(self.starter.start(project, environment, data, actor=actor, once=once))

    async def restart(
        self, project: str, environment: str, ramp_id: str, first: float | None, *, reason: str, actor: str
    ) -> RampView:
        """Start a ramp from the document of one that ended, at its first step or at the one with this exposure.

        Raises:
            Conflict, Refused, Invalid, NotFound: as ``RampStarter.restart``.
        """
        starting = self.starter.restart(project, environment, ramp_id, first, reason=reason, actor=actor)
        return (await self._started(starting))[0]

    async def start_due(self, draft: RampRow, token: int) -> None:
        """Start a draft whose time has come, in the name of who planned it; raises as ``RampStarter.start_draft``."""
        await self.starter.start_draft(draft, actor=draft.started_by, token=token)

    async def translate(self, project: str, environment: str, data: object) -> TranslationView:
        """Return what a document with somebody else's block comes to. Nothing is started.

        Raises:
            Invalid: the document has faults; all are listed.
            NotFound: there is no such environment.
        """
        given = given_document(data, environment)
        document = validate_ramp(given)
        async with self._storage.transaction() as tx:
            await tx.environments.get(project, environment)
        return TranslationView(document=document, changes=changes_of(given))

    async def try_guardrails(self, project: str, environment: str, data: object) -> TrialList:
        """Return what the queries of a ramp document's guardrails, or its checks, return now. Nothing is started.

        Raises:
            Invalid: the document has faults, or a guardrail names what there is not.
            NotFound: there is no such environment.
        """
        async with self._storage.transaction() as tx:
            there = await tx.environments.get(project, environment)
        prepared = await self.starter.prepare(there, data)
        if prepared.document.rule != THRESHOLD:
            return TrialList(tuple(map(trial_view, prepared.watched)))
        counted, _, faults = counted_of(prepared.document, project=project, metrics=Family.QUERIES in self._checks)
        if faults or counted is None:
            raise Invalid(faults, "the ramp")
        # What SDKs report belongs to a ramp, and none runs yet.
        asked = [check for check in counted.checks if check.query is not None]
        values = await looked_at(self._checks, "", asked, self._clock.wall_ms())
        return TrialList((), check_trials(counted, values))

    async def all(self, project: str, environment: str, *, flag: str | None = None, limit: int = 100) -> RampList:
        """Return an environment's ramps, newest first, or raise ``NotFound``."""
        async with self._storage.transaction() as tx:
            there = await tx.environments.get(project, environment)
            rows = await tx.ramps.in_environment(there.id, flag=flag, limit=min(limit, MOST_RAMPS))
        now_ms = self._clock.wall_ms()
        return RampList(tuple(self._attended(row, ramp_view(row, now_ms)) for row in rows))

    async def get(self, project: str, environment: str, ramp_id: str) -> RampView:
        """Return a ramp, or raise ``NotFound``."""
        now_ms = self._clock.wall_ms()
        reporting = kill = None
        async with self._storage.transaction() as tx:
            row = await self._of(tx, project, environment, ramp_id)
            if row.live:
                services = await tx.outcomes.cover(row.environment_id, row.flag, now_ms - COVER_MS)
                reporting = reporting_view(services, await tx.outcomes.vanished(row.id))
            elif row.state.status is Status.KILLED:
                kill = await self._kills.of_ramp(tx, row)
        view = self._attended(row, ramp_view(row, now_ms))
        return msgspec.structs.replace(view, reporting=reporting, kill=kill)

    async def decisions(
        self,
        project: str,
        environment: str,
        ramp_id: str,
        *,
        after: int = 0,
        limit: int = 200,
        last: int | None = None,
        kinds: Sequence[str] = (),
        since: str | None = None,
    ) -> DecisionList:
        """Return decisions in order: those after a number, or the ``last`` few; of these kinds, made since then.

        Raises:
            NotFound: there is no such ramp.
            Invalid: there is no such kind, or ``since`` is neither a length of time nor an RFC 3339 time.
        """
        if unknown := sorted(set(kinds) - KINDS):
            fault = Fault("kind", f"{', '.join(map(repr, unknown))}: there are {', '.join(sorted(KINDS))}")
            raise Invalid([fault], "the request")
        since_ms = None if since is None else read_since(since, self._clock.wall_ms(), "since")
        limit = min(limit, MOST_DECISIONS)
        async with self._storage.transaction() as tx:
            await self._of(tx, project, environment, ramp_id)
            if last is not None:
                last = min(last, MOST_DECISIONS)
                rows = await tx.ramps.last_decisions(ramp_id, last, kinds=kinds, since_ms=since_ms)
                return DecisionList(tuple(map(decision_view, rows)))
            rows = await tx.ramps.decisions(ramp_id, after=after, limit=limit + 1, kinds=kinds, since_ms=since_ms)
        more = rows[limit - 1].seq if len(rows) > limit else None
        return DecisionList(tuple(map(decision_view, rows[:limit])), more)

    async def act(
        self, project: str, environment: str, ramp_id: str, action: Action, *, reason: str, actor: str
    ) -> RampView:
        """Do what a person asks of a ramp: pause, resume, approve, advance or abort.

        An abort brings back the exposure that was in force when the ramp started. A draft that is advanced starts now.
        A person's word goes before windows and freezes, which the audit tells.

        Raises:
            NotFound: there is no such ramp.
            Conflict: the action is not allowed where the ramp stands.
        """
        at_ms = self._clock.wall_ms()
        async with self._storage.transaction() as tx:
            found = await self._of(tx, project, environment, ramp_id)
        if found.state.status is Status.DRAFT and action is Action.ADVANCE:
            begun = await self.starter.start_draft(found, actor=actor, reason=reason)
            return ramp_view(begun.row, at_ms, begun.notes)

        async def write(tx: Transaction) -> tuple[RampRow, bool, tuple[str, ...]]:
            row = await tx.ramps.lock(ramp_id)
            after = following(row, act(row.plan, row.state, action, at_ms, reason), at_ms)
            served = Served()
            decision = acted(after.version, after.state, action, actor=actor, reason=reason, at_ms=at_ms)
            await write_next(tx, row, after, decision, served)
            await served.publish(tx, row.environment_id)
            notes = against_calendar(row.plan, row.state, after.state, at_ms)
            summary = "; ".join((f"{row.flag}: {after.state.why}", *notes))
            await tx.audit.add(
                audit_entry(after, f"ramp.{action}", summary, actor=actor, at_ms=at_ms, detail={"reason": reason})
            )
            return after, bool(served), notes

        row, changed, notes = await self._storage.run(write)
        if changed:
            if row.live:
                self._metrics.touch(labels_of(row))
            self._announce([row.environment_id])
        return ramp_view(row, at_ms, notes)

    async def kill(self, project: str, environment: str, order: KillOrder) -> KillAnswer:
        """Take a flag, or its ramping rollout, back; latched until it is revived. Twice is once.

        Raises:
            NotFound: there is no such environment or flag.
            Refused: there is nothing to fall back to; the message says what would do.
        """
        return await self._standing(
            project, environment, order.flag, lambda tx, there, at_ms: kill_flag(tx, there, order, at_ms)
        )

    async def revive(self, project: str, environment: str, flag: str, *, reason: str, actor: str) -> KillAnswer:
        """Lift the kills of a flag. What was in force when the killed ramp started serves again.

        Raises:
            NotFound: there is no such environment or flag.
            Conflict: it is not killed.
        """
        return await self._standing(
            project,
            environment,
            flag,
            lambda tx, there, at_ms: revive_flag(tx, there, flag, reason=reason, actor=actor, at_ms=at_ms),
        )

    async def _started(self, starting: Awaitable[Started]) -> tuple[RampView, bool]:
        started = await starting
        return ramp_view(started.row, self._clock.wall_ms(), started.notes), started.new

    async def _standing(
        self,
        project: str,
        environment: str,
        flag: str,
        work: Callable[[Transaction, EnvironmentRow, int], Awaitable[tuple[str, ...]]],
    ) -> KillAnswer:
        at_ms = self._clock.wall_ms()

        async def write(tx: Transaction) -> tuple[int, KillAnswer]:
            there = await tx.environments.get(project, environment)
            notes = await work(tx, there, at_ms)
            rows = await tx.kills.in_force(there.id, flag)
            return there.id, KillAnswer(kills=tuple(map(kill_view, rows)), notes=notes)

        environment_id, answer = await self._storage.run(write)
        self._announce([environment_id])
        return answer

    def _attended(self, row: RampRow, view: RampView) -> RampView:
        if not row.live or (seen := self._attendance(row.id)) is None:
            return view
        return msgspec.structs.replace(view, attended=seen.attended, silent_s=round(seen.silent_s, 1))

    @staticmethod
    async def _of(tx: Transaction, project: str, environment: str, ramp_id: str) -> RampRow:
        there = await tx.environments.get(project, environment)
        row = await tx.ramps.get(ramp_id)
        if row.environment_id != there.id:
            raise NotFound(f"there is no ramp {ramp_id!r} in {environment!r}")
        return row
