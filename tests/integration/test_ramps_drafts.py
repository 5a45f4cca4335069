"""Ramps that start later."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.errors import (
    Conflict,
    EvidenceUnavailable,
    Invalid,
    NotFound,
    Refused,
    StorageUnavailable,
)
from rheostat_server.flags.service import ANY
from rheostat_server.ports.evidence import Look
from rheostat_server.ramps.draft_runner import DraftRunner
from rheostat_server.ramps.model import Action, Status
from rheostat_server.ramps.overlay_rules import OverlayRules
from rheostat_server.ramps.terms import Queries, Term
from rheostat_server.ramps.watching import Watching
from rheostat_server.shared.service import SharedService
from tests.integration.ramp_world import (
    ADMIN,
    ENVIRONMENT,
    PROJECT,
    Application,
    RampWorld,
    flag_document,
    ramp_world,
    without_cursors,
)
from tests.integration.test_ramps_loop import replayed_state

AT_TEN = {"start_at": "2026-01-01T01:10", "timezone": "Europe/Madrid"}
"""The clock of these tests begins on Thu 1 Jan 2026 at 00:00 UTC, ten minutes before."""


class AScout:
    """A Prometheus that shows nothing yet, or is away."""

    away = False

    async def look(self, queries: Queries) -> Look:
        return Look(problem="query failed: refused" if self.away else None)

    async def bounds(self, buckets: str) -> tuple[tuple[str, ...], str | None]:
        if self.away:
            raise EvidenceUnavailable("Prometheus did not answer: refused")
        return (), f"no series {buckets}"

    async def minutes(self, terms: Sequence[Term], asked_ms: int) -> tuple[tuple[tuple[int, int], ...], str | None]:
        return (), "query failed: refused" if self.away else None


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written, at 0 %."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


async def kinds(world: RampWorld, ramp: str) -> list[str]:
    """Return the kinds of a ramp's decisions, in order."""
    listed = await world.ramps.decisions(PROJECT, ENVIRONMENT, ramp)
    return [one.kind for one in listed.decisions]


async def test_a_draft_is_kept_and_nothing_of_it_is_in_force(world: RampWorld) -> None:
    """It is listed with its time, serves nothing, announces nothing, and is in log and audit."""
    world.announced.clear()
    before = await world.revision()

    view = await world.start(**AT_TEN)

    assert (view.status, view.in_force, view.exposure, view.steps) == ("draft", False, 0, (10, 50, 100))
    assert view.start_at == "2026-01-01T00:10:00.000Z"
    assert view.standing.line == "draft: starts Thu 1 Jan 01:10 Europe/Madrid (in 10 min)"
    assert view.notes
    assert (await world.served()) == ([], [])
    assert (world.announced, await world.revision()) == ([], before)
    listed = await world.ramps.all(PROJECT, ENVIRONMENT)
    assert [(one.id, one.status, one.start_at) for one in listed.ramps] == [(view.id, "draft", view.start_at)]
    assert await kinds(world, view.id) == ["draft"]
    assert (await world.audited())[-1] == "ramp.draft"
    await world.tick()
    await world.drafts.tick()
    assert (await world.view(view.id)).status == "draft"


async def test_a_draft_starts_at_its_time_on_the_flag_as_it_is_then(world: RampWorld) -> None:
    """It keeps its id and its author; its plan is made anew, and the log gives each state again."""
    ramp = (await world.start(**AT_TEN)).id
    first_key = (await world.row(ramp)).unit_key
    await world.put(flag_document(exposure=20))
    world.manual.advance(599)
    await world.drafts.tick()
    assert (await world.view(ramp)).status == "draft"

    world.manual.advance(1)
    await world.drafts.tick()

    view = await world.view(ramp)
    assert (view.id, view.status, view.started_by, view.in_force) == (ramp, "arming", "ana", True)
    assert (view.declared, view.exposure, view.steps, view.start_at) == (20, 20, (50, 100), None)
    assert view.started_at == "2026-01-01T00:10:00.000Z"
    assert (await world.row(ramp)).unit_key != first_key
    [overlay], _ = await world.served()
    assert (overlay.ramp, overlay.exposure_ppm, overlay.arming_ppm) == (ramp, 200_000, 500_000)
    assert world.announced[-1] == world.environment.id
    assert await kinds(world, ramp) == ["draft", "start"]
    async with world.storage.transaction() as tx:
        [last] = await tx.audit.read(limit=1)
    assert (last.action, last.actor) == ("ramp.start", "ana")
    assert last.summary == "a ramp of checkout (default) started as it was planned: steps 50, 100 %"
    await world.ride(ramp, Application(world), until=["promoted"])
    assert without_cursors(await replayed_state(world, ramp)) == without_cursors((await world.row(ramp)).state)
    await world.drafts.tick()
    assert (await world.view(ramp)).status == "promoted", "it starts once"


async def test_a_draft_that_starts_names_the_template_that_it_took(world: RampWorld) -> None:
    """As it is then, with its version then: what is kept of where it came from is not the planning's."""
    templates = SharedService("template", world.storage, world.clock, OverlayRules(), world.announced.extend)

    async def write(**fields: Any) -> None:
        document = {"kind": "template", "key": "careful", **fields}
        await templates.put(PROJECT, "careful", document, ADMIN, condition=ANY, restart_ramp=False)

    await write(soak="5s")
    ramp = (await world.start(**AT_TEN, template="careful")).id
    planned = (await world.row(ramp)).origin
    await write(soak="6s")
    world.manual.advance(600)

    await world.drafts.tick()

    origin = (await world.row(ramp)).origin
    assert planned is not None
    assert origin is not None
    assert (planned.template_version, origin.template_version) == (1, 2)
    assert (origin.document, origin.digest) == (planned.document, planned.digest)
    async with world.storage.transaction() as tx:
        found = await tx.ramps.of_document(world.environment.id, "checkout", "default", origin.digest)
    assert found is not None
    assert found.id == ramp


async def test_a_draft_waits_for_a_prometheus_that_is_away(database: Database) -> None:
    """It is tried again and starts when that answers; by hand the answer says what did not, and it is still a draft."""
    scout = AScout()
    own = {"metric": "request-duration", "source": "application", "threshold": 500}
    async with ramp_world(database, watching=Watching(scout)) as world:
        await world.put()
        ramp = (await world.start(**AT_TEN, guardrails=[own])).id
        scout.away = True
        world.manual.advance(600)

        await world.drafts.tick()
        assert (await world.view(ramp)).status == "draft"
        with pytest.raises(EvidenceUnavailable, match=r"guardrails\[0\]: Prometheus did not answer: refused"):
            await world.act(ramp, Action.ADVANCE)
        mistaken = {"name": "other", "metric": "request-duration", "map": "unheard-of", "threshold": 500}
        with pytest.raises(Invalid) as caught:
            await world.start(guardrails=[own, mistaken])
        assert [fault.path for fault in caught.value.faults] == ["guardrails[1].map"], "what is wrong anyway is said"
        assert (await world.view(ramp)).status == "draft"

        scout.away = False
        await world.drafts.tick()
        assert (await world.view(ramp)).status == "arming"


@pytest.mark.parametrize("obstacle", ["disabled", "killed", "live", "no rollout", "no step"])
async def test_a_draft_that_cannot_start_is_aborted_with_the_reason(world: RampWorld, obstacle: str) -> None:
    """The reason is in its state, in its log and in the audit, and nothing of it is served."""
    ramp = (await world.start(**AT_TEN)).id
    live = ""
    match obstacle:
        case "disabled":
            await world.put(flag_document(enabled=False))
        case "killed":
            await world.kill()
        case "live":
            live = (await world.start()).id
        case "no rollout":
            document = flag_document()
            document["environments"][ENVIRONMENT]["default"] = {"serve": "on"}
            await world.put(document)
        case _:
            await world.put(flag_document(exposure=100))
    world.manual.advance(600)

    await world.drafts.tick()

    view = await world.view(ramp)
    reason = {
        "disabled": "checkout is disabled in production",
        "killed": "checkout is killed in production",
        "live": f"ramp {live} of checkout (default) is arming",
        "no rollout": "there is no rollout 'default'",
        "no step": "every step is at or below the exposure in force, 100 %",
    }[obstacle]
    assert view.status == "aborted"
    assert view.why.startswith("could not start: ")
    assert reason in view.why
    assert await kinds(world, ramp) == ["draft", "aborted"]
    assert (await replayed_state(world, ramp)).why == view.why
    async with world.storage.transaction() as tx:
        entries = [entry for entry in await tx.audit.read(limit=10) if entry.action == "ramp.abort"]
    assert [(entry.actor, reason in entry.summary) for entry in entries] == [("schedule", True)]
    assert [overlay.ramp for overlay in (await world.served())[0]] == ([live] if live else [])


async def test_what_hinders_a_draft_now_is_told(world: RampWorld) -> None:
    """That the flag is disabled, killed or ramping may be over by then; what cannot be planned is refused."""
    live = (await world.start()).id
    notes = (await world.start(**AT_TEN)).notes
    assert f"ramp {live} of checkout is arming: unless it is over by then, this one is aborted" in notes
    await world.kill()
    await world.put(flag_document(enabled=False))

    notes = (await world.start(**AT_TEN)).notes

    assert any("disabled in production: unless it is enabled by then" in note for note in notes)
    assert any("killed (it burns): unless it is revived by then" in note for note in notes)
    with pytest.raises(Invalid):
        await world.start(**AT_TEN, rollout="sale")
    with pytest.raises(NotFound):
        await world.start(**AT_TEN, flag="nothing")


async def test_people_start_a_draft_now_or_end_it(world: RampWorld) -> None:
    """Advance starts it at once, abort ends it; nothing else can be asked, and the time is then no time any more."""
    ramp, other = (await world.start(**AT_TEN)).id, (await world.start(**AT_TEN)).id
    for action in (Action.PAUSE, Action.RESUME, Action.APPROVE):
        with pytest.raises(Conflict, match="not started yet"):
            await world.act(ramp, action)

    ended = await world.act(other, Action.ABORT, "never mind")
    begun = await world.act(ramp, Action.ADVANCE, "today after all")

    assert (ended.status, ended.why) == ("aborted", "aborted by a person: never mind")
    assert (begun.status, begun.in_force) == ("arming", True)
    assert begun.notes
    assert await kinds(world, other) == ["draft", "abort"]
    assert await kinds(world, ramp) == ["draft", "start"]
    async with world.storage.transaction() as tx:
        started = next(entry for entry in await tx.audit.read(limit=5) if entry.action == "ramp.start")
    assert started.summary.endswith("; today after all")
    world.manual.advance(600)
    await world.drafts.tick()
    assert (await world.view(ramp)).status == "arming"
    assert (await world.view(other)).status == "aborted"


async def test_a_draft_that_cannot_start_by_hand_stays_one(world: RampWorld) -> None:
    """Who asks gets the reason; its time is still to come."""
    ramp = (await world.start(**AT_TEN)).id
    await world.put(flag_document(enabled=False))
    before = await world.row(ramp)

    with pytest.raises(Refused, match="is disabled"):
        await world.act(ramp, Action.ADVANCE)

    assert await world.row(ramp) == before
    assert before.state.status is Status.DRAFT


async def test_a_start_that_is_past_is_now(world: RampWorld) -> None:
    """It is a ramp as any other, and its notes say so."""
    view = await world.start(start_at="2025-12-31T23:00:00Z")

    assert (view.status, view.start_at) == ("arming", None)
    assert view.notes[0] == "start_at, 2025-12-31T23:00:00Z, is past: it starts now"


async def test_only_the_leader_starts_drafts(world: RampWorld) -> None:
    """Another node does nothing, and one that lost the lease meanwhile writes nothing."""
    ramp = (await world.start(**AT_TEN)).id
    world.manual.advance(600)
    other = world.another_controller("two")
    await DraftRunner(world.storage, world.clock, world.ramps.start_due, other.lease).tick()
    assert (await world.view(ramp)).status == "draft"

    async with world.storage.transaction() as tx:
        assert await tx.lease.take("three", await tx.lease.read())
    await world.drafts.tick()

    assert (await world.view(ramp)).status == "draft"
    assert world.controller.lease.token is None


async def test_a_start_that_breaks_aborts_its_draft_and_no_other(world: RampWorld) -> None:
    """A defect is logged and told in a word; the next draft starts."""
    first, second = (await world.start(**AT_TEN)).id, (await world.start(start_at="2026-01-01T00:10:01Z")).id

    async def start(row: Any, token: int) -> None:
        if row.id == first:
            raise RuntimeError("a defect")
        await world.ramps.start_due(row, token)

    world.manual.advance(601)
    await DraftRunner(world.storage, world.clock, start, world.controller.lease).tick()

    broken = await world.view(first)
    assert (broken.status, broken.why) == (
        "aborted", "could not start: the server made a mistake; its log says more"
    )  # fmt: skip
    assert (await world.view(second)).status == "arming"


async def test_a_draft_is_not_started_while_the_database_is_away(world: RampWorld) -> None:
    """It waits, is a draft still, and starts when it is back."""
    ramp = (await world.start(**AT_TEN)).id
    world.manual.advance(600)

    async def away(row: Any, token: int) -> None:
        raise StorageUnavailable("away")

    await DraftRunner(world.storage, world.clock, away, world.controller.lease).tick()
    assert (await world.view(ramp)).status == "draft"

    await world.drafts.tick()
    assert (await world.view(ramp)).status == "arming"


async def test_the_runner_ticks_by_itself(world: RampWorld) -> None:
    """Started, it finds what is due; stopped, it does nothing more."""
    ramp = (await world.start(**AT_TEN)).id
    world.manual.advance(600)
    runner = DraftRunner(world.storage, world.clock, world.ramps.start_due, world.controller.lease, tick_seconds=0.01)
    await runner.start()
    try:
        while (await world.view(ramp)).status == "draft":
            await asyncio.sleep(0.01)
    finally:
        await runner.stop()
    assert (await world.view(ramp)).status == "arming"
