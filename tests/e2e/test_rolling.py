"""A rolling ramp with real processes: one region, then the other, and back from both."""

import pytest

from rheostat_server.demo.story import RAMP_DOCUMENT
from rheostat_server.demo.traffic import region_of
from tests.e2e.conftest import Play
from tests.e2e.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

RAMP = {
    **RAMP_DOCUMENT,
    "strategy": "rolling",
    "by": "region",
    "values": ["eu", "us"],
    "others": False,
    "steps": [50],
    "preflight": "4s",
    "acceptable": 3,
}


async def test_a_region_after_the_other_and_back_from_both(play: Play) -> None:
    """Nobody of the second region meets the change in the first one's stage; what then breaks is taken from all."""
    async with play(with_prometheus=False, rate=120) as (stage, traffic):
        ramp_id = (await stage.start_ramp(RAMP))["id"]

        async def look() -> dict[str, object]:
            return await stage.ramp(ramp_id)

        await until(look, lambda view: view["stage"] == 1 and view["status"] == "arming", within=90)
        met = {region_of(int(served.user.removeprefix("user-"))) for served in traffic.recent if served.new}
        assert met == {"eu"}

        await until(look, lambda view: view["stage"] == 1 and view["exposure"] == 50, within=60)
        await stage.break_shop(0.5)
        view = await until(look, lambda view: view["status"] == "killed", within=60)

        assert str(view["why"]).startswith("region us: ")

        async def new_ones() -> list[str]:
            return [served.user for served in list(traffic.recent)[-100:] if served.new]

        await until(new_ones, lambda users: not users, within=20)
