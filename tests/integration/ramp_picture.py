"""A picture of all of a flag's ramps at one moment, and what has to be true of it, and of any two in a row."""

from collections.abc import Sequence

import msgspec

from rheostat.engine.evaluate import Ruleset
from rheostat.engine.hashing import place
from rheostat.model.context import Context
from rheostat.model.kill import KillScope
from rheostat.model.shares import TOTAL_PPM
from rheostat.model.snapshot import Identity
from rheostat_server.ports.ramps import DecisionRow, KillRow, RampRow
from rheostat_server.ramps.decide import proved
from rheostat_server.ramps.evidence import Sight
from rheostat_server.ramps.few import is_manual
from rheostat_server.ramps.ladder import step_at, treated_share
from rheostat_server.ramps.model import LIVE, Action, GuardrailState, Plan, State, Status
from rheostat_server.ramps.observe import observe
from rheostat_server.ramps.records import DecisionRecord
from rheostat_server.ramps.replay import replay
from rheostat_server.ramps.verdicts import Advance, Begin, Hold, NextStage, Promote, Soak
from rheostat_server.ramps.windows import shut_at
from rheostat_server.streaming.decoding import snapshot_of
from tests.integration.ramp_world import ENVIRONMENT, FLAG, PROJECT, RampWorld, region_of, without_cursors

USERS = [
    Context.of(name, {} if (region := region_of(name)) is None else {"region": region})
    for name in (f"user-{number}" for number in range(300))
]


class Declared(msgspec.Struct, frozen=True):
    """What the flag's document says, as a test wrote it."""

    exposure_ppm: int = 0
    enabled: bool = True
    salt: str = FLAG
    early_rule: bool = False
    archived: bool = False
    owner: str = "a@example.com"


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """All that is stored of the flag's ramps, newest first, and who is served the variant."""

    declared: Declared
    ramps: tuple[RampRow, ...]
    kills: tuple[KillRow, ...]
    exposed: frozenset[str]
    audit: int
    revision: int

    def ramp(self, ramp_id: str) -> RampRow | None:
        """Return a ramp, if it is there."""
        return next((row for row in self.ramps if row.id == ramp_id), None)

    @property
    def live(self) -> RampRow | None:
        """The live ramp."""
        return next((row for row in self.ramps if row.live), None)

    @property
    def in_force_ppm(self) -> int:
        """The exposure that is in force, kills apart."""
        over = next((row for row in self.ramps if row.overlaid), None)
        if over is None:
            return self.declared.exposure_ppm
        kept = over.plan.holdback_ppm if over.plan.keep_holdback and not over.live else 0
        return min(over.state.exposure_ppm, TOTAL_PPM - kept)

    @property
    def left_out(self) -> bool:
        """Whether a rolling ramp that was promoted has left others out: another cannot go on from two exposures."""
        over = next((row for row in self.ramps if row.overlaid), None)
        return over is not None and not over.live and bool(over.plan.stages and over.plan.stages[-1].values)


async def picture(world: RampWorld, declared: Declared) -> Picture:
    """Return what is there now: users are evaluated by the engine, on the snapshot of what is served."""
    async with world.storage.transaction() as tx:
        ramps = await tx.ramps.in_environment(world.environment.id, limit=500)
        kills = await tx.kills.in_force(world.environment.id, FLAG)
        served = await tx.served.since(world.environment.id, 0)
        revision = (await tx.environments.get(PROJECT, ENVIRONMENT)).revision
        last = await tx.audit.read(limit=1)
    rules = Ruleset.of(snapshot_of(served, Identity(1, revision), PROJECT, ENVIRONMENT))
    return Picture(
        declared=declared,
        ramps=tuple(ramps),
        kills=tuple(kills),
        exposed=frozenset(str(user.targeting_key) for user in USERS if rules.evaluate(FLAG, user).value is True),
        audit=last[0].id if last else 0,
        revision=revision,
    )


def should_be_exposed(now: Picture) -> frozenset[str]:
    """Return who should be exposed by what is stored, worked out without the engine."""
    said = now.declared
    if said.archived or not said.enabled or now.kills:
        return frozenset()
    over = next((row for row in now.ramps if row.overlaid), None)
    ppm, holdback_ppm = said.exposure_ppm, 0
    if over is not None:
        ppm = over.state.exposure_ppm
        keeps = over.live or over.plan.keep_holdback
        holdback_ppm = over.plan.holdback_ppm if keeps else 0
    return frozenset(
        name
        for user in USERS
        for name in [str(user.targeting_key)]
        if place(said.salt, name) < min(ppm if over is None else _ppm_of(over, name), TOTAL_PPM - holdback_ppm)
    )


def _ppm_of(over: RampRow, name: str) -> int:
    """Return the exposure of a user, by the stage of a rolling ramp that has the user's region, or all others."""
    plan, state = over.plan, over.state
    if not plan.stages:
        return state.exposure_ppm
    values = [stage.values for stage in plan.stages]
    of = [index for index, each in enumerate(values) if region_of(name) in each or not each]
    if not of:
        return plan.start_ppm
    if not over.live or of[0] == state.stage:
        return state.exposure_ppm
    return plan.steps[-1].exposure_ppm if of[0] < state.stage else plan.start_ppm


def check_now(now: Picture) -> None:
    """What is true at every moment."""
    assert now.exposed == should_be_exposed(now)
    assert sum(row.live for row in now.ramps) <= 1
    assert sum(row.overlaid for row in now.ramps) <= 1
    for row in now.ramps:
        assert row.live == (row.state.status in LIVE)
        assert not row.live or row.overlaid
        assert not row.overlaid or row.live or row.state.status is Status.PROMOTED
        if row.state.status is Status.KILLED:
            assert row.state.exposure_ppm == 0
            assert now.kills, "a killed ramp is held down by a kill"
            assert now.exposed == frozenset()
        if row.state.status is Status.DRAFT:
            assert not row.overlaid, "nothing of a draft is in force"
            assert row.state.exposed_since_ms is None
        if row.state.status is Status.ABORTED:
            assert row.state.exposure_ppm == row.plan.start_ppm
        if row.live and row.state.exposed_since_ms is None:
            assert row.state.exposure_ppm == row.plan.start_ppm, "nobody new is exposed while arming"
    for kill in now.kills:
        assert kill.scope is not KillScope.FLAG or now.live is None
        assert now.live is None


def check_between(before: Picture, now: Picture) -> None:
    """What is true of every change, whoever made it."""
    assert now.revision - before.revision in {0, 1}, "one change, one revision"
    assert now.exposed == before.exposed or now.revision > before.revision
    if before.declared.salt == now.declared.salt:
        assert before.exposed <= now.exposed or now.exposed <= before.exposed, "up adds users, back brings the same"
    moved = len(now.ramps) > len(before.ramps) or now.kills != before.kills
    for row in now.ramps:
        was = before.ramp(row.id)
        if was is None:
            continue
        steps = row.version - was.version
        assert steps >= 0
        assert 0 <= row.state.epoch - was.state.epoch <= steps
        was_draft = was.state.status is Status.DRAFT
        if not was_draft:
            assert (row.plan, row.unit_key, row.declared_ppm) == (was.plan, was.unit_key, was.declared_ppm)
        assert (row.state == was.state and row.overlaid == was.overlaid) or steps > 0
        if was.state.status is not row.state.status or was.state.epoch != row.state.epoch:
            moved = True
        if was.overlaid != row.overlaid:
            moved = True
        if not was.live and not was_draft:
            assert not row.live, "what is over stays over"
            assert was.state.status is row.state.status or was.state.status is Status.KILLED
    assert not moved or now.audit > before.audit, "every change is in the audit"


def same(before: Picture, now: Picture) -> bool:
    """Whether nothing at all has changed."""
    return msgspec.structs.replace(before, declared=now.declared) == now


def check_log(row: RampRow, decisions: Sequence[DecisionRow]) -> None:
    """A ramp's whole log gives its stored state again, and whatever went up had the right to."""
    assert [one.seq for one in decisions] == list(range(1, row.version + 1))
    before, plan = State(), row.plan
    for stored, again in zip(decisions, replay(decisions), strict=True):
        assert again.differences == ()
        record = msgspec.json.decode(stored.body, type=DecisionRecord)
        if stored.seq > 1 and record.plan is not None:
            assert before.status is Status.DRAFT, "a plan is made anew for a draft that starts"
            plan = record.plan
        elif stored.seq > 1:
            _check_step(plan, before, again.state, record, stored.at_ms)
        before = again.state
    assert without_cursors(before) == without_cursors(row.state)


def _check_step(plan: Plan, before: State, after: State, record: DecisionRecord, at_ms: int) -> None:
    by_rule = isinstance(record.decision, NextStage)
    if after.stage != before.stage:
        assert after.stage == before.stage + 1
        assert before.step == len(plan.steps) - 1, "a stage is left from its last step"
        assert after.step <= 0
        assert by_rule or record.action is Action.ADVANCE
    else:
        assert abs(after.step - before.step) <= 1
    if record.evidence is not None and _exposes_more(before, after):
        assert shut_at(plan.advance_windows, plan.freezes, at_ms) is None, "went up while its calendar was shut"
    assert after.epoch - before.epoch in {0, 1}
    up = after.exposure_ppm > before.exposure_ppm
    if record.evidence is None:
        by_word = record.action is not None and record.action.value in {"advance", "revive"}
        assert not up or by_word, f"{record.action or record.event} went up"
        return
    seen = observe(plan, before, record.evidence)
    assert not up or isinstance(record.decision, Begin | Advance)
    if isinstance(record.decision, Begin | Advance | NextStage | Soak | Promote):
        assert before.status is not Status.PAUSED
        assert all(eye.sight is Sight.SEEN for eye in seen.guardrails.values())
        assert before.exposed_since_ms is None or not any(eye.holding for eye in seen.guardrails.values())
    if isinstance(record.decision, Advance | NextStage | Soak) and plan.guarded:
        assert _is_proved(plan, seen)
    if before.status is Status.PAUSED and isinstance(record.decision, Hold):
        assert after.status is Status.PAUSED


def _exposes_more(before: State, after: State) -> bool:
    begun = after.stage != before.stage and after.exposed_since_ms is not None
    return begun or after.exposure_ppm > before.exposure_ppm


def _is_proved(plan: Plan, seen: State) -> bool:
    """Whether the step may be left: by proof, by a person's approval where so few users prove nothing, or from 0."""
    if is_manual(plan, seen):
        return seen.approved_step == seen.step
    if treated_share(plan, step_at(plan, seen.step).exposure_ppm) == 0:
        return True
    eyes = [seen.guardrails.get(one.name, GuardrailState()) for one in plan.guardrails if one.may_kill]
    return all(proved(eye) for eye in eyes)
