"""Faults of every kind under real traffic: what is killed, and what is not."""

import asyncio
from typing import Any

import pytest

from rheostat.clock import system_clock
from rheostat_server.demo.stage import Stage
from rheostat_server.demo.story import RAMP_DOCUMENT
from tests.e2e.conftest import Play
from tests.e2e.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

OVER = {"killed", "aborted", "promoted"}
STANDING = {**RAMP_DOCUMENT, "preflight": "4s", "steps": [10, 50], "min_dwell": "10m"}
"""It goes to its first step and stays there, whatever is proved."""


async def at_first_step(stage: Stage, document: dict[str, Any]) -> str:
    """Start a ramp and wait until it exposes somebody; return its id."""
    ramp_id: str = (await stage.start_ramp(document))["id"]
    view = await until(
        lambda: stage.ramp(ramp_id), lambda view: view["exposure"] > 0 or view["status"] in OVER, within=60
    )
    assert view["status"] == "running", view
    return ramp_id


async def over(stage: Stage, ramp_id: str, *, within: float) -> dict[str, Any]:
    """Wait until the ramp has ended; return how."""
    return await until(lambda: stage.ramp(ramp_id), lambda view: view["status"] in OVER, within=within)


@pytest.mark.parametrize("rate", [0.02, 0.05])
@pytest.mark.parametrize("with_prometheus", [True, False], ids=["prometheus", "reported"])
async def test_a_few_percent_of_errors_are_found(play: Play, with_prometheus: bool, rate: float) -> None:
    """Errors of 2 % and of 5 % for exposed users are killed, from Prometheus and from reports."""
    async with play(with_prometheus=with_prometheus, rate=200, users=20_000) as (stage, _):
        ramp_id = await at_first_step(stage, {**STANDING, "steps": [50]})
        await stage.break_shop(rate)

        view = await over(stage, ramp_id, within=150)

        assert view["status"] == "killed", view


@pytest.mark.alone
async def test_a_fault_of_a_fifth_is_over_within_five_seconds(play: Play) -> None:
    """At 200 requests/s of 2 000 users and 10 % exposure, 20 % errors: five seconds after the onset all are safe."""
    async with play(with_prometheus=False, rate=200, users=2_000) as (stage, traffic):
        ramp_id = await at_first_step(stage, STANDING)
        await asyncio.sleep(2)
        onset = system_clock().monotonic()
        await stage.break_shop(0.2)

        view = await over(stage, ramp_id, within=30)
        await asyncio.sleep(2)

        assert view["status"] == "killed", view
        last_new = max(served.at for served in traffic.recent if served.new)
        assert last_new - onset <= 5.0


async def test_slowness_alone_is_taken_back(play: Play) -> None:
    """A new checkout that answers rightly, and half a second later, is taken back by its duration.

    It is killed, or its ceiling is crossed a moment before and the ramp steps back to look: nobody has it either way.
    """
    document = {**STANDING, "steps": [50], "guardrails": [{"metric": "request-duration", "threshold": 300}]}
    async with play(with_prometheus=False, rate=100, users=5_000) as (stage, _):
        ramp_id = await at_first_step(stage, document)
        await stage.break_shop(slow_ms=500, slow_rate=0.5)

        view = await until(lambda: stage.ramp(ramp_id), lambda view: view["exposure"] == 0, within=150)

        assert view["status"] in {"killed", "held"}, view
        assert "request-duration" in view["why"]


async def test_a_fault_that_begins_late_is_found(play: Play) -> None:
    """A change that was well for a while and then fails is killed all the same."""
    async with play(with_prometheus=False, rate=200) as (stage, _):
        ramp_id = await at_first_step(stage, STANDING)
        await asyncio.sleep(20)
        assert (await stage.ramp(ramp_id))["status"] == "running"
        await stage.break_shop(0.3)

        view = await over(stage, ramp_id, within=60)

        assert view["status"] == "killed", view


async def test_an_outage_of_both_arms_kills_nothing(play: Play) -> None:
    """When old and new fail alike, the change is innocent and stays."""
    async with play(with_prometheus=False, rate=200) as (stage, traffic):
        ramp_id = await at_first_step(stage, {**STANDING, "guardrails": []})
        await stage.break_shop(outage=0.5)
        await asyncio.sleep(15)
        assert traffic.error_rate(5) > 0.4
        await stage.break_shop()
        await asyncio.sleep(5)

        view = await stage.ramp(ramp_id)

        assert view["status"] not in OVER, view
        assert view["exposure"] > 0


async def test_an_application_that_starts_anew_is_no_evidence(play: Play) -> None:
    """Counters that begin again at nothing are neither failures nor a kill, and the ramp still sees."""
    guardrail = {"metric": "request-success-rate", "threshold": 99, "source": "application", "kill": True}
    document = {**STANDING, "steps": [50], "guardrails": [guardrail]}
    async with play(with_prometheus=True) as (stage, _):
        ramp_id = await at_first_step(stage, document)
        assert stage.shop is not None
        await asyncio.sleep(4)
        await asyncio.to_thread(stage.shop.stop)
        await stage.start_shop()

        async def sights() -> set[str]:
            view = await stage.ramp(ramp_id)
            assert view["status"] not in OVER, view
            return {guardrail["sight"] for guardrail in view["guardrails"]}

        await asyncio.sleep(6)
        assert await until(sights, lambda seen: seen == {"seen"}, within=60)


async def test_without_traffic_a_ramp_stands_still_and_says_so(play: Play) -> None:
    """Nobody comes: nothing is proved, nothing is killed, and the state has a name."""
    async with play(with_prometheus=False) as (stage, traffic):
        ramp_id = await at_first_step(stage, {**STANDING, "min_dwell": "3s"})
        before = (await stage.ramp(ramp_id))["exposure"]
        await traffic.stop()

        view = await until(lambda: stage.ramp(ramp_id), lambda view: view["status"] == "blind", within=90)

        assert view["guardrails"][0]["sight"] == "no traffic"
        assert view["exposure"] <= max(before, 50)


async def test_workers_that_die_are_outcomes(play: Play) -> None:
    """Treated requests that take their process with them, which reports nothing, are killed by what is left of it."""
    async with play(with_prometheus=False, rate=60, users=2_000, workers=3) as (stage, _):
        ramp_id = await at_first_step(stage, {**STANDING, "steps": [50], "guardrails": []})
        await stage.break_shop(die_rate=0.2)

        view = await over(stage, ramp_id, within=150)

        assert view["status"] == "killed", view
