"""A notification outlives the server that was sending it."""

from pathlib import Path

import pytest

from rheostat_server.demo.stage import Stage
from tests.e2e.waiting import until
from tests.integration.receivers import Answer, a_receiver
from tests.unit.server.notifications.documented import verified

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
OF_PROJECT = "/projects/default"
FLAG = {
    "kind": "flag",
    "key": "checkout",
    "type": "boolean",
    "variants": {"on": True, "off": False},
    "off_variant": "off",
}


async def test_a_kill_is_told_though_the_server_dies_while_it_tells(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``kill -9`` when the receiver has the message and has not answered: the next server sends the same again."""
    monkeypatch.setenv("RHEOSTAT_NOTIFY_ALLOW_PRIVATE", "127.0.0.1")
    stage = Stage(open_directory, background=0.0, with_prometheus=False)
    async with a_receiver() as receiver:
        receiver.answers = [Answer(hang=True)]

        async def tries() -> int:
            return len(receiver.received)

        await stage.start_server()
        try:
            added = await stage.api.post(
                f"{OF_PROJECT}/notification-channels", json={"name": "hook", "kind": "webhook", "url": receiver.url}
            )
            secret = added.raise_for_status().json()["secret"]
            (await stage.api.put(f"{OF_PROJECT}/flags/checkout", json=FLAG)).raise_for_status()
            killing = f"{OF_PROJECT}/environments/production/flags/checkout/kill"
            (await stage.api.post(killing, json={"reason": "it burns"})).raise_for_status()
            await until(tries, lambda count: count == 1, within=60)
            assert stage.server is not None
            stage.server.kill()
            await stage.start_server()
            await until(tries, lambda count: count >= 2, within=60)
        finally:
            await stage.close()

    first, again = receiver.received[:2]
    assert first.message == again.message
    for one in (first, again):
        assert verified(secret, one.headers, one.body, float(one.headers["webhook-timestamp"])) == first.message.id
    assert first.message.why == "it burns"
