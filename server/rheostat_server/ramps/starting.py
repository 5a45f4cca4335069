"""How a ramp starts: from a document and what is in force, to its rows."""

import secrets
from collections.abc import Sequence

import msgspec

from rheostat.model.document import FlagDocument, RampDocument
from rheostat.model.flag import Flag, Rollout
from rheostat.model.serving import rollout_of, serve
from rheostat.model.shares import ppm_to_percent
from rheostat_server.errors import Conflict, Fault, Invalid, NotFound, Refused
from rheostat_server.faults import spelled
from rheostat_server.outcomes.sampling import MOST_UNITS
from rheostat_server.ports.flags import FlagRow
from rheostat_server.ports.ramps import Origin, RampRow
from rheostat_server.ports.storage import EnvironmentRow, Transaction
from rheostat_server.ramps.cutting import beginning_at
from rheostat_server.ramps.few import TELLING_PREFLIGHT_S
from rheostat_server.ramps.foreign.translation import in_block
from rheostat_server.ramps.identifiers import time_ordered_id
from rheostat_server.ramps.ladder import reached_ppm
from rheostat_server.ramps.model import Family, Plan
from rheostat_server.ramps.neighbours import line_faults, refuse_shared_line
from rheostat_server.ramps.plan import off_variant_faults, plan_of
from rheostat_server.ramps.preparing import Prepared
from rheostat_server.ramps.remarks import remarks
from rheostat_server.ramps.rolling import cells_of
from rheostat_server.ramps.transition import begun_from, start
from rheostat_server.ramps.watching import Watched, now_lines
from rheostat_server.ramps.windows import calendar_remarks
from rheostat_server.ramps.writing import Served, audit_entry, cover, write_new
from rheostat_server.shared.state import read_served_layers

UNIT_KEY_BYTES = 32
FORMER_RAMPS = 20
"""So many of a flag's last ramps are asked how many users they saw."""
LATELY_MS = 86_400_000
"""How long what a former ramp saw still tells how many users there are."""


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What a new ramp may read.

    ``family`` is the best source of failing users, and ``interval_s`` how often it has something new. ``scrape_s`` is
    how often Prometheus has; ``None`` where there is none.
    """

    family: Family
    interval_s: float
    scrape_s: float | None = None


async def locked_flag(tx: Transaction, environment: EnvironmentRow, key: str) -> tuple[FlagRow, Flag]:
    """Return a flag, its row held, as the environment serves it.

    Raises:
        NotFound: there is none, or it is archived.
    """
    row = (await tx.flags.lock(environment.project_id, [key])).get(key)
    if row is None:
        raise NotFound(f"there is no flag {key!r} in project {environment.project!r}")
    if row.archived_at_ms is not None:
        raise NotFound(f"the flag {key!r} is archived")
    document = msgspec.json.decode(row.document, type=FlagDocument)
    layers = await read_served_layers(tx, environment.project_id)
    return row, serve(document, environment.key, row.version, layers)


async def start_ramp(
    tx: Transaction,
    environment: EnvironmentRow,
    prepared: Prepared,
    sources: Sources,
    *,
    actor: str,
    at_ms: int,
    draft: RampRow | None = None,
) -> tuple[RampRow, tuple[str, ...]]:
    """Write a new ramp with all that it serves; return it, and what a person should know: ``changes`` first.

    ``draft`` is the one whose time has come: it becomes the ramp.

    Raises:
        Invalid: the plan cannot work, or who is exposed would not be drawn apart from what goes before.
        NotFound: there is no such flag.
        Refused: the flag is disabled there.
        Conflict: the flag is killed there, a ramp of it is live, or one of another flag on the same salt and unit; or
            the ramp before it left users at several exposures.
    """
    document, origin = prepared.document, prepared.origin
    _, flag = await locked_flag(tx, environment, document.flag)
    if not flag.enabled:
        raise Refused(f"{flag.key} is disabled in {environment.key}: enable it first, nobody would be exposed")
    rollout = ramping(flag, document, environment.key)
    rows = await tx.ramps.lock_of_flag(environment.id, flag.key)
    for row in rows:
        if row.live:
            raise Conflict(
                f"ramp {row.id} of {flag.key} ({row.rollout}) is {row.state.status} in {environment.key}, and a flag "
                "has one ramp at a time: abort it first, or wait until it is over"
            )
    kills = await tx.kills.in_force(environment.id, flag.key)
    if kills:
        raise Conflict(f"{flag.key} is killed in {environment.key} ({kills[0].reason}); revive it first")
    earlier = next((row for row in rows if row.rollout == document.rollout), None)
    one_exposure(earlier)
    plan = await planned(tx, environment, flag, prepared, sources, earlier=earlier, at_ms=at_ms)
    row = new_row(
        plan,
        environment.id,
        declared_ppm=rollout.exposure_ppm,
        before=None if earlier is None else earlier.id,
        actor=actor,
        at_ms=at_ms,
        origin=origin,
    )
    if draft is not None:
        begun = begun_from(plan, draft.state, at_ms)
        row = msgspec.structs.replace(
            row, id=draft.id, version=draft.version + 1, started_by=draft.started_by, state=begun
        )
    served = Served()
    if earlier is not None:
        await cover(tx, earlier, at_ms, served, actor=actor)
    await write_new(tx, row, served, actor=actor, drafted=draft is not None)
    await served.publish(tx, environment.id)
    await refuse_shared_line(tx, environment, flag.key, rollout, but=row.id)
    notes = (*prepared.notes, *_standing_before(row, earlier), *notes_of(plan, prepared.watched, at_ms))
    steps = ", ".join(f"{ppm_to_percent(step.exposure_ppm):g}" for step in plan.steps)
    again = "" if origin.restart_of is None else f" again, as ramp {origin.restart_of} was"
    planned_for = "" if draft is None else " as it was planned"
    summary = f"a ramp of {flag.key} ({row.rollout}) started{again}{planned_for}: steps {steps} %"
    detail: dict[str, object] = {"notes": notes, "digest": origin.digest, "restart_of": origin.restart_of}
    if prepared.reason:
        summary += f"; {prepared.reason}"
        detail["reason"] = prepared.reason
    await tx.audit.add(audit_entry(row, "ramp.start", summary, actor=actor, at_ms=at_ms, detail=detail))
    return row, notes


async def planned(
    tx: Transaction,
    environment: EnvironmentRow,
    flag: Flag,
    prepared: Prepared,
    sources: Sources,
    *,
    earlier: RampRow | None,
    at_ms: int,
) -> Plan:
    """Return the plan of a ramp on the flag as it is served. ``earlier`` is the ramp that is in force on its rollout.

    Raises:
        Invalid: the plan cannot work; all faults are listed.
    """
    document = prepared.document
    rollout = ramping(flag, document, environment.key)
    start_ppm = rollout.exposure_ppm if earlier is None else reached_ppm(earlier.plan, earlier.state.exposure_ppm)
    former = await tx.ramps.in_environment(environment.id, flag=flag.key, limit=FORMER_RAMPS)
    faults = await line_faults(tx, environment, flag, document.rollout)
    try:
        plan = plan_of(
            document,
            project=environment.project,
            rollout=rollout,
            start_ppm=start_ppm,
            family=sources.family,
            interval_s=sources.interval_s,
            scrape_s=sources.scrape_s,
            users=_users_lately(former, document, at_ms),
            watched={one.index: one.guardrail for one in prepared.watched},
            now_ms=at_ms,
        )
    except Invalid as error:
        raise Invalid([*in_block(error.faults, prepared.whole), *faults], "the ramp") from error
    if faults:
        raise Invalid(faults, "the ramp")
    return plan if prepared.origin.from_ppm is None else beginning_at(plan, prepared.origin.from_ppm)


def notes_of(plan: Plan, watched: Sequence[Watched], at_ms: int) -> tuple[str, ...]:
    """Return what a person should know of a plan that starts at ``at_ms``."""
    now = [line for one in watched for line in now_lines(one)]
    return (*remarks(plan), *calendar_remarks(plan.advance_windows, plan.freezes, at_ms), *now)


def new_row(
    plan: Plan,
    environment_id: int,
    *,
    declared_ppm: int,
    before: str | None,
    actor: str,
    at_ms: int,
    origin: Origin | None,
) -> RampRow:
    """Return the first state of a ramp, with a fresh key for its units' hashes. ``before``: the ramp it covers."""
    return RampRow(
        id=time_ordered_id(at_ms),
        environment_id=environment_id,
        flag=plan.flag,
        rollout=plan.rollout,
        live=True,
        overlaid=True,
        version=1,
        plan=plan,
        state=start(plan, at_ms),
        unit_key=secrets.token_bytes(UNIT_KEY_BYTES),
        declared_ppm=declared_ppm,
        start_ppm=plan.start_ppm,
        before_ramp=before,
        started_by=actor,
        started_at_ms=at_ms,
        origin=origin,
    )


def one_exposure(earlier: RampRow | None) -> None:
    """Refuse to go on from a ramp that left users at several exposures: some of them would lose or gain at once.

    Raises:
        Conflict: it did; the message names it.
    """
    if earlier is not None and (cells := cells_of(earlier.plan, earlier.state)) is not None:
        why = (
            f"ramp {earlier.id} has left {cells.attribute} {', '.join(map(spelled, cells.done))} above all other users"
        )
        raise Conflict(f"{why}; write the exposure that all are to have into the flag first, or a rule for those")


async def standing_in_the_way(tx: Transaction, environment: EnvironmentRow, document: RampDocument) -> str | None:
    """Return why a ramp has to wait for another, in words: its users stand apart, or a neighbour's are the same.

    Raises:
        Invalid, NotFound: as ``start_ramp``.
    """
    _, flag = await locked_flag(tx, environment, document.flag)
    rollout = ramping(flag, document, environment.key)
    rows = await tx.ramps.of_flag(environment.id, flag.key)
    try:
        one_exposure(next((row for row in rows if row.rollout == document.rollout), None))
        await refuse_shared_line(tx, environment, flag.key, rollout)
    except Conflict as error:
        return str(error)
    return None


def _users_lately(former: Sequence[RampRow], document: RampDocument, at_ms: int) -> int | None:
    """Return how many users the last ramp of this rollout saw, if it was lately and long enough to tell.

    Of more than ``MOST_UNITS`` only a share is counted, and all that is known is that they are not few. A rolling ramp
    sees those of its last stage, and a comparison those whom it compares: they tell nothing, nor are they told.
    """
    if document.by is not None or document.baseline is not None:
        return None
    for row in former:
        observed_ms = row.state.observed_ms
        if row.plan.stages or row.plan.baseline is not None:
            continue
        if row.rollout != document.rollout or observed_ms is None or at_ms - observed_ms > LATELY_MS:
            continue
        users = row.state.crowd.users
        if observed_ms - row.started_at_ms >= TELLING_PREFLIGHT_S * 1000 and users:
            return users if users < MOST_UNITS else None
    return None


def ramping(flag: Flag, document: RampDocument, environment: str) -> Rollout:
    """Return the rollout that a ramp turns.

    Raises:
        Invalid: there is none of this name, or it could not be killed as the document says.
    """
    rollout = rollout_of(flag, document.rollout)
    if rollout is None:
        named = [rule.name for rule in flag.rules if rule.answer.rollout is not None]
        if flag.default.rollout is not None:
            named.insert(0, "default")
        there = f"there are {', '.join(named)}" if named else f"{flag.key} has none in {environment}"
        raise Invalid([Fault("rollout", f"there is no rollout {document.rollout!r}", there)], "the ramp")
    if faults := off_variant_faults(flag, document.kill):
        raise Invalid(faults, "the ramp")
    return rollout


def _standing_before(row: RampRow, earlier: RampRow | None) -> tuple[str, ...]:
    if earlier is None:
        return ()
    declared, now = ppm_to_percent(row.declared_ppm), ppm_to_percent(row.start_ppm)
    return (f"declared {declared:g} %, in force {now:g} % by ramp {earlier.id}: this ramp goes on from there",)
