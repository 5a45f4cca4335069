"""Scheduled changes over HTTP: asked for, looked at, made when the clock gets there, cancelled."""

from typing import Any

import httpx
import pytest

from rheostat_server.ports.scheduled import ScheduledRow
from rheostat_server.ports.storage import Transaction
from tests.admin_server import RunningNode, flag_document, rolled_out

FLAGS = "/projects/default/flags"
SCHEDULED = "/projects/default/scheduled-changes"
# The clock of tests begins on 2026-01-01 at midnight UTC.
IN_AN_HOUR = "2026-01-01T01:00:00Z"
HOUR = 3600
RULE = {"name": "beta", "when": {"attribute": "plan", "operator": "in", "values": ["pro"]}, "serve": "on"}


async def put(running: RunningNode, key: str = "checkout", **fields: Any) -> None:
    fields = fields or {"environments": {"production": rolled_out(5)}}
    answer = await running.admin.put(f"{FLAGS}/{key}", json=flag_document(key, **fields))
    assert answer.status_code in (200, 201), answer.text


async def ask(client: httpx.AsyncClient, key: str = "checkout", **body: Any) -> httpx.Response:
    return await client.post(f"{FLAGS}/{key}/scheduled-changes", json={"at": IN_AN_HOUR, **body})


async def schedule(running: RunningNode, key: str = "checkout", **body: Any) -> dict[str, Any]:
    answer = await ask(running.admin, key, **body)
    assert answer.status_code == 201, answer.text
    view: dict[str, Any] = answer.json()
    return view


async def pass_time(running: RunningNode, seconds: float = HOUR) -> None:
    """Move the clock, and let the node do what is due."""
    running.clock.advance(seconds)
    if running.node.controller.lease.token is None:
        await running.node.controller.lease.step()
    await running.node.schedule.tick()


async def view(running: RunningNode, scheduled_id: int) -> dict[str, Any]:
    answer = await running.admin.get(f"{SCHEDULED}/{scheduled_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def flag(running: RunningNode, key: str = "checkout") -> dict[str, Any]:
    found: dict[str, Any] = (await running.admin.get(f"{FLAGS}/{key}")).json()
    return found


async def audited(running: RunningNode, subject: str = "checkout") -> list[dict[str, Any]]:
    entries = (await running.admin.get("/audit", params={"subject": subject})).json()["entries"]
    return list(reversed(entries))


async def evaluate(running: RunningNode, unit: str = "user-1") -> Any:
    """Return what the node serves, once it has caught up with the database."""
    async with running.node.storage.transaction() as tx:
        here = await tx.environments.get("default", "production")
    await running.node.hub.wait_for(here.id, here.revision, 10)
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {running.sdk_key}"}) as client:
        body = {"context": {"targetingKey": unit}}
        answer = await client.post(f"{running.url}/ofrep/v1/evaluate/flags/checkout", json=body)
    return answer.json()["value"]


async def test_a_change_is_made_when_its_time_comes(running: RunningNode) -> None:
    """Until then nothing changes; then the served value, the version and the audit log do, in its author's name."""
    await put(running, environments={"production": rolled_out(0)})
    writer = await running.token_of(scope="write", label="ana")
    asked = await ask(
        writer, environment="production", patch={"default": {"rollout": {"exposure": 100}}}, note="launch"
    )
    assert asked.status_code == 201, asked.text
    await pass_time(running, HOUR - 1)
    assert (await evaluate(running), (await flag(running))["version"]) == (False, 1)

    await pass_time(running, 1)

    assert (await evaluate(running), (await flag(running))["version"]) == (True, 2)
    done = await view(running, asked.json()["id"])
    assert (done["status"], done["version"], done["ended_at"]) == ("done", 2, "2026-01-01T01:00:00.000Z")
    [newest, _] = (await running.admin.get(f"{FLAGS}/checkout/history")).json()["versions"]
    assert (newest["actor"], newest["action"], newest["note"]) == ("ana", "scheduled-change", "launch")
    entries = await audited(running)
    assert [entry["action"] for entry in entries] == ["flag.create", "flag.schedule", "flag.scheduled-change"]
    assert [entry["actor"] for entry in entries] == ["admin", "ana", "ana"]
    assert entries[-1]["environment"] == "production"
    number = done["id"]
    assert entries[-1]["summary"] == (
        f"changed checkout as scheduled for 2026-01-01T01:00:00.000Z ({number}), version 2 (production)"
    )
    await pass_time(running)
    assert (await flag(running))["version"] == 2


async def test_the_answer_says_who_would_move(running: RunningNode) -> None:
    """The preview is that of a direct write, computed now; the flag and its revisions stay as they are."""
    await put(running)
    before = await running.revisions()

    asked = await schedule(running, environment="production", patch={"default": {"rollout": {"exposure": 10}}})

    assert asked["moves"]["production"]["summary"] == ["rule default: 5 % → 10 %: 5 % of users gain `on`"]
    assert asked["summary"] == "default.rollout.exposure: 10"
    assert asked["status"] == "pending"
    assert await running.revisions() == before
    same = await schedule(running, environment="production", patch={"enabled": True})
    assert (same["moves"], same["notes"]) == ({}, ["as the flag is now, this would change nothing"])
    await pass_time(running)
    assert (await view(running, same["id"]))["status"] == "done"
    assert (await flag(running))["version"] == 2
    assert (await audited(running))[-1]["summary"].endswith("it was so already")


async def test_a_local_time_has_its_timezone(running: RunningNode) -> None:
    """A local time is an instant of its zone; one that the clocks skip is the later, one that comes twice the first."""
    await put(running)
    zone: dict[str, Any] = {"timezone": "Europe/Madrid", "patch": {"owner": "ana"}}

    found = [
        (asked["at"], asked["local"])
        for at in ("2026-12-01T09:00", "2026-03-29T02:30", "2026-10-25T02:30")
        for asked in [await schedule(running, at=at, **zone)]
    ]

    assert found == [
        ("2026-12-01T08:00:00.000Z", "2026-12-01T09:00:00+01:00"),
        ("2026-03-29T01:30:00.000Z", "2026-03-29T03:30:00+02:00"),
        ("2026-10-25T00:30:00.000Z", "2026-10-25T02:30:00+02:00"),
    ]


async def test_every_fault_is_told_at_once(running: RunningNode) -> None:
    """Faults of the time, of the request and of the document that would come of it, each with its path."""
    await put(running)

    answer = await ask(
        running.admin,
        at="2026-01-01",
        environment="production",
        if_version=1,
        notes="x",
        patch={
            "enable": True,
            "default": {"serve": "onn", "rollout": None},
            "prerequisites": [{"flag": "never", "variants": ["on"]}],
        },
        targets={"of": {"add": ["user-1"]}},
    )

    assert answer.status_code == 422, answer.text
    assert {fault["path"] for fault in answer.json()["faults"]} == {
        "notes",
        "at",
        "environments.production.enable",
        "environments.production.default.serve",
        "environments.production.targets.of",
    }
    elsewhere = await ask(
        running.admin, environment="production", patch={"prerequisites": [{"flag": "never", "variants": ["on"]}]}
    )
    assert [fault["path"] for fault in elsewhere.json()["faults"]] == ["environments.production.prerequisites[0].flag"]
    unknown = await ask(running.admin, environment="prodction", patch={"enabled": True})
    assert unknown.json()["faults"][0]["hint"] == "did you mean production?"
    assert (await running.admin.get(SCHEDULED)).json()["changes"] == []


async def test_rules_and_targets_are_edited_by_name(running: RunningNode) -> None:
    """A change takes the flag as it is then: what came to lists meanwhile stays, and a unit moves between variants."""
    here = rolled_out(0, rules=[RULE, {**RULE, "name": "old"}], targets={"off": ["ann", "bob"]})
    await put(running, environments={"production": here})
    await schedule(
        running,
        environment="production",
        rules={"beta": {"serve": None, "rollout": {"exposure": 50, "split": {"on": 1}}}, "old": None},
        targets={"on": {"add": ["ann", "eve"]}, "off": {"remove": ["bob"]}},
    )
    meanwhile = {"environments": {"production": {"targets": {"off": ["ann", "bob", "cem"]}}}}
    assert (await running.admin.patch(f"{FLAGS}/checkout", json=meanwhile)).status_code == 200

    await pass_time(running)

    made = (await flag(running))["document"]["environments"]["production"]
    assert made["targets"] == {"off": ["cem"], "on": ["ann", "eve"]}
    assert [(rule["name"], rule.get("rollout", {}).get("exposure")) for rule in made["rules"]] == [("beta", 50)]
    assert await evaluate(running, "eve") is True


async def test_the_whole_flag_can_be_changed(running: RunningNode) -> None:
    """Without an environment the patch is of the document: any field, in several environments at once."""
    await put(running)

    asked = await schedule(
        running,
        patch={"owner": "eve", "environments": {"staging": rolled_out(7), "production": {"enabled": False}}},
    )
    refused = [
        await ask(running.admin, patch={"key": "other"}),
        await ask(running.admin, patch={"environments": {"production": None}}),
        await ask(running.admin, rules={"beta": None}),
        await ask(running.admin),
    ]
    await pass_time(running)

    assert asked["environment"] is None
    document = (await flag(running))["document"]
    assert document["owner"] == "eve"
    assert document["environments"]["staging"] == rolled_out(7)
    # What is at its default is not written.
    assert "enabled" not in document["environments"]["production"]
    assert [answer.json()["faults"][0]["path"] for answer in refused] == [
        "key",
        "patch.environments.production",
        "rules",
        "",
    ]


async def test_a_change_that_fits_no_more_fails_and_changes_nothing(running: RunningNode) -> None:
    """It says what and why, is audited once, is not tried again, and holds up no other."""
    await put(running, variants={"on": True, "off": False, "blue": True}, environments={"production": rolled_out(5)})
    doomed = await schedule(running, environment="production", patch={"default": {"serve": "blue", "rollout": None}})
    later = await schedule(running, environment="production", patch={"enabled": False})
    await running.admin.patch(f"{FLAGS}/checkout", json={"variants": {"blue": None}})

    await pass_time(running)
    await pass_time(running)

    failed = await view(running, doomed["id"])
    assert (failed["status"], failed["version"]) == ("failed", None)
    assert [fault["path"] for fault in failed["faults"]] == ["environments.production.default.serve"]
    assert failed["why"].startswith("environments.production.default.serve: the flag has no variant blue")
    assert (await view(running, later["id"]))["status"] == "done"
    made = (await flag(running))["document"]["environments"]["production"]
    assert made == {"default": rolled_out(5)["default"]}
    told = [entry for entry in await audited(running) if entry["action"] == "flag.scheduled-change-failed"]
    assert [entry["detail"]["scheduled_change"] for entry in told] == [doomed["id"]]
    assert told[0]["summary"].startswith("the change of checkout that was scheduled for 2026-01-01T01:00:00.000Z")


async def test_a_change_for_one_version_asks_for_it(running: RunningNode) -> None:
    """With ``if_version`` a flag that moved on is left alone: at once 412, later ``failed`` with that reason."""
    await put(running)
    await put(running, "other")
    assert (await ask(running.admin, patch={"owner": "eve"}, if_version=2)).status_code == 412
    asked = await schedule(running, patch={"owner": "eve"}, if_version=1)
    kept = await schedule(running, "other", patch={"owner": "eve"}, if_version=1)
    await running.admin.patch(f"{FLAGS}/checkout", json={"owner": "ana"})

    await pass_time(running)

    failed = await view(running, asked["id"])
    assert (failed["status"], failed["why"]) == ("failed", "the flag 'checkout' has moved on to version 2")
    assert (await flag(running))["document"]["owner"] == "ana"
    assert (await view(running, kept["id"]))["status"] == "done"


async def test_a_pending_change_is_cancelled_once(running: RunningNode) -> None:
    """A cancelled change is never made and stays to be seen; cancelling it again, or one that is done, is 409."""
    await put(running)
    one = await schedule(running, patch={"owner": "eve"})
    two = await schedule(running, patch={"description": "new"})

    cancelled = await running.admin.post(f"{SCHEDULED}/{one['id']}/cancel", json={"reason": "too early"})
    await pass_time(running)

    assert cancelled.status_code == 200, cancelled.text
    found = await view(running, one["id"])
    assert (found["status"], found["why"], found["ended_by"]) == ("cancelled", "too early", "admin")
    assert "owner" not in (await flag(running))["document"]
    again = [await running.admin.post(f"{SCHEDULED}/{each['id']}/cancel") for each in (one, two)]
    assert [answer.status_code for answer in again] == [409, 409]
    assert "flag.unschedule" in [entry["action"] for entry in await audited(running)]
    for number in (0, 10**6, 10**30):
        assert (await running.admin.get(f"{SCHEDULED}/{number}")).status_code == 404


@pytest.mark.parametrize("by", ["archive", "prune"])
async def test_archiving_a_flag_cancels_what_waits_for_it(running: RunningNode, by: str) -> None:
    """The answer says so, and so do the change and the audit log; unarchived, the flag has none."""
    await put(running)
    await put(running, "other")
    asked = await schedule(running, patch={"owner": "eve"})
    kept = await schedule(running, "other", patch={"owner": "eve"})

    if by == "archive":
        answer = await running.admin.post(f"{FLAGS}/checkout/archive", json={"force": True})
        notes = answer.json()["notes"]
    else:
        wanted = {"documents": [(await flag(running, "other"))["document"]], "prune": True, "force": True}
        answer = await running.admin.post("/projects/default/apply", json=wanted)
        notes = next(change["notes"] for change in answer.json()["changes"] if change["key"] == "checkout")

    assert notes == [
        f'the change that was scheduled for 2026-01-01T01:00:00.000Z ({asked["id"]}: owner: "eve") is cancelled'
    ]
    found = await view(running, asked["id"])
    assert (found["status"], found["why"]) == ("cancelled", "the flag was archived")
    assert (await view(running, kept["id"]))["status"] == "pending"
    assert (await ask(running.admin, patch={"owner": "eve"})).status_code == 409
    entries = [entry["summary"] for entry in await audited(running) if entry["action"] == "flag.unschedule"]
    assert [entry.rpartition(": ")[2] for entry in entries] == ["the flag was archived"]


async def test_an_environment_that_goes_takes_its_changes_along(running: RunningNode) -> None:
    """Pending changes of the environment are cancelled; those of the whole flag stay."""
    await put(running)
    here = await schedule(running, environment="staging", patch={"enabled": True})
    whole = await schedule(running, patch={"owner": "eve"})

    deleted = await running.admin.delete("/projects/default/environments/staging", params={"confirm": "staging"})

    assert deleted.status_code == 204, deleted.text
    assert (await view(running, here["id"]))["why"] == "the environment staging was deleted"
    assert (await view(running, whole["id"]))["status"] == "pending"


async def test_changes_are_listed_by_time(running: RunningNode) -> None:
    """By flag, environment and status, page by page: pending ones the soonest first, others the latest first."""
    await put(running)
    await put(running, "other")
    times = ("2026-01-01T03:00:00Z", "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z")
    third, first, second = [
        (await schedule(running, at=at, environment="production", patch={"enabled": True}))["id"] for at in times
    ]
    other = (await schedule(running, "other", at=times[2], environment="staging", patch={"enabled": True}))["id"]

    async def ids(**query: Any) -> list[int]:
        answer = await running.admin.get(SCHEDULED, params=query)
        assert answer.status_code == 200, answer.text
        assert all(change["change"] is None for change in answer.json()["changes"])
        return [change["id"] for change in answer.json()["changes"]]

    assert await ids() == [first, second, other, third]
    assert await ids(flag="other") == [other]
    assert await ids(environment="production") == [first, second, third]
    page = (await running.admin.get(SCHEDULED, params={"limit": 2})).json()
    assert page["next"] == second
    assert await ids(limit=2, after=page["next"]) == [other, third]
    await pass_time(running, 2 * HOUR)
    assert await ids() == [third]
    assert await ids(status="done") == [other, second, first]
    assert await ids(status="all", limit=2, after=other) == [second, first]
    assert (await running.admin.get(SCHEDULED, params={"status": "lost"})).status_code == 400


async def test_scheduling_needs_the_right_to_write(running: RunningNode) -> None:
    """Reading is enough to look; a token of another project sees nothing."""
    await put(running)
    asked = await schedule(running, patch={"owner": "eve"})
    reader = await running.token_of(scope="read")
    await running.admin.post("/projects", json={"key": "shop", "name": "Shop"})
    stranger = await running.token_of(scope="write", project="shop")

    assert (await reader.get(f"{SCHEDULED}/{asked['id']}")).status_code == 200
    assert (await ask(reader, patch={"owner": "eve"})).status_code == 403
    assert (await reader.post(f"{SCHEDULED}/{asked['id']}/cancel")).status_code == 403
    assert (await stranger.get(SCHEDULED)).status_code == 403
    assert (await stranger.get(f"/projects/shop/scheduled-changes/{asked['id']}")).status_code == 404
    assert (await stranger.post(f"/projects/shop/scheduled-changes/{asked['id']}/cancel")).status_code == 404
    for path in (f"{FLAGS}/never/scheduled-changes", "/projects/never/flags/checkout/scheduled-changes"):
        answer = await running.admin.post(path, json={"at": IN_AN_HOUR, "patch": {"owner": "eve"}})
        assert answer.status_code == 404


async def test_there_are_limits(running: RunningNode) -> None:
    """1 000 pending changes in a project, 1 MiB for one: beyond them a refusal that names the limit."""
    await put(running)
    first = await schedule(running, patch={"owner": "eve"})

    async def fill(tx: Transaction) -> None:
        home = await tx.projects.lock("default")
        row: ScheduledRow = await tx.scheduled.get(home.id, first["id"])
        for _ in range(999):
            await tx.scheduled.add(row)

    await running.node.storage.run(fill)

    answer = await ask(running.admin, patch={"owner": "eve"})
    assert (answer.status_code, "1000 pending changes" in answer.json()["detail"]) == (422, True)
    await running.admin.post(f"{SCHEDULED}/{first['id']}/cancel")
    await schedule(running, patch={"owner": "eve"})
    assert (await ask(running.admin, patch={"description": "x" * (1 << 20)})).status_code == 413


async def test_odd_names_are_no_trouble(running: RunningNode) -> None:
    """A name in metadata may hold a NUL: it is scheduled and made, and one that has a fault then fails in order."""
    await put(running, variants={"on": True, "off": False, "blue": True})
    fine = await schedule(running, patch={"metadata": {"a\x00b": 1, "c": "\x00"}})
    doomed = await schedule(running, patch={"metadata": {"a\x00b": 2}, "off_variant": "blue"})
    await pass_time(running, 0)
    await running.admin.patch(f"{FLAGS}/checkout", json={"variants": {"blue": None}})

    await pass_time(running)

    assert (await view(running, fine["id"]))["status"] == "done"
    assert (await view(running, doomed["id"]))["status"] == "failed"
    assert (await flag(running))["document"]["metadata"] == {"a\x00b": 1, "c": "\x00"}


async def start_ramp(running: RunningNode) -> str:
    ramp = {"kind": "ramp", "flag": "checkout", "environment": "production", "steps": [50, 100], "users": 100_000}
    started = await running.admin.post("/projects/default/environments/production/ramps", json=ramp)
    assert started.status_code == 201, started.text
    ramp_id: str = started.json()["id"]
    return ramp_id


async def ramp_status(running: RunningNode, ramp_id: str) -> str:
    status: str = (await running.admin.get(f"/projects/default/environments/production/ramps/{ramp_id}")).json()[
        "status"
    ]
    return status


async def test_a_change_of_exposure_aborts_a_live_ramp(running: RunningNode) -> None:
    """As a person's write would: said when it is scheduled, and done when its time comes."""
    await put(running)
    ramp = await start_ramp(running)

    asked = await schedule(running, environment="production", patch={"default": {"rollout": {"exposure": 60}}})
    assert any("was aborted" in note for note in asked["notes"])
    assert await ramp_status(running, ramp) in ("arming", "running")
    await pass_time(running)

    assert await ramp_status(running, ramp) == "aborted"
    assert (await view(running, asked["id"]))["status"] == "done"
    assert (await flag(running))["in_force"]["production"]["rollouts"]["default"]["in_force"] == 60


async def test_a_change_that_would_spoil_a_live_ramp_fails(running: RunningNode) -> None:
    """It may be scheduled, with a warning, for the ramp may be over by then; where it is not, the change fails."""
    await put(running)
    ramp = await start_ramp(running)

    asked = await schedule(running, environment="production", patch={"default": {"rollout": {"salt": "new"}}})
    assert asked["notes"][0].startswith("warning: as things stand this would be refused: ramp ")
    await pass_time(running)

    failed = await view(running, asked["id"])
    assert failed["status"] == "failed"
    assert "its evidence would mean nothing" in failed["why"]
    assert (await flag(running))["version"] == 1
    assert await ramp_status(running, ramp) != "aborted"
