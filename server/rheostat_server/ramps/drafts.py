"""Ramps that start later: kept as drafts, started as by hand when their time has come, or ended with the reason."""

import secrets

from rheostat_server.errors import Conflict
from rheostat_server.ports.ramps import RampRow
from rheostat_server.ports.storage import EnvironmentRow, Transaction
from rheostat_server.ramps.identifiers import time_ordered_id
from rheostat_server.ramps.model import Status
from rheostat_server.ramps.preparing import Prepared
from rheostat_server.ramps.records import happened
from rheostat_server.ramps.starting import (
    UNIT_KEY_BYTES,
    Sources,
    locked_flag,
    notes_of,
    planned,
    ramping,
    start_ramp,
)
from rheostat_server.ramps.states import Cause
from rheostat_server.ramps.transition import drafted, written_over
from rheostat_server.ramps.windows import moment_words
from rheostat_server.ramps.writing import Served, audit_entry, following, write_next

ACTOR = "schedule"
"""Who ends a draft that could not start."""


async def keep_draft(
    tx: Transaction,
    environment: EnvironmentRow,
    prepared: Prepared,
    sources: Sources,
    *,
    starts_ms: int,
    actor: str,
    at_ms: int,
) -> tuple[RampRow, tuple[str, ...]]:
    """Keep a ramp that starts later; return it, and what a person should know.

    Its plan is checked now and made anew then. That the flag is disabled or killed, or has a live ramp, may be over by
    then, and is told.

    Raises:
        Invalid: the plan cannot work.
        NotFound: there is no such flag.
    """
    document = prepared.document
    _, flag = await locked_flag(tx, environment, document.flag)
    rows = await tx.ramps.lock_of_flag(environment.id, flag.key)
    earlier = next((row for row in rows if row.rollout == document.rollout and not row.live), None)
    plan = await planned(tx, environment, flag, prepared, sources, earlier=earlier, at_ms=at_ms)
    why = f"starts {moment_words(starts_ms, document.timezone or 'UTC', at_ms)}"
    row = RampRow(
        id=time_ordered_id(at_ms),
        environment_id=environment.id,
        flag=plan.flag,
        rollout=plan.rollout,
        live=False,
        overlaid=False,
        version=1,
        plan=plan,
        state=drafted(plan, at_ms, starts_ms, why),
        unit_key=secrets.token_bytes(UNIT_KEY_BYTES),
        declared_ppm=ramping(flag, document, environment.key).exposure_ppm,
        start_ppm=plan.start_ppm,
        started_by=actor,
        started_at_ms=at_ms,
        origin=prepared.origin,
    )
    await tx.ramps.add(row)
    await tx.ramps.add_decision(row.id, happened(1, row.state, "draft", actor=actor, at_ms=at_ms, plan=plan))
    notes = list(prepared.notes)
    if not flag.enabled:
        notes.append(f"{flag.key} is disabled in {environment.key}: unless it is enabled by then, the ramp is aborted")
    if kills := await tx.kills.in_force(environment.id, flag.key):
        notes.append(f"{flag.key} is killed ({kills[0].reason}): unless it is revived by then, the ramp is aborted")
    for live in (other for other in rows if other.live):
        words = f"ramp {live.id} of {flag.key} is {live.state.status}"
        notes.append(f"{words}: unless it is over by then, this one is aborted")
    notes += notes_of(plan, prepared.watched, starts_ms)
    summary = f"a ramp of {flag.key} ({row.rollout}) was planned: it {why}"
    await tx.audit.add(audit_entry(row, "ramp.draft", summary, actor=actor, at_ms=at_ms, detail={"notes": notes}))
    return row, tuple(notes)


async def start_draft(
    tx: Transaction, draft: RampRow, prepared: Prepared, sources: Sources, *, actor: str, at_ms: int
) -> tuple[RampRow, tuple[str, ...]]:
    """Start a draft as a ramp is started by hand, on the flag and the template as they are now.

    Raises:
        Conflict: it is no draft any more; or as ``start_ramp``.
        Invalid, NotFound, Refused: as ``start_ramp``.
    """
    environment = await tx.environments.get(draft.plan.project, draft.plan.environment)
    now = await tx.ramps.get(draft.id)
    if now.state.status is not Status.DRAFT:
        raise Conflict(f"the ramp is no draft any more: it is {now.state.status}")
    return await start_ramp(tx, environment, prepared, sources, actor=actor, at_ms=at_ms, draft=now)


async def fail_draft(tx: Transaction, ramp_id: str, *, why: str, at_ms: int) -> None:
    """End a draft that could not start, with the reason. One that is no draft any more is left as it is."""
    row = await tx.ramps.lock(ramp_id)
    if row.state.status is not Status.DRAFT:
        return
    state = written_over(row.plan, row.state, Cause.TIME_ABORTED, at_ms, f"could not start: {why}")
    after = following(row, state, at_ms)
    served = Served()
    await write_next(tx, row, after, happened(after.version, state, "aborted", actor=ACTOR, at_ms=at_ms), served)
    summary = f"the ramp of {row.flag} ({row.rollout}) {state.why}"
    await tx.audit.add(audit_entry(after, "ramp.abort", summary, actor=ACTOR, at_ms=at_ms))
