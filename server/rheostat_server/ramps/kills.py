"""How a flag is taken back, whoever says so, and how people let it serve again."""

from collections.abc import Sequence

import msgspec

from rheostat.model.flag import DEFAULT_ROLLOUT, Flag
from rheostat.model.kill import KillScope
from rheostat.model.serving import rollout_of
from rheostat.model.shares import ppm_to_percent
from rheostat_server.errors import Conflict, Fault, Invalid, Refused, VersionConflict
from rheostat_server.ports.ramps import DecisionRow, KillRow, RampRow
from rheostat_server.ports.storage import AuditEntry, EnvironmentRow, Transaction
from rheostat_server.ramps.identifiers import time_ordered_id
from rheostat_server.ramps.kill_of_ramp import kill_of_ramp
from rheostat_server.ramps.model import Action, State
from rheostat_server.ramps.records import acted
from rheostat_server.ramps.rolling import in_force_words
from rheostat_server.ramps.starting import locked_flag
from rheostat_server.ramps.telling import tell_of_revival
from rheostat_server.ramps.transition import act
from rheostat_server.ramps.writing import Served, audit_entry, following, kill_body, write_kill, write_next

PERSON = "person"


class KillOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants what taken back, and why.

    ``scope`` ``None``: what is killed already where nothing ramps, else the ramping rollout where there is one, else
    the flag. ``rollout`` narrows a kill of rollouts to one. ``source`` is what gave the order: a ``person``, the
    ``controller``, ``alertmanager``.
    """

    flag: str
    reason: str
    actor: str
    source: str = PERSON
    scope: KillScope | None = None
    rollout: str | None = None
    to_code_default: bool = False


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A ramp that its own rule has killed: as it was read, as it is then, and the decision with its evidence.

    ``observed`` is the state that the rule decided on.
    """

    before: RampRow
    after: RampRow
    decision: DecisionRow
    observed: State


async def kill_flag(
    tx: Transaction, environment: EnvironmentRow, order: KillOrder, at_ms: int, *, decided: Decided | None = None
) -> tuple[str, ...]:
    """Latch the kill, and end the ramps that it takes; return what came of it. Killed the same way already: nothing.

    The one way by which anything is killed. ``decided`` is the ramp that the controller has decided to kill.

    Raises:
        NotFound: there is no such flag.
        Refused: a flag kill has no off variant to serve and may not fall to the code's default; or there is no
            rollout to kill.
        VersionConflict: the ramp that was decided of moved on meanwhile.
    """
    _, flag = await locked_flag(tx, environment, order.flag)
    ramps = await tx.ramps.lock_of_flag(environment.id, flag.key)
    live = [row for row in ramps if row.live]
    standing = await tx.kills.in_force(environment.id, flag.key)
    wanted = wanted_kills(environment, order, flag, ramps, standing=standing, at_ms=at_ms)
    known = {(row.scope, row.rollout) for row in standing}
    new = [row for row in wanted if (row.scope, row.rollout) not in known]
    served = Served()
    notes = []
    for row in live:
        if any(kill.scope is KillScope.FLAG or kill.rollout == row.rollout for kill in wanted):
            if decided is not None and decided.before.id == row.id:
                await _end_as_decided(tx, decided, order, at_ms, served)
            else:
                await _end(tx, row, order, at_ms, served)
            notes.append(f"ramp {row.id} of rollout {row.rollout} is killed")
    if decided is not None and all(row.id != decided.before.id for row in live):
        raise VersionConflict(f"ramp {decided.before.id} has ended meanwhile")
    for kill in new:
        await write_kill(tx, kill, environment.project, environment.key, served)
    await served.publish(tx, environment.id)
    if not new and not served:
        return (f"{flag.key} was killed in {environment.key} already: {standing[0].reason}",)
    scope = wanted[0].scope
    what = "the flag" if scope is KillScope.FLAG else f"rollout {', '.join(str(kill.rollout) for kill in wanted)}"
    summary = f"{flag.key} was killed in {environment.key} ({what}): {order.reason}"
    await tx.audit.add(
        _entry(
            environment,
            new,
            flag=flag.key,
            action="flag.kill",
            summary=summary,
            actor=order.actor,
            at_ms=at_ms,
            source=order.source,
        )
    )
    return tuple(notes)


def wanted_kills(
    environment: EnvironmentRow,
    order: KillOrder,
    flag: Flag,
    ramps: Sequence[RampRow],
    *,
    standing: Sequence[KillRow],
    at_ms: int,
) -> list[KillRow]:
    """Return the kills that an order asks for: one of the flag, or one of each rollout that it takes.

    ``ramps`` are the flag's that are live or overlaid, ``standing`` its kills in force: without a scope they are all
    that is asked for where nothing ramps.

    Raises:
        Refused: as ``kill_flag``.
    """
    live = [row for row in ramps if row.live]
    if order.scope is None and standing and not live:
        return list(standing)
    scope = order.scope or (KillScope.ROLLOUT if live else KillScope.FLAG)
    if scope is KillScope.ROLLOUT:
        taken = [order.rollout] if order.rollout is not None else _rollouts(flag, ramps, environment)
        return [_rollout_kill(environment, order, rollout, live, at_ms) for rollout in taken]
    if flag.off_variant is None and not order.to_code_default:
        raise Refused(f"{flag.key} has no off variant; ask for to_code_default to let callers fall back to their own")
    return [_flag_kill(environment, order, live, at_ms)]


async def revive_flag(
    tx: Transaction, environment: EnvironmentRow, flag_key: str, *, reason: str, actor: str, at_ms: int
) -> tuple[str, ...]:
    """Lift every kill of the flag; return what is in force again.

    A killed ramp stays over: the exposure in force when it started serves again, never the one it had reached.

    Raises:
        NotFound: there is no such flag.
        Conflict: it is not killed.
        Invalid: there is no reason.
    """
    if not reason.strip():
        raise Invalid([Fault("reason", "it is empty", "say why it is safe now: the audit log keeps it")], "the request")
    _, flag = await locked_flag(tx, environment, flag_key)
    kills = await tx.kills.in_force(environment.id, flag.key)
    if not kills:
        raise Conflict(f"{flag.key} is not killed in {environment.key}")
    served = Served()
    # Not by the kills' own ramps: one kill of the flag ends all that are live on it, and names one.
    for killed in await tx.ramps.lock_killed(environment.id, flag.key):
        await _close(tx, killed, served, reason=reason, actor=actor, at_ms=at_ms)
    for kill in kills:
        await tx.kills.revive(kill.kill_id, at_ms=at_ms, by=actor, reason=reason)
        served.kills[kill.kill_id] = kill_body(kill, environment.project, environment.key, revived=True)
    await tell_of_revival(tx, environment, flag.key, at_ms=at_ms, why=reason, actor=actor)
    await served.publish(tx, environment.id)
    overlaid = await tx.ramps.of_flag(environment.id, flag.key)
    notes = _again(flag, kills, overlaid)
    summary = f"{flag.key} was revived in {environment.key}: {reason}"
    await tx.audit.add(
        _entry(
            environment,
            kills,
            flag=flag.key,
            action="flag.revive",
            summary=summary,
            actor=actor,
            at_ms=at_ms,
            notes=notes,
        )
    )
    return notes


def _rollouts(flag: Flag, ramps: Sequence[RampRow], environment: EnvironmentRow) -> list[str]:
    """Return which rollouts a kill takes: the ramping ones, else those that a ramp has raised, else the default's."""
    for among in ([row for row in ramps if row.live], ramps):
        if among:
            return sorted({row.rollout for row in among})
    if rollout_of(flag, DEFAULT_ROLLOUT) is None:
        raise Refused(f"{flag.key} has no rollout in {environment.key} to take back; kill the flag")
    return [DEFAULT_ROLLOUT]


def _flag_kill(environment: EnvironmentRow, order: KillOrder, live: Sequence[RampRow], at_ms: int) -> KillRow:
    return KillRow(
        kill_id=time_ordered_id(at_ms),
        environment_id=environment.id,
        flag=order.flag,
        scope=KillScope.FLAG,
        ramp_id=live[0].id if live else None,
        source=order.source,
        actor=order.actor,
        reason=order.reason,
        at_ms=at_ms,
    )


def _rollout_kill(
    environment: EnvironmentRow, order: KillOrder, rollout: str, live: Sequence[RampRow], at_ms: int
) -> KillRow:
    for row in live:
        if row.rollout == rollout:
            return kill_of_ramp(
                row,
                scope=KillScope.ROLLOUT,
                source=order.source,
                actor=order.actor,
                reason=order.reason,
                at_ms=at_ms,
            )
    return msgspec.structs.replace(_flag_kill(environment, order, (), at_ms), scope=KillScope.ROLLOUT, rollout=rollout)


async def _end(tx: Transaction, row: RampRow, order: KillOrder, at_ms: int, served: Served) -> None:
    source = None if order.source == PERSON else order.source
    state = act(row.plan, row.state, Action.KILL, at_ms, order.reason, source=source)
    after = following(row, state, at_ms)
    decision = acted(
        after.version, state, Action.KILL, actor=order.actor, reason=order.reason, at_ms=at_ms, source=source
    )
    await write_next(tx, row, after, decision, served)
    await _audit_end(tx, after, order, at_ms)


async def _end_as_decided(tx: Transaction, decided: Decided, order: KillOrder, at_ms: int, served: Served) -> None:
    await write_next(tx, decided.before, decided.after, decided.decision, served, observed=decided.observed)
    await _audit_end(tx, decided.after, order, at_ms)


async def _audit_end(tx: Transaction, after: RampRow, order: KillOrder, at_ms: int) -> None:
    said = {"reason": order.reason, "source": order.source}
    summary = f"{after.flag}: {after.state.why}"
    await tx.audit.add(audit_entry(after, "ramp.kill", summary, actor=order.actor, at_ms=at_ms, detail=dict(said)))


async def _close(tx: Transaction, row: RampRow, served: Served, *, reason: str, actor: str, at_ms: int) -> None:
    state = act(row.plan, row.state, Action.REVIVE, at_ms, reason)
    after = following(row, state, at_ms)
    decision = acted(after.version, state, Action.REVIVE, actor=actor, reason=reason, at_ms=at_ms)
    await write_next(tx, row, after, decision, served)


def _again(flag: Flag, kills: Sequence[KillRow], overlaid: Sequence[RampRow]) -> tuple[str, ...]:
    by_ramp = {row.rollout: row for row in overlaid if row.overlaid}
    notes = []
    for name in sorted({kill.rollout or DEFAULT_ROLLOUT for kill in kills}):
        rollout = rollout_of(flag, name)
        if rollout is None:
            continue
        if name in by_ramp:
            row = by_ramp[name]
            at = in_force_words(row.plan, row.state)
            notes.append(f"rollout {name}: in force {at} by ramp {row.id}")
        else:
            notes.append(f"rollout {name}: in force {ppm_to_percent(rollout.exposure_ppm):g} %, as declared")
    return tuple(notes)


def _entry(
    environment: EnvironmentRow,
    kills: Sequence[KillRow],
    *,
    flag: str,
    action: str,
    summary: str,
    actor: str,
    at_ms: int,
    notes: tuple[str, ...] = (),
    source: str | None = None,
) -> AuditEntry:
    detail: dict[str, object] = {
        "kills": [{"kill_id": kill.kill_id, "scope": kill.scope, "rollout": kill.rollout} for kill in kills]
    }
    if source is not None:
        detail["source"] = source
    return AuditEntry(
        at_ms=at_ms,
        actor=actor,
        action=action,
        subject=flag,
        summary=summary,
        project=environment.project,
        environment=environment.key,
        detail=msgspec.Raw(msgspec.json.encode({**detail, "notes": notes})),
    )
