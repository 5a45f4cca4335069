"""What people may do to a ramp, over HTTP, in every state that it can come into: allowed, or refused in words."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.ramps.model import Action, Status
from tests.integration.ramp_world import Application, RampWorld, ramp_document, ramp_world
from tests.integration.test_ramps_http import FLAGS, RAMPS, api

__all__ = ["api"]
GATED = {"unguarded": True, "steps": [{"exposure": 10, "gate": "manual"}, 50], "min_dwell": "1s", "holdback": 0}
ASKED: list[Action] = [action for action in Action if action not in {Action.KILL, Action.REVIVE}]
"""Those with an address of the ramp's own."""


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


class Place:
    """How to bring a ramp somewhere."""

    def __init__(self, world: RampWorld, api: httpx.AsyncClient) -> None:
        self.world = world
        self.api = api

    async def started(self, **changes: Any) -> str:
        """A ramp that has just started."""
        answer = await self.api.post(RAMPS, json=ramp_document(**changes))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def do(self, ramp: str, action: Action) -> httpx.Response:
        """Ask for it, of the ramp or of its flag."""
        if action in {Action.KILL, Action.REVIVE}:
            return await self.api.post(f"{FLAGS}/{action}", json={"reason": "because"})
        return await self.api.post(f"{RAMPS}/{ramp}/{action}", json={"reason": "because"})

    async def after(self, *actions: Action, **changes: Any) -> str:
        """A ramp to which this was done."""
        ramp = await self.started(**changes)
        for action in actions:
            assert (await self.do(ramp, action)).status_code == 200
        return ramp

    async def arming(self) -> str:
        return await self.after()

    async def running(self) -> str:
        return await self.after(Action.ADVANCE)

    async def at_the_last_step(self) -> str:
        return await self.after(Action.ADVANCE, Action.ADVANCE, Action.ADVANCE)

    async def soaking(self) -> str:
        return await self.after(Action.ADVANCE, Action.ADVANCE, steps=[10])

    async def paused_while_arming(self) -> str:
        return await self.after(Action.PAUSE)

    async def paused_at_a_step(self) -> str:
        return await self.after(Action.ADVANCE, Action.PAUSE)

    async def paused_while_soaking(self) -> str:
        return await self.after(Action.ADVANCE, Action.ADVANCE, Action.PAUSE, steps=[10])

    async def blind_while_arming(self) -> str:
        return await self._ridden(await self.after(), None, Status.BLIND)

    async def blind_at_a_step(self) -> str:
        return await self._ridden(await self.after(Action.ADVANCE), None, Status.BLIND)

    async def blind_while_soaking(self) -> str:
        return await self._ridden(await self.soaking(), None, Status.BLIND)

    async def held(self) -> str:
        # Some hundred requests in which both arms fail alike prove nothing.
        ramp = await self.after(min_dwell="1s", max_dwell="1s")
        return await self._ridden(ramp, Application(self.world, usual=0.02, harm=0.02), Status.HELD)

    async def held_while_arming(self) -> str:
        # Under a ceiling that the service does not keep without the change, no ramp begins.
        ramp = await self.after(guardrails=[{"metric": "request-success-rate", "threshold": 95}])
        return await self._ridden(ramp, Application(self.world, usual=0.3, harm=0.3), Status.HELD)

    async def awaiting_approval(self) -> str:
        return await self._ridden(await self.after(**GATED), None, Status.AWAITING_APPROVAL)

    async def promoted(self) -> str:
        return await self._ridden(await self.after(unguarded=True), None, Status.PROMOTED)

    async def killed(self) -> str:
        return await self.after(Action.ADVANCE, Action.KILL)

    async def aborted(self) -> str:
        return await self.after(Action.ADVANCE, Action.ABORT)

    async def _ridden(self, ramp: str, application: Application | None, status: Status) -> str:
        await self.world.ride(ramp, application, until=[status], seconds=90)
        return ramp


P, R, AP, AD, AB, K = (
    Action.PAUSE, Action.RESUME, Action.APPROVE, Action.ADVANCE, Action.ABORT, Action.KILL,
)  # fmt: skip
ENDS = {AB: "aborted", K: "killed"}
PLACES: list[tuple[Callable[[Place], Awaitable[str]], str, dict[Action, str]]] = [
    # How to come there, as what it is shown, and what each allowed action makes of it; all else is refused.
    (Place.arming, "arming", {P: "paused", AD: "running", **ENDS}),
    (Place.running, "running", {P: "paused", AD: "running", **ENDS}),
    (Place.at_the_last_step, "running", {P: "paused", AD: "soaking", **ENDS}),
    (Place.soaking, "soaking", {P: "paused", **ENDS}),
    (Place.paused_while_arming, "paused", {R: "arming", **ENDS}),
    (Place.paused_at_a_step, "paused", {R: "running", **ENDS}),
    (Place.paused_while_soaking, "paused", {R: "soaking", **ENDS}),
    (Place.blind_while_arming, "blind", {P: "paused", AD: "running", **ENDS}),
    (Place.blind_at_a_step, "blind", {P: "paused", AD: "running", **ENDS}),
    (Place.blind_while_soaking, "blind", {P: "paused", **ENDS}),
    (Place.held, "held", {P: "paused", AD: "running", **ENDS}),
    (Place.held_while_arming, "held", {P: "paused", AD: "running", **ENDS}),
    (Place.awaiting_approval, "awaiting-approval", {P: "paused", AP: "awaiting-approval", AD: "running", **ENDS}),
    (Place.promoted, "promoted", {}),
    (Place.killed, "killed", {Action.REVIVE: "aborted"}),
    (Place.aborted, "aborted", {}),
]


@pytest.mark.parametrize(("come", "status", "may"), PLACES, ids=[come.__name__ for come, _, _ in PLACES])
async def test_each_action_where_a_ramp_stands(
    world: RampWorld,
    api: httpx.AsyncClient,
    come: Callable[[Place], Awaitable[str]],
    status: str,
    may: dict[Action, str],
) -> None:
    """What is not allowed is 409, says where the ramp stands and what is allowed, and changes nothing; the rest is."""
    place = Place(world, api)
    ramp = await come(place)
    view = (await api.get(f"{RAMPS}/{ramp}")).json()
    assert view["status"] == status
    assert set(view["actions"]) == set(may)
    stored = await world.row(ramp)
    for refused in set(ASKED) - set(may):
        answer = await place.do(ramp, refused)
        assert answer.status_code == 409, (refused, answer.text)
        detail = answer.json()["detail"]
        assert f"It stands {status} at " in detail
        allowed = f"allowed there: {', '.join(view['actions'])}" if may else "nothing is allowed there any more"
        assert detail.endswith(allowed)
    if Action.REVIVE not in may:
        assert (await place.do(ramp, Action.REVIVE)).status_code == 409
    assert await world.row(ramp) == stored

    for number, (action, then) in enumerate(may.items()):
        if number:
            ramp = await come(place)
        answer = await place.do(ramp, action)
        assert answer.status_code == 200, (action, answer.text)
        assert (await api.get(f"{RAMPS}/{ramp}")).json()["status"] == then
        if then == "killed":
            await place.do(ramp, Action.REVIVE)
        elif Action.ABORT in may and then != "aborted":
            await place.do(ramp, Action.ABORT)


def test_every_state_was_tried() -> None:
    """Each status but the draft, which nothing leads to yet, is among the places."""
    assert {status for _, status, _ in PLACES} == set(Status) - {Status.DRAFT}
