"""Users who differ, through the SDK, the server and the controller, by a clock moved by hand."""

from collections.abc import AsyncIterator

import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.ramps.model import Action
from rheostat_server.ramps.wire import RampView
from tests.integration.crowd import Crowd, pareto
from tests.integration.ramp_world import RampWorld, ramp_world

pytestmark = pytest.mark.timeout(600)

INTERVAL_S = 5
OVER = ("killed", "aborted", "promoted")


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written, and sources have something new every five seconds."""
    async with ramp_world(database, interval_s=INTERVAL_S) as made:
        await made.put()
        yield made


async def ride(
    world: RampWorld, ramp: str, crowd: Crowd, *, per_s: int, minutes: float, every_s: int = INTERVAL_S
) -> RampView:
    """Serve and observe every so often until the ramp is over, or for so long; return how it then looks."""
    for _ in range(int(minutes * 60 / every_s)):
        world.manual.advance(every_s - 1)
        await crowd.visit(per_s * every_s)
        await world.tick()
        view = await world.view(ramp)
        if view.status in OVER:
            break
    return view


@pytest.mark.parametrize("seed", [1, 2])
async def test_broken_accounts_kill_nobody(world: RampWorld, seed: int) -> None:
    """2 000 users of Pareto activity, 1 % of whom fail at every request: a harmless change is not killed."""
    ramp = (await world.start(steps=[1, 5, 25, 50], preflight="5m", min_dwell="60s", soak="2m", holdback=1)).id
    crowd = Crowd(world, pareto(2_000, seed=seed), broken=20, seed=seed)

    view = await ride(world, ramp, crowd, per_s=60, minutes=50)

    assert view.status not in {"killed", "aborted"}, view.why
    assert crowd.exposed_requests > 100


async def test_two_percent_of_errors_are_found_among_broken_accounts(world: RampWorld) -> None:
    """The same crowd, in which the change makes 2 % of the exposed users' requests fail: it is killed."""
    ramp = (await world.start(steps=[25, 50], preflight="5m", min_dwell="60s", soak="60m", holdback=1)).id
    crowd = Crowd(world, pareto(2_000), harm=0.02, usual=0.001, broken=20)

    view = await ride(world, ramp, crowd, per_s=60, minutes=90)

    assert view.status == "killed", view.why


@pytest.mark.parametrize("harm", [1.0, 0.2, 0.05])
async def test_busy_companies_are_no_way_around_the_guard(world: RampWorld, harm: float) -> None:
    """300 companies at 1 000 requests/s, whose treatment fails: never advanced, and killed where all of it fails."""
    ramp = (await world.start(steps=[10, 50, 100], preflight="5m", min_dwell="60s", holdback=1)).id
    crowd = Crowd(world, [1.0] * 300, usual=0.001, harm=harm)

    view = await ride(world, ramp, crowd, per_s=1_000, minutes=5 + 25)

    assert view.exposure in {0, 10}, "it advanced"
    if harm == 1.0:
        assert view.status == "killed", view.why


async def test_a_cohort_that_was_broken_beforehand_is_refused(world: RampWorld) -> None:
    """Users who will be exposed and fail already: the ramp does not start, and says so."""
    ramp = (await world.start(steps=[25, 50], preflight="5m")).id
    crowd = Crowd(world, [1.0] * 3_000, usual=0.002)
    overlays, _ = await world.served()
    # Those whom the first step would expose come first, and are the broken ones.
    crowd.put_exposed_first(overlays[0].levels[1])
    crowd.broken, crowd.broken_rate = 300, 0.2

    view = await ride(world, ramp, crowd, per_s=60, minutes=12)

    assert view.status == "aborted"
    assert "cohort differs" in view.why


async def test_going_up_and_down_counts_nobody_twice(world: RampWorld) -> None:
    """From 1 % to 5, back to the start, and up again among broken accounts: nobody is killed for it."""
    crowd = Crowd(world, pareto(2_000, seed=5), broken=20)
    for _ in range(2):
        ramp = (await world.start(steps=[1, 5], preflight="60s", min_dwell="60s", soak="60m", holdback=1)).id
        view = await ride(world, ramp, crowd, per_s=60, minutes=20)
        assert view.status not in OVER, view.why
        assert crowd.exposed_requests > 0
        await world.act(ramp, Action.ABORT)


SLOW = range(40)
"""Of 2 000 users 2 % are always slow: nine of them, more than twice their share, are among the first exposed tenth."""
OFTEN, SELDOM = 1.0, 0.2
"""Slow users come seldom: else more than one request in a hundred would be slow without the change."""
DURATION = {"metric": "request-duration", "threshold": 500}


async def test_users_who_are_always_slow_kill_nobody(world: RampWorld) -> None:
    """For two hours at 10 % each slow user is one bad sample, not one each window: a harmless change is not killed."""
    ramp = (await world.start(steps=[10, 50], preflight="10m", min_dwell="5h", guardrails=[DURATION])).id
    crowd = Crowd(world, [SELDOM] * len(SLOW) + [OFTEN] * 1_960, usual=0.0005, slow=SLOW)

    view = await ride(world, ramp, crowd, per_s=16, minutes=10 + 120, every_s=25)

    assert (view.status, view.exposure) == ("running", 10), view.why
    state = (await world.row(ramp)).state.guardrails["request-duration"]
    assert state.treatment.sampled_bad + state.control.sampled_bad <= len(SLOW)
    assert state.treatment.bad > len(SLOW)


async def test_a_change_that_slows_five_percent_is_found_among_slow_users(world: RampWorld) -> None:
    """The same crowd, in which the change makes 5 % of the exposed users' requests slow: it is killed."""
    ramp = (await world.start(steps=[25, 50], preflight="10m", min_dwell="5h", guardrails=[DURATION])).id
    weights = [SELDOM] * len(SLOW) + [OFTEN] * 1_960
    crowd = Crowd(world, weights, usual=0.0005, slow=SLOW, slow_harm=0.05)

    view = await ride(world, ramp, crowd, per_s=20, minutes=10 + 30, every_s=10)

    assert view.status == "killed", view.why
    assert "request-duration" in view.why
