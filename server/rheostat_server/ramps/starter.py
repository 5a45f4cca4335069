"""The starting of ramps: from a document, again from a ramp that ended, and from documents that are applied."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from rheostat.clock import Clock
from rheostat.model.document import TemplateDocument
from rheostat.model.shares import percent_to_ppm
from rheostat_server.errors import Conflict, Fault, Invalid, NotFound, Refused
from rheostat_server.faults import A_SHARE, share_fault
from rheostat_server.ports.metrics import Metrics
from rheostat_server.ports.ramps import RampRow
from rheostat_server.ports.storage import EnvironmentRow, Storage, Transaction
from rheostat_server.ramps.calendar_fields import start_ms_of
from rheostat_server.ramps.controller import labels_of
from rheostat_server.ramps.drafts import keep_draft, start_draft
from rheostat_server.ramps.foreign.translation import in_block
from rheostat_server.ramps.lease import LeaseLostError
from rheostat_server.ramps.model import Status
from rheostat_server.ramps.preparing import Prepared, Template, given_document, prepared, read_templates
from rheostat_server.ramps.starting import Sources, standing_in_the_way, start_ramp
from rheostat_server.ramps.watching import Watching, faults_of
from rheostat_server.ramps.words import exposure
from rheostat_server.ramps.writing import Announce

Once = Literal["ever", "live"]
"""Not to start a ramp where one of the same document was ever started, or is live."""


class Started(msgspec.Struct, frozen=True):
    """A ramp, and what a person should know of it; ``new`` where it was started now."""

    row: RampRow
    notes: tuple[str, ...]
    new: bool = True


class RampStarter:
    """Starts ramps. Each start is one transaction."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        metrics: Metrics,
        announce: Announce,
        *,
        sources: Sources,
        watching: Watching,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._metrics = metrics
        self._announce = announce
        self._sources = sources
        self._watching = watching

    async def start(
        self, project: str, environment: str, data: object, *, actor: str, once: Once | None = None
    ) -> Started:
        """Start the ramp that a document describes; with ``once`` return the one that was started from it before.

        Raises:
            Invalid: the document has faults, or its plan cannot work; all are listed.
            NotFound: there is no such environment or flag.
            Refused: the flag is disabled there.
            Conflict: the flag is killed there, or another ramp of the flag is live.
            EvidenceUnavailable: Prometheus did not answer what the plan needs.
        """
        given = given_document(data, environment)
        async with self._storage.transaction(snapshot=True) as tx:
            there = await tx.environments.get(project, environment)
            ramp = prepared(given, there, await read_templates(tx, there.project_id))
            found = await same_document(tx, there, ramp, once)
        if found is not None:
            return found
        return await self._start(await self._watched(ramp, project), there, actor=actor, once=once)

    async def restart(
        self, project: str, environment: str, ramp_id: str, first: float | None, *, reason: str, actor: str
    ) -> Started:
        """Start a ramp from the document of one that ended, at the step ``first`` (percent), or at its first.

        Raises:
            Conflict: the ramp has not ended, the flag is killed, or another ramp of the rollout is live.
            Refused: the ramp is from before documents were kept, or the flag is disabled.
            Invalid: the plan has no such step, or cannot work any more.
            NotFound: there is no such environment or ramp.
        """
        from_ppm = None if first is None else _ppm(first)
        async with self._storage.transaction(snapshot=True) as tx:
            there = await tx.environments.get(project, environment)
            ended = await tx.ramps.get(ramp_id)
            if ended.environment_id != there.id:
                raise NotFound(f"there is no ramp {ramp_id!r} in {environment!r}")
            if ended.live:
                raise Conflict(
                    f"ramp {ended.id} is {ended.state.status}: it goes on by itself. To begin anew, abort it first: "
                    f"rheostat ramp abort {ended.flag}"
                )
            if ended.state.status is Status.DRAFT:
                raise Conflict(f"ramp {ended.id} has not started yet: advance starts it now")
            was = ended.origin
            if was is None:
                raise Refused(f"ramp {ended.id} is from before documents were kept; start one from a document")
            if await tx.kills.in_force(there.id, ended.flag):
                raise Conflict(
                    f"{ended.flag} is killed in {environment}; revive it first: rheostat flag revive {ended.flag}"
                )
            ramp = prepared(was.document, there, await read_templates(tx, there.project_id))
        at = "" if from_ppm is None else f", beginning at {exposure(from_ppm)}"
        notes = [f"started again from ramp {ended.id}, which is {ended.state.status}{at}"]
        if was.template_version is not None and ramp.origin.template_version != was.template_version:
            notes.append(f"that one took version {was.template_version} of the template {was.template}")
        ramp = replace(
            ramp,
            origin=replace(ramp.origin, restart_of=ended.id, from_ppm=from_ppm),
            notes=(*notes, *ramp.notes),
            reason=reason,
        )
        return await self._start(await self._watched(ramp, project), there, actor=actor)

    async def start_draft(self, draft: RampRow, *, actor: str, reason: str = "", token: int | None = None) -> Started:
        """Start a draft now, on the flag and the template as they are now. ``token``: only under this lease.

        Raises:
            LeaseLostError: another node leads by now.
            Conflict: it is no draft any more; or as ``start``.
            Invalid, NotFound, Refused, EvidenceUnavailable: as ``start``; it is still a draft.
        """
        origin = draft.origin
        assert origin is not None, "a draft has its document"
        async with self._storage.transaction(snapshot=True) as tx:
            there = await tx.environments.get(draft.plan.project, draft.plan.environment)
            ramp = prepared(origin.document, there, await read_templates(tx, there.project_id))
        origin = replace(ramp.origin, restart_of=origin.restart_of, from_ppm=origin.from_ppm)
        ramp = await self._watched(replace(ramp, origin=origin, reason=reason), there.project)
        at_ms = self._clock.wall_ms()

        async def write(tx: Transaction) -> Started:
            if token is not None and not await tx.lease.hold(token):
                raise LeaseLostError
            return Started(*await start_draft(tx, draft, ramp, self._sources, actor=actor, at_ms=at_ms))

        started = await self._storage.run(write)
        self.tell([started.row])
        return started

    async def prepare(self, there: EnvironmentRow, data: object) -> Prepared:
        """Return the ramp of a document with its template, and what its guardrails would read. Nothing is started.

        Raises:
            Invalid: the document has faults, or a guardrail names what there is not.
        """
        given = given_document(data, there.key)
        async with self._storage.transaction(snapshot=True) as tx:
            ramp = prepared(given, there, await read_templates(tx, there.project_id))
        return replace(ramp, watched=await self._watching.of(ramp.document, there.project, self._clock.wall_ms()))

    async def prepare_applied(
        self, project: str, ramps: Sequence[Mapping[str, Any]], templates: Mapping[str, TemplateDocument]
    ) -> list[Prepared | Invalid]:
        """Return the ramps of documents that are applied together with these templates, or what is wrong with each."""
        async with self._storage.transaction(snapshot=True) as tx:
            home = await tx.projects.get(project)
            environments = {row.key: row for row in await tx.environments.of_project(project)}
            known = await read_templates(tx, home.id)
        known |= {
            key: Template(document, 0)
            for key, document in templates.items()
            if key not in known or known[key].document != document
        }

        async def one(data: Mapping[str, Any]) -> Prepared | Invalid:
            there = environments.get(data["environment"])
            if there is None:
                names = ", ".join(environments)
                fault = Fault("environment", f"there is no environment {data['environment']!r}", f"there are {names}")
                return Invalid([fault], "the ramp")
            try:
                return await self._watched(prepared(given_document(data, there.key), there, known), project)
            except Invalid as error:
                return error

        return list(await asyncio.gather(*map(one, ramps)))

    async def start_applied(self, tx: Transaction, project: str, ramp: Prepared, *, actor: str) -> Started | str:
        """Start a ramp of a document that is applied, in its transaction; or return in words why not.

        Raises:
            Invalid, Refused, NotFound: as ``start``.
            Conflict: another began meanwhile.
        """
        there = await tx.environments.get(project, ramp.document.environment)
        found = await same_document(tx, there, ramp, "ever")
        if found is not None:
            return found.notes[0]
        for row in await tx.ramps.of_flag(there.id, ramp.document.flag):
            if row.live:
                return f"ramp {row.id} of another document is {row.state.status}: this one was not started"
        kills = await tx.kills.in_force(there.id, ramp.document.flag)
        if kills:
            return f"{ramp.document.flag} is killed in {there.key} ({kills[0].reason}): this ramp was not started"
        at_ms = self._clock.wall_ms()
        if not _is_later(ramp, at_ms) and (why := await standing_in_the_way(tx, there, ramp.document)):
            return f"{why}: this ramp was not started"
        return await self._written(tx, there, ramp, actor=actor, at_ms=at_ms)

    def tell(self, rows: Sequence[RampRow]) -> None:
        """Say after the commit that these were started."""
        live = [row for row in rows if row.live]
        for row in live:
            self._metrics.touch(labels_of(row))
        if live:
            self._announce(sorted({row.environment_id for row in live}))

    async def _start(self, ramp: Prepared, there: EnvironmentRow, *, actor: str, once: Once | None = None) -> Started:
        at_ms = self._clock.wall_ms()

        async def write(tx: Transaction) -> Started:
            here = await tx.environments.get(there.project, there.key)
            # Two that start the same document at once: the second finds the ramp of the first.
            await tx.flags.lock(here.project_id, [ramp.document.flag])
            found = await same_document(tx, here, ramp, once)
            if found is not None:
                return found
            return await self._written(tx, here, ramp, actor=actor, at_ms=at_ms)

        started = await self._storage.run(write)
        if started.new:
            self.tell([started.row])
        return started

    async def _written(
        self, tx: Transaction, there: EnvironmentRow, ramp: Prepared, *, actor: str, at_ms: int
    ) -> Started:
        """Start it, or keep it as a draft until its time comes."""
        starts_ms = start_ms_of(ramp.document)
        if starts_ms is not None and _is_later(ramp, at_ms):
            kept = keep_draft(tx, there, ramp, self._sources, starts_ms=starts_ms, actor=actor, at_ms=at_ms)
            return Started(*await kept)
        row, notes = await start_ramp(tx, there, ramp, self._sources, actor=actor, at_ms=at_ms)
        if starts_ms is not None:
            notes = (f"start_at, {ramp.document.start_at}, is past: it starts now", *notes)
        return Started(row, notes)

    async def _watched(self, ramp: Prepared, project: str) -> Prepared:
        if ramp.document.unguarded:
            return ramp
        watched = await self._watching.of(ramp.document, project, self._clock.wall_ms())
        if faults := in_block(faults_of(watched), ramp.whole):
            raise Invalid(faults, "the ramp")
        return replace(ramp, watched=watched)


async def same_document(tx: Transaction, there: EnvironmentRow, ramp: Prepared, once: Once | None) -> Started | None:
    """Return the newest ramp that was started from this document, if that is reason enough not to start another."""
    if once is None:
        return None
    document = ramp.document
    row = await tx.ramps.of_document(there.id, document.flag, document.rollout, ramp.origin.digest)
    ahead = row is not None and (row.live or row.state.status is Status.DRAFT)
    if row is None or (once == "live" and not ahead):
        return None
    says = f"ramp {row.id} of this document is {row.state.status}"
    if ahead:
        return Started(row, (f"{says}: it goes on",), new=False)
    over = "" if row.overlaid or row.state.status is not Status.PROMOTED else ", and what came after it is in force"
    return Started(row, (f"{says}{over}: nothing to do",), new=False)


def _is_later(ramp: Prepared, at_ms: int) -> bool:
    starts_ms = start_ms_of(ramp.document)
    return starts_ms is not None and starts_ms > at_ms


def _ppm(percent: float) -> int:
    if fault := share_fault(percent):
        raise Invalid([Fault("from", fault, A_SHARE)], "the request")
    return percent_to_ppm(percent)
