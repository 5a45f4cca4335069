"""What a write of a flag's document does to the ramps and kills on it.

A document and a ramp never fight: the ramp's exposure is in force until a write says otherwise on purpose.
A kill is not ended by any write.
"""

from collections.abc import Collection, Iterable, Sequence

from rheostat.model.document import FlagDocument
from rheostat.model.flag import Flag
from rheostat.model.kill import KillScope
from rheostat.model.serving import rollout_of, serve
from rheostat.model.shares import ppm_to_percent
from rheostat_server.errors import Conflict, Invalid
from rheostat_server.layers.references import with_gone
from rheostat_server.ports.ramps import RampEffects, RampRow, Restart
from rheostat_server.ports.shared import NOTHING_SHARED, SharedChange
from rheostat_server.ports.storage import EnvironmentRow, Transaction
from rheostat_server.ramps.latching import kill_ended_by
from rheostat_server.ramps.model import Plan
from rheostat_server.ramps.neighbours import line_faults, refuse_shared_line
from rheostat_server.ramps.plan import replanned
from rheostat_server.ramps.records import happened
from rheostat_server.ramps.spoiling import spoiled_by, spoiled_by_segments
from rheostat_server.ramps.starting import new_row
from rheostat_server.ramps.states import Cause
from rheostat_server.ramps.transition import written_over
from rheostat_server.ramps.writing import Served, audit_entry, end_overlay, following, write_new, write_next


class OverlayRules:
    """Fulfils ``RampWatcher``."""

    async def flag_written(
        self,
        tx: Transaction,
        *,
        project: str,
        before: FlagDocument | None,
        after: FlagDocument | None,
        actor: str,
        at_ms: int,
        restart: bool,
        archived: FlagDocument | None = None,
        shared: SharedChange = NOTHING_SHARED,
    ) -> RampEffects:
        """Return what the write does to the flag's ramps, which are changed in this transaction.

        Raises:
            Conflict: the edit would end a kill; or it would spoil the evidence of a live ramp, and no restart was
                asked for, or the ramp cannot start afresh.
        """
        known = archived if before is None else before
        if known is None:
            return RampEffects()
        notes: list[str] = []
        restarts: list[Restart] = []
        overlays: dict[str, dict[str, bytes | None]] = {}
        for environment in await tx.environments.of_project(project):
            write = _Write(tx, environment, actor=actor, at_ms=at_ms)
            was = serve(known, environment.key, 0, with_gone(known, shared.layers_before))
            now = None if after is None else serve(after, environment.key, 0, shared.layers)
            if before is not None:
                await write.live_ramps(was, now, restart=restart, segments=shared.segments)
                await write.promoted_ramps(before.key, now)
            # After the ramps' rows are held: a kill by the controller has been committed by now, or comes later.
            await write.kills(was, now)
            notes += write.notes
            restarts += write.restarts
            if write.served.overlays:
                overlays[environment.key] = write.served.overlays
        return RampEffects(notes=tuple(notes), overlays=overlays, restarts=tuple(restarts))

    async def restarted(
        self, tx: Transaction, environments: Sequence[EnvironmentRow], restarts: Iterable[Restart]
    ) -> None:
        """Look at the ramps that were started afresh beside all others, after ``bump``.

        Raises:
            Conflict: a live ramp of another flag is on the same salt and unit.
        """
        by_key = {environment.key: environment for environment in environments}
        for one in restarts:
            await refuse_shared_line(tx, by_key[one.environment], one.flag, one.rollout, but=one.ramp_id)


class _Write:
    """One write of a flag, in one environment."""

    def __init__(self, tx: Transaction, environment: EnvironmentRow, *, actor: str, at_ms: int) -> None:
        self._tx = tx
        self._environment = environment
        self._actor = actor
        self._at_ms = at_ms
        self.notes: list[str] = []
        self.served = Served()
        self.restarts: list[Restart] = []

    async def live_ramps(self, was: Flag, now: Flag | None, *, restart: bool, segments: Collection[str]) -> None:
        """Abort, start afresh or leave each live ramp; refuse the write where it may do none of these."""
        for row in await self._rows(was.key):
            if not row.live:
                continue
            if (why := _aborted_by(row, now)) is not None:
                await self._abort(row, why)
            elif now is not None and (spoiled := _spoiled(row, was, now, segments)):
                words = ", ".join(spoiled)
                if not restart:
                    raise Conflict(
                        f"ramp {row.id} of rollout {row.rollout} in {self._environment.key} is {row.state.status}, and "
                        f"this changes {words}: its evidence would mean nothing; abort it first, or restart it"
                    )
                await self._restart(row, now, words)

    async def promoted_ramps(self, flag: str, now: Flag | None) -> None:
        """End the overlays of promoted ramps for which the document speaks again."""
        for row in await self._rows(flag):
            if row.live or (why := _ended_by(row, now)) is None:
                continue
            await end_overlay(self._tx, row, self._at_ms, self.served, actor=self._actor)
            await self._told(row, "ramp.end", f"the overlay of ramp {row.id} ({row.rollout}) ended: {why}")

    async def kills(self, was: Flag, now: Flag | None) -> None:
        """Refuse the write where it would end a kill; one that archives the flag leaves its kills latched."""
        here = self._environment
        for kill in await self._tx.kills.in_force(here.id, was.key):
            what = f"the {kill.scope} kill {kill.kill_id}"
            if now is None:
                self.notes.append(f"{here.key}: {what} stays latched: unarchived, the flag is killed as before")
            elif ended := kill_ended_by(was, now, kill.scope, kill.rollout):
                raise Conflict(
                    f"{what} of {was.key} is in force in {here.key} ({kill.reason}), and this {ended}; no write ends "
                    "a kill: revive first. A rollout whose exposure is 0 % is revived without exposing anybody"
                )

    async def _rows(self, flag: str) -> Sequence[RampRow]:
        return await self._tx.ramps.lock_of_flag(self._environment.id, flag)

    async def _abort(self, row: RampRow, why: str) -> None:
        state = written_over(row.plan, row.state, Cause.WRITE_ABORTED, self._at_ms, why)
        after = following(row, state, self._at_ms)
        decision = happened(after.version, state, "aborted", actor=self._actor, at_ms=self._at_ms)
        await write_next(self._tx, row, after, decision, self.served)
        await self._told(after, "ramp.abort", f"ramp {row.id} ({row.rollout}) was aborted: {why}")

    async def _restart(self, row: RampRow, now: Flag, words: str) -> None:
        plan = await self._plan_afresh(row, now)
        why = f"started afresh, because {words} changed"
        state = written_over(row.plan, row.state, Cause.WRITE_RESTARTED, self._at_ms, why)
        ended = following(row, state, self._at_ms)
        decision = happened(ended.version, state, "aborted", actor=self._actor, at_ms=self._at_ms)
        # The overlay that it covers stays covered: the new ramp goes on in its place.
        await write_next(self._tx, row, ended, decision, self.served, uncover=False)
        fresh = new_row(
            plan,
            row.environment_id,
            declared_ppm=row.declared_ppm,
            before=row.before_ramp,
            actor=self._actor,
            at_ms=self._at_ms,
            origin=row.origin,
        )
        await write_new(self._tx, fresh, self.served, actor=self._actor)
        rollout = rollout_of(now, row.rollout)
        assert rollout is not None, "a ramp whose rollout is gone is aborted"
        here = self._environment.key
        self.restarts.append(Restart(environment=here, flag=now.key, rollout=rollout, ramp_id=fresh.id))
        await self._told(fresh, "ramp.restart", f"ramp {row.id} ({row.rollout}) was {why}: it is {fresh.id} now")

    async def _plan_afresh(self, row: RampRow, now: Flag) -> Plan:
        """Return the plan for the rollout as it is now, checked as that of a new ramp is."""
        kills = await self._tx.kills.in_force(row.environment_id, row.flag)
        if kills:
            raise Conflict(f"{row.flag} is killed in {self._environment.key} ({kills[0].reason}); revive it first")
        rollout = rollout_of(now, row.rollout)
        assert rollout is not None, "a ramp whose rollout is gone is aborted"
        start_ppm = rollout.exposure_ppm if row.before_ramp is None else row.start_ppm
        try:
            if shared := await line_faults(self._tx, self._environment, now, row.rollout):
                raise Invalid(shared, "the ramp")
            return replanned(row.plan, now, rollout, start_ppm)
        except Invalid as error:
            faults = "; ".join(map(str, error.faults))
            raise Conflict(f"ramp {row.id} of rollout {row.rollout} cannot start afresh: {faults}") from error

    async def _told(self, row: RampRow, action: str, line: str) -> None:
        line = f"{self._environment.key}: {line}"
        self.notes.append(line)
        await self._tx.audit.add(audit_entry(row, action, line, actor=self._actor, at_ms=self._at_ms))


def _spoiled(row: RampRow, was: Flag, now: Flag, segments: Collection[str]) -> tuple[str, ...]:
    spoiled = (*spoiled_by(was, now, row.rollout), *spoiled_by_segments(now, row.rollout, segments))
    # What a kill of this ramp will serve was settled when it started.
    settled = row.plan.kill_scope != KillScope.FLAG or was.off_variant == now.off_variant
    return spoiled if settled else (*spoiled, "off_variant")


def _aborted_by(row: RampRow, now: Flag | None) -> str | None:
    """Return why the write ends this live ramp; ``None`` when it does not."""
    if now is None:
        return "the flag was archived"
    if not now.enabled:
        return "the flag was disabled"
    rollout = rollout_of(now, row.rollout)
    if rollout is None:
        return "the document has no such rollout any more"
    if rollout.exposure_ppm != row.declared_ppm:
        was, is_now = ppm_to_percent(row.declared_ppm), ppm_to_percent(rollout.exposure_ppm)
        return f"the document's exposure was changed from {was:g} % to {is_now:g} %"
    return None


def _ended_by(row: RampRow, now: Flag | None) -> str | None:
    """Return why the write ends this promoted ramp's overlay; ``None`` when it does not.

    A disabled flag keeps it: once enabled again, what the ramp proved is in force again.
    """
    if now is None:
        return "the flag was archived"
    rollout = rollout_of(now, row.rollout)
    if rollout is None:
        return "the document has no such rollout any more"
    if rollout.exposure_ppm == row.state.exposure_ppm and rollout.exposure_ppm != row.declared_ppm:
        return f"the document says {ppm_to_percent(rollout.exposure_ppm):g} % itself now"
    if rollout.exposure_ppm != row.declared_ppm:
        is_now, was = ppm_to_percent(rollout.exposure_ppm), ppm_to_percent(row.state.exposure_ppm)
        return f"the document's exposure is {is_now:g} % now, where {was:g} % was in force"
    return None
