"""The whole story with real processes: a ramp, a fault or none, a kill or a promotion."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from rheostat.clock import system_clock
from rheostat_server.demo.stage import Stage
from rheostat_server.demo.story import RAMP_DOCUMENT
from rheostat_server.demo.traffic import Traffic
from tests.e2e.conftest import Play
from tests.e2e.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

RAMP = {**RAMP_DOCUMENT, "preflight": "4s"}


def by_source(test: Any) -> Any:
    """Run a test with evidence from Prometheus, and with what SDKs report."""
    return pytest.mark.parametrize("with_prometheus", [True, False], ids=["prometheus", "reported"])(test)


async def exposed(stage: Stage, ramp_id: str, percent: float) -> dict[str, Any]:
    """Wait until the ramp exposes this much."""
    return await until(
        lambda: stage.ramp(ramp_id),
        lambda view: view["exposure"] >= percent or view["status"] in {"killed", "aborted"},
        within=90,
    )


def decided_ms(decision: dict[str, Any]) -> int:
    """When a decision was taken, in ms since the epoch."""
    return round(datetime.fromisoformat(decision["at"]).timestamp() * 1000)


def last_new_answer_ms(traffic: Traffic) -> int:
    """When the new checkout answered for the last time, in ms since the epoch."""
    clock = system_clock()
    ago_s = clock.monotonic() - max(served.at for served in traffic.recent if served.new)
    return round(clock.wall_ms() - ago_s * 1000)


@pytest.mark.alone
@by_source
async def test_a_fault_for_exposed_users_is_taken_back_and_explained(play: Play, with_prometheus: bool) -> None:
    """A change that fails for exposed users is killed, the shop recovers, and the log says why."""
    async with play(with_prometheus=with_prometheus) as (stage, traffic):
        ramp_id = (await stage.start_ramp(RAMP))["id"]
        view = await exposed(stage, ramp_id, 10)
        assert view["status"] not in {"killed", "aborted"}, view
        await stage.break_shop(0.3)

        view = await until(lambda: stage.ramp(ramp_id), lambda view: view["status"] == "killed", within=60)

        assert view["exposure"] == 0
        assert traffic.error_rate(3) > 0

        async def recent() -> float:
            return traffic.error_rate(3)

        # Three seconds in which nobody met the new checkout: back at the background's 0.2 %.
        await until(recent, lambda rate: rate < 0.015, within=20)
        since = system_clock().monotonic() - 1
        assert not any(served.new for served in traffic.recent if served.at >= since)
        last = (await stage.last_decisions(ramp_id, 1))[0]
        assert last["kind"] == "kill"
        assert "newly failed" in last["why"]
        # The SDK streams: what was decided reaches the shop's users within a second.
        assert last_new_answer_ms(traffic) - decided_ms(last) < 1_000
        audit = (await stage.api.get("/audit", params={"subject": "checkout-v2"})).raise_for_status().json()
        assert any(entry["action"] == "ramp.kill" for entry in audit["entries"]), audit
        # The kill is latched: starting again is refused until a person revives it.
        again = await stage.api.post("/projects/default/environments/production/ramps", json=RAMP)
        assert again.status_code in {409, 422}


@by_source
async def test_a_harmless_change_reaches_everyone(play: Play, with_prometheus: bool) -> None:
    """Without a fault the same ramp goes step by step to 100 % and is promoted."""
    async with play(with_prometheus=with_prometheus) as (stage, _):
        ramp_id = (await stage.start_ramp(RAMP))["id"]
        seen = set()

        async def look() -> dict[str, Any]:
            view = await stage.ramp(ramp_id)
            seen.add(view["exposure"])
            return view

        view = await until(look, lambda view: view["status"] in {"promoted", "killed", "aborted"}, within=150)

        assert view["status"] == "promoted", view
        assert view["exposure"] == 100
        assert {10, 50, 100} <= seen


@by_source
async def test_a_server_that_dies_goes_on_where_it_was(play: Play, with_prometheus: bool) -> None:
    """A server killed in the middle of a ramp comes back with the ramp where it was, and the ramp still kills."""
    async with play(with_prometheus=with_prometheus) as (stage, _):
        ramp_id = (await stage.start_ramp(RAMP))["id"]
        before = await exposed(stage, ramp_id, 10)
        assert stage.server is not None
        stage.server.kill()

        await stage.start_server()

        after = await stage.ramp(ramp_id)
        assert after["exposure"] >= before["exposure"]
        assert after["epoch"] >= before["epoch"]
        assert after["status"] not in {"killed", "aborted", "arming"}
        await stage.break_shop(0.3)
        view = await until(
            lambda: stage.ramp(ramp_id), lambda view: view["status"] in {"killed", "promoted"}, within=90
        )
        assert view["status"] == "killed", view


async def test_without_prometheus_a_ramp_neither_advances_nor_kills(play: Play) -> None:
    """A ramp whose Prometheus went away stays at its exposure, whatever happens to its users."""
    async with play(with_prometheus=True) as (stage, _):
        ramp_id = (await stage.start_ramp(RAMP))["id"]
        before = await exposed(stage, ramp_id, 10)
        assert stage.prometheus is not None
        stage.prometheus.stop()
        await stage.break_shop(0.3)

        view = await until(lambda: stage.ramp(ramp_id), lambda view: view["status"] == "blind", within=60)

        assert view["exposure"] == before["exposure"]
        assert view["guardrails"][0]["sight"] == "query failed"
        await stage.start_prometheus()
        view = await until(
            lambda: stage.ramp(ramp_id), lambda view: view["status"] in {"killed", "promoted"}, within=90
        )
        assert view["status"] == "killed", view


async def test_without_prometheus_a_ramp_never_begins(play: Play) -> None:
    """Time in which nobody watched is no pre-flight: with Prometheus away nobody is exposed, nor at once after."""
    async with play(with_prometheus=True) as (stage, _):
        ramp_id = (await stage.start_ramp({**RAMP, "preflight": "15s"}))["id"]
        begun = asyncio.get_running_loop().time()
        await until(lambda: stage.ramp(ramp_id), lambda view: view["guardrails"][0]["sight"] == "seen", within=30)
        assert stage.prometheus is not None
        stage.prometheus.stop()
        away = await until(lambda: stage.ramp(ramp_id), lambda view: view["status"] == "blind", within=60)
        left_s = away["standing"]["preflight_left_s"]
        # The pre-flight's time is over by the wall; nobody watched.
        await asyncio.sleep(max(0.0, begun + 20 - asyncio.get_running_loop().time()))

        view = await stage.ramp(ramp_id)

        assert (view["status"], view["exposure"]) == ("blind", 0)
        assert view["standing"]["preflight_left_s"] == left_s > 3
        await stage.start_prometheus()
        view = await until(
            lambda: stage.ramp(ramp_id), lambda view: view["guardrails"][0]["sight"] == "seen", within=60
        )
        assert (view["status"], view["exposure"]) == ("arming", 0)
        assert (await exposed(stage, ramp_id, 10))["status"] == "running"


async def test_each_request_counts_once_where_both_are_scraped(play: Play) -> None:
    """With the application and the server scraped by one Prometheus, each guardrail sees each request once."""
    watched = {"metric": "request-success-rate", "name": "application-errors"}
    application = {**watched, "threshold": 99, "source": "application", "kill": True}
    read_back = {"metric": "request-success-rate", "source": "prometheus"}
    document = {**RAMP, "steps": [50, 100], "preflight": "30s", "guardrails": [application, read_back]}
    async with play(with_prometheus=True, background=0.02) as (stage, traffic):
        sent_before = traffic.sent
        ramp_id = (await stage.start_ramp(document))["id"]

        def requests(guardrail: dict[str, Any]) -> int:
            return int(guardrail["treatment"]["requests"] + guardrail["control"]["requests"])

        view = await until(
            lambda: stage.ramp(ramp_id),
            lambda view: all(requests(guardrail) > 1000 for guardrail in view["guardrails"]),
            within=60,
        )

        assert sorted(guardrail["family"] for guardrail in view["guardrails"]) == ["application", "reported-metrics"]
        sent = traffic.sent - sent_before
        for guardrail in view["guardrails"]:
            # Twice would be far outside; the slack below is what is still on its way.
            assert 0.5 * sent < requests(guardrail) <= sent
            bad = guardrail["treatment"]["bad"] + guardrail["control"]["bad"]
            assert 0 < bad < 0.1 * requests(guardrail)
