"""Notification channels and deliveries over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rheostat_server.adapters.storage.postgres.pool import Database
from tests.admin_server import RunningNode, a_running_node, flag_document, rolled_out
from tests.integration.receivers import Answer, Receiver, a_receiver
from tests.unit.server.notifications.documented import verified

CHANNELS = "/projects/default/notification-channels"
DELIVERIES = "/projects/default/notification-deliveries"
KILL = "/projects/default/environments/production/flags/checkout/kill"


@pytest.fixture
async def running(database: Database, tmp_path: Path) -> AsyncIterator[RunningNode]:
    """A node that may send to this machine; nothing is sent by itself."""
    options = {"notify_allow_private": "127.0.0.0/8", "tick_seconds": 3600, "public_url": "https://flags.example.com"}
    async with a_running_node(database, tmp_path, **options) as found:
        document = flag_document(environments={"production": rolled_out(5)})
        assert (await found.admin.put("/projects/default/flags/checkout", json=document)).status_code == 201
        yield found


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """An HTTP receiver."""
    async with a_receiver() as made:
        yield made


async def add(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post(CHANNELS, json={"name": "hook", "kind": "webhook", **fields})


async def send(running: RunningNode) -> None:
    """Let the node send what is due."""
    if running.node.controller.lease.token is None:
        await running.node.controller.lease.step()
    await asyncio.gather(*await running.node.notifications.tick())


def paths(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [fault["path"] for fault in answer.json()["faults"]]


async def test_a_webhooks_life(running: RunningNode, receiver: Receiver) -> None:
    """Added with its secret once, tried, listed without secrets, told of a kill, changed, removed; all audited."""
    made = await add(running.admin, url=receiver.url, environments=["production"], events=["killed"])
    assert made.status_code == 201, made.text
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    assert made.json()["notes"] == ["what is sent there is not encrypted: it is http"]
    assert (await add(running.admin, url=receiver.url)).status_code == 409

    [listed] = (await running.admin.get(CHANNELS)).json()["channels"]
    assert listed["url"] == f"http://127.0.0.1:{receiver.port}/…"
    assert listed["secret"] is None
    assert (await running.admin.get(f"{CHANNELS}/hook")).json() == listed

    tried = await running.admin.post(f"{CHANNELS}/hook/test")
    assert tried.json() == {"delivered": True, "detail": None}
    assert receiver.received[0].json["event"] == "test"

    assert (await running.admin.post(KILL, json={"reason": "it burns"})).status_code == 200
    await send(running)
    one = receiver.received[-1]
    assert verified(secret, one.headers, one.body, running.clock.wall_ms() / 1000) == one.json["id"]
    assert one.json["link"] == "https://flags.example.com/api/v1/projects/default/flags/checkout"

    page = (await running.admin.get(DELIVERIES)).json()
    [delivery] = page["deliveries"]
    assert (delivery["status"], delivery["event"], delivery["message"]) == ("delivered", "killed", None)
    whole = (await running.admin.get(f"{DELIVERIES}/{delivery['id']}")).json()
    assert whole["message"] == one.json

    changed = await running.admin.patch(f"{CHANNELS}/hook", json={"events": None, "flags": ["other"]})
    assert changed.json()["events"] == []
    assert changed.json()["flags"] == ["other"]
    assert changed.json()["environments"] == ["production"]
    assert (await running.admin.delete(f"{CHANNELS}/hook")).status_code == 200
    assert (await running.admin.get(f"{CHANNELS}/hook")).status_code == 404
    assert (await running.admin.get(DELIVERIES)).json() == {"deliveries": [], "next": None}

    entries = (await running.admin.get("/audit", params={"subject": "hook"})).json()["entries"]
    assert [entry["action"] for entry in reversed(entries)] == ["channel.add", "channel.change", "channel.remove"]
    text = (await running.admin.get("/audit")).text
    assert secret not in text
    assert "/services/secret" not in text


async def test_deliveries_are_listed_and_sent_again(running: RunningNode, receiver: Receiver) -> None:
    """A page at a time, by channel, flag and status; what failed is sent again by hand, what waits is not."""
    await add(running.admin, url=receiver.url)
    await add(running.admin, name="other", url=receiver.url)
    receiver.judge = lambda _: Answer(status=404)
    await running.admin.post(KILL, json={"reason": "it burns"})
    await running.admin.post(KILL.replace("/kill", "/revive"), json={"reason": "fixed"})
    await send(running)

    first = (await running.admin.get(DELIVERIES, params={"limit": 3})).json()
    rest = (await running.admin.get(DELIVERIES, params={"limit": 3, "before": first["next"]})).json()
    assert [one["status"] for one in first["deliveries"] + rest["deliveries"]] == ["failed"] * 4
    assert rest["next"] is None
    for params, count in (
        ({"channel": "other"}, 2),
        ({"status": "failed"}, 4),
        ({"status": "delivered"}, 0),
        ({"flag": "checkout"}, 4),
        ({"flag": "x"}, 0),
    ):
        found = (await running.admin.get(DELIVERIES, params=params)).json()["deliveries"]
        assert len(found) == count, params
    assert (await running.admin.get(DELIVERIES, params={"channel": "nowhere"})).status_code == 404
    assert (await running.admin.get(DELIVERIES, params={"status": "lost"})).status_code == 400

    failed = rest["deliveries"][0]
    assert failed["last_error"] == "the receiver answered 404"
    again = await running.admin.post(f"{DELIVERIES}/{failed['id']}/resend")
    assert (again.status_code, again.json()["status"]) == (200, "pending")
    assert (await running.admin.post(f"{DELIVERIES}/{failed['id']}/resend")).status_code == 409
    assert (await running.admin.post(f"{DELIVERIES}/999999/resend")).status_code == 404
    receiver.judge = lambda _: None
    await send(running)
    assert receiver.received[-1].json["id"] == failed["notification"]
    assert (await running.admin.get(f"{DELIVERIES}/{failed['id']}")).json()["status"] == "delivered"
    entries = (await running.admin.get("/audit", params={"subject": failed["channel"]})).json()["entries"]
    assert entries[0]["action"] == "notification.resend"


async def test_faults_are_named_at_once(running: RunningNode) -> None:
    """What is wrong with a channel is all in one answer, and nothing is kept."""
    assert paths(await add(running.admin, url="ftp://x", events=["kill"], environments=["prod"], colour=1)) == [
        "colour", "environments[0]", "events[0]", "url",
    ]  # fmt: skip
    assert paths(await running.admin.post(CHANNELS, json={})) == ["name", "kind"]
    assert paths(await add(running.admin, kind="email", to=["ops@example.com"])) == ["kind"]
    assert (await running.admin.post(CHANNELS, content=b"{")).status_code == 400
    assert (await running.admin.get(CHANNELS)).json() == {"channels": []}


@pytest.mark.parametrize(
    "host",
    ["10.0.0.1", "localhost", "[::1]", "169.254.169.254", "2130706433", "127.1", "[::ffff:10.0.0.1]", "0.0.0.0"],
)
async def test_addresses_that_nothing_is_sent_to(database: Database, tmp_path: Path, host: str) -> None:
    """Whatever the form, a private address is refused when it is saved, with what the operator can do."""
    async with a_running_node(database, tmp_path, tick_seconds=3600) as running:
        refused = await add(running.admin, url=f"http://{host}:8080/x")
        [fault] = refused.json()["faults"]
        assert fault["path"] == "url"
        assert "nothing is sent there" in fault["message"]
        assert "RHEOSTAT_NOTIFY_ALLOW_PRIVATE" in fault["hint"]
        changing = await add(running.admin, url="http://8.8.8.8/x")
        assert changing.status_code == 201, changing.text
        assert paths(await running.admin.patch(f"{CHANNELS}/hook", json={"url": f"http://{host}/x"})) == ["url"]


async def test_a_name_that_is_not_known_now_is_a_note(running: RunningNode) -> None:
    """A name may be made after the channel: it is said, and stands against nothing."""
    made = await add(running.admin, url="https://hooks.invalid/x")
    assert made.status_code == 201
    [note] = made.json()["notes"]
    assert note.startswith("hooks.invalid does not resolve")
    tried = (await running.admin.post(f"{CHANNELS}/hook/test")).json()
    assert tried["delivered"] is False
    assert "hooks.invalid does not resolve" in tried["detail"]


async def test_slack(running: RunningNode, receiver: Receiver) -> None:
    """What takes Slack's payloads gets words and blocks, unsigned; it has no secret to change."""
    made = await add(running.admin, kind="slack", url=receiver.url)
    assert made.json()["secret"] is None
    await running.admin.post(KILL, json={"reason": "it <burns>"})
    await send(running)

    [one] = receiver.received
    assert "checkout killed in production" in one.json["text"]
    assert "it &lt;burns&gt;" in one.json["text"]
    assert one.json["blocks"][0]["type"] == "header"
    assert "webhook-signature" not in one.headers
    assert (await running.admin.post(f"{CHANNELS}/hook/rotate", json={})).status_code == 422


async def test_a_secret_is_made_anew(running: RunningNode, receiver: Receiver) -> None:
    """During the overlap both secrets verify, then the new one alone."""
    own = "whsec_" + "A" * 32
    made = await add(running.admin, url=receiver.url, secret=own)
    assert made.json()["secret"] == own
    changed = await running.admin.post(f"{CHANNELS}/hook/rotate", json={"overlap": "1h"})
    new = changed.json()["secret"]
    assert changed.json()["old_secret_until"] == "2026-01-01T01:00:00.000Z"

    await running.admin.post(f"{CHANNELS}/hook/test")
    running.clock.advance(3600)
    await running.admin.post(f"{CHANNELS}/hook/test")
    during, after = receiver.received
    now_s = running.clock.wall_ms() / 1000
    assert verified(own, during.headers, during.body, now_s - 3600) == verified(
        new, during.headers, during.body, now_s - 3600
    )
    verified(new, after.headers, after.body, now_s)
    with pytest.raises(ValueError, match="secret"):
        verified(own, after.headers, after.body, now_s)
    assert (await running.admin.get(f"{CHANNELS}/hook")).json()["old_secret_until"] is None
    assert paths(await running.admin.post(f"{CHANNELS}/hook/rotate", json={"overlap": "31d"})) == ["overlap"]


async def test_who_may_do_what(running: RunningNode, receiver: Receiver) -> None:
    """Channels are added, changed and removed by admins; tried by writers; read by readers; of their project."""
    await add(running.admin, url=receiver.url)
    write, read = await running.token_of(scope="write"), await running.token_of(scope="read")
    assert (await add(write, name="w", url=receiver.url)).status_code == 403
    assert (await write.patch(f"{CHANNELS}/hook", json={})).status_code == 403
    assert (await write.delete(f"{CHANNELS}/hook")).status_code == 403
    assert (await write.post(f"{CHANNELS}/hook/rotate", json={})).status_code == 403
    assert (await write.post(f"{CHANNELS}/hook/test")).status_code == 200
    assert (await read.post(f"{CHANNELS}/hook/test")).status_code == 403
    assert (await read.get(CHANNELS)).status_code == 200
    assert (await read.get(DELIVERIES)).status_code == 200
    await running.admin.post("/projects", json={"key": "other"})
    elsewhere = await running.token_of(scope="admin", project="other")
    assert (await elsewhere.get(CHANNELS)).status_code == 403
    assert (await elsewhere.get("/projects/other/notification-channels")).json() == {"channels": []}
    assert (await running.admin.get("/projects/other/notification-channels/hook")).status_code == 404


async def test_a_hundred_channels(running: RunningNode) -> None:
    """More than 100 are refused; so many are enough for any project."""
    for number in range(100):
        made = await add(running.admin, name=f"c{number}", url="http://8.8.8.8/")
        assert made.status_code == 201, made.text
    assert (await add(running.admin, name="more", url="http://8.8.8.8/")).status_code == 422


async def test_what_is_deleted_takes_its_deliveries(running: RunningNode, receiver: Receiver) -> None:
    """An environment, or a project, that is deleted leaves nothing that is sent."""
    await add(running.admin, url=receiver.url)
    await running.admin.post(KILL, json={"reason": "it burns"})
    await running.admin.delete("/projects/default/environments/production", params={"confirm": "production"})
    await send(running)

    assert receiver.received == []
    assert (await running.admin.get(DELIVERIES)).json()["deliveries"] == []
    assert (await running.admin.delete("/projects/default", params={"confirm": "default"})).status_code in (200, 204)
    await send(running)
