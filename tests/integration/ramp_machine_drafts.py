"""Drafts among all that may be done to a flag's ramps, in any order."""

from datetime import UTC, datetime

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from rheostat_server.ramps.draft_runner import DraftRunner
from rheostat_server.ramps.model import Action, Status
from tests.integration.ramp_machine import EXPOSURES, RampMachine
from tests.integration.ramp_plans import PLANS

DRAFTED = ("with a pre-flight", "at once", "by region and time", "with a window", "unguarded")
AHEAD_S = 5


class DraftingRampMachine(RampMachine):
    """One flag with one rollout, and ramps of it that start later."""

    @precondition(lambda self: not self.declared.archived)
    @rule(
        plan=st.sampled_from(DRAFTED),
        between=st.sampled_from(["nothing", "nothing", "an exposure", "disabled or enabled", "a kill"]),
        exposure=st.sampled_from(EXPOSURES),
        end=st.sampled_from(["time", "time", "advance", "abort"]),
    )
    def draft(self, plan: str, between: str, exposure: int, end: str) -> None:
        """A ramp is planned, something happens, and its time comes or a person ends the waiting."""
        self.world.manual.advance(1)
        starts = datetime.fromtimestamp(self.world.clock.wall_ms() / 1000 + AHEAD_S, UTC).isoformat()
        before = self._do(lambda: self.world.start(**{"steps": [10], **PLANS[plan], "start_at": starts}))
        if self._refused is not None:
            return
        [draft] = [row for row in self.now.ramps if row.state.status is Status.DRAFT]
        assert (self.now.exposed, self.now.live, self.now.revision) == (before.exposed, before.live, before.revision)
        if between == "an exposure":
            self.write_exposure(exposure)
        elif between == "disabled or enabled":
            self.write_enabled()
        elif between == "a kill":
            self.kill(None)
        now = self.now.ramp(draft.id)
        assert now is not None
        assert now == draft, "nothing but its time or a person moves a draft"
        if end == "abort":
            self._abort_draft(draft.id)
        elif end == "time":
            self._let_time_come(draft.id)
        else:
            before = self._do(lambda: self.world.act(draft.id, Action.ADVANCE))
            if self._refused is not None:
                self._abort_draft(draft.id)
            else:
                self._has_begun(draft.id, exposed=before.exposed, in_force_ppm=before.in_force_ppm)

    def _abort_draft(self, ramp_id: str) -> None:
        before = self._do(lambda: self.world.act(ramp_id, Action.ABORT))
        row = self.now.ramp(ramp_id)
        assert row is not None
        assert row.state.status is Status.ABORTED
        assert (self.now.exposed, self.now.live, self.now.revision) == (before.exposed, before.live, before.revision)

    def _let_time_come(self, ramp_id: str) -> None:
        runner = DraftRunner(self.world.storage, self.world.clock, self.world.ramps.start_due, self.leader.lease)
        before = self.now
        self._run(runner.tick())
        self._look(before)
        row = self.now.ramp(ramp_id)
        assert row is not None
        assert row.state.status is Status.DRAFT, "not before its time"
        self.world.manual.advance(AHEAD_S)
        before = self.now
        self._run(runner.tick())
        self._look(before)
        row = self.now.ramp(ramp_id)
        assert row is not None
        able = before.live is None and not before.kills and self.declared.enabled
        if row.state.status is Status.ABORTED:
            assert row.state.why.startswith("could not start: ")
            assert (self.now.exposed, self.now.live, self.now.revision) == (
                before.exposed,
                before.live,
                before.revision,
            )
        else:
            assert able
            self._has_begun(ramp_id, exposed=before.exposed, in_force_ppm=before.in_force_ppm)

    def _has_begun(self, ramp_id: str, *, exposed: frozenset[str], in_force_ppm: int) -> None:
        row = self.now.ramp(ramp_id)
        assert row is not None
        assert row.live
        assert row.start_ppm == in_force_ppm
        assert self.now.exposed >= exposed
        if row.state.status is Status.ARMING:
            assert self.now.exposed == exposed
        self._starts[ramp_id] = in_force_ppm
        self.seen.add("a draft that began")
