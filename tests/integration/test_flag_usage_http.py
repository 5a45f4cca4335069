"""When flags were last evaluated, and which are stale, over HTTP."""

from typing import Any

from rheostat_server.outcomes.model import EvaluationCount
from rheostat_server.ports.storage import Transaction
from tests.admin_server import RunningNode, flag_document, rolled_out

FLAGS = "/projects/default/flags"
STALE = "/projects/default/stale-flags"
DAY_MS = 86_400_000


async def put(running: RunningNode, key: str, **fields: Any) -> None:
    answer = await running.admin.put(f"{FLAGS}/{key}", json=flag_document(key, **fields))
    assert answer.status_code in (200, 201), answer.text


async def evaluate(running: RunningNode, key: str, variant: str, count: int = 1) -> None:
    now_ms = running.clock.wall_ms()

    async def work(tx: Transaction) -> None:
        here = await tx.environments.get("default", "production")
        await tx.outcomes.count_evaluations(
            [EvaluationCount(here.id, key, variant, "shop", now_ms // DAY_MS, count, now_ms)]
        )

    await running.node.storage.run(work)


async def reasons(running: RunningNode) -> dict[str, list[str]]:
    answer = await running.admin.get(STALE)
    assert answer.status_code == 200, answer.text
    return {flag["key"]: [reason["kind"] for reason in flag["reasons"]] for flag in answer.json()["flags"]}


async def test_a_flag_that_gives_all_the_same_for_30_days_is_stale(running: RunningNode) -> None:
    """At 0 or 100 % for 30 days a temporary flag is stale; at 50 %, with targets or permanent it is not."""
    await put(running, "done", environments={"production": rolled_out(100)})
    await put(running, "half", environments={"production": rolled_out(50)})
    await put(running, "named", environments={"production": rolled_out(100, targets={"off": ["user-1"]})})
    await put(running, "switch", temporary=False, environments={"production": rolled_out(100)})
    await put(running, "edited", environments={"production": rolled_out(100)})
    await put(running, "turned", environments={"production": rolled_out(50)})
    running.clock.advance(29 * 86_400)
    await put(running, "edited", description="still all")
    await put(running, "turned", environments={"production": rolled_out(100)})
    for key in ("done", "half", "named", "edited", "turned", "switch"):
        await evaluate(running, key, "on")
    assert await reasons(running) == {}

    running.clock.advance(86_400)

    assert await reasons(running) == {"done": ["settled"], "edited": ["settled"]}
    found = (await running.admin.get(STALE)).json()["flags"][0]
    assert found["reasons"][0]["since"] == "2026-01-01T00:00:00.000Z"
    assert found["reasons"][0]["text"] == "every environment has given everybody the same for 30 days"
    await running.admin.post(f"{FLAGS}/done/archive", json={"force": True})
    assert await reasons(running) == {"edited": ["settled"]}


async def test_a_kill_or_ramp_begins_anew(running: RunningNode) -> None:
    """What a kill or a ramp changed counts from then on, although the document is old."""
    await put(running, "killed", environments={"production": rolled_out(100)})
    running.clock.advance(30 * 86_400)
    await evaluate(running, "killed", "on")
    assert await reasons(running) == {"killed": ["settled"]}

    kill = "/projects/default/environments/production/flags/killed/kill"
    answer = await running.admin.post(kill, json={"reason": "test"})
    assert answer.status_code in (200, 201), answer.text

    assert await reasons(running) == {}


async def test_a_flag_that_nobody_evaluates_for_7_days_is_stale(running: RunningNode) -> None:
    """Unseen for 7 days is stale, never seen too, once the flag itself is that old."""
    await put(running, "seen", environments={"production": rolled_out(50)})
    await put(running, "never", environments={"production": rolled_out(50)})
    running.clock.advance(6 * 86_400)
    await evaluate(running, "seen", "on")
    assert await reasons(running) == {}

    running.clock.advance(86_400)
    assert await reasons(running) == {"never": ["unseen"]}
    running.clock.advance(6 * 86_400)
    assert await reasons(running) == {"never": ["unseen"], "seen": ["unseen"]}
    by_key = {flag["key"]: flag for flag in (await running.admin.get(STALE)).json()["flags"]}
    assert by_key["never"]["last_evaluated"] is None
    assert by_key["seen"]["last_evaluated"] == "2026-01-07T00:00:00.000Z"


async def test_each_variant_says_when_it_was_last_evaluated(running: RunningNode) -> None:
    """Usage has every variant in every environment, those never used too, and the caller's default."""
    await put(running, "checkout", environments={"production": rolled_out(50)})
    await evaluate(running, "checkout", "on", 3)
    running.clock.advance(60)
    await evaluate(running, "checkout", "on", 2)
    await evaluate(running, "checkout", "")

    answer = await running.admin.get(f"{FLAGS}/checkout/usage")

    found = {(one["environment"], one["variant"]): one for one in answer.json()["variants"]}
    assert found["production", "on"]["evaluations"] == 5
    assert found["production", "on"]["last_evaluated"] == "2026-01-01T00:01:00.000Z"
    assert found["production", "off"]["last_evaluated"] is None
    assert found["production", None]["evaluations"] == 1
    assert len(found) == 7
    assert (await running.admin.get(f"{FLAGS}/never/usage")).status_code == 404
    assert (await running.admin.get("/projects/never/stale-flags")).status_code == 404
