"""Each strategy under real traffic: the harmless is promoted, the harmful taken back."""

from typing import Any

import pytest

from rheostat_server.demo.application import FLAG
from rheostat_server.demo.stage import Stage
from rheostat_server.demo.story import FLAG_DOCUMENT
from tests.e2e.conftest import Play
from tests.e2e.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

OVER = {"killed", "aborted", "promoted"}
SHORT: dict[str, Any] = {
    "kind": "ramp",
    "flag": FLAG,
    "environment": "production",
    "preflight": "3s",
    "min_dwell": "1s",
    "soak": "1s",
    "interval": "1s",
    "acceptable": 3,
    "guardrails": [],
}
CEILING = [{"metric": "request-success-rate", "threshold": 97}]
STRATEGIES: list[tuple[dict[str, Any], list[float]]] = [
    ({"strategy": "linear", "step_weight": 40, "max_weight": 80}, [40, 80, 100]),
    ({"strategy": "exponential", "first_weight": 25, "factor": 4}, [25, 100]),
    ({"strategy": "blue-green", "holdback": 10}, [100]),
    ({"strategy": "blue-green", "guardrails": CEILING}, [100]),
]


async def ridden(stage: Stage, document: dict[str, Any], *, fault: float) -> tuple[dict[str, Any], set[float]]:
    """Ride a ramp to its end while the new checkout fails so often; return how it ended and at what it stood."""
    await stage.break_shop(fault)
    ramp_id = (await stage.start_ramp(document))["id"]
    stood: set[float] = set()

    async def look() -> dict[str, Any]:
        view = await stage.ramp(ramp_id)
        stood.add(view["exposure"])
        return view

    view = await until(look, lambda view: view["status"] in OVER, within=90)
    return view, stood


async def test_each_strategy_promotes_the_harmless_and_takes_back_the_harmful(play: Play) -> None:
    """With a fault it is killed at its first step and nobody has the variant; without one it goes up to everybody."""
    async with play(with_prometheus=False, rate=200) as (stage, _):
        for strategy, steps in STRATEGIES:
            document = {**SHORT, **strategy}

            killed, _ = await ridden(stage, document, fault=0.5)
            assert killed["status"] == "killed", killed
            assert (killed["strategy"], killed["steps"]) == (strategy["strategy"], steps)
            revived = await stage.api.post(
                f"/projects/default/environments/production/flags/{FLAG}/revive", json={"reason": "mended"}
            )
            assert revived.status_code == 200, revived.text

            promoted, stood = await ridden(stage, document, fault=0.0)
            assert (promoted["status"], promoted["exposure"]) == ("promoted", 100), promoted
            assert stood <= {0, *steps}
            # The document speaks again, and nobody has the variant: room for the next.
            for exposure in (100, 0):
                await stage.put_flag(declared(exposure))


def declared(exposure: float) -> dict[str, Any]:
    """Return the shop's flag with this exposure."""
    rollout = {"exposure": exposure, "split": {"on": 1}, "fallback": "off"}
    return {**FLAG_DOCUMENT, "environments": {"production": {"enabled": True, "default": {"rollout": rollout}}}}
