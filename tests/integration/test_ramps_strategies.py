"""Strategies, windows and freezes, over a real database with the clock moved by hand."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.ramps.model import Action
from tests.integration.ramp_world import Application, RampWorld, ramp_world, without_cursors
from tests.integration.test_ramps_loop import replayed_state

UNTIL_LATER = [{"from": "00:02", "to": "24:00", "timezone": "UTC"}]
"""The clock of these tests begins on Thu 1 Jan 2026 at 00:00 UTC, two minutes before it opens."""
NEW_YEAR = [{"from": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:02:00Z", "reason": "new year"}]
CEILING = [{"metric": "request-success-rate", "threshold": 98}]
BLUE_GREEN = {"strategy": "blue-green", "steps": None}


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written, at 0 %."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


async def ride(world: RampWorld, *, harm: float, **document: Any) -> tuple[str, set[float]]:
    """Start a ramp, ride it to its end, and check its log; return how it ended and at what it stood."""
    asked = {"acceptable": 2, **{name: value for name, value in document.items() if value is not None}}
    if document.get("steps", ()) is None:
        asked["steps"] = None
    ramp = (await world.start(**asked)).id
    seen = await world.ride(ramp, Application(world, harm=harm), until=["killed", "promoted", "aborted"])
    assert without_cursors(await replayed_state(world, ramp)) == without_cursors((await world.row(ramp)).state)
    return seen[-1].status, {view.exposure for view in seen}


@pytest.mark.parametrize(
    ("document", "exposures"),
    [
        ({"strategy": "linear", "steps": None, "step_weight": 40, "max_weight": 80}, {0, 40, 80, 100}),
        ({"strategy": "exponential", "steps": None, "first_weight": 20, "factor": 3}, {0, 20, 60, 100}),
        ({**BLUE_GREEN, "holdback": 10}, {0, 100}),
        ({**BLUE_GREEN, "holdback": None, "guardrails": CEILING}, {0, 100}),
    ],
    ids=["linear", "exponential", "blue-green-holdback", "blue-green-ceiling"],
)
async def test_a_strategy_promotes_the_harmless_and_kills_the_harmful(
    world: RampWorld, document: dict[str, Any], exposures: set[float]
) -> None:
    """Each strategy goes through the steps that it makes, and takes back what hurts at the first."""
    if document.get("holdback", 0) is None:
        document = {**document, "holdback": 0}
    killed, least = await ride(world, harm=0.3, **document)
    await world.revive()
    promoted, most = await ride(world, harm=0.005, **document)

    assert (killed, promoted) == ("killed", "promoted")
    assert most == exposures
    assert least <= exposures


async def test_a_view_tells_the_strategy_and_its_steps(world: RampWorld) -> None:
    """What the steps came to is in the answer to the start."""
    view = await world.start(strategy="linear", steps=None, step_weight=30, max_weight=60)

    assert (view.strategy, view.plan.strategy, view.steps) == ("linear", "linear", (30, 60, 100))
    assert view.start_at is None


@pytest.mark.parametrize("preflight", ["5s", "0s"])
@pytest.mark.parametrize(
    "calendar", [{"advance_windows": UNTIL_LATER}, {"freezes": NEW_YEAR}], ids=["window", "freeze"]
)
async def test_nobody_new_is_exposed_while_the_calendar_is_shut(
    world: RampWorld, calendar: dict[str, Any], preflight: str
) -> None:
    """The pre-flight runs, the first step waits and says until when, and comes when it opens; so does the log again."""
    view = await world.start(preflight=preflight, **calendar)
    assert any("opens Thu 1 Jan 00:02 UTC" in note for note in view.notes)
    application = Application(world)

    for _ in range(118):
        await application.serve(50)
        await world.tick()
        assert (await world.view(view.id)).exposure == 0
    shut = await world.view(view.id)
    assert shut.status == "arming"
    assert shut.standing.line.endswith("opens Thu 1 Jan 00:02 UTC (in 2 s)")
    assert shut.standing.shut is not None
    for _ in range(5):
        await application.serve(50)
        await world.tick()

    opened = await world.view(view.id)
    assert (opened.exposure, opened.standing.shut) == (10, None)
    assert without_cursors(await replayed_state(world, view.id)) == without_cursors((await world.row(view.id)).state)


async def test_a_ramp_is_killed_in_a_freeze(world: RampWorld) -> None:
    """What is proved waits; a fault that begins meanwhile is taken back all the same."""
    freeze = [{"from": "2026-01-01T00:00:30Z", "until": "2026-01-02T00:00:00Z"}]
    ramp = (await world.start(freezes=freeze, steps=[10, 50, 100], min_dwell="40s", acceptable=2)).id
    application = Application(world)
    await world.ride(ramp, application, until=["running"], seconds=29)
    for _ in range(60):
        await application.serve()
        await world.tick()
    frozen = await world.view(ramp)
    assert (frozen.status, frozen.exposure) == ("running", 10)
    assert "frozen: opens Fri 2 Jan 00:00 UTC" in frozen.standing.line

    application.harm = 0.3
    seen = await world.ride(ramp, application, until=["killed"], seconds=60)

    assert {view.exposure for view in seen} <= {10, 0}


async def test_a_persons_word_goes_before_the_calendar(world: RampWorld) -> None:
    """Advance works outside a window; the answer and the audit say so. Within one nothing is said."""
    ramp = (await world.start(advance_windows=UNTIL_LATER)).id

    view = await world.act(ramp, Action.ADVANCE, "the customer waits")

    against = "by hand, against its calendar (waits for the advance window: opens Thu 1 Jan 00:02 UTC)"
    assert (view.status, view.exposure, view.notes) == ("running", 10, (against,))
    async with world.storage.transaction() as tx:
        [last] = await tx.audit.read(limit=1)
    assert (last.action, last.actor) == ("ramp.advance", "ana")
    assert last.summary == f"checkout: a person ended the pre-flight: the customer waits; {against}"
    world.manual.advance(120)
    assert (await world.act(ramp, Action.ADVANCE)).notes == ()


async def test_a_ramp_of_a_plan_that_was_stored_before_has_no_calendar(world: RampWorld) -> None:
    """A plan without the new fields is a canary that nothing shuts."""
    ramp = (await world.start()).id
    async with world.storage.transaction() as tx:
        await tx._connection.execute(  # type: ignore[attr-defined]
            "UPDATE ramps SET plan = (plan::jsonb - 'strategy' - 'advance_windows' - 'freezes')::text,"
            " state = (state::jsonb - 'shut' - 'starts_ms')::text WHERE id = $1::uuid",
            ramp,
        )

    view = await world.view(ramp)

    assert (view.strategy, view.standing.shut, view.plan.advance_windows) == ("canary", None, ())
    assert (await world.ride(ramp, Application(world), until=["running"], seconds=60))[-1].exposure == 10
