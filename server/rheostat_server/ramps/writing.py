"""How a changed ramp, and what it serves, is written within one transaction."""

from collections.abc import Callable, Sequence

import msgspec

from rheostat.model.kill import Kill
from rheostat_server.notifications.outbox import RampChange
from rheostat_server.ports.ramps import DecisionRow, EpochMark, KillRow, RampRow
from rheostat_server.ports.storage import AuditEntry, Transaction
from rheostat_server.ramps.decide import under_way
from rheostat_server.ramps.model import LIVE, State, Status
from rheostat_server.ramps.records import Event, happened
from rheostat_server.ramps.states import Cause, outcomes
from rheostat_server.ramps.telling import tell_of_change, tell_of_kill, tell_of_start
from rheostat_server.ramps.transition import overlay

Announce = Callable[[Sequence[int]], None]
"""Called after a commit with the environments whose served rows it changed; never blocks."""


class Served:
    """What one transaction changes of what an environment serves, gathered until its revision is known."""

    def __init__(self) -> None:
        self.overlays: dict[str, bytes | None] = {}
        self.kills: dict[str, bytes] = {}
        self.ended: list[RampChange] = []
        """Ramps that ended killed, to be told of with their kill."""

    def __bool__(self) -> bool:
        return bool(self.overlays or self.kills)

    async def publish(self, tx: Transaction, environment_id: int) -> None:
        """Raise the environment's revision and put all of it there; nothing where there is nothing."""
        if not self:
            return
        revision = (await tx.environments.bump([environment_id]))[environment_id]
        for ramp_id, body in self.overlays.items():
            await tx.served.put(environment_id, revision, "ramp", ramp_id, body)
        for kill_id, kill in self.kills.items():
            await tx.served.put(environment_id, revision, "kill", kill_id, kill)
        await tx.notify([environment_id])


def overlay_body(row: RampRow) -> bytes | None:
    """Return what is served of a ramp; ``None`` when its exposure is not in force."""
    if not row.overlaid:
        return None
    return msgspec.json.encode(overlay(row.plan, row.id, row.state, row.unit_key.hex(), server_scope=True))


def epoch_mark(row: RampRow, at_ms: int) -> EpochMark:
    """Return the mark of the ramp's present epoch, at the exposure at which its arms are drawn."""
    now = overlay(row.plan, row.id, row.state, "", server_scope=False)
    return EpochMark(row.state.epoch, now.arm_ppm, at_ms)


def following(row: RampRow, state: State, at_ms: int) -> RampRow:
    """Return the ramp with its next state. A live or promoted ramp is in force over the document."""
    live = state.status in LIVE
    return msgspec.structs.replace(
        row,
        state=state,
        version=row.version + 1,
        live=live,
        overlaid=live or (row.overlaid and state.status is Status.PROMOTED),
        ended_at_ms=None if live else at_ms if row.ended_at_ms is None else row.ended_at_ms,
    )


async def write_new(tx: Transaction, row: RampRow, served: Served, *, actor: str, drafted: bool = False) -> None:
    """Keep a ramp that starts; ``drafted``: it was kept before, as a draft."""
    at_ms = row.started_at_ms
    await (tx.ramps.begin(row) if drafted else tx.ramps.add(row))
    await tx.ramps.add_epoch(row.id, epoch_mark(row, at_ms))
    await tx.ramps.add_decision(
        row.id, happened(row.version, row.state, "start", actor=actor, at_ms=at_ms, plan=row.plan)
    )
    await tell_of_start(tx, row, actor=actor)
    served.overlays[row.id] = overlay_body(row)


async def write_next(
    tx: Transaction,
    before: RampRow,
    after: RampRow,
    decision: DecisionRow,
    served: Served,
    *,
    uncover: bool = True,
    observed: State | None = None,
) -> None:
    """Save a ramp's next state with the decision that led to it, and put what people are told of it into the outbox.

    Where its overlay ends before it was promoted, that of the ramp before it comes back (``uncover``). ``observed`` is
    the state on which was decided, with the figures; without it that is ``before``'s. A kill's row is to follow.

    Raises:
        VersionConflict: the ramp moved on meanwhile.
    """
    await tx.ramps.save(after)
    await tx.ramps.add_decision(after.id, decision)
    if after.state.epoch != before.state.epoch:
        await tx.ramps.add_epoch(after.id, epoch_mark(after, decision.at_ms))
    if (ended := await tell_of_change(tx, before, after, decision, observed)) is not None:
        served.ended.append(ended)
    body = overlay_body(after)
    if body != overlay_body(before):
        served.overlays[after.id] = body
    if uncover and before.live and not after.overlaid and after.before_ramp is not None:
        await _uncover(tx, after.before_ramp, decision.at_ms, served)


async def cover(tx: Transaction, row: RampRow, at_ms: int, served: Served, *, actor: str) -> None:
    """Take away the overlay of a promoted ramp because another starts on its rollout."""
    await _set_overlaid(tx, row, served, cause=Cause.RAMP_COVERED, at_ms=at_ms, actor=actor)


async def end_overlay(tx: Transaction, row: RampRow, at_ms: int, served: Served, *, actor: str) -> None:
    """End the overlay of a promoted ramp: the document's exposure is in force from now on."""
    await _set_overlaid(tx, row, served, cause=Cause.WRITE_ENDED, at_ms=at_ms, actor=actor)


async def _uncover(tx: Transaction, ramp_id: str, at_ms: int, served: Served) -> None:
    row = await tx.ramps.lock(ramp_id)
    if row.state.status is Status.PROMOTED and not row.overlaid:
        await _set_overlaid(tx, row, served, cause=Cause.RAMP_UNCOVERED, at_ms=at_ms, actor="controller")


async def _set_overlaid(tx: Transaction, row: RampRow, served: Served, *, cause: Cause, at_ms: int, actor: str) -> None:
    [outcome] = outcomes(cause, row.state.status, under_way(row.state))
    overlaid, event = outcome.in_force, msgspec.convert(cause.what, Event)
    after = msgspec.structs.replace(row, overlaid=overlaid, version=row.version + 1)
    await tx.ramps.save(after)
    await tx.ramps.add_decision(after.id, happened(after.version, after.state, event, actor=actor, at_ms=at_ms))
    served.overlays[after.id] = overlay_body(after)


async def write_kill(tx: Transaction, row: KillRow, project: str, environment: str, served: Served) -> None:
    """Latch a kill; the ramps that it ends are written before it."""
    if await tx.kills.add(row):
        served.kills[row.kill_id] = kill_body(row, project, environment)
        await tell_of_kill(tx, row, project, environment, served.ended)


def kill_body(row: KillRow, project: str, environment: str, *, revived: bool = False) -> bytes:
    """Return what is served of a kill."""
    return msgspec.json.encode(
        Kill(
            kill_id=row.kill_id,
            project=project,
            environment=environment,
            flag=row.flag,
            scope=row.scope,
            source=row.source,
            at_ms=row.at_ms,
            rollout=row.rollout,
            ramp=row.ramp_id,
            revived=revived,
        )
    )


def audit_entry(
    row: RampRow, action: str, summary: str, *, actor: str, at_ms: int, detail: dict[str, object] | None = None
) -> AuditEntry:
    """Return the audit's entry of something that happened to a ramp: found by the flag, told of the ramp."""
    said: dict[str, object] = {
        "ramp": row.id,
        "rollout": row.rollout,
        "status": row.state.status.value,
        "exposure_ppm": row.state.exposure_ppm,
        **(detail or {}),
    }
    return AuditEntry(
        at_ms=at_ms,
        actor=actor,
        action=action,
        subject=row.flag,
        summary=summary,
        project=row.plan.project,
        environment=row.plan.environment,
        detail=msgspec.Raw(msgspec.json.encode(said)),
    )
