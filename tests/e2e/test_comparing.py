"""A comparison of two variants with real processes: the harmless waits for a person, the harmful is taken back."""

from typing import Any

import pytest

from rheostat_server.demo.application import FLAG
from rheostat_server.demo.stage import Stage
from rheostat_server.demo.story import FLAG_DOCUMENT
from tests.e2e.conftest import Play
from tests.e2e.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SPLIT = {"exposure": 0, "split": {"on": 1, "off": 1}, "fallback": "off"}
BOTH = {**FLAG_DOCUMENT, "environments": {"production": {"enabled": True, "default": {"rollout": SPLIT}}}}
RAMP: dict[str, Any] = {
    "kind": "ramp",
    "flag": FLAG,
    "environment": "production",
    "strategy": "a-b",
    "baseline": "off",
    "sample": 150,
    "preflight": "3s",
    "interval": "1s",
    "acceptable": 3,
}
RAMPS = "/projects/default/environments/production/ramps"


async def ended(stage: Stage, ramp_id: str, *statuses: str) -> dict[str, Any]:
    """Wait until the ramp stands so, and return it."""

    async def look() -> dict[str, Any]:
        return await stage.ramp(ramp_id)

    return await until(look, lambda view: view["status"] in statuses, within=90)


async def test_a_comparison_waits_for_a_person_and_takes_back_what_harms(play: Play) -> None:
    """Both variants stay as they are once a person approves; a second comparison meets a fault, and nobody has it."""
    async with play(with_prometheus=False, rate=200) as (stage, traffic):
        await stage.put_flag(BOTH)
        ramp_id = (await stage.start_ramp(RAMP))["id"]
        early = await stage.api.post(f"{RAMPS}/{ramp_id}/approve", json={"reason": "it will be fine"})
        assert early.status_code == 409, early.text

        waiting = await ended(stage, ramp_id, "awaiting-approval", "killed", "aborted", "promoted")
        assert (waiting["status"], waiting["exposure"]) == ("awaiting-approval", 100), waiting
        assert "both sides have had 150 users" in waiting["why"]
        approved = await stage.api.post(f"{RAMPS}/{ramp_id}/approve", json={"reason": "blue it is"})
        assert approved.status_code == 200, approved.text
        promoted = await ended(stage, ramp_id, "promoted", "killed", "aborted")
        assert (promoted["status"], promoted["exposure"]) == ("promoted", 100), promoted

        async def lately() -> set[bool]:
            return {served.new for served in list(traffic.recent)[-100:]}

        await until(lately, lambda seen: seen == {True, False}, within=20)

        await stage.break_shop(0.5)
        second = (await stage.start_ramp({**RAMP, "sample": 100_000}))["id"]
        killed = await ended(stage, second, "killed", "aborted", "promoted")
        assert killed["status"] == "killed", killed
        await until(lately, lambda seen: seen == {False}, within=20)
