"""Ramps and kills over the admin API."""

import uuid
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest

from rheostat_server.access.keyring import KeyRing
from rheostat_server.access.model import Scope, TokenKind
from rheostat_server.access.secret import hash_secret
from rheostat_server.adapters.storage.postgres.pool import Database
from rheostat_server.ports.access import TokenRow
from rheostat_server.ramps.routes import ramp_routes
from rheostat_server.web.app import create_app
from tests.integration.ramp_world import (
    ENVIRONMENT,
    FLAG,
    PROJECT,
    RampWorld,
    flag_document,
    ramp_document,
    ramp_world,
)

BASE = f"/api/v1/projects/{PROJECT}/environments/{ENVIRONMENT}"
RAMPS = f"{BASE}/ramps"
FLAGS = f"{BASE}/flags/{FLAG}"
WRITER, READER = "rht_writes-in-a-test", "rht_reads-in-a-test"


@pytest.fixture
async def world(database: Database) -> AsyncIterator[RampWorld]:
    """A world in which the flag is written."""
    async with ramp_world(database) as made:
        await made.put()
        yield made


@pytest.fixture
async def api(world: RampWorld) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may write."""
    for secret, scope in ((WRITER, Scope.WRITE), (READER, Scope.READ)):
        async with world.storage.transaction() as tx:
            await tx.tokens.add(
                TokenRow(
                    id=str(uuid.uuid4()),
                    kind=TokenKind.API,
                    scope=scope,
                    hash=hash_secret(secret),
                    hint=secret[:8],
                    label=f"who {scope}s",
                    project=None,
                    environment_id=None,
                    environment=None,
                    created_at_ms=0,
                )
            )
            await tx.tokens.raise_access_revision()
    keyring = KeyRing(world.storage, world.clock, poll_seconds=1)
    await keyring.start()
    app = create_app(admin=[ramp_routes(world.ramps)], others=[], keyring=keyring, version="test")
    transport = httpx.ASGITransport(app=cast(Any, app), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://node", headers={"Authorization": f"Bearer {WRITER}"}
    ) as client:
        yield client
    await keyring.stop()


async def started(api: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    """Start a ramp and return its view."""
    answer = await api.post(RAMPS, json=ramp_document(**changes))
    assert answer.status_code == 201, answer.text
    view: dict[str, Any] = answer.json()
    return view


async def test_a_ramp_is_started_shown_and_listed(api: httpx.AsyncClient) -> None:
    """The answer to a start is the ramp's view, with its address; get and list show the same."""
    view = await started(api)

    assert (await api.get(f"{RAMPS}/{view['id']}")).json()["id"] == view["id"]
    assert [one["id"] for one in (await api.get(RAMPS)).json()["ramps"]] == [view["id"]]
    assert view["started_by"] == "who writes"
    assert view["standing"]["line"] == "arming 0:10 left"
    [guardrail] = view["guardrails"]
    assert (guardrail["kill_line"], guardrail["advance_line"]) == (200, 5)
    assert guardrail["treatment"] == {"requests": 0, "bad": 0, "failing": 0, "units": 0, "rate": None}
    assert (guardrail["hold_line"], view["entered_at"], view["at"]) == (10, view["started_at"], view["started_at"])
    assert view["standing"]["due"]["dwell_left_s"] is None, "nothing is due while it is arming"
    assert view["notes"]


async def test_a_ramp_is_acted_on_with_and_without_a_reason(api: httpx.AsyncClient) -> None:
    """Each action answers with the ramp as it then stands, and each is among the decisions with its actor."""
    ramp = (await started(api))["id"]

    statuses = []
    for action, body in (
        ("pause", {}),
        ("resume", {"reason": "lunch is over"}),
        ("advance", {"reason": "we know it"}),
        ("abort", {}),
    ):
        answer = await api.post(f"{RAMPS}/{ramp}/{action}", json=body)
        assert answer.status_code == 200, answer.text
        statuses.append(answer.json()["status"])

    assert statuses == ["paused", "arming", "running", "aborted"]
    decisions = (await api.get(f"{RAMPS}/{ramp}/decisions", params={"after": 1})).json()["decisions"]
    assert [one["kind"] for one in decisions] == ["pause", "resume", "advance", "abort"]
    assert decisions[1]["detail"]["reason"] == "lunch is over"
    assert decisions[1]["detail"]["actor"] == "who writes"
    last = (await api.get(f"{RAMPS}/{ramp}/decisions", params={"last": 1})).json()["decisions"]
    assert [one["kind"] for one in last] == ["abort"]


async def test_decisions_come_in_pages_and_by_kind(api: httpx.AsyncClient, world: RampWorld) -> None:
    """``next`` leads through the whole log; ``kind`` and ``since`` leave the others out; an unknown kind is refused."""
    ramp = (await started(api))["id"]
    for action in ("pause", "resume", "pause", "resume"):
        world.manual.advance(60)
        await api.post(f"{RAMPS}/{ramp}/{action}", json={})

    async def read(**params: Any) -> Any:
        answer = await api.get(f"{RAMPS}/{ramp}/decisions", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    pages, after = [], 0
    while after is not None:
        pages.append(await read(limit=2, after=after))
        after = pages[-1]["next"]
    assert [[one["seq"] for one in page["decisions"]] for page in pages] == [[1, 2], [3, 4], [5]]
    of_two = await read(kind=["start", "resume"])
    assert [one["kind"] for one in of_two["decisions"]] == ["start", "resume", "resume"]
    assert [one["seq"] for one in (await read(since="90s"))["decisions"]] == [4, 5]
    assert [one["seq"] for one in (await read(kind="pause", last=1))["decisions"]] == [4]
    assert [one["seq"] for one in (await read(kind="pause", limit=1))["decisions"]] == [2]
    for params in ({"kind": "hopes"}, {"since": "soon"}):
        assert (await api.get(f"{RAMPS}/{ramp}/decisions", params=params)).status_code == 422


async def test_a_kill_is_latched_until_it_is_revived(api: httpx.AsyncClient) -> None:
    """Kill, kill again, try to ramp, revive, revive again."""
    ramp = (await started(api))["id"]

    killed = await api.post(f"{FLAGS}/kill", json={"reason": "it burns"})
    again = await api.post(f"{FLAGS}/kill", json={"reason": "still"})
    refused = await api.post(RAMPS, json=ramp_document())
    revived = await api.post(f"{FLAGS}/revive", json={"reason": "fixed"})
    nothing = await api.post(f"{FLAGS}/revive", json={"reason": "fixed"})

    assert [answer.status_code for answer in (killed, again, refused, revived, nothing)] == [200, 200, 409, 200, 409]
    [kill] = killed.json()["kills"]
    assert (kill["scope"], kill["ramp"], kill["reason"], kill["actor"]) == ("rollout", ramp, "it burns", "who writes")
    assert revived.json()["kills"] == []


@pytest.mark.parametrize(
    ("path", "body", "status", "fault"),
    [
        (RAMPS, {"steps": [1]}, 422, "flag"),
        (RAMPS, {"flag": FLAG, "steps": ["much"]}, 422, "steps[0]"),
        (f"{FLAGS}/kill", {}, 422, ""),
        (f"{FLAGS}/kill", {"reason": ""}, 422, "reason"),
        (f"{FLAGS}/kill", {"reason": "x", "scope": "all"}, 422, "scope"),
        (f"{FLAGS}/kill", {"reason": "x", "to_code_default": 1}, 422, "to_code_default"),
        (f"{FLAGS}/kill", {"reason": "x", "force": True}, 422, ""),
        (f"{FLAGS}/revive", {"reason": 1}, 422, "reason"),
        (f"{FLAGS}/revive", {}, 422, ""),
        (f"{FLAGS}/revive", {"reason": " \t"}, 422, "reason"),
        (f"{RAMPS}/no-id/pause", {}, 404, None),
        (f"{RAMPS}/no-id/pause", {"why": "x"}, 422, ""),
        (f"{BASE}/flags/nothing/kill", {"reason": "x"}, 404, None),
    ],
)
async def test_what_is_wrong_is_a_problem_with_its_path(
    api: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, fault: str | None
) -> None:
    """Unknown fields, wrong types and missing reasons are refused with the place; nothing is written."""
    answer = await api.post(path, json=body)

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    if fault is not None:
        assert fault in [one["path"] for one in answer.json()["faults"]]
    assert (await api.get(RAMPS)).json()["ramps"] == []


async def test_a_reader_may_look_and_not_touch(api: httpx.AsyncClient) -> None:
    """A read token sees ramps; starting, acting, killing and reviving need the write scope."""
    ramp = (await started(api))["id"]
    api.headers["Authorization"] = f"Bearer {READER}"

    assert (await api.get(f"{RAMPS}/{ramp}")).status_code == 200
    for path in (RAMPS, f"{RAMPS}/{ramp}/pause", f"{FLAGS}/kill", f"{FLAGS}/revive"):
        assert (await api.post(path, json={"reason": "x"})).status_code == 403
    api.headers["Authorization"] = "Bearer rht_nobody"
    assert (await api.get(RAMPS)).status_code == 401


async def test_the_api_describes_its_ramps(api: httpx.AsyncClient) -> None:
    """Every route of ramps is in the API's description, with a name of its own."""
    document = (await api.get("/docs/openapi.json")).json()

    operations = [one for path in document["paths"].values() for one in path.values()]
    names = [one["operationId"] for one in operations]
    assert len(names) == len(set(names)) == 14
    assert all(one.get("description") for one in operations)


async def test_strategies_and_calendars_are_taken_and_shown(api: httpx.AsyncClient) -> None:
    """The view has the strategy, the steps that it came to, and when the calendar lets it go up."""
    window = {"days": "mon-wed", "from": "09:00", "to": "17:00", "timezone": "Europe/Madrid"}
    freeze = {"from": "2026-01-05", "until": "2026-01-06", "timezone": "Europe/Madrid", "reason": "stocktaking"}

    view = await started(
        api, strategy="linear", steps=None, step_weight=20, max_weight=40, advance_windows=[window], freezes=[freeze]
    )

    assert (view["strategy"], view["steps"]) == ("linear", [20, 40, 100])
    assert view["plan"]["advance_windows"][0]["from_minute"] == 540
    assert view["notes"][-3:] == [
        "it goes up only within mon-wed 09:00-17:00 Europe/Madrid; evidence and kills run always",
        "frozen (stocktaking) from Mon 5 Jan 00:00 Europe/Madrid until Tue 6 Jan 00:00 Europe/Madrid",
        "it begins to watch now; waits for the advance window: opens Tue 6 Jan 09:00 Europe/Madrid",
    ]


@pytest.mark.parametrize(
    ("document", "path", "hint"),
    [
        ({"strategy": "linear", "step_weight": 10}, "steps", "leave out steps, or say strategy: custom"),
        ({"strategy": "linear", "steps": None, "step_weight": 60, "max_weight": 50}, "step_weight", "at most 50"),
        ({"strategy": "exponential", "steps": None, "factor": 1}, "factor", "such as 2"),
        ({"strategy": "blue-green", "steps": None, "holdback": 0}, "strategy", "unguarded: true"),
        ({"advance_windows": [{"from": "09:00"}]}, "advance_windows[0].timezone", "Europe/Madrid"),
        ({"freezes": [{"from": "2026-01-05"}]}, "freezes[0].until", "add until"),
        ({"start_at": "2026-12-01T09:00"}, "start_at", "with timezone: Europe/Madrid"),
    ],
)
async def test_what_cannot_be_planned_is_named_with_a_hint(
    api: httpx.AsyncClient, document: dict[str, Any], path: str, hint: str
) -> None:
    """A bad combination is one fault, with its path and what to do; nothing is started."""
    answer = await api.post(RAMPS, json=ramp_document(**document))

    assert answer.status_code == 422
    [fault] = answer.json()["faults"]
    assert fault["path"] == path
    assert hint in fault["hint"]
    assert (await api.get(RAMPS)).json()["ramps"] == []


async def test_a_ramp_is_planned_for_later_and_ended_or_started(api: httpx.AsyncClient, world: RampWorld) -> None:
    """A draft has its time, is ended by an abort and started by an advance; of anything else it is a conflict."""
    ends, starts = [await started(api, start_at="2026-12-01T09:00", timezone="Europe/Madrid") for _ in range(2)]
    assert (ends["status"], ends["start_at"], ends["in_force"]) == ("draft", "2026-12-01T08:00:00.000Z", False)
    assert ends["standing"]["line"] == "draft: starts Tue 1 Dec 09:00 Europe/Madrid (in 334 days)"

    refused = await api.post(f"{RAMPS}/{ends['id']}/pause", json={})
    ended = await api.post(f"{RAMPS}/{ends['id']}/abort", json={"reason": "never mind"})
    begun = await api.post(f"{RAMPS}/{starts['id']}/advance", json={"reason": "today"})

    assert (refused.status_code, ended.json()["status"], begun.json()["status"]) == (409, "aborted", "arming")
    decisions = (await api.get(f"{RAMPS}/{starts['id']}/decisions")).json()["decisions"]
    assert [one["kind"] for one in decisions] == ["draft", "start"]
    again = await api.post(f"{RAMPS}/{ends['id']}/advance", json={"reason": "after all"})
    assert again.status_code == 409
    assert "the ramp is over" in again.json()["detail"]


async def test_interlocks_answer_with_who_is_in_the_way(api: httpx.AsyncClient, world: RampWorld) -> None:
    """An earlier rule on the same line is a fault of the rollout; a live ramp of the flag a conflict that names it."""
    when = {"attribute": "country", "operator": "in", "values": ["ES"]}
    rule = {"name": "sale", "when": when, "rollout": {"exposure": 25, "split": {"on": 1}, "fallback": "off"}}
    await world.put(flag_document(environment={"rules": [rule]}))
    faulty = await api.post(RAMPS, json=ramp_document())
    await world.put(flag_document())
    live = await started(api)
    second = await api.post(RAMPS, json=ramp_document())

    assert faulty.status_code == 422
    [fault] = faulty.json()["faults"]
    assert fault["path"] == "rollout"
    assert fault["message"].startswith("the rule sale before it rolls out to 25 %")
    assert "a salt of its own" in fault["hint"]
    assert second.status_code == 409
    assert live["id"] in second.json()["detail"]
