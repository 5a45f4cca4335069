"""Anything that people, the controller and the clock may do to a flag's ramps, in any order."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rheostat.model.kill import KillScope
from rheostat_server.adapters.evidence.reported import ReportedEvidence
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.adapters.storage.postgres.storage import PostgresStorage
from rheostat_server.errors import Conflict, Invalid, RheostatServerError
from rheostat_server.flags.apply import ApplyService
from rheostat_server.flags.service import ANY
from rheostat_server.ramps.controller import RampController
from rheostat_server.ramps.model import Action, Family, Status
from rheostat_server.ramps.overlay_rules import OverlayRules
from tests.integration.blind_source import SometimesBlind
from tests.integration.ramp_picture import Declared, Picture, check_between, check_log, check_now, picture, same
from tests.integration.ramp_plans import PLANS, SHORT
from tests.integration.ramp_world import (
    ADMIN,
    FLAG,
    PROJECT,
    Application,
    flag_document,
    ramp_world,
)

EXPOSURES = (0, 5, 20, 60, 90, 100)
ASKED = [Action.ADVANCE, Action.PAUSE, Action.RESUME, Action.APPROVE, Action.ABORT]
WRITES = ("the same", "adopt", "the same", "what spoils", "the owner", "what spoils", "exposure", "enabled", "archive")
EARLY = {"name": "pro", "when": {"attribute": "plan", "operator": "in", "values": ["pro"]}, "serve": "on"}


class RampMachine(RuleBasedStateMachine):
    """One flag with one rollout, on a database of its own."""

    def __init__(self, database_url: str, runner: asyncio.Runner) -> None:
        super().__init__()
        self._run = runner.run
        self._stack = AsyncExitStack()
        self.declared = Declared()
        self.killed = False
        self.seen: set[str] = set()
        self._starts: dict[str, int] = {}
        self._refused: RheostatServerError | None = None
        self._run(self._open(database_url))
        self.now = self._run(picture(self.world, self.declared))

    async def _open(self, database_url: str) -> None:
        database = await self._stack.enter_async_context(await Database.open(database_url))
        self.source = SometimesBlind(ReportedEvidence(PostgresStorage(database)))
        self.world = await self._stack.enter_async_context(ramp_world(database, {Family.REPORTED: self.source}))
        self.leader: RampController = self.world.controller
        # Fewer than the server counts one by one, so that nothing hangs on how units hash.
        self.crowd = Application(self.world, users=1_500)
        await self.world.put(_document(self.declared))

    def teardown(self) -> None:
        """Every log replays to the stored state, and nothing in it went up without a right."""
        self._run(self._check_logs())
        self._run(self._stack.aclose())

    async def _check_logs(self) -> None:
        for row in self.now.ramps:
            async with self.world.storage.transaction() as tx:
                check_log(row, await tx.ramps.decisions(row.id, limit=10_000))

    # What may be done

    @initialize(plan=st.sampled_from(sorted(PLANS)), over=st.booleans())
    def begin(self, plan: str, *, over: bool) -> None:
        """Nothing is worth doing without a ramp; half of the time there is a promoted one beneath it."""
        if over:
            self._do(lambda: self.world.start(**SHORT, unguarded=True, steps=[7], holdback=2, keep_holdback=True))
            self._starts[self.now.ramps[0].id] = 0
            while self.now.live is not None:
                self._tick()
        self.start(plan, able=True)
        assert not isinstance(self._refused, Invalid), "the plans of a test can work"

    @precondition(lambda self: self.now.live is None)
    @rule(plan=st.sampled_from(sorted(PLANS)), able=st.sampled_from([True, True, False]))
    def start(self, plan: str, *, able: bool) -> None:
        """Start a ramp, from the exposure in force; ``able``: whatever would forbid it on the flag is mended first."""
        self.world.manual.advance(1)
        if able and self.declared.archived:
            self.archive()
        if able and not self.declared.enabled:
            self.write_enabled()
        if able and self.killed:
            self.revive()
        in_force = self.now.in_force_ppm
        before = self._do(lambda: self.world.start(**{"steps": [10], **PLANS[plan]}))
        if self._refused:
            return
        row = self.now.ramps[0]
        self._starts[row.id] = in_force
        assert before.live is None
        assert not before.kills
        assert row.start_ppm == in_force
        assert self.now.exposed >= before.exposed
        if row.state.status is Status.ARMING:
            assert self.now.exposed == before.exposed, "nobody new is exposed while arming"

    @precondition(lambda self: self.now.live is not None)
    @rule(
        crowd=st.sampled_from(["harmless", "blind", "harmful", "silent", "outage"]),
        ticks=st.sampled_from([1, 3, 9]),
    )
    def ride(self, crowd: str, ticks: int) -> None:
        """Some seconds pass, with this crowd, and the controller looks each second."""
        self.source.blind = crowd == "blind"
        self.crowd.usual = 0.3 if crowd == "outage" else 0.005
        self.crowd.harm = 0.5 if crowd == "harmful" else self.crowd.usual
        for _ in range(ticks):
            if crowd != "silent":
                self._run(self.crowd.serve(300))
            self._tick()
        self.source.blind = False

    @precondition(lambda self: self.now.live is not None)
    @rule(harm=st.sampled_from([False, False, True]))
    def climb(self, *, harm: bool) -> None:
        """The ramp has all the time and users that it needs; harm comes on the way."""
        for part in range(4):
            if self.now.live is not None:
                self.ride("harmful" if harm and part == 2 else "harmless", 9)

    @rule(seconds=st.sampled_from([5, 61, 901, 6 * 3600]))
    def wait(self, seconds: int) -> None:
        """Time passes with nobody looking; then the controller does. A ramp that is live lets no other begin."""
        self.world.manual.advance(seconds)
        self._tick()
        if self.now.live is not None:
            self._do(lambda: self.world.start(steps=[100]))
            assert self._refused is not None

    @precondition(lambda self: self.now.live is not None)
    @rule(
        action=st.sampled_from([one for one in Action if one not in {Action.KILL, Action.REVIVE}]),
        back=st.integers(0, 2),
    )
    def act(self, action: Action, back: int) -> None:
        """A person does something to this ramp or the one before it; what is allowed was told beforehand."""
        row = self.now.ramps[min(back, len(self.now.ramps) - 1)]
        told = self._run(self.world.view(row.id)).actions
        before = self._do(lambda: self.world.act(row.id, action))
        assert (self._refused is None) == (action in told)
        if self._refused is not None:
            assert isinstance(self._refused, Conflict)
            assert f"It stands {row.state.status}" in str(self._refused)
            return
        if action is Action.ABORT:
            assert self.now.in_force_ppm == self._starts[row.id], "an abort brings back what was in force before"
        if action is not Action.ADVANCE:
            assert self.now.exposed <= before.exposed

    @precondition(lambda self: self.now.live is not None or self.killed)
    @rule(scope=st.sampled_from([None, *KillScope]))
    def kill_or_revive(self, scope: KillScope | None) -> None:
        """A person takes the flag back, or lets it serve again."""
        if self.killed and scope is None:
            self.revive()
        else:
            self.kill(scope)

    def kill(self, scope: KillScope | None) -> None:
        """A person takes the flag back."""
        self._do(lambda: self.world.kill(scope=scope))
        if self._refused is None:
            self.killed = True
            assert self.now.exposed == frozenset()
            assert self.now.live is None

    def revive(self) -> None:
        """A person lets the flag serve again: what was in force before the ramp, never what it had reached."""
        ended = [row for row in self.now.ramps if row.state.status is Status.KILLED]
        self._do(self.world.revive)
        if self._refused is not None:
            assert self.declared.archived
            return
        self.killed = False
        assert self.now.kills == ()
        for row in ended:
            now = self.now.ramp(row.id)
            assert now is not None
            assert now.state.status is Status.ABORTED
            # A write may have changed the document's exposure under the kill.
            assert self.now.in_force_ppm in {self._starts[row.id], self.declared.exposure_ppm}

    # What may be written. One rule: of many rules, hypothesis leaves half away in each example.

    @rule(what=st.sampled_from(WRITES), data=st.data())
    def write(self, what: str, data: st.DataObject) -> None:
        """Somebody writes the flag."""
        match what:
            case "exposure":
                self.write_exposure(data.draw(st.sampled_from(EXPOSURES)))
            case "what spoils":
                self.write_what_spoils(restart=data.draw(st.booleans()), early=data.draw(st.booleans()))
            case "the same":
                self.write_the_same()
            case "the owner":
                self.write_the_owner()
            case "enabled":
                self.write_enabled()
            case "adopt":
                self.adopt()
            case _:
                self.archive()

    def write_exposure(self, percent: int) -> None:
        """Whoever writes an exposure means it."""
        before = self._write(exposure_ppm=percent * 10_000)
        if self._refused is None and before.declared.exposure_ppm != self.declared.exposure_ppm:
            assert self.now.live is None
            assert self.now.in_force_ppm == self.declared.exposure_ppm

    def adopt(self) -> None:
        """The document is made to say what is in force: nobody moves, unless a holdback was kept."""
        over = next((row for row in self.now.ramps if row.overlaid), None)
        if over is None or over.live or self.now.left_out:
            return
        before = self._write(exposure_ppm=over.state.exposure_ppm)
        if self._refused is None and not over.plan.keep_holdback:
            assert self.now.exposed == before.exposed

    def write_the_same(self) -> None:
        """The unchanged file moves nobody, at any time, by whatever way it comes."""
        if self.declared.archived:
            return
        for write in (self._put, self._apply):
            before = self._do(write)
            assert self._refused is None
            assert same(before, self.now)

    def write_the_owner(self) -> None:
        """What is beside the rollout is no matter to a ramp."""
        before = self._write(owner="b@example.com" if self.declared.owner == "a@example.com" else "a@example.com")
        if self._refused is None:
            assert (self.now.ramps, self.now.exposed) == (before.ramps, before.exposed)

    def write_enabled(self) -> None:
        """The flag is disabled or enabled."""
        before = self._write(enabled=not self.declared.enabled)
        if self._refused is not None:
            return
        if before.live is None:
            assert self.now.ramps == before.ramps, "what was promoted is in force again when the flag is enabled"
        if not self.declared.enabled:
            assert self.now.live is None
            assert self.now.exposed == frozenset()

    def write_what_spoils(self, *, restart: bool, early: bool) -> None:
        """A new salt, or an earlier rule: a live ramp forbids it, or starts afresh."""
        change: dict[str, Any] = (
            {"early_rule": not self.declared.early_rule}
            if early
            else {"salt": "fresh" if self.declared.salt == FLAG else FLAG}
        )
        live = self.now.live
        before = self._write(restart=restart, **change)
        if live is None:
            return
        if not restart:
            assert isinstance(self._refused, Conflict) or self.declared.archived
        if self._refused is None:
            fresh = self.now.live
            assert fresh is not None
            assert fresh.id != live.id
            assert fresh.state.step <= 0
            self._starts[fresh.id] = self._starts[live.id] if fresh.before_ramp else self.declared.exposure_ppm
            assert [step.exposure_ppm for step in fresh.plan.steps] == [step.exposure_ppm for step in live.plan.steps]
        else:
            assert same(before, self.now)

    def archive(self) -> None:
        """The flag goes out of service, or back: no ramp outlives that, and every kill does."""
        flags, gone = self.world.flags, self.declared.archived

        async def write() -> object:
            if gone:
                return await flags.unarchive(PROJECT, FLAG, ADMIN, condition=ANY)
            return await flags.archive(PROJECT, FLAG, ADMIN, condition=ANY, force=True)

        before = self._do(write, archived=not gone)
        assert self._refused is None
        assert self.now.kills == before.kills
        assert not any(row.overlaid for row in self.now.ramps)

    # Nodes

    @rule()
    def change_nodes(self) -> None:
        """The leader falls silent, and another node takes over; the former wakes, and changes nothing."""
        before, former = self.now, self.leader
        self.leader = self.world.another_controller(f"n{self.world.manual.wall_ms()}")

        async def contend() -> None:
            await self.leader.lease.step()
            self.world.manual.advance(7)
            await self.leader.lease.step()

        self._run(contend())
        assert self.leader.lease.token is not None
        self._run(self.world.tick(former))
        self._look(before)
        assert same(before, self.now)

    # What is always true

    @invariant()
    def is_as_it_should_be(self) -> None:
        """Who is exposed is who should be, and what is killed stays killed."""
        check_now(self.now)
        assert bool(self.now.kills) == self.killed

    def _do(self, work: Callable[[], Awaitable[object]], **declared: Any) -> Picture:
        """Do it, or find it refused; return how it was before. What is refused has changed nothing."""
        before, self._refused = self.now, None
        try:
            self._run(_coroutine(work))
        except RheostatServerError as error:
            self._refused = error
        else:
            self.declared = msgspec.structs.replace(self.declared, **declared)
        self._look(before)
        if self._refused is not None:
            assert same(before, self.now), f"refused ({self._refused}), and something changed"
        return before

    def _look(self, before: Picture) -> None:
        self.now = self._run(picture(self.world, self.declared))
        self.seen.update(row.state.status for row in self.now.ramps)
        if (live := self.now.live) is not None:
            self.seen.update({"a later stage"} if live.state.stage else ())
            self.seen.update({"a shut calendar"} if live.state.shut is not None else ())
        check_between(before, self.now)

    def _tick(self) -> None:
        before = self.now
        self._run(self.world.tick(self.leader))
        self._look(before)
        self.killed = self.killed or len(self.now.kills) > len(before.kills)
        live = before.live
        if live is None:
            assert same(before, self.now)
            return
        after = self.now.ramp(live.id)
        assert after is not None
        released = after.state.status is Status.PROMOTED and not after.plan.keep_holdback
        if live.state.status is Status.PAUSED:
            assert after.state.status in {Status.PAUSED, Status.KILLED, Status.ABORTED}
        if live.state.status is Status.PAUSED or (self.source.blind and live.plan.guarded):
            assert self.now.exposed <= before.exposed or released

    def _write(self, *, restart: bool = False, **changes: Any) -> Picture:
        declared = msgspec.structs.replace(self.declared, **changes)
        return self._do(lambda: self.world.put(_document(declared), restart=restart), **changes)

    async def _put(self) -> object:
        return await self.world.put(_document(self.declared))

    async def _apply(self) -> object:
        service = ApplyService(self.world.storage, self.world.clock, OverlayRules(), self.world.announced.extend)
        return await service.apply(PROJECT, [_document(self.declared)], ADMIN, dry_run=False, prune=False, force=True)


async def _coroutine(work: Callable[[], Awaitable[object]]) -> object:
    return await work()


def _document(said: Declared) -> dict[str, Any]:
    return flag_document(
        said.exposure_ppm / 10_000,
        enabled=said.enabled,
        owner=said.owner,
        rollout={"salt": said.salt},
        environment={"rules": [EARLY] if said.early_rule else []},
    )
